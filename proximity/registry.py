"""Who is known at this moment: devices, shoppers and what they agreed to, read from the store and kept at hand."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from proximity.model import Device, Shopper
from proximity.store import people
from proximity.store.database import Store


class Change(NamedTuple):
    """What became of devices that may leave a trace, because one shopper changed."""

    gone: Sequence[Device]  # as they were
    come: Sequence[Device]  # as they are
    withdrew: bool  # the shopper agreed to something, and agrees to nothing any more


class Registry:
    """Everybody, read once; who changes is read again by himself. One thread changes it, any thread may look."""

    def __init__(self, store: Store) -> None:
        self._devices = {device.id: device for device in people.devices(store)}
        self._shoppers = people.everybody(store)
        self._carried: dict[str, dict[str, Device]] = {}
        for device in self._devices.values():
            self._carried.setdefault(device.shopper, {})[device.id] = device
        # Any consent is enough to be seen; what may be sent is asked rule by rule.
        self._agreed = {one.id for one in self._shoppers.values() if any(one.consents.values())}

    @property
    def devices(self) -> Mapping[str, Device]:
        """By id."""
        return self._devices

    @property
    def shoppers(self) -> Mapping[str, Shopper]:
        """By id."""
        return self._shoppers

    @property
    def agreed(self) -> Set[str]:
        """Shoppers whose devices may leave a trace."""
        return self._agreed

    def carried_by(self, shopper: str) -> Sequence[Device]:
        """All devices of a shopper."""
        return tuple(self._carried.get(shopper, {}).values())

    def agreed_devices(self) -> Iterator[Device]:
        """Devices that may leave a trace."""
        return (device for device in self._devices.values() if device.shopper in self._agreed)

    def secret(self, device_id: str) -> str | None:
        """The key that a phone encrypts with."""
        device = self._devices.get(device_id)
        return device.secret if device else None

    def read_again(self, store: Store, shopper: str) -> Change:
        """Take one shopper and what he carries as the store has them now."""
        return self._put(shopper, people.shopper(store, shopper), people.devices(store, shopper))

    def drop(self, shopper: str) -> Change:
        """Know nothing of a shopper any more."""
        return self._put(shopper, None, ())

    def _put(self, name: str, shopper: Shopper | None, devices: Sequence[Device]) -> Change:
        agreed = name in self._agreed
        before = dict(self._carried.pop(name, {}))
        gone = [device for device in before.values() if agreed]
        for device in devices:
            had = self._devices.get(device.id)
            if had is not None and had.shopper != name:  # it changed hands
                del self._carried[had.shopper][device.id]
                gone += [had] if had.shopper in self._agreed else []
        for left in before.keys() - {device.id for device in devices}:
            del self._devices[left]
        self._devices.update((device.id, device) for device in devices)
        if devices:
            self._carried[name] = {device.id: device for device in devices}
        if shopper is None:
            self._shoppers.pop(name, None)
        else:
            self._shoppers[name] = shopper
        agrees = shopper is not None and any(shopper.consents.values())
        (self._agreed.add if agrees else self._agreed.discard)(name)
        come = list(devices) if agrees else []
        same = [device for device in come if device in gone]
        return Change(
            [device for device in gone if device not in same],
            [device for device in come if device not in same],
            agreed and not agrees,
        )
