"""What a BLE packet identifies. Pure: bytes in, value out; any bytes at all may come, and none raise.

Layouts: Apple, Proximity Beacon Specification R1 (iBeacon); AltBeacon 1.0; Google, Eddystone protocol specification.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["ibeacon", "altbeacon", "eddystone", "eid", "eddystone-url", "eddystone-tlm", "other"]

APPLE = 0x004C
EDDYSTONE = "0000feaa-0000-1000-8000-00805f9b34fb"  # 0xFEAA written out, as bleak keys service data

_AD_SERVICE_DATA_16 = 0x16
_AD_MANUFACTURER = 0xFF
_LOSS_AT_ONE_METRE = 41  # dB; Eddystone tells power at 0 m, and its specification subtracts this to get 1 m

# Sensors that put readings where a beacon has major and minor, so that each reading would be a new device.
_SENSORS = re.compile(
    "a495bb[0-9a-f]{2}-c5b1-4b44-b512-1370f02d74de"  # Tilt hydrometers, a byte for the colour
    "|494e5445-4c4c-495f-524f-434b535f4857"  # Govee thermometers: INTELLI_ROCKS_HW
    "|655f83ca-ae16-a10a-702e-31f30d58dd82"  # BM2 battery monitors
)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


class Advertisement(NamedTuple):
    """What one packet says about its sender."""

    kind: Kind
    beacon: str | None  # canonical device id; None: the packet names no beacon
    power: float | None = None  # measured power at 1 m, dBm; None: not told, or not believable
    mac: str | None = None  # "mac:<address>"; None: address unknown


_Found = tuple[Kind, str | None, float | None]


def parse(payload: bytes, address: str | None = None) -> Advertisement | None:
    """An advertisement from its AD structures (length, type, data). None: nothing in it identifies a sender."""
    return _with_address(_from_structures(bytes(payload)), address)


def from_fields(
    manufacturer: Mapping[int, bytes], service: Mapping[str, bytes], address: str | None = None
) -> Advertisement | None:
    """The same from bleak's `manufacturer_data` and `service_data`, both without the leading id."""
    found: _Found | None = None
    for company, data in manufacturer.items():
        found = _manufacturer(company, data) or found
    if found is None and EDDYSTONE in service:
        found = _eddystone(service[EDDYSTONE])
    return _with_address(found, address)


def mac_id(address: str) -> str | None:
    """`mac:aa:bb:…` for an address in any case, with colons or hyphens; None when it is no address."""
    text = address.lower().replace("-", ":")
    return f"mac:{text}" if _MAC.fullmatch(text) else None


def _with_address(found: _Found | None, address: str | None) -> Advertisement | None:
    mac = _cached_mac_id(address) if address else None
    if found is not None:
        return Advertisement(*found, mac)
    return Advertisement("other", None, None, mac) if mac else None


@lru_cache(maxsize=4096)  # a beacon repeats the same bytes: a shop has hundreds of them, not thousands
def _from_structures(payload: bytes) -> _Found | None:
    found: _Found | None = None
    at = 0
    while at + 1 < len(payload):
        length = payload[at]
        if length == 0 or at + 1 + length > len(payload):
            break  # zero ends the packet early; an overrun is a damaged packet
        kind, data = payload[at + 1], payload[at + 2 : at + 1 + length]
        if kind == _AD_MANUFACTURER and len(data) >= 2:
            found = _manufacturer(int.from_bytes(data[:2], "little"), data[2:]) or found
        elif kind == _AD_SERVICE_DATA_16 and data[:2] == b"\xaa\xfe":
            found = found or _eddystone(data[2:])
        at += 1 + length
    return found


@lru_cache(maxsize=4096)
def _manufacturer(company: int, data: bytes) -> _Found | None:
    if company == APPLE and len(data) == 23 and data[:2] == b"\x02\x15":
        text = data[2:18].hex()
        uuid = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        if _SENSORS.fullmatch(uuid):
            return None
        major, minor = int.from_bytes(data[18:20], "big"), int.from_bytes(data[20:22], "big")
        return "ibeacon", f"ibeacon:{uuid}:{major}:{minor}", _power(data[22])
    if len(data) == 24 and data[:2] == b"\xbe\xac":
        return "altbeacon", f"altbeacon:{data[2:22].hex()}", _power(data[22])
    return None


@lru_cache(maxsize=4096)
def _eddystone(data: bytes) -> _Found | None:
    if not data:
        return None
    frame = data[0]
    if frame == 0x00 and len(data) >= 18:  # the two reserved bytes at the end may be left out
        return "eddystone", f"eddystone:{data[2:12].hex()}:{data[12:18].hex()}", _power(data[1], _LOSS_AT_ONE_METRE)
    if frame == 0x30 and len(data) >= 10:
        return "eid", f"eid:{data[2:10].hex()}", _power(data[1], _LOSS_AT_ONE_METRE)
    if frame == 0x10:
        return "eddystone-url", None, None
    if frame == 0x20:
        return "eddystone-tlm", None, None
    return None


def _power(byte: int, loss: int = 0) -> float | None:
    """A signed byte in dBm, less `loss`. The strongest BLE radio gives -21 dBm at 1 m: more than that is a fault."""
    value = (byte - 256 if byte > 127 else byte) - loss
    return float(value) if -110 <= value <= -20 else None


@lru_cache(maxsize=4096)
def _cached_mac_id(address: str) -> str | None:
    return mac_id(address)
