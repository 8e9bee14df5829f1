"""Who carries what: any spelling of a device id, private address or ephemeral id to the registered device."""

import contextlib
import threading
from collections.abc import Iterable, Sequence

from proximity.errors import BadMessage
from proximity.identity.addresses import AddressResolver
from proximity.identity.ephemeral import EidKey, EphemeralResolver
from proximity.model import Device
from proximity.site.ids import parse_device_id, read_eid_secret, read_key

_KEYED = frozenset({"irk", "eid"})  # kinds whose ids on air change


class Directory:
    """An index over registered devices, which may come and go.

    A device of kind `irk` is found by its own id and by every address its key makes; one of kind `eid` by its own id
    and by the ids it shows about `now`. When two devices claim one id the first keeps it, until it goes. A device whose
    secret cannot be read is found by its id alone.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        self._by_id: dict[str, Device] = {}
        self._second: dict[str, list[Device]] = {}  # id -> those that claim it too, in the order in which they came
        self._private: dict[str, tuple[Device, bytes]] = {}  # by the device's id
        self._ephemeral: dict[str, tuple[Device, EidKey]] = {}
        self._lock = threading.Lock()  # the resolvers keep caches, and pipeline and HTTP ask from different threads
        for device in devices:
            self._enter(device)
        self._learn_keys()

    def change(self, gone: Sequence[Device], come: Sequence[Device]) -> None:
        """Some go, some come."""
        for device in gone:
            self._leave(device)
        for device in come:
            self._enter(device)
        if any(device.kind in _KEYED for device in (*gone, *come)):
            self._learn_keys()

    def _enter(self, device: Device) -> None:
        for name in _names(device):
            holder = self._by_id.setdefault(name, device)
            if holder is not device:
                self._second.setdefault(name, []).append(device)
        with contextlib.suppress(BadMessage):
            if device.kind == "irk":
                self._private[device.id] = device, read_key(device.secret or device.id)
            elif device.kind == "eid" and device.secret:
                self._ephemeral[device.id] = device, EidKey(*read_eid_secret(device.secret))

    def _leave(self, device: Device) -> None:
        for name in _names(device):
            others = self._second.pop(name, [])
            if self._by_id.get(name) == device:
                del self._by_id[name]
                if others:
                    self._by_id[name] = others.pop(0)
            elif device in others:
                others.remove(device)
            if others:
                self._second[name] = others
        self._private.pop(device.id, None)
        self._ephemeral.pop(device.id, None)

    def _learn_keys(self) -> None:
        with self._lock:
            self._addresses = AddressResolver([key for _, key in self._private.values()])
            self._eids = EphemeralResolver([key for _, key in self._ephemeral.values()])
            self._by_address = [device for device, _ in self._private.values()]
            self._by_eid = [device for device, _ in self._ephemeral.values()]

    def resolve(self, device_id: str, now: float) -> Device | None:
        """The registered device that shows as `device_id` at `now` (seconds since the epoch); None for strangers."""
        device = self._by_id.get(device_id)
        if device is not None:
            return device
        name = _canonical(device_id)
        if name is None:
            return None
        device = self._by_id.get(name)
        if device is not None:
            return device
        if name.startswith("mac:"):
            with self._lock:
                index = self._addresses.resolve(name[4:])
                return None if index is None else self._by_address[index]
        if name.startswith("eid:"):
            with self._lock:
                index = self._eids.resolve(name[4:], now)
                return None if index is None else self._by_eid[index]
        return None

    def resolve_many(self, device_ids: Sequence[str], now: float) -> list[Device | None]:
        """`resolve` for the dictionary of a batch: one answer per id, in order."""
        return [self.resolve(device_id, now) for device_id in device_ids]


def _names(device: Device) -> list[str]:
    """The ids by which it is found as it is."""
    names = [_canonical(device.id) or device.id]
    if device.kind == "irk":
        with contextlib.suppress(BadMessage):
            key = read_key(device.secret or device.id)
            names += [f"irk:{key.hex()}", f"irk:{key[::-1].hex()}"]
    return list(dict.fromkeys(names))


def _canonical(device_id: str) -> str | None:
    try:
        return parse_device_id(device_id)
    except BadMessage:
        return None
