"""Many advertisements -> one row per device and sample. Pure: `now` is an argument.

The mean is taken over the dBm values, not over milliwatts. Shadowing and body loss are normal in dB (the log-distance
model of path loss), so the mean in dB estimates the path loss, while a mean in milliwatts would follow the rare
constructive fades. A row's time is the mean of its packets' times, which is when its mean RSSI holds.
"""

import math
from typing import NamedTuple

STRONGEST = 20.0  # dBm, the most a BLE radio may send; nothing is heard louder than it was sent
MISSING = -127.0  # dBm; what BlueZ gives when it has no reading, as is 0
BEACONS = ("ibeacon:", "altbeacon:", "eddystone:", "eid:")  # reported when no `keep` is set
MAX_OPEN = 20_000  # device samples held at once; a Pi hears 500 packets a second, so this is a flood, not a shop


class Sample(NamedTuple):
    """One device over one sample."""

    device: str
    at: float  # seconds, mean of the packets' times
    rssi: float  # dBm, mean, rounded to 0.1
    packets: int
    power: float | None  # measured power at 1 m, dBm, as last told


class _Sum:
    __slots__ = ("count", "power", "rssi", "time")

    def __init__(self) -> None:
        self.count = 0
        self.rssi = 0.0
        self.time = 0.0
        self.power: float | None = None


class Sampler:
    """Samples of `every` seconds, aligned to multiples of it, so that gateways of a shop cut time alike.

    A packet that comes after its sample was taken makes another row of its own; nothing is lost by being late.
    """

    def __init__(self, every: float = 1.0, keep: tuple[str, ...] | None = None) -> None:
        self.heard = 0  # packets offered, counted up
        self.ignored = 0  # packets of devices that are nobody's
        self.faulty = 0  # packets without a believable RSSI or time
        self.overflow = 0  # packets refused because MAX_OPEN was reached
        self._open: dict[int, dict[str, _Sum]] = {}
        self._size = 0
        self._ready: list[Sample] = []
        self.configure(every, keep)

    def configure(self, every: float, keep: tuple[str, ...] | None) -> None:
        """Use another sample length (seconds) and other ids to report. `keep` None: every beacon format.

        An entry that ends in ":" or "-", or is empty, is what ids begin with; any other is a whole id.
        """
        if not (math.isfinite(every) and every > 0):
            raise ValueError(f"a sample of {every} s cannot be taken")
        self._ready = self._drain(None)  # what is open was cut by the old length
        self.every = every
        keep = BEACONS if keep is None else keep
        self._beginnings = tuple(one for one in keep if one == "" or one[-1] in ":-")
        self._whole = frozenset(keep) - frozenset(self._beginnings)

    def wants(self, device: str | None) -> bool:
        """Whether the id is one to report."""
        return device is not None and (device in self._whole or device.startswith(self._beginnings))

    def hear(self, device: str | None, rssi: float, at: float, power: float | None = None) -> bool:
        """One packet of `device`, heard at `at` seconds with `rssi` dBm. True: it counts towards a row."""
        self.heard += 1
        if device is None or not (device in self._whole or device.startswith(self._beginnings)):
            self.ignored += 1
            return False
        if rssi == 0 or not MISSING < rssi <= STRONGEST or not -1e12 < at < 1e12:  # NaN fails the comparisons too
            self.faulty += 1
            return False
        window = int(at // self.every)
        devices = self._open.get(window)
        if devices is None:
            devices = self._open[window] = {}
        total = devices.get(device)
        if total is None:
            if self._size >= MAX_OPEN:
                self.overflow += 1
                return False
            total = devices[device] = _Sum()
            self._size += 1
        total.count += 1
        total.rssi += rssi
        total.time += at
        if power is not None:
            total.power = power
        return True

    def take(self, now: float) -> list[Sample]:
        """The rows of all samples that ended by `now`, in order of time."""
        return self._drain(int(now // self.every))

    def flush(self) -> list[Sample]:
        """All rows, also of samples still open."""
        return self._drain(None)

    def _drain(self, before: int | None) -> list[Sample]:
        ready, self._ready = self._ready, []
        for window in sorted(w for w in self._open if before is None or w < before):
            devices = self._open.pop(window)
            self._size -= len(devices)
            rows = [
                Sample(device, s.time / s.count, round(s.rssi / s.count, 1), s.count, s.power)
                for device, s in devices.items()
            ]
            rows.sort(key=lambda row: (row.at, row.device))
            ready += rows
        return ready
