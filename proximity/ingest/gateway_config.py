"""What gateways are told to report: only what belongs to shoppers who agreed. All else is dropped on the shelf."""

import zlib
from collections.abc import Iterable

from proximity import wire
from proximity.model import Device

MOST_EXACT = 2_000  # ids that are listed one by one: a message of about 100 kB; beyond, by what they begin with
SAMPLE_EVERY = 1.0  # s
_EPHEMERAL = {"irk": "mac:", "eid": "eid:"}  # kinds whose ids on air change: only the service can resolve them
_ON_AIR = frozenset({"ibeacon", "eddystone", "altbeacon", "mac"})


def gateway_config(devices: Iterable[Device]) -> wire.ConfigMessage:
    """Settings for every gateway, from the devices of shoppers who agreed.

    `keep` lists whole ids while they are few, else what they begin with (an iBeacon UUID, an Eddystone namespace). The
    version is a checksum of the content, so equal settings have equal versions.
    """
    known = list(devices)
    exact = sorted({device.id for device in known if device.kind in _ON_AIR})
    keep = {_EPHEMERAL[device.kind] for device in known if device.kind in _EPHEMERAL}
    keep |= set(exact) if len(exact) <= MOST_EXACT else {_prefix(name) for name in exact}
    beginnings = tuple(one for one in keep if one.endswith(":"))
    listed = sorted(one for one in keep if one in beginnings or not one.startswith(beginnings))
    return wire.ConfigMessage(zlib.crc32("\n".join(listed).encode()), sample_every=SAMPLE_EVERY, keep=listed)


def _prefix(device_id: str) -> str:
    kind, _, rest = device_id.partition(":")
    return f"{kind}:" if kind in ("mac", "altbeacon") else f"{kind}:{rest.partition(':')[0]}:"
