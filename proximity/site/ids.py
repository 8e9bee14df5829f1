"""Device ids, one spelling each: what files, scanners and phones write becomes the canonical id.

Canonical ids are lower case: `ibeacon:<uuid with hyphens>:<major>:<minor>`, `altbeacon:<40 hex>`,
`eddystone:<20 hex>:<12 hex>`, `eid:<16 hex>`, `mac:<aa:bb:cc:dd:ee:ff>`, `irk:<32 hex>`,
`owntracks:<user>/<device>`, `traccar:<id>`, `app:<shopper>`. Only the standard library is needed here.
"""

import base64
import binascii
import re
from collections.abc import Callable

from proximity.errors import BadMessage

MAX_LENGTH = 160  # characters; what the store keeps

_SEP = r"[:_/,-]"
_UUID = r"(?P<uuid>[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})"
_NUMBERED = re.compile(rf"{_UUID}{_SEP}(?P<major>[0-9]{{1,5}}){_SEP}(?P<minor>[0-9]{{1,5}})")
_EDDYSTONE = re.compile(r"(?P<namespace>[0-9a-f]{22}|[0-9a-f]{20})[:_/-]?(?P<instance>[0-9a-f]{12})")
_MAC = re.compile(r"[0-9a-f]{2}(?P<sep>[:-]?)(?:[0-9a-f]{2}(?P=sep)){4}[0-9a-f]{2}")
_HEX = {length: re.compile(rf"[0-9a-f]{{{length}}}") for length in (16, 32, 40)}
_EID_SECRET = re.compile(r"([0-9a-f]{32})/([0-9]{1,2})/([0-9]{1,10}(?:\.[0-9]+)?)")


def parse_device_id(text: str) -> str:
    """The canonical id of any accepted spelling. BadMessage("device") when it is none.

    A bare `AA:BB:CC:DD:EE:FF` is read as an address and a bare `<uuid>-<major>-<minor>` as an iBeacon, because
    scanners write them so; `eddy:` and `known:` are ESPresense's words for `eddystone:` and `mac:`.
    """
    if len(text) > MAX_LENGTH:
        raise BadMessage("device", f"{len(text)} characters")
    # Unicode's capitals may grow when lowered, and lone surrogates and control characters break stores and logs.
    word = text.strip().lower()
    if not word.isprintable() or len(word) > MAX_LENGTH:
        raise BadMessage("device", repr(text))
    kind, _, rest = word.partition(":")
    reader = _READERS.get(kind)
    if reader is not None:
        found = reader(rest)
    elif _MAC.fullmatch(word):
        found = _mac(word)
    else:
        found = _ibeacon(word)
    if found is None or len(found) > MAX_LENGTH:
        raise BadMessage("device", text)
    return found


def ibeacon_id(uuid: str, major: int, minor: int) -> str:
    """`ibeacon:<uuid>:<major>:<minor>`; BadMessage("device") when the parts are none."""
    return parse_device_id(f"ibeacon:{uuid.strip()}:{major}:{minor}")


def read_key(text: str) -> bytes:
    """A 16-byte key from hex or base64, also with `irk:`, hyphens or colons. BadMessage("key") when it is none."""
    word = text.strip()
    if word.lower().startswith("irk:"):
        word = word[4:]
    bare = re.sub(r"[\s:-]", "", word)
    if re.fullmatch(r"[0-9a-fA-F]{32}", bare):
        return bytes.fromhex(bare)
    try:
        raw = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_" if set(word) & set("-_") else None)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise BadMessage("key", "16 bytes are wanted, as 32 hexadecimal digits or base64")
    return raw


def eid_secret(key: bytes, exponent: int, started: float) -> str:
    """What a Device keeps of an Eddystone-EID beacon.

    `exponent` K: the beacon changes its id every 2**K seconds, 0 ≤ K ≤ 15. `started`: seconds since the epoch at
    which the beacon's own clock stood at zero.
    """
    return f"{key.hex()}/{exponent}/{started:.0f}"


def read_eid_secret(secret: str) -> tuple[bytes, int, float]:
    """The reverse of `eid_secret`: key, exponent, started. BadMessage("key") when it is none."""
    match = _EID_SECRET.fullmatch(secret)
    if match is None or int(match[2]) > 15:
        raise BadMessage("key", "an ephemeral id needs key/exponent/started")
    return bytes.fromhex(match[1]), int(match[2]), float(match[3])


def _ibeacon(rest: str) -> str | None:
    match = _NUMBERED.fullmatch(rest)
    if match is None or int(match["major"]) > 65535 or int(match["minor"]) > 65535:
        return None
    u = match["uuid"].replace("-", "")
    return f"ibeacon:{u[:8]}-{u[8:12]}-{u[12:16]}-{u[16:20]}-{u[20:]}:{int(match['major'])}:{int(match['minor'])}"


def _altbeacon(rest: str) -> str | None:
    # ESPresense writes the 20 bytes as a UUID and two decimal numbers.
    match = _NUMBERED.fullmatch(rest)
    if match is not None:
        major, minor = int(match["major"]), int(match["minor"])
        if major > 65535 or minor > 65535:
            return None
        return f"altbeacon:{match['uuid'].replace('-', '')}{major:04x}{minor:04x}"
    bare = rest.replace("-", "")
    return f"altbeacon:{bare}" if _HEX[40].fullmatch(bare) else None


def _eddystone(rest: str) -> str | None:
    match = _EDDYSTONE.fullmatch(rest)
    if match is None:
        return None
    namespace = match["namespace"]
    if len(namespace) == 22:  # ESPresense prints the fifth byte of the namespace (byte 6 of the frame) twice
        if namespace[8:10] != namespace[10:12]:
            return None
        namespace = namespace[:10] + namespace[12:]
    return f"eddystone:{namespace}:{match['instance']}"


def _mac(rest: str) -> str | None:
    if not _MAC.fullmatch(rest):
        return None
    bare = re.sub("[:-]", "", rest)
    return "mac:" + ":".join(bare[i : i + 2] for i in range(0, 12, 2))


def _hex(kind: str, length: int) -> Callable[[str], str | None]:
    return lambda rest: f"{kind}:{rest}" if _HEX[length].fullmatch(rest) else None


def _owntracks(rest: str) -> str | None:
    user, slash, device = rest.strip("/").partition("/")
    if not (user and slash and device) or set("/+#") & set(device) or set("+#") & set(user):
        return None
    return f"owntracks:{user}/{device}"


def _named(kind: str) -> Callable[[str], str | None]:
    return lambda rest: f"{kind}:{rest.strip()}" if rest.strip() else None


_READERS: dict[str, Callable[[str], str | None]] = {
    "ibeacon": _ibeacon,
    "altbeacon": _altbeacon,
    "eddystone": _eddystone,
    "eddy": _eddystone,
    "eid": _hex("eid", 16),
    "mac": _mac,
    "known": _mac,
    "irk": _hex("irk", 32),
    "owntracks": _owntracks,
    "traccar": _named("traccar"),
    "app": _named("app"),
}
