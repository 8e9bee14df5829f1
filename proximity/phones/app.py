"""The shopper's own page: a browser's position, `{"lat": …, "lon": …, "accuracy": …, "at": …}`."""

from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.phones.report import Report, course, mapping, moment, not_negative, place, positive, read_json
from proximity.wire import SLUG


def read(topic: str, payload: bytes, now: float) -> Report:
    """One position. `topic`: `app/<shopper>`, as the page's door names it; `at` in ms or s, `now` when it is missing.

    BadMessage: "topic", "too_large", "json", "shape", "time" or "position".
    """
    head, _, shopper = topic.partition("/")
    if head != "app" or not SLUG.match(shopper):
        raise BadMessage("topic", repr(topic)[:200])
    device = f"app:{shopper}"
    message = mapping(read_json(payload))
    lat, lon = place(message.get("lat"), message.get("lon"))
    fix = Fix(
        device=device,
        lat=lat,
        lon=lon,
        at=now if message.get("at") is None else moment(message["at"], now),
        accuracy=positive(message.get("accuracy")),
        speed=not_negative(message.get("speed")),
        course=course(message.get("heading")),
    )
    return Report(device, "location", fixes=(fix,))
