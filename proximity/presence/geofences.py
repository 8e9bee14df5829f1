"""Outdoor outlines in metres: which fences a position may touch, and how far inside or outside it is.

Each fence has its own plane, touching the WGS 84 ellipsoid at the fence's middle (east, north), so that distances are
metres at any latitude and on both sides of 180° longitude. Outlines are moved into their plane once; a position comes
by two scalar products. Circles are measured along the chord from their centre, bent to the arc.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from proximity.observations import Floats, Ints
from proximity.presence.state import Longs
from proximity.site.frames import E2, A, to_degrees, to_local
from proximity.site.model import Site, Zone

RADIUS = 6371008.8  # m, mean of the WGS 84 ellipsoid: bends a chord to its arc; 1 mm in error at 10 km
FAR = 200_000.0  # m; beyond it the plane says nothing, and the distance from the fence's middle is good enough
STEP = 0.05  # degrees between points of a straight edge of GeoJSON, which is straight in degrees and not on the ground
SEAM = 0.001  # m, the grid on which parts that were cut at 180° grow together again
NEAR_SEAM = 1.0  # degrees from 180° within which a fence is also found from the other side
POLE = 88.0  # degrees; nearer to a pole longitudes are of no use as an index
EDGE = 1e-6  # degrees, 0.1 m: the index must not miss what the exact measure calls the edge


@dataclass(frozen=True, slots=True)
class Fence:
    """A zone's outline in its own plane."""

    zone: int  # zone number
    origin: tuple[float, float]  # degrees
    bearing: float  # degrees clockwise from north to the y axis
    outline: BaseGeometry  # metres
    width: float  # metres, the shorter side
    radius: float  # metres; NaN: not a circle


def fence_of(number: int, zone: Zone, site: Site) -> Fence | None:
    """The fence of an outdoor zone; None when it lies in local metres of a site that nobody knows the place of.

    ValueError, with the reason: an outline round or near a pole, or one that is wider than half the Earth.
    """
    if zone.frame == "local":
        if site.lat is None or site.lon is None:
            return None
        x, y = (0.0, 0.0) if zone.radius is None else (zone.outline.x, zone.outline.y)
        lat, lon = (float(v) for v in to_degrees(site.lat, site.lon, site.bearing, x, y))
        return _fence(number, (lat, lon), site.bearing, zone.outline, zone.radius)
    outline = _unwrapped(zone)
    middle = shapely.centroid(shapely.box(*outline.bounds))
    origin = (float(middle.y), float(middle.x))
    if zone.radius is not None:
        return _fence(number, origin, 0.0, outline, zone.radius)

    def plane(degrees: Floats) -> Floats:
        return np.column_stack(to_local(*origin, 0.0, degrees[:, 1], degrees[:, 0]))

    metres = shapely.transform(shapely.segmentize(outline, STEP), plane)
    return _fence(number, origin, 0.0, shapely.union_all(shapely.get_parts(metres), grid_size=SEAM), None)


def _fence(
    zone: int, origin: tuple[float, float], bearing: float, outline: BaseGeometry, radius: float | None
) -> Fence:
    if radius is not None:
        return Fence(zone, origin, bearing, shapely.Point(0.0, 0.0), 2.0 * radius, radius)
    box = shapely.get_coordinates(shapely.minimum_rotated_rectangle(outline))
    width = float(np.hypot(*np.diff(box[:3], axis=0).T).min()) if len(box) >= 3 else 0.0
    shapely.prepare(outline)
    return Fence(zone, origin, bearing, outline, width, np.nan)


def _unwrapped(zone: Zone) -> BaseGeometry:
    """The outline with longitudes that run through, also where it crosses 180°."""
    outline = zone.outline
    west, south, east, north = outline.bounds
    if max(abs(south), abs(north)) > POLE:
        raise ValueError(
            f"zone {zone.id}: an outline beyond {POLE:g}° latitude, near or round a pole, is not supported"
        )
    if east - west <= 180.0:
        return outline

    def eastward(degrees: Floats) -> Floats:
        return np.column_stack([np.where(degrees[:, 0] < 0.0, degrees[:, 0] + 360.0, degrees[:, 0]), degrees[:, 1]])

    outline = shapely.transform(outline, eastward)
    west, _, east, _ = outline.bounds
    if east - west > 180.0:
        raise ValueError(f"zone {zone.id}: the outline spans more than 180° of longitude")
    return outline


def earth(lat: Floats, lon: Floats) -> Floats:
    """(n, 3) Earth-centred metres on the WGS 84 ellipsoid."""
    phi, lam = np.radians(lat), np.radians(lon)
    n = A / np.sqrt(1.0 - E2 * np.sin(phi) ** 2)
    return np.column_stack([n * np.cos(phi) * np.cos(lam), n * np.cos(phi) * np.sin(lam), n * (1.0 - E2) * np.sin(phi)])


def distance(one: Floats, other: Floats) -> Floats:
    """Metres along the ground between rows of Earth-centred places (n, 3)."""
    chord = np.linalg.norm(one - other, axis=1)
    return np.asarray(2.0 * RADIUS * np.arcsin(np.minimum(chord / (2.0 * RADIUS), 1.0)))


class Fences:
    """F fences with an index. Positions are given as Earth-centred places; see `earth`."""

    def __init__(self, fences: Sequence[Fence] = ()) -> None:
        self.zone: Ints = np.array([fence.zone for fence in fences], dtype=np.int32)
        self.width: Floats = np.array([fence.width for fence in fences], dtype=np.float64)
        self._radius: Floats = np.array([fence.radius for fence in fences], dtype=np.float64)
        self._outline: NDArray[np.object_] = np.array([fence.outline for fence in fences], dtype=object)
        self._rim: NDArray[np.object_] = shapely.boundary(self._outline)
        shapely.prepare(self._rim)
        bounds = shapely.bounds(self._outline).reshape(-1, 4)
        self._reach = np.hypot(*np.maximum(np.abs(bounds[:, :2]), np.abs(bounds[:, 2:])).T)  # m from the origin
        lat, lon = np.array([fence.origin for fence in fences]).reshape(-1, 2).T
        self._origin = earth(lat, lon)
        self._east, self._north = _axes(lat, lon, np.array([fence.bearing for fence in fences], dtype=np.float64))
        boxes = [_box(fence) for fence in fences]
        self._found: Longs = np.array([i for i, some in enumerate(boxes) for _ in some], dtype=np.int64)
        self._tree = shapely.STRtree([box for some in boxes for box in some])

    def __len__(self) -> int:
        return len(self.zone)

    def near(self, lat: Floats, lon: Floats, lat_before: Floats, lon_before: Floats) -> tuple[Longs, Longs]:
        """Pairs (position, fence) whose boxes meet. Each position stands for the segment from where it was before
        (degrees; NaN: a point only)."""
        if not len(self):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        lon = (lon + 180.0) % 360.0 - 180.0
        lon_before = lon + (lon_before - lon + 180.0) % 360.0 - 180.0
        boxes = shapely.box(
            np.fmin(lon, lon_before), np.fmin(lat, lat_before), np.fmax(lon, lon_before), np.fmax(lat, lat_before)
        )
        position, box = self._tree.query(boxes)
        fence = self._found[box]
        if len(self._found) == len(self):
            return position.astype(np.int64), fence
        pairs = np.unique(position.astype(np.int64) * len(self) + fence)  # both boxes of a fence near 180° may meet
        return pairs // len(self), pairs % len(self)

    def inward(self, place: Floats, fence: Longs) -> Floats:
        """(n,) metres from the outline of each row's fence: positive inside, negative outside, in a hole too; 0 on
        the edge."""
        depth = np.empty(len(fence))
        chord = np.linalg.norm(place - self._origin[fence], axis=1)
        arc = 2.0 * RADIUS * np.arcsin(np.minimum(chord / (2.0 * RADIUS), 1.0))
        far = chord > FAR + self._reach[fence]
        circle = ~np.isnan(self._radius[fence])
        depth[circle] = self._radius[fence[circle]] - arc[circle]
        away = far & ~circle
        depth[away] = self._reach[fence[away]] - arc[away]
        shaped = ~far & ~circle
        if shaped.any():
            which = fence[shaped]
            points = shapely.points(self._plane(place[shaped], which))
            inside = shapely.intersects(self._outline[which], points)
            depth[shaped] = np.where(inside, 1.0, -1.0) * shapely.distance(self._rim[which], points)
        return depth

    def crossing(self, before: Floats, after: Floats, fence: Longs) -> tuple[Floats, Floats]:
        """Where straight ways (n, 3) to (n, 3) are deepest in each row's fence: metres inward (negative: they miss
        it), and the share of the way up to there."""
        if not len(fence):
            return np.empty(0), np.empty(0)
        start, end = self._plane(before, fence), self._plane(after, fence)
        way = end - start
        length = np.maximum((way**2).sum(axis=1), 1e-9)
        share = np.clip(-(start * way).sum(axis=1) / length, 0.0, 1.0)  # the foot of the perpendicular from the centre
        depth = self._radius[fence] - np.hypot(*(start + share[:, None] * way).T)
        shaped = np.flatnonzero(np.isnan(depth))
        if len(shaped):
            depth[shaped], share[shaped] = self._through(start[shaped], end[shaped], fence[shaped])
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

    def _plane(self, place: Floats, fence: Longs) -> Floats:
        """(n, 2) metres in the plane of each row's fence."""
        offset = place - self._origin[fence]
        x, y = (offset * self._east[fence]).sum(axis=1), (offset * self._north[fence]).sum(axis=1)
        return np.column_stack([x, y])


def _axes(lat: Floats, lon: Floats, bearing: Floats) -> tuple[Floats, Floats]:
    """The x and y axes of planes at `lat`, `lon`, turned by `bearing`: (F, 3) unit vectors."""
    phi, lam, turn = np.radians(lat), np.radians(lon), np.radians(bearing)[:, None]
    east = np.column_stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)])
    north = np.column_stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    return east * np.cos(turn) - north * np.sin(turn), east * np.sin(turn) + north * np.cos(turn)


def _box(fence: Fence) -> list[BaseGeometry]:
    """The fence's box in degrees, a second time beyond 180° where it lies near."""
    if np.isnan(fence.radius):
        low_x, low_y, high_x, high_y = fence.outline.bounds
    else:
        low_x = low_y = -fence.radius
        high_x = high_y = fence.radius
    xs, ys = np.meshgrid(np.linspace(low_x, high_x, 5), np.linspace(low_y, high_y, 5))
    lat, lon = to_degrees(*fence.origin, fence.bearing, xs, ys)
    middle = (fence.origin[1] + 180.0) % 360.0 - 180.0
    lon = middle + (lon - middle + 180.0) % 360.0 - 180.0
    # A parallel bends away from its chord in the plane; the slack covers it, and anything the five samples miss.
    slack = EDGE + 0.02 * max(float(np.ptp(lat)), float(np.ptp(lon)))
    west, east = float(lon.min()) - slack, float(lon.max()) + slack
    south, north = float(lat.min()) - slack, float(lat.max()) + slack
    shifts = [0.0]
    if east > 180.0 - NEAR_SEAM:
        shifts.append(-360.0)
    if west < -180.0 + NEAR_SEAM:
        shifts.append(360.0)
    return [shapely.box(west + shift, south, east + shift, north) for shift in shifts]
