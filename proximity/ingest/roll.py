"""The dictionary of everybody who may leave a trace: devices and their shoppers, as columns name them."""

from collections.abc import Iterable

from proximity.model import Device

SPARE = 10_000  # numbers that mean nobody any more, and as many as mean somebody, before all are given anew


class Roll:
    """Numbers of devices. A number is given once: whoever looked its name up need not look again. A device that changes
    hands gets a new one, because a number tells whose it is."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """Of two with one id the first has it."""
        self.names: list[str] = []  # by number; only ever added to, since batches share it
        self.shoppers: list[str] = []
        self.index: dict[str, int] = {}  # id -> number, of those who may leave a trace now
        for device in devices:
            if device.id not in self.index:
                self._add(device.id, device.shopper)

    def change(self, gone: Iterable[Device], come: Iterable[Device]) -> None:
        """Some go, some come."""
        for device in gone:
            self.index.pop(device.id, None)
        for device in come:
            self._add(device.id, device.shopper)
        if len(self.names) > 2 * len(self.index) + SPARE:
            here = [(name, self.shoppers[number]) for name, number in self.index.items()]
            self.names, self.shoppers, self.index = [], [], {}
            for name, shopper in here:
                self._add(name, shopper)

    def _add(self, name: str, shopper: str) -> None:
        self.index[name] = len(self.names)
        self.names.append(name)
        self.shoppers.append(shopper)
