"""Outdoor outlines in force: which fences a position may touch, and how far inside or outside it is.

A position is an Earth-centred place. It comes into a fence's own plane by two scalar products. Circles are measured
along the chord from their centre, bent to the arc; all other outlines by GEOS.
"""

import numpy as np
import shapely

from proximity.observations import Floats, Ints
from proximity.presence.boxes import Boxes
from proximity.presence.outlines import Outlines, Shapes
from proximity.presence.state import Column, Longs, Table
from proximity.site.frames import E2, A

RADIUS = 6371008.8  # m, mean of the WGS 84 ellipsoid: bends a chord to its arc; 1 mm in error at 10 km
FAR = 200_000.0  # m; beyond it the plane says nothing, and the distance from the fence's middle is good enough
FLAT = 20_000.0  # m from the middle within which the plane and the ground differ by less than 4 cm
SLACK = 1.0  # m by which a place in the plane may lie nearer than along the ground, within a way of minutes


def earth(lat: Floats, lon: Floats) -> Floats:
    """(n, 3) Earth-centred metres on the WGS 84 ellipsoid."""
    phi, lam = np.radians(lat), np.radians(lon)
    high, wide = np.sin(phi), np.cos(phi)
    n = A / np.sqrt(1.0 - E2 * high**2)
    out = np.empty((len(lat), 3))
    out[:, 0], out[:, 1], out[:, 2] = n * wide * np.cos(lam), n * wide * np.sin(lam), n * (1.0 - E2) * high
    return out


def distance(one: Floats, other: Floats) -> Floats:
    """Metres along the ground between rows of Earth-centred places (n, 3)."""
    return _bent(_length(one - other))


def _length(way: Floats) -> Floats:
    return np.sqrt(_dot(way, way))


def _dot(one: Floats, other: Floats) -> Floats:
    """Of rows (n, 3). Written out, because the order of a sum must not depend on how many rows there are."""
    return np.asarray(one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1] + one[:, 2] * other[:, 2])


def _bent(chord: Floats) -> Floats:
    return np.asarray(2.0 * RADIUS * np.arcsin(np.minimum(chord / (2.0 * RADIUS), 1.0)))


class Fences(Table):
    """Fences by row, with an index. Rows come and go at any time, at a cost that does not grow with the rest."""

    zone: Ints  # zone number
    width: Floats  # metres, the shorter side
    radius: Floats  # metres; NaN: not a circle
    reach: Floats  # metres from the middle that nothing of the fence is beyond
    core: Floats  # metres from the middle within which all is inside; 0 when the middle is not
    origin: Floats  # (F, 3) Earth-centred
    east: Floats  # (F, 3) unit vectors of the plane's axes
    north: Floats

    def __init__(self, shapes: Shapes | None = None) -> None:
        unknown = Column("f8", np.nan)
        axis = Column("f8", np.nan, 3)
        super().__init__(
            {
                "zone": Column("i4", -1),
                **dict.fromkeys(("width", "radius", "reach", "core"), unknown),
                **dict.fromkeys(("origin", "east", "north"), axis),
            }
        )
        self._outline: Outlines = np.empty(0, dtype=object)
        self._rim: Outlines = np.empty(0, dtype=object)
        self.boxes = Boxes()
        if shapes is not None:
            self.put(shapes)

    def put(self, shapes: Shapes) -> Ints:
        """More fences: their rows."""
        rows = self.take(len(shapes.zone))
        missing = np.full(self.capacity - len(self._outline), None, dtype=object)
        self._outline, self._rim = np.concatenate([self._outline, missing]), np.concatenate([self._rim, missing])
        self.zone[rows], self.width[rows], self.radius[rows] = shapes.zone, shapes.width, shapes.radius
        shaped = np.isnan(shapes.radius)
        self.reach[rows] = self.core[rows] = shapes.radius
        self.origin[rows] = earth(shapes.lat, shapes.lon)
        self.east[rows], self.north[rows] = _axes(shapes.lat, shapes.lon, shapes.bearing)
        outline = shapes.outline[shaped]
        rim = shapely.boundary(outline)
        shapely.prepare(outline)
        shapely.prepare(rim)
        self._outline[rows[shaped]], self._rim[rows[shaped]] = outline, rim
        self.reach[rows[shaped]], self.core[rows[shaped]] = _reaches(outline, rim)
        self.boxes.put(rows.astype(np.int64), shapes.box)
        return rows

    def remove(self, rows: Ints) -> None:
        """Fences that are no more."""
        self.boxes.remove(rows.astype(np.int64))
        self._outline[rows] = self._rim[rows] = None
        self.give(rows)

    def near(self, lat: Floats, lon: Floats, lat_before: Floats, lon_before: Floats) -> tuple[Longs, Longs]:
        """Pairs (position, fence) whose boxes meet. Each position stands for the segment from where it was before
        (degrees; NaN: a point only)."""
        return self.boxes.near(lat, lon, lat_before, lon_before)

    def inward(self, place: Floats, fence: Longs | Ints, enough: Floats | None = None) -> Floats:
        """(n,) metres from the outline of each row's fence: positive inside, negative outside, in a hole too; 0 on
        the edge. Where it is surely more than `enough` metres, what is sure will do."""
        arc = _bent(_length(place - self.origin[fence]))
        depth: Floats = self.radius[fence] - arc
        shaped = np.flatnonzero(np.isnan(depth))
        if not len(shaped):
            return depth
        arc, reach, core = arc[shaped], self.reach[fence[shaped]], self.core[fence[shaped]]
        depth[shaped] = sure = np.where(arc <= core, core - arc, np.minimum(reach - arc, 0.0))
        close = arc <= FAR + reach
        if enough is not None:
            close &= (np.abs(sure) <= enough[shaped]) | (reach > FLAT)
        near = shaped[close]
        which = fence[near]
        points = shapely.points(self._plane(place[near], which))
        inside = shapely.intersects(self._outline[which], points)
        depth[near] = np.where(inside, 1.0, -1.0) * shapely.distance(self._rim[which], points)
        return depth

    def crossing(self, before: Floats, after: Floats, fence: Longs) -> tuple[Floats, Floats]:
        """Where straight ways (n, 3) to (n, 3) are deepest in each row's fence: metres inward (negative: they miss
        it), and the share of the way up to there."""
        if not len(fence):
            return np.empty(0), np.empty(0)
        start, end = self._plane(before, fence), self._plane(after, fence)
        way = end - start
        length = np.maximum(way[:, 0] ** 2 + way[:, 1] ** 2, 1e-9)
        along = start[:, 0] * way[:, 0] + start[:, 1] * way[:, 1]
        share = np.clip(-along / length, 0.0, 1.0)  # the foot of the perpendicular
        apart = np.hypot(*(start + share[:, None] * way).T)
        depth: Floats = self.radius[fence] - apart
        shaped = np.flatnonzero(np.isnan(depth))
        depth[shaped] = -np.inf
        met = shaped[apart[shaped] <= self.reach[fence[shaped]] + SLACK]
        if len(met):
            depth[met], share[met] = self._through(start[met], end[met], fence[met])
        return depth, share

    def _through(self, start: Floats, end: Floats, fence: Longs) -> tuple[Floats, Floats]:
        """The middle of the longest stretches within an outline stands for the deepest point of the way."""
        lines = shapely.linestrings(np.stack([start, end], axis=1))
        depth, share = np.full(len(fence), -np.inf), np.zeros(len(fence))
        hit = np.flatnonzero(shapely.intersects(self._outline[fence], lines))
        inner = shapely.intersection(self._outline[fence[hit]], lines[hit])
        parts, which = shapely.get_parts(inner, return_index=True)
        lengths = np.where(shapely.get_dimensions(parts) == 1, parts, None)  # where a way only touches there are points
        middles = shapely.line_interpolate_point(lengths, 0.5, normalized=True)
        known = ~shapely.is_missing(middles)
        middles, row = middles[known], hit[which[known]]
        deep = shapely.distance(self._rim[fence[row]], middles)
        order = np.argsort(deep, kind="stable")  # the deepest is written last, and stays
        depth[row[order]] = deep[order]
        share[row[order]] = shapely.line_locate_point(lines[row[order]], middles[order], normalized=True)
        return depth, share

    def _plane(self, place: Floats, fence: Longs | Ints) -> Floats:
        """(n, 2) metres in the plane of each row's fence."""
        offset = place - self.origin[fence]
        out = np.empty((len(place), 2))
        out[:, 0], out[:, 1] = _dot(offset, self.east[fence]), _dot(offset, self.north[fence])
        return out


def _reaches(outline: Outlines, rim: Outlines) -> tuple[Floats, Floats]:
    """Of outlines in their planes: the distance of the farthest corner from the middle, and of the nearest edge, where
    the middle is inside."""
    if not len(outline):
        return np.empty(0), np.empty(0)
    corners, which = shapely.get_coordinates(outline, return_index=True)
    farthest = np.maximum.reduceat(np.hypot(*corners.T), np.searchsorted(which, np.arange(len(outline))))
    middle = shapely.Point(0.0, 0.0)
    return farthest, np.where(shapely.intersects(outline, middle), shapely.distance(rim, middle), 0.0)


def _axes(lat: Floats, lon: Floats, bearing: Floats) -> tuple[Floats, Floats]:
    """The x and y axes of planes at `lat`, `lon`, turned by `bearing`: (F, 3) unit vectors."""
    phi, lam, turn = np.radians(lat), np.radians(lon), np.radians(bearing)[:, None]
    east = np.column_stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)])
    north = np.column_stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    return east * np.cos(turn) - north * np.sin(turn), east * np.sin(turn) + north * np.cos(turn)
