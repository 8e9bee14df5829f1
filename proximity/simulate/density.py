"""Stores of any size with gateways of any density: how many a technician has to buy.

The store is a box with a door in its front. Behind a strip with entrance, tills and a service desk lie
shelf zones on a grid; between two neighbours stands a shelf that dampens and that nobody walks through, with an aisle
at either end.
"""

import math
from itertools import pairwise

import shapely

from proximity.errors import ProximityError
from proximity.site.model import Anchor, PresenceOptions, Site, Wall, Zone

STRIP = 4.0  # m, depth of the front
DOOR = 2.5  # m
AISLE = 1.2  # m that a shelf leaves free at either end
OUTER_LOSS = 12.0  # dB, a brick wall
SHELF_LOSS = 3.0  # dB, metal shelves with goods, up to the height of a head
CEILING = 2.5  # m, where gateways hang
SMALLEST = 8.0  # m, a side of the least store that has room for the strip and a shelf zone


def shop_with_density(
    area_per_gateway: float,
    width: float = 30.0,
    depth: float = 20.0,
    zone_side: float = 5.0,
    site: str = "measured",
    presence: PresenceOptions | None = None,
) -> Site:
    """A store of `width` × `depth` m with one gateway per `area_per_gateway` m² and shelf zones of about `zone_side` m.

    ProximityError when the store is too small to hold a zone.
    """
    if min(width, depth) < SMALLEST or area_per_gateway <= 0 or zone_side <= 2 * AISLE:
        raise ProximityError(
            f"a store of {width:g} × {depth:g} m with zones of {zone_side:g} m cannot be built: sides from "
            f"{SMALLEST:g} m, zones from {2 * AISLE:g} m and a positive area per gateway are needed"
        )
    zones = (*_front(site, width), *_shelves(site, width, depth, zone_side))
    return Site(
        id=site,
        name=f"{width:g} × {depth:g} m, one gateway per {area_per_gateway:g} m²",
        timezone="UTC",
        zones=zones,
        anchors=_gateways(site, width, depth, max(1, round(width * depth / area_per_gateway)), zones),
        walls=(*_outer(width, depth), *_shelf_walls(width, depth, zone_side)),
        presence=presence or PresenceOptions(),
    )


def _front(site: str, width: float) -> tuple[Zone, ...]:
    half = min(3.0, width / 4)
    entrance = shapely.box(width / 2 - half, 0.0, width / 2 + half, STRIP)
    tills = shapely.box(width / 2 + half, 0.0, width, STRIP)
    return (
        Zone("entrance", site, "Entrance", entrance, tags=frozenset({"entrance"})),
        Zone("tills", site, "Tills", tills, tags=frozenset({"till"})),
        Zone("desk", site, "Service desk", shapely.box(0.0, 0.0, width / 2 - half, STRIP), tags=frozenset({"service"})),
    )


def _cells(width: float, depth: float, side: float) -> tuple[int, int, float, float]:
    columns, rows = max(1, round(width / side)), max(1, round((depth - STRIP) / side))
    return columns, rows, width / columns, (depth - STRIP) / rows


def _shelves(site: str, width: float, depth: float, side: float) -> list[Zone]:
    columns, rows, w, d = _cells(width, depth, side)
    return [
        Zone(
            f"shelf-{row + 1}-{column + 1}",
            site,
            f"Shelf {row + 1}-{column + 1}",
            shapely.box(column * w, STRIP + row * d, (column + 1) * w, STRIP + (row + 1) * d),
        )
        for row in range(rows)
        for column in range(columns)
    ]


def _shelf_walls(width: float, depth: float, side: float) -> list[Wall]:
    columns, rows, w, d = _cells(width, depth, side)
    return [
        Wall(column * w, STRIP + row * d + AISLE, column * w, STRIP + (row + 1) * d - AISLE, SHELF_LOSS)
        for row in range(rows)
        for column in range(1, columns)
    ]


def _outer(width: float, depth: float) -> list[Wall]:
    left, right = (width - DOOR) / 2, (width + DOOR) / 2
    corners = [(right, 0.0), (width, 0.0), (width, depth), (0.0, depth), (0.0, 0.0), (left, 0.0)]
    return [Wall(*a, *b, OUTER_LOSS) for a, b in pairwise(corners)]


def _gateways(site: str, width: float, depth: float, count: int, zones: tuple[Zone, ...]) -> tuple[Anchor, ...]:
    """`count` gateways in rows, evenly over the floor."""
    rows = min(count, max(1, round(math.sqrt(count * depth / width))))
    anchors: list[Anchor] = []
    for row in range(rows):
        in_row = count // rows + (row < count % rows)
        y = (row + 0.5) * depth / rows
        for column in range(in_row):
            x = (column + 0.5) * width / in_row
            inside = next((z.id for z in zones if shapely.intersects_xy(z.outline, x, y)), None)
            anchors.append(Anchor(f"gw-{len(anchors) + 1}", site, "gateway", zone=inside, x=x, y=y, z=CEILING))
    return tuple(anchors)
