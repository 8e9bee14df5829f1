"""What is allowed but probably not meant: zones far away, zones that overlap, zones that no radio can judge."""

from collections.abc import Sequence
from itertools import combinations

import shapely
from shapely.geometry import Point

from proximity.document import Diagnostic, Document
from proximity.site.frames import distance
from proximity.site.model import Anchor, Site, Zone
from proximity.site.radios import outline_of
from proximity.site.zones import Plan

FAR_OUTDOOR = 5_000.0  # m from the store: nobody there is about to come in
FAR_INDOOR = 500.0  # m: longer than the longest shopping centre's mall
OVERLAP = 0.05  # of the smaller zone; less is a hand that slipped while drawing along a shared wall
PLACED = 3  # anchors; two leave two places possible, and one a ring
REACH = 10.0  # m: indoors a beacon is heard further, but no longer told from its neighbour's


def check_plan(document: Document, plan: Plan, anchors: Sequence[Anchor] | None) -> list[Diagnostic]:
    """Warnings about zones, at their places in zones.geojson. `anchors`: None when some of them could not be read."""
    sound = [zone for zone in plan.zones if not zone.outline.is_empty]
    indoor = [zone for zone in sound if not zone.outdoor]
    return [
        *_far(document, plan, sound),
        *_overlaps(document, plan, indoor),
        *(_unheard(document, plan, indoor, anchors) if anchors is not None else ()),
    ]


def lacking(site: Site) -> str | None:
    """What a site lacks for a locator that knows the floor (`zones`, `grid`), in words; None: nothing."""
    indoor = [zone for zone in site.zones if not zone.outdoor and zone.frame == "local"]
    floors = sorted({zone.floor for zone in indoor})
    placed = sum(anchor.x is not None and anchor.y is not None for anchor in site.anchors)
    if not indoor:
        return "there is no indoor zone"
    if len(floors) > 1:
        return f"it knows one floor, and the indoor zones lie on floors {', '.join(map(str, floors))}"
    if placed < PLACED:
        return f"it needs {PLACED} gateways or shelf beacons with a place, and there {_are(placed)}"
    return None


def _are(count: int) -> str:
    return "is none" if count == 0 else "is 1" if count == 1 else f"are {count}"


def _far(document: Document, plan: Plan, zones: Sequence[Zone]) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    ground = plan.ground
    for zone in zones:
        if zone.frame == "local":
            off, limit = float(outline_of(zone).distance(Point(0, 0))), FAR_INDOOR
        elif ground.lat is not None and ground.lon is not None:
            points = shapely.get_coordinates(zone.outline)
            off = min(distance(ground.lat, ground.lon, float(lat), float(lon)) for lon, lat in points)
            off, limit = max(0.0, off - (zone.radius or 0.0)), FAR_OUTDOOR
        else:
            continue
        if off > limit:
            message = f'zone "{zone.id}" lies {off / 1000:.1f} km from the store'
            found.append(_warn(document, plan, zone, "W301", message, "check its coordinates and the store's place"))
    return found


def _overlaps(document: Document, plan: Plan, zones: Sequence[Zone]) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for one, two in combinations(zones, 2):
        a, b = outline_of(one), outline_of(two)
        if one.floor != two.floor or not a.intersects(b) or a.covers(b) or b.covers(a):
            continue
        shared = a.intersection(b).area
        if shared > OVERLAP * min(a.area, b.area):
            message = f'zones "{one.id}" and "{two.id}" overlap by {shared:.1f} m²'
            hint = "let them touch, or draw one inside the other: a shopper stands in one place"
            found.append(_warn(document, plan, two, "W302", message, hint))
    return found


def _unheard(document: Document, plan: Plan, zones: Sequence[Zone], anchors: Sequence[Anchor]) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for zone in zones:
        area = outline_of(zone)
        if any(a.zone == zone.id for a in anchors) or any(
            a.x is not None and a.y is not None and a.floor == zone.floor and area.distance(Point(a.x, a.y)) <= REACH
            for a in anchors
        ):
            continue
        message = f'zone "{zone.id}" has no gateway and no shelf beacon within {REACH:.0f} m'
        hint = 'nobody will be seen there; place one, or mark the zone `"outdoor": true` to judge it by phones'
        found.append(_warn(document, plan, zone, "W303", message, hint))
    return found


def _warn(document: Document, plan: Plan, zone: Zone, code: str, message: str, hint: str) -> Diagnostic:
    return document.diagnostic((*plan.marks.get(zone.id, ()), "id"), code, message, hint, severity="warning")
