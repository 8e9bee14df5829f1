"""The shopper's own page: a browser's position, the shelf beacons that it hears, or both.

`{"lat": …, "lon": …, "accuracy": …, "at": …, "beacons": [{"uuid": …, "major": 2, "minor": 1, "rssi": -61}, …]}`
"""

from collections.abc import Mapping
from typing import Any

from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.phones.report import (
    Report,
    course,
    heard_beacon,
    mapping,
    moment,
    not_negative,
    place,
    positive,
    read_json,
)
from proximity.wire import SLUG

MOST_BEACONS = 100  # of one message: more than can be heard at any one place


def read(topic: str, payload: bytes, now: float) -> Report:
    """One message. `topic`: `app/<shopper>`, as the page's door names it; `at` in ms or s, `now` when it is missing.
    Each beacon may have an `at` of its own.

    BadMessage: "topic", "too_large", "json", "shape", "time", "position" or "beacon".
    """
    head, _, shopper = topic.partition("/")
    if head != "app" or not SLUG.match(shopper):
        raise BadMessage("topic", repr(topic)[:200])
    device = f"app:{shopper}"
    message = mapping(read_json(payload))
    at = _moment(message, now)
    beacons = message.get("beacons")
    if beacons is None:
        return Report(device, "location", fixes=(_fix(device, message, at),))
    if not isinstance(beacons, list) or len(beacons) > MOST_BEACONS:
        raise BadMessage("shape", f"beacons is a list of {MOST_BEACONS} at the most")
    told = [mapping(one) for one in beacons]
    heard = [heard_beacon(one, _moment(one, at) if "at" in one else at) for one in told]
    placed = message.get("lat") is not None or message.get("lon") is not None
    return Report(
        device,
        "beacons",
        fixes=(_fix(device, message, at),) if placed else (),
        sightings=tuple(one for one in heard if one is not None),
    )


def _moment(message: Mapping[str, Any], now: float) -> float:
    return now if message.get("at") is None else moment(message["at"], now)


def _fix(device: str, message: Mapping[str, Any], at: float) -> Fix:
    lat, lon = place(message.get("lat"), message.get("lon"))
    return Fix(
        device=device,
        lat=lat,
        lon=lon,
        at=at,
        accuracy=positive(message.get("accuracy")),
        speed=not_negative(message.get("speed")),
        course=course(message.get("heading")),
    )
