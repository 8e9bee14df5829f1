"""What a phone's message said, and the careful reading that all phone formats share."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.site.ids import ibeacon_id

MAX_PAYLOAD = 256 * 1024  # bytes; a message with a contact's picture is 50 kB, a full upload of buffered points 100 kB
CENTURY = 100 * 365.25 * 86400.0  # s; a time further ahead has a wrong unit, not a wrong clock


class Heard(msgspec.Struct, frozen=True):
    """A beacon that the phone heard; the phone is the listener."""

    beacon: str  # canonical device id of the beacon
    rssi: float  # dBm
    at: float  # seconds since the epoch


class PhoneTransition(msgspec.Struct, frozen=True):
    """The phone's own opinion that it crossed one of its regions."""

    kind: Literal["enter", "leave"]
    at: float  # seconds since the epoch
    description: str | None = None  # name of the region on the phone
    region: str | None = None  # the region's id, `rid`
    region_made: float | None = None  # seconds since the epoch, `wtst`: what Android keys regions by
    by_beacon: bool = False  # crossed by a beacon's range, not by position


class Region(msgspec.Struct, frozen=True):
    """A region that the phone watches by itself, round."""

    lat: float  # degrees
    lon: float
    radius: float  # metres
    description: str | None = None
    region: str | None = None  # its id, `rid`
    made: float | None = None  # seconds since the epoch, its `tst`


class Report(msgspec.Struct, frozen=True):
    """One message of one phone. Everything in it may be old: whether it is late is for presence to say."""

    device: str  # canonical device id
    kind: str  # the message's own type: location, transition, beacon, …
    fixes: tuple[Fix, ...] = ()
    sightings: tuple[Heard, ...] = ()
    transition: PhoneTransition | None = None
    regions: tuple[Region, ...] = ()
    ignored: str | None = None  # why nothing was taken from a message that is known and well-formed


def read_json(payload: bytes) -> Any:
    """Plain data of a JSON payload; BadMessage("too_large" | "json") when it is none."""
    if len(payload) > MAX_PAYLOAD:
        raise BadMessage("too_large", f"{len(payload)} bytes")
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage("json", str(error)) from error


def number(value: Any) -> float | None:
    """A finite number, also from text (`"4.5"`); None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > 64:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def positive(value: Any) -> float | None:
    """A number above zero; phones write 0 or -1 for "unknown"."""
    found = number(value)
    return found if found is not None and found > 0 else None


def not_negative(value: Any) -> float | None:
    """A number from zero up; phones write -1 for "unknown"."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def course(value: Any) -> float | None:
    """Degrees clockwise from north, 0 ≤ course ≤ 360; else None."""
    found = not_negative(value)
    return found if found is not None and found <= 360 else None


def text(value: Any) -> str | None:
    """Printable text of at most 200 characters, or a number as text; else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**30 else None
    if not isinstance(value, str) or len(value) > 200:
        return None
    word = value.strip()
    return word if word and word.isprintable() else None


def moment(value: Any, now: float) -> float:
    """Seconds since the epoch from seconds or milliseconds. BadMessage("time") when it is missing or absurd."""
    at = positive(value)
    if at is not None and at > 1e11:  # seconds reach that in the year 5138: these are milliseconds
        at /= 1000.0
    if at is None or at > now + CENTURY:
        raise BadMessage("time", shown(value))
    return at


def place(lat: Any, lon: Any) -> tuple[float, float]:
    """Degrees (lat, lon). BadMessage("position") when one is missing, no number, out of range, or both are zero."""
    y, x = number(lat), number(lon)
    if y is None or x is None or abs(y) > 90 or abs(x) > 180:
        raise BadMessage("position", f"lat {shown(lat)}, lon {shown(lon)}")
    if y == 0 and x == 0:  # what a phone without a fix says, not a store in the Gulf of Guinea
        raise BadMessage("position", "0, 0")
    return y, x


def heard_beacon(message: Mapping[str, Any], at: float) -> Heard | None:
    """An iBeacon by `uuid`, `major`, `minor` and `rssi`; None without a measured strength: iOS says 0 when it lost
    count of the packets. BadMessage("beacon") when it is none."""
    rssi = number(message.get("rssi"))
    uuid, major, minor = (message.get(key) for key in ("uuid", "major", "minor"))
    whole = [int(n) for n in (number(major), number(minor)) if n is not None and n == int(n)]
    if not isinstance(uuid, str) or len(whole) != 2:
        raise BadMessage("beacon", f"uuid {shown(uuid)}, major {shown(major)}, minor {shown(minor)}")
    try:
        beacon = ibeacon_id(uuid, whole[0], whole[1])
    except BadMessage as error:
        raise BadMessage("beacon", error.detail) from error
    return None if rssi is None or not -127 <= rssi < 0 else Heard(beacon, rssi, at)


def shown(value: Any) -> str:
    """A value for an error's detail, short whatever it is; the digits of a huge number would raise."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, float | bool) or (isinstance(value, int) and abs(value) < 10**30):
        return str(value)
    return "a huge number" if isinstance(value, int) else f"a {type(value).__name__}"


def mapping(value: Any) -> Mapping[str, Any]:
    """The value as a JSON object. BadMessage("shape") when it is none."""
    if not isinstance(value, dict):
        raise BadMessage("shape", f"a JSON object is wanted, not {type(value).__name__}")
    return value
