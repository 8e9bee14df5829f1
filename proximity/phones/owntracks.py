"""OwnTracks: messages of its phones over MQTT and HTTP. https://owntracks.org/booklet/tech/json/"""

from collections.abc import Callable, Mapping
from typing import Any

from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.phones.report import (
    PhoneTransition,
    Region,
    Report,
    course,
    heard_beacon,
    mapping,
    moment,
    not_negative,
    place,
    positive,
    read_json,
    shown,
    text,
)
from proximity.phones.sealed import unseal
from proximity.site.ids import parse_device_id

__all__ = ["Report", "device_of", "http_topic", "read"]

KMH = 1 / 3.6  # km/h -> m/s

# Known, and of no use to presence: battery and permission reports, pictures, our own commands back.
IGNORED = frozenset({"lwt", "status", "steps", "card", "cmd", "request", "configuration", "dump", "msg"})
MOST_REGIONS = 200  # of one message; Android watches 100 at the most

Secret = Callable[[str], str | None]  # canonical device id -> the shared secret of that phone, or None


def read(topic: str, payload: bytes, now: float, secret: Secret) -> Report:
    """One message. `topic`: `owntracks/<user>/<device>[/…]`, any case, perhaps with a leading slash.

    BadMessage: "topic", "too_large", "json", "shape", "type", "no_key", "decrypt", "time", "position", "event" or
    "beacon". An empty payload and the types that say nothing of presence give a Report with `ignored`.
    """
    device = device_of(topic)
    if not payload.strip():
        return Report(device, "empty", ignored="empty")
    message = mapping(read_json(payload))
    kind = _kind(message)
    if kind == "encrypted":
        key = secret(device)
        if key is None:
            raise BadMessage("no_key", device)
        message = mapping(read_json(unseal(message.get("data"), key)))
        kind = _kind(message)
    if kind in _READERS:
        return _READERS[kind](device, message, now)
    if kind in IGNORED:
        return Report(device, kind, ignored=kind)
    raise BadMessage("type", kind[:80])


def device_of(topic: str) -> str:
    """`owntracks:<user>/<device>` of a topic. BadMessage("topic") when it is none."""
    words = topic.removeprefix("/").split("/")
    if len(words) < 3 or words[0].lower() != "owntracks":
        raise BadMessage("topic", repr(topic)[:200])
    try:
        return parse_device_id(f"owntracks:{words[1]}/{words[2]}")
    except BadMessage as error:
        raise BadMessage("topic", repr(topic)[:200]) from error


def http_topic(query: Mapping[str, str], headers: Mapping[str, str], payload: bytes) -> str:
    """The topic that an HTTP message would have had: `?u=&d=`, then `X-Limit-U` and `-D`, then the body's `topic`,
    then its `tid` (for both user and device). BadMessage("identity") when there is none. Header names in lower case.
    """
    for user, device in (
        (query.get("u"), query.get("d")),
        (headers.get("x-limit-u"), headers.get("x-limit-d")),
    ):
        if user and device:
            return f"owntracks/{user}/{device}"
    try:
        message = mapping(read_json(payload))
    except BadMessage as error:
        raise BadMessage("identity", "no u and d, and no readable body") from error
    topic, tid = text(message.get("topic")), text(message.get("tid"))
    if topic:
        return topic
    if tid:
        return f"owntracks/{tid}/{tid}"
    raise BadMessage("identity", "no u and d, no topic, no tid")


def _kind(message: Mapping[str, Any]) -> str:
    kind = message.get("_type")
    if not isinstance(kind, str):
        raise BadMessage("shape", "no _type")
    return kind.lower()


def _fix(device: str, message: Mapping[str, Any], at: float) -> Fix:
    lat, lon = place(message.get("lat"), message.get("lon"))
    speed = not_negative(message.get("vel"))
    return Fix(
        device=device,
        lat=lat,
        lon=lon,
        at=at,
        accuracy=positive(message.get("acc")),  # left out or 0: unknown, never perfect
        speed=None if speed is None else speed * KMH,
        course=course(message.get("cog")),
    )


def _location(device: str, message: Mapping[str, Any], now: float) -> Report:
    return Report(device, "location", fixes=(_fix(device, message, moment(message.get("tst"), now)),))


def _transition(device: str, message: Mapping[str, Any], now: float) -> Report:
    at, event = moment(message.get("tst"), now), message.get("event")
    if event not in ("enter", "leave"):
        raise BadMessage("event", shown(event))
    made = positive(message.get("wtst"))
    crossed = PhoneTransition(
        kind="enter" if event == "enter" else "leave",
        at=at,
        description=text(message.get("desc")),
        region=text(message.get("rid")),
        region_made=made,
        by_beacon=message.get("t") == "b",
    )
    placed = message.get("lat") is not None or message.get("lon") is not None
    return Report(device, "transition", fixes=(_fix(device, message, at),) if placed else (), transition=crossed)


def _beacon(device: str, message: Mapping[str, Any], now: float) -> Report:
    heard = heard_beacon(message, moment(message.get("tst"), now))
    if heard is None:
        return Report(device, "beacon", ignored="rssi_unknown")
    return Report(device, "beacon", sightings=(heard,))


def _region(message: Any) -> Region | None:
    """None: a region of a beacon, or one that was deleted, which phones write as a place that does not exist."""
    if not isinstance(message, dict):
        return None
    radius = positive(message.get("rad"))
    try:
        lat, lon = place(message.get("lat"), message.get("lon"))
    except BadMessage:
        return None
    if radius is None:
        return None
    description, made = text(message.get("desc")), positive(message.get("tst"))
    return Region(lat, lon, radius, description, text(message.get("rid")), made)


def _waypoint(device: str, message: Mapping[str, Any], _now: float) -> Report:
    found = _region(message)
    return Report(device, "waypoint", regions=(found,)) if found else Report(device, "waypoint", ignored="waypoint")


def _waypoints(device: str, message: Mapping[str, Any], _now: float) -> Report:
    told = message.get("waypoints")
    found = [_region(one) for one in told[:MOST_REGIONS]] if isinstance(told, list) else []
    regions = tuple(one for one in found if one is not None)
    return Report(device, "waypoints", regions=regions, ignored=None if regions else "waypoints")


_READERS: dict[str, Callable[[str, Mapping[str, Any], float], Report]] = {
    "location": _location,
    "transition": _transition,
    "beacon": _beacon,
    "waypoint": _waypoint,
    "waypoints": _waypoints,
}
