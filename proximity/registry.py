"""Who is known at this moment: devices, shoppers and what they agreed to, read from the store and kept at hand."""

from collections.abc import Mapping, Sequence

from proximity.model import Device, Shopper
from proximity.store import people
from proximity.store.database import Store


class Registry:
    """Never changes; a new one takes its place when people or devices change."""

    def __init__(self, store: Store) -> None:
        self.devices: Mapping[str, Device] = {device.id: device for device in people.devices(store)}
        self.shoppers: Mapping[str, Shopper] = people.everybody(store)
        self._carried: dict[str, list[Device]] = {}
        for device in self.devices.values():
            self._carried.setdefault(device.shopper, []).append(device)
        # Any consent is enough to be seen; what may be sent is asked rule by rule.
        self.agreed = frozenset(one.id for one in self.shoppers.values() if any(one.consents.values()))

    def carried_by(self, shopper: str) -> Sequence[Device]:
        """All devices of a shopper."""
        return self._carried.get(shopper, ())

    def agreed_devices(self) -> list[Device]:
        """Devices that may leave a trace."""
        return [device for device in self.devices.values() if device.shopper in self.agreed]

    def secret(self, device_id: str) -> str | None:
        """The key that a phone encrypts with."""
        device = self.devices.get(device_id)
        return device.secret if device else None
