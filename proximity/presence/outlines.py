"""Outdoor zones to outlines in metres, many at a time.

Each outline gets its own plane, touching the WGS 84 ellipsoid at its middle (east, north), so that distances are
metres at any latitude and on both sides of 180° longitude. Circles stay a centre and a radius.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.state import Bools, Longs
from proximity.site.frames import E2, A, to_degrees, to_local
from proximity.site.model import Site, Zone

Outlines = NDArray[np.object_]

STEP = 0.05  # degrees between points of a straight edge of GeoJSON, which is straight in degrees and not on the ground
SEAM = 0.001  # m, the grid on which parts that were cut at 180° grow together again
POLE = 88.0  # degrees; nearer to a pole longitudes are of no use as an index
EDGE = 1e-6  # degrees, 0.1 m: the index must not miss what the exact measure calls the edge
BEND = 0.001  # of a box: a parallel bends away from its chord by less than this between two points STEP apart
SAMPLED = 0.02  # of a box in local metres, whose corners and middles are moved to degrees: what the five samples miss
_LEAST_BEND = A * (1.0 - E2)  # m, radius of the ellipsoid's curvature where it is smallest


class Shapes(NamedTuple):
    """F outlines as columns."""

    zone: Ints  # zone numbers
    lat: Floats  # degrees, where the plane touches
    lon: Floats
    bearing: Floats  # degrees clockwise from north to the y axis
    radius: Floats  # metres; NaN: not a circle
    outline: Outlines  # metres; a circle: the point 0, 0
    width: Floats  # metres, the shorter side
    box: Floats  # (F, 4) degrees: west, south, east, north; west < east, so they may pass 180


def shapes_of(zones: Mapping[int, Zone], sites: Mapping[str, Site]) -> Shapes:
    """The outlines of outdoor zones by number; `sites` by id. Those that lie in local metres of a site that nobody
    knows the place of are left out.

    ValueError, with the reason: an outline round or near a pole, or one that is wider than half the Earth.
    """
    parts: dict[tuple[bool, bool], list[tuple[int, Zone]]] = {}
    for number, zone in zones.items():
        local = zone.frame == "local"
        if not local or (sites[zone.site].lat is not None and sites[zone.site].lon is not None):
            parts.setdefault((local, zone.radius is not None), []).append((number, zone))
    made = []
    for (local, circle), some in parts.items():
        numbers = np.array([number for number, _ in some], dtype=np.int32)
        group = [zone for _, zone in some]
        outline: Outlines = np.array([zone.outline for zone in group], dtype=object)
        if circle:
            radius = np.array([zone.radius for zone in group], dtype=np.float64)
            made.append(_circles(numbers, group, radius, *_centres(group, outline, sites if local else None)))
        elif local:
            made.append(_local(numbers, outline, [sites[zone.site] for zone in group]))
        else:
            made.append(_degrees(numbers, group, outline))
    return joined(made)


def joined(parts: Sequence[Shapes]) -> Shapes:
    """All of them as one."""
    if not parts:
        none = np.empty(0)
        return Shapes(none.astype(np.int32), none, none, none, none, none.astype(object), none, none.reshape(0, 4))
    return Shapes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _centres(zones: Sequence[Zone], outline: Outlines, sites: Mapping[str, Site] | None) -> tuple[Floats, Floats]:
    """(lat, lon) of circles in degrees, or with `sites` of circles in their metres."""
    x, y = shapely.get_x(outline), shapely.get_y(outline)
    return (y, x) if sites is None else to_degrees(*_places([sites[zone.site] for zone in zones]), x, y)


def _places(sites: Sequence[Site]) -> tuple[Floats, Floats, Floats]:
    """(lat, lon, bearing) of each."""
    rows = np.array([(site.lat, site.lon, site.bearing) for site in sites], dtype=np.float64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _circles(zone: Ints, zones: Sequence[Zone], radius: Floats, lat: Floats, lon: Floats) -> Shapes:
    angle = radius / _LEAST_BEND * 1.01  # radians, rather too many
    _refuse(zones, np.abs(lat) > POLE, "beyond {pole:g}° latitude, near or round a pole, is not supported")
    _refuse(zones, np.abs(lat) + np.degrees(angle) >= 90.0, "round a pole is not supported")
    high = np.degrees(angle) + EDGE
    wide = np.degrees(np.arcsin(np.minimum(np.sin(angle) / np.cos(np.radians(lat)), 1.0))) * 1.01 + EDGE
    box = np.column_stack([lon - wide, lat - high, lon + wide, lat + high])
    centre: Outlines = np.full(len(zone), shapely.Point(0.0, 0.0), dtype=object)
    return Shapes(zone, lat, lon, np.zeros(len(zone)), radius, centre, 2.0 * radius, box)


def _local(zone: Ints, outline: Outlines, sites: Sequence[Site]) -> Shapes:
    lat, lon, bearing = _places(sites)
    low_x, low_y, high_x, high_y = shapely.bounds(outline).reshape(-1, 4).T
    steps = np.linspace(0.0, 1.0, 5)
    xs = (low_x[:, None] + steps * (high_x - low_x)[:, None]).repeat(5, axis=1)
    ys = np.tile(low_y[:, None] + steps * (high_y - low_y)[:, None], (1, 5))
    lats, lons = to_degrees(lat[:, None], lon[:, None], bearing[:, None], xs, ys)
    lons = lon[:, None] + (lons - lon[:, None] + 180.0) % 360.0 - 180.0
    low, high = np.stack([lons.min(axis=1), lats.min(axis=1)]), np.stack([lons.max(axis=1), lats.max(axis=1)])
    slack = EDGE + SAMPLED * (high - low).max(axis=0)
    box = np.vstack([low - slack, high + slack]).T
    return Shapes(zone, lat, lon, bearing, np.full(len(zone), np.nan), outline, _widths(outline), box)


def _degrees(zone: Ints, zones: Sequence[Zone], outline: Outlines) -> Shapes:
    outline, box = _unwrapped(zones, outline)
    lon, lat = (box[:, 0] + box[:, 2]) / 2.0, (box[:, 1] + box[:, 3]) / 2.0
    metres = shapely.segmentize(outline, STEP)
    degrees, which = shapely.get_coordinates(metres, return_index=True)
    flat = np.column_stack(to_local(lat[which], lon[which], 0.0, degrees[:, 1], degrees[:, 0]))
    metres = shapely.set_coordinates(metres.copy(), flat)
    for i in np.flatnonzero(shapely.get_num_geometries(metres) > 1).tolist():
        metres[i] = shapely.union_all(shapely.get_parts(metres[i]), grid_size=SEAM)
    slack = EDGE + BEND * np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    box = box + np.outer(slack, (-1.0, -1.0, 1.0, 1.0))
    nowhere = np.full(len(zone), np.nan)
    return Shapes(zone, lat, lon, np.zeros(len(zone)), nowhere, metres, _widths(metres), box)


def _unwrapped(zones: Sequence[Zone], outline: Outlines) -> tuple[Outlines, Floats]:
    """Outlines with longitudes that run through, also where they cross 180°, and their boxes."""
    box = shapely.bounds(outline).reshape(-1, 4)
    far = np.maximum(np.abs(box[:, 1]), np.abs(box[:, 3])) > POLE
    _refuse(zones, far, "beyond {pole:g}° latitude, near or round a pole, is not supported")
    split = np.flatnonzero(box[:, 2] - box[:, 0] > 180.0)
    if not len(split):
        return outline, box

    def eastward(degrees: Floats) -> Floats:
        return np.column_stack([np.where(degrees[:, 0] < 0.0, degrees[:, 0] + 360.0, degrees[:, 0]), degrees[:, 1]])

    outline = outline.copy()
    outline[split] = shapely.transform(outline[split], eastward)
    box = shapely.bounds(outline).reshape(-1, 4)
    _refuse(zones, box[:, 2] - box[:, 0] > 180.0, "that spans more than 180° of longitude is not supported")
    return outline, box


def _refuse(zones: Sequence[Zone], wrong: Bools, why: str) -> None:
    found: Longs = np.flatnonzero(wrong)
    if len(found):
        raise ValueError(f"zone {zones[int(found[0])].id}: an outline {why.format(pole=POLE)}")


def _widths(outline: Outlines) -> Floats:
    """Metres, the shorter side of the smallest rectangle around each; 0 for a line or a point."""
    around = shapely.minimum_rotated_rectangle(outline)
    sides, which = shapely.get_coordinates(around, return_index=True)
    first = np.searchsorted(which, np.arange(len(outline)))
    full = np.bincount(which, minlength=len(outline)) >= 3
    width = np.zeros(len(outline))
    corner = sides[np.add.outer(first[full], np.arange(3))]
    width[full] = np.hypot(*np.diff(corner, axis=1).transpose(2, 1, 0)).min(axis=0)
    return width
