"""What gateways are told to report: only what belongs to shoppers who agreed. All else is dropped on the shelf."""

import zlib
from collections import Counter
from collections.abc import Iterable

from proximity import wire
from proximity.model import Device

MOST_EXACT = 2_000  # ids that are listed one by one: a message of about 100 kB; beyond, by what they begin with
SAMPLE_EVERY = 1.0  # s
_EPHEMERAL = {"irk": "mac:", "eid": "eid:"}  # kinds whose ids on air change: only the service can resolve them
_ON_AIR = frozenset({"ibeacon", "eddystone", "altbeacon", "mac"})


class Wanted:
    """What gateways shall report, while devices of shoppers who agreed come and go."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self._exact: set[str] = set()
        self._begin: Counter[str] = Counter()  # what ids begin with: how many do
        self._changing: Counter[str] = Counter()  # the same of ids that change on air
        self.change((), devices)

    def change(self, gone: Iterable[Device], come: Iterable[Device]) -> None:
        """Some go, some come. A device is told once."""
        for device in gone:
            self._count(device, -1)
        for device in come:
            self._count(device, +1)

    def _count(self, device: Device, one: int) -> None:
        if device.kind in _EPHEMERAL:
            self._changing[_EPHEMERAL[device.kind]] += one
        elif device.kind in _ON_AIR:
            (self._exact.add if one > 0 else self._exact.discard)(device.id)
            self._begin[_prefix(device.id)] += one

    def config(self) -> wire.ConfigMessage:
        """Settings for every gateway.

        `keep` lists whole ids while they are few, else what they begin with (an iBeacon UUID, an Eddystone namespace).
        The version is a checksum of the content, so equal settings have equal versions.
        """
        keep = {one for one, number in self._changing.items() if number > 0}
        few = len(self._exact) <= MOST_EXACT
        keep |= self._exact if few else {one for one, number in self._begin.items() if number > 0}
        beginnings = tuple(one for one in keep if one.endswith(":"))
        listed = sorted(one for one in keep if one in beginnings or not one.startswith(beginnings))
        return wire.ConfigMessage(zlib.crc32("\n".join(listed).encode()), sample_every=SAMPLE_EVERY, keep=listed)


def _prefix(device_id: str) -> str:
    kind, _, rest = device_id.partition(":")
    return f"{kind}:" if kind in ("mac", "altbeacon") else f"{kind}:{rest.partition(':')[0]}:"
