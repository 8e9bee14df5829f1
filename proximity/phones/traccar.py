"""Traccar Client, and everything else that speaks OsmAnd's protocol. https://www.traccar.org/osmand/"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.phones.report import (
    Report,
    course,
    mapping,
    moment,
    not_negative,
    number,
    place,
    positive,
    read_json,
    shown,
    text,
)
from proximity.site.ids import parse_device_id

KNOT = 1852 / 3600  # knots -> m/s


def read(payload: bytes, now: float) -> Report:
    """One message: a JSON object of the query or form (values as text or lists of text), or the JSON of client 9.

    BadMessage: "too_large", "json", "shape", "device", "time" or "position". Without a timestamp the message is
    taken for `now`, as Traccar does. A position that the phone calls invalid or made up is `ignored`.
    """
    message = mapping(read_json(payload))
    device = _device(message)
    location = message.get("location")
    if isinstance(location, dict) or (
        isinstance(location, list) and location and all(isinstance(one, dict) for one in location)
    ):
        return _client_9(device, location if isinstance(location, list) else [location], now)
    return _osmand(device, message, now)


def _device(message: Mapping[str, Any]) -> str:
    for key in ("id", "deviceid", "device_id"):
        name = text(_one(message.get(key)))
        if name:
            return parse_device_id(f"traccar:{name}")
    raise BadMessage("device", "no id")


def _osmand(device: str, message: Mapping[str, Any], now: float) -> Report:
    field = {key: _one(value) for key, value in message.items()}
    lat, lon = field.get("lat"), field.get("lon")
    pair = field.get("location")
    if lat is None and lon is None and isinstance(pair, str):
        lat, _, lon = pair.partition(",")
    if lat is None and lon is None:
        return Report(device, "osmand", ignored="no_position")  # an alarm or a battery report alone
    at = _moment(field.get("timestamp"), now)
    y, x = place(lat, lon)
    if str(field.get("valid", "")).lower() in ("0", "false"):
        return Report(device, "osmand", ignored="invalid")
    knots = not_negative(field.get("speed"))
    fix = Fix(
        device=device,
        lat=y,
        lon=x,
        at=at,
        accuracy=positive(field.get("accuracy")),
        speed=None if knots is None else knots * KNOT,
        course=course(field.get("bearing", field.get("heading"))),
    )
    return Report(device, "osmand", fixes=(fix,))


def _client_9(device: str, locations: list[Any], now: float) -> Report:
    fixes: list[Fix] = []
    ignored = 0
    for location in locations:
        coords = mapping(location.get("coords"))
        at = _moment(location.get("timestamp"), now)
        lat, lon = place(coords.get("latitude"), coords.get("longitude"))
        if location.get("mock") is True:  # set by hand in the phone's developer options
            ignored += 1
            continue
        fixes.append(
            Fix(
                device=device,
                lat=lat,
                lon=lon,
                at=at,
                accuracy=positive(coords.get("accuracy")),
                speed=not_negative(coords.get("speed")),
                course=course(coords.get("heading")),
            )
        )
    return Report(device, "location", fixes=tuple(fixes), ignored="mock" if ignored and not fixes else None)


def _one(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _moment(value: Any, now: float) -> float:
    """Seconds since the epoch from seconds, milliseconds or ISO 8601; a time without a zone is UTC."""
    if value is None or value == "":
        return now
    if not isinstance(value, str) or number(value) is not None:
        return moment(value, now)
    try:
        when = datetime.fromisoformat(value.strip())
        at = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadMessage("time", shown(value)) from error
    return moment(at, now)
