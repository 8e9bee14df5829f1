"""What is on air or carried, as files write it, to canonical ids and devices."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from proximity.document import Diagnostic, Document, Loc
from proximity.errors import BadMessage
from proximity.model import Device
from proximity.site.ids import eid_secret, ibeacon_id, parse_device_id, read_key
from proximity.site.shapes import BeaconShape, CarriedShape, EidShape, OwnTracksShape, TraccarShape

ON_AIR = ("ibeacon", "eddystone", "altbeacon", "mac")
CARRIED = (*ON_AIR, "irk", "eid", "owntracks", "traccar")

ReadFile = Callable[[str], str | None]  # a path as the file writes it -> its text, or None when it cannot be read


class BadPart(Exception):
    """One thing that is wrong with one part; becomes a diagnostic at `key` below the part."""

    def __init__(self, key: tuple[str, ...], message: str, hint: str | None = None) -> None:
        self.key, self.message, self.hint = key, message, hint
        super().__init__(message)


def one_of(document: Document, loc: Loc, data: Any, kinds: tuple[str, ...], subject: str) -> list[Diagnostic]:
    """Nothing, or that a part says no beacon or more than one."""
    given = [kind for kind in kinds if isinstance(data, dict) and data.get(kind) is not None]
    if len(given) == 1:
        return []
    if not given:
        return [document.diagnostic(loc, "E320", f"{subject}: says no beacon", f"add one of: {', '.join(kinds)}")]
    message = f"{subject}: says {len(given)} beacons at once: {', '.join(given)}"
    hint = "make an entry of its own for each"
    return [document.diagnostic((*loc, given[1]), "E320", message, hint, key=True)]


def on_air(shape: BeaconShape, uuid: str | None) -> str:
    """The canonical id of what a beacon sends; `uuid` is the file's own for iBeacons without one. Raises BadPart."""
    if shape.ibeacon is not None:
        chosen = shape.ibeacon.uuid or uuid
        if chosen is None:
            raise BadPart(("ibeacon",), "the iBeacon has no uuid", "write it here, or once as `uuid:` at the top")
        written = ("ibeacon", "uuid") if shape.ibeacon.uuid else ("ibeacon",)
        beacon = shape.ibeacon
        return _spelled(written, lambda: ibeacon_id(chosen, beacon.major, beacon.minor),
                        f"{chosen!r} is no uuid", "it has 32 hexadecimal digits: 8-4-4-4-12")  # fmt: skip
    if shape.eddystone is not None:
        frame = shape.eddystone
        return _spelled(("eddystone",), lambda: parse_device_id(f"eddystone:{frame.namespace}:{frame.instance}"),
                        "this is no Eddystone id", "namespace has 20 hexadecimal digits, instance 12")  # fmt: skip
    if shape.altbeacon is not None:
        text = shape.altbeacon
        return _spelled(("altbeacon",), lambda: parse_device_id(f"altbeacon:{text}"),
                        f"{text!r} is no AltBeacon id", "it has 40 hexadecimal digits")  # fmt: skip
    address = shape.mac or ""
    return _spelled(("mac",), lambda: parse_device_id(f"mac:{address}"),
                    f"{address!r} is no Bluetooth address", "write it like aa:bb:cc:dd:ee:ff")  # fmt: skip


def carried(shape: CarriedShape, shopper: str, uuid: str | None, read_file: ReadFile) -> Device:
    """The device that a shopper carries. Raises BadPart."""
    if shape.owntracks is not None:
        return _owntracks(shape.owntracks, shopper, read_file)
    if shape.eid is not None:
        return _eid(shape.eid, shopper)
    if shape.irk is not None:
        key = read_key(shape.irk).hex()
        return Device(id=f"irk:{key}", shopper=shopper, kind="irk", secret=key)
    if shape.traccar is not None:
        name = shape.traccar.id
        device = _spelled(("traccar",), lambda: parse_device_id(f"traccar:{name}"), f"{name!r} is no Traccar id")
        password = _secret("traccar", shape.traccar, "password", read_file)
        return Device(id=device, shopper=shopper, kind="traccar", password=password)
    kind = next(kind for kind in ON_AIR if getattr(shape, kind) is not None)
    return Device(id=on_air(shape, uuid), shopper=shopper, kind=kind)


def _owntracks(shape: OwnTracksShape, shopper: str, read_file: ReadFile) -> Device:
    name = f"{shape.user}/{shape.device}"
    device = _spelled(("owntracks",), lambda: parse_device_id(f"owntracks:{name}"),
                      f"{name!r} cannot be part of a topic", "use no / + # in user and device")  # fmt: skip

    password = _secret("owntracks", shape, "password", read_file)
    return Device(device, shopper, "owntracks", _secret("owntracks", shape, "key", read_file), password)


def _secret(kind: str, shape: OwnTracksShape | TraccarShape, key: str, read_file: ReadFile) -> str | None:
    """`key`, or the text of the file that `<key>_file` names."""
    text, path = getattr(shape, key), getattr(shape, f"{key}_file")
    if path is None:
        return str(text) if text is not None else None
    where = (kind, f"{key}_file")
    if text is not None:
        raise BadPart(where, f"both `{key}` and `{key}_file` are there", "keep one of them")
    found = read_file(path)
    if found is None or not found.strip():
        why = "is empty" if found is not None else "cannot be read"
        raise BadPart(where, f"the file {path!r} {why}", "its one line is the secret")
    return found.strip()


def _eid(shape: EidShape, shopper: str) -> Device:
    started = shape.started
    if isinstance(started, str):
        try:
            when = datetime.fromisoformat(started)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            hint = "write it like 2026-01-31T10:00:00Z"
            raise BadPart(("eid", "started"), f"{started!r} is no time with a zone", hint)
        started = when.timestamp()
    if not 0 <= started < 1e10:
        raise BadPart(("eid", "started"), f"{started:g} is no time", "write seconds since 1970, or a date and time")
    key = read_key(shape.key)
    # A name that stays while the shown ids change; it tells nothing of the key.
    device = "eid:" + hashlib.blake2b(key, digest_size=8, person=b"proximity-eid").hexdigest()
    return Device(id=device, shopper=shopper, kind="eid", secret=eid_secret(key, shape.rotation, started))


def _spelled(key: tuple[str, ...], read: Callable[[], str], message: str, hint: str | None = None) -> str:
    try:
        return read()
    except BadMessage:
        raise BadPart(key, message, hint) from None
