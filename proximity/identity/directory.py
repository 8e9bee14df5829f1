"""Who carries what: any spelling of a device id, private address or ephemeral id to the registered device."""

import threading
from collections.abc import Iterable, Sequence

from proximity.errors import BadMessage
from proximity.identity.addresses import AddressResolver
from proximity.identity.ephemeral import EidKey, EphemeralResolver
from proximity.model import Device
from proximity.site.ids import parse_device_id, read_eid_secret, read_key


class Directory:
    """An index over registered devices. The devices are fixed; make a new one when they change.

    A device of kind `irk` is found by its own id and by every address its key makes; one of kind `eid` by its own id
    and by the ids it shows about `now`. When two devices claim one id the first keeps it. A device whose secret
    cannot be read is found by its id alone.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        self._by_id: dict[str, Device] = {}
        private: list[tuple[Device, bytes]] = []
        ephemeral: list[tuple[Device, EidKey]] = []
        for device in devices:
            self._by_id.setdefault(_canonical(device.id) or device.id, device)
            try:
                if device.kind == "irk":
                    key = read_key(device.secret or device.id)
                    private.append((device, key))
                    for spelling in (key, key[::-1]):
                        self._by_id.setdefault(f"irk:{spelling.hex()}", device)
                elif device.kind == "eid" and device.secret:
                    ephemeral.append((device, EidKey(*read_eid_secret(device.secret))))
            except BadMessage:
                continue
        self._private = [device for device, _ in private]
        self._addresses = AddressResolver([key for _, key in private])
        self._ephemeral = [device for device, _ in ephemeral]
        self._eids = EphemeralResolver([key for _, key in ephemeral])
        self._lock = threading.Lock()  # the resolvers keep caches, and pipeline and HTTP ask from different threads

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
            return None if index is None else self._private[index]
        if name.startswith("eid:"):
            with self._lock:
                index = self._eids.resolve(name[4:], now)
            return None if index is None else self._ephemeral[index]
        return None

    def resolve_many(self, device_ids: Sequence[str], now: float) -> list[Device | None]:
        """`resolve` for the dictionary of a batch: one answer per id, in order."""
        return [self.resolve(device_id, now) for device_id in device_ids]


def _canonical(device_id: str) -> str | None:
    try:
        return parse_device_id(device_id)
    except BadMessage:
        return None
