"""gateways.yaml and beacons.yaml: radios at known places, and tags that shoppers carry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import shapely
from shapely.geometry import Point

from proximity.document import Diagnostic, Document, Loc, did_you_mean, is_stranger
from proximity.model import Device
from proximity.shape import check_shape
from proximity.site.beacons import CARRIED, ON_AIR, BadPart, ReadFile, carried, on_air, one_of
from proximity.site.frames import to_local
from proximity.site.model import Anchor, Zone
from proximity.site.shapes import GatewayShape, ShelfShape, TagShape
from proximity.site.shop import Ground
from proximity.site.zones import Plan

UNSURE = ""  # a place that cannot be told because of an error that is reported elsewhere
STRAY = 5.0  # m beyond its zone's outline from which a radio's place and zone contradict each other


@dataclass(slots=True)
class Claims:
    """Who claimed which id first, for ids that may stand in several files."""

    _first: dict[str, tuple[Document, Loc]] = field(default_factory=dict)

    def claim(self, name: str, document: Document, loc: Loc) -> str | None:
        """None for the first; else where the first stands, as `file:line`."""
        if name in self._first:
            other, where = self._first[name]
            return f"{other.file}:{other.mark(where).line}"
        self._first[name] = (document, loc)
        return None


def read_list(
    document: Document | None, keys: Sequence[str], key: str
) -> tuple[list[tuple[Loc, Any]], list[Diagnostic]]:
    """The items of the list `key` of a file whose top holds `keys`, each with its place."""
    if document is None or (document.data is None and not document.text.strip()):
        return [], list(document.diagnostics) if document is not None and key == keys[0] else []
    first = key == keys[0]  # what is wrong with the whole file is said once
    found = list(document.diagnostics) if first else []
    if not isinstance(document.data, dict):
        if first and not document.diagnostics and document.data is not None:
            found.append(document.diagnostic((), "E310", f"this must be a mapping that begins with `{keys[0]}:`"))
        return [], found
    if first:
        for word in document.data.keys() - set(keys):
            found.append(
                document.diagnostic((word,), "E101", f"unknown key `{word}`", did_you_mean(word, keys), key=True)
            )
    items = document.data.get(key)
    if items is None:
        return [], found
    if not isinstance(items, list):
        return [], [*found, document.diagnostic((key,), "E103", f"`{key}` must be a list (`- id: …`)")]
    kept: list[tuple[Loc, Any]] = []
    for i, item in enumerate(items):
        if isinstance(item, dict):
            kept.append(((key, i), item))
        else:
            message = f"an entry of `{key}` must be a mapping (`key: value`)"
            found.append(document.diagnostic((key, i), "E103", message))
    return kept, found


def parse_gateways(document: Document | None, plan: Plan, claims: Claims) -> tuple[list[Anchor], list[Diagnostic]]:
    """Anchors of a gateways.yaml."""
    items, found = read_list(document, ("gateways",), "gateways")
    anchors: list[Anchor] = []
    for loc, item in items:
        assert document is not None
        shape, wrong = check_shape(document, GatewayShape, loc)
        found += wrong
        if shape is not None:
            anchors.append(_anchor(document, loc, item, shape, plan, claims, found))
    return anchors, found


def parse_shelf(document: Document | None, plan: Plan, claims: Claims) -> tuple[list[Anchor], list[Diagnostic]]:
    """Anchors of the `shelf` beacons of a beacons.yaml. `claims` also holds what is on air."""
    items, found = read_list(document, _BEACON_KEYS, "shelf")
    anchors: list[Anchor] = []
    for loc, item in items:
        assert document is not None
        subject = _subject("beacon", item)
        shape, wrong = check_shape(document, ShelfShape, loc)
        found += wrong or one_of(document, loc, item, ON_AIR, subject)
        if shape is None or wrong or one_of(document, loc, item, ON_AIR, subject):
            continue
        try:
            beacon = on_air(shape, _uuid(document))
        except BadPart as bad:
            found.append(document.diagnostic((*loc, *bad.key), "E320", f"{subject}: {bad.message}", bad.hint))
            continue
        other = claims.claim(f"on air {beacon}", document, loc)
        if other is not None:
            found.append(document.diagnostic(loc, "E321", f"{subject}: {beacon} is on air twice", f"first at {other}"))
        anchors.append(_anchor(document, loc, item, shape, plan, claims, found, beacon=beacon))
    return anchors, found


def parse_tags(
    document: Document | None, read_file: ReadFile, known: Sequence[str] | None, claims: Claims
) -> tuple[list[Device], list[Diagnostic]]:
    """Devices of the `tags` of a beacons.yaml. `known`: ids of all shoppers; None is not checked."""
    items, found = read_list(document, _BEACON_KEYS, "tags")
    devices: list[Device] = []
    for loc, item in items:
        assert document is not None
        shopper = item.get("shopper") if isinstance(item, dict) else None
        subject = f'tag of "{shopper}"' if isinstance(shopper, str) else "this tag"
        if isinstance(shopper, str) and known is not None and shopper not in known:
            hint = did_you_mean(shopper, known) or "add the shopper to shoppers.yaml"
            found.append(document.diagnostic((*loc, "shopper"), "E309", f"no shopper is called {shopper!r}", hint))
        device, wrong = read_carried(document, loc, item, TagShape, subject, _uuid(document), read_file, claims)
        found += wrong
        if device is not None:
            devices.append(device)
    return devices, found


def read_carried(
    document: Document,
    loc: Loc,
    item: Any,
    kind: type[Any],
    subject: str,
    uuid: str | None,
    read_file: ReadFile,
    claims: Claims,
    owner: str | None = None,
) -> tuple[Device | None, list[Diagnostic]]:
    """One device that a shopper carries, of shape `kind`."""
    shape, found = check_shape(document, kind, loc)
    found = found or one_of(document, loc, item, CARRIED, subject)
    if shape is None or found:
        return None, found
    try:
        device = carried(shape, owner or shape.shopper, uuid, read_file)
    except BadPart as bad:
        return None, [document.diagnostic((*loc, *bad.key), "E320", f"{subject}: {bad.message}", bad.hint)]
    other = claims.claim(f"on air {device.id}", document, loc)
    if other is not None:
        message = f"{subject}: {device.id} is somebody's already"
        return None, [document.diagnostic(loc, "E321", message, f"first at {other}; a device belongs to one shopper")]
    return device, []


_BEACON_KEYS = ("shelf", "tags", "uuid")


def _uuid(document: Document) -> str | None:
    uuid = document.data.get("uuid") if isinstance(document.data, dict) else None
    return uuid if isinstance(uuid, str) else None


def _subject(kind: str, item: Any) -> str:
    name = item.get("id") if isinstance(item, dict) else None
    return f'{kind} "{name}"' if isinstance(name, str | int) else f"this {kind}"


def _anchor(
    document: Document,
    loc: Loc,
    item: Any,
    shape: GatewayShape,
    plan: Plan,
    claims: Claims,
    found: list[Diagnostic],
    beacon: str | None = None,
) -> Anchor:
    """The anchor of a checked shape; what is wrong with its id, place and zone goes to `found`."""
    subject = _subject("beacon" if beacon else "gateway", item)

    def say(key: tuple[str, ...], code: str, what: str, hint: str | None = None, *, warning: bool = False) -> None:
        severity: Literal["error", "warning"] = "warning" if warning else "error"
        found.append(document.diagnostic((*loc, *key), code, f"{subject}: {what}", hint, severity=severity))

    other = claims.claim(f"anchor {plan.ground.site} {shape.id}", document, (*loc, "id"))
    if other is not None:
        say(("id",), "E307", "this id is there twice", f"first at {other}; give one another id")
    place = _place(shape, plan.ground)
    if place is UNSURE:
        place = None
    elif isinstance(place, str):
        say((), "E325", place, "write x and y in the store's own metres, or lat and lon, or the zone it stands in")
        place = None
    elif place is None and shape.zone is None:
        say((), "E325", "nobody knows where it stands", "write x and y, or lat and lon, or at least its zone")
    if shape.zone is not None and plan.readable and is_stranger(shape.zone, plan.marks, plan.refused):
        hint = did_you_mean(shape.zone, plan.marks.keys() - plan.refused) or "draw the zone in zones.geojson"
        say(("zone",), "E308", f"no zone is called {shape.zone!r}", hint)
    zones = {zone.id: zone for zone in plan.zones}
    zone = zones.get(shape.zone) if shape.zone is not None else None
    floor = shape.floor if shape.floor is not None else zone.floor if zone else 0
    if place is not None and zone is not None and zone.frame == "local" and not zone.outline.is_empty:
        off = outline_of(zone).distance(Point(place))
        if off > STRAY:
            say(("zone",), "W304", f'it stands {off:.0f} m away from its zone "{zone.id}"', warning=True)
    scale = plan.ground.scale
    return Anchor(
        id=shape.id,
        site=plan.ground.site,
        kind="beacon" if beacon else "gateway",
        zone=shape.zone if shape.zone is not None else _zone_at(plan.zones, place, floor),
        x=place[0] if place else None,
        y=place[1] if place else None,
        floor=floor,
        beacon=beacon,
        offset=shape.offset,
        **({} if shape.z is None else {"z": shape.z * scale}),
    )


def outline_of(zone: Zone) -> shapely.geometry.base.BaseGeometry:
    """The outline as an area: a circle is drawn round its centre. In the zone's own frame; metres only."""
    return zone.outline if zone.radius is None else zone.outline.buffer(zone.radius)


def _place(shape: GatewayShape, ground: Ground) -> tuple[float, float] | str | None:
    """Local metres, or what is wrong, or None when no place is given."""
    metres = (shape.x is not None) + (shape.y is not None)
    degrees = (shape.lat is not None) + (shape.lon is not None)
    if metres and degrees:
        return "it says its place twice, in metres and in degrees"
    if metres == 1 or degrees == 1:
        return "half of its place is missing"
    if shape.x is not None and shape.y is not None:
        return shape.x * ground.scale, shape.y * ground.scale
    if shape.lat is None or shape.lon is None:
        return None
    if ground.lat is None or ground.lon is None:
        return UNSURE if ground.doubtful else "it is given in degrees, and the store has no place to measure from"
    x, y = to_local(ground.lat, ground.lon, ground.bearing, shape.lat, shape.lon)
    return round(float(x), 3), round(float(y), 3)


def _zone_at(zones: Sequence[Zone], place: tuple[float, float] | None, floor: int) -> str | None:
    """The smallest indoor zone of the floor that holds the place."""
    best: tuple[float, str] | None = None
    for zone in zones:
        if place is None or zone.outdoor or zone.frame != "local" or zone.floor != floor or zone.outline.is_empty:
            continue
        area = outline_of(zone)
        if area.covers(Point(place)) and (best is None or area.area < best[0]):
            best = (area.area if area.area else math.inf, zone.id)
    return best[1] if best else None
