"""GeoJSON geometry to outlines, and the reasons why some geometry is refused (RFC 7946)."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from proximity.document import Diagnostic, Document, Loc

Position = tuple[float, float]  # as the file has it: x, y or longitude, latitude

_WALK = "list the corners in the order of a walk around the zone"
# GEOS's words for what is wrong -> ours, and what to do
_REASONS = {
    "Self-intersection": ("the outline crosses itself", _WALK),
    "Ring Self-intersection": ("the outline touches itself", _WALK),
    "Hole lies outside shell": ("a hole lies outside of the outline", "the first ring is the outline, then come holes"),
    "Holes are nested": ("a hole lies inside another hole", "remove the inner one"),
    "Interior is disconnected": ("the holes cut the zone in two", "draw the two parts as a MultiPolygon"),
}
_RINGS = "a Polygon holds a list of rings: [[[x, y], [x, y], [x, y]]]"
_KINDS = ("Point", "Polygon", "MultiPolygon", "LineString")


@dataclass(slots=True)
class OutlineReader:
    """Reads one geometry. `degrees`: positions are longitude, latitude; else metres or feet, times `scale`."""

    document: Document
    subject: str  # `zone "bakery"`, for messages
    degrees: bool
    scale: float = 1.0
    diagnostics: list[Diagnostic] = field(default_factory=list)
    off_earth: bool = False  # a point that is nowhere on Earth was told

    def read(self, loc: Loc, geometry: Any) -> BaseGeometry | None:
        """A Polygon, MultiPolygon, Point or LineString in the file's own frame (metres or degrees), or None.

        Longitudes of one ring are made continuous, so they may pass 180; `split` brings them back.
        """
        if not isinstance(geometry, dict) or geometry.get("type") not in _KINDS:
            kind = geometry.get("type") if isinstance(geometry, dict) else None
            what = f"cannot be a {kind}" if kind else "has no geometry"
            hint = "draw a Polygon, a MultiPolygon, a Point with a `radius`, or a LineString for a wall"
            self._say((*loc, "type"), "E317", what, hint)
            return None
        before = len(self.diagnostics)
        where, data = (*loc, "coordinates"), geometry.get("coordinates")
        readers: dict[str, Callable[[Loc, Any], BaseGeometry | None]] = {
            "Point": self._point,
            "LineString": self._line,
            "Polygon": self._polygon,
            "MultiPolygon": self._multipolygon,
        }
        outline = readers[geometry["type"]](where, data)
        return outline if len(self.diagnostics) == before else None

    def _point(self, loc: Loc, data: Any) -> BaseGeometry | None:
        position = self._position(loc, data)
        return Point(position) if position else None

    def _line(self, loc: Loc, data: Any) -> BaseGeometry | None:
        positions = self._positions(loc, data)
        if positions is None:
            return None
        if len(set(positions)) < 2:
            self._say(loc, "E312", "has fewer than two different points")
            return None
        return LineString(positions)

    def _multipolygon(self, loc: Loc, data: Any) -> BaseGeometry | None:
        if not isinstance(data, list) or not data:
            self._say(loc, "E311", "has no coordinates")
            return None
        polygons = [self._polygon((*loc, i), part) for i, part in enumerate(data)]
        if any(polygon is None for polygon in polygons):
            return None
        return shapely.unary_union(polygons)  # parts that touch or overlap are one area

    def _polygon(self, loc: Loc, data: Any) -> BaseGeometry | None:
        if not isinstance(data, list) or not data:
            self._say(loc, "E311", "has no coordinates", _RINGS)
            return None
        if isinstance(data[0], list) and data[0] and not isinstance(data[0][0], list):
            self._say(loc, "E311", "lacks a pair of brackets around its points", _RINGS)
            return None
        rings: list[list[Position]] = []
        for i, part in enumerate(data):
            ring = self._ring((*loc, i), part, rings[0][0] if rings else None)
            if ring is None:
                return None
            rings.append(ring)
        polygon = Polygon(rings[0], rings[1:])
        return polygon if self._valid(loc, polygon) else None

    def _ring(self, loc: Loc, data: Any, near: Position | None) -> list[Position] | None:
        positions = self._positions(loc, data)
        if positions is None:
            return None
        if self.degrees:
            positions, turns = _unwrap(positions, near)
            if turns or any(abs(lat) == 90 for _, lat in positions):
                self._say(loc, "E316", "goes round a pole", "draw it as a zone that does not hold the pole")
                return None
        ring = [p for i, p in enumerate(positions) if i == 0 or p != positions[i - 1]]
        if len(set(ring)) < 3:
            self._say(loc, "E312", "has fewer than three different points", "a zone needs a width and a depth")
            return None
        if _area(ring) == 0:
            self._say(loc, "E314", "has no area: all its points lie on one line")
            return None
        return ring

    def _positions(self, loc: Loc, data: Any) -> list[Position] | None:
        if not isinstance(data, list) or not data:
            self._say(loc, "E311", "has no coordinates")
            return None
        positions = [self._position((*loc, i), item) for i, item in enumerate(data)]
        kept = [p for p in positions if p is not None]
        return kept if len(kept) == len(positions) else None

    def _position(self, loc: Loc, data: Any) -> Position | None:
        numbers = data[:2] if isinstance(data, list) else []
        if len(numbers) < 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            form = "[longitude, latitude]" if self.degrees else "[x, y]"
            self._say(loc, "E311", "has a point that is no pair of numbers", f"write {form}")
            return None
        x, y = float(numbers[0]), float(numbers[1])
        if not (math.isfinite(x) and math.isfinite(y)):
            self._say(loc, "E311", "has a point that is no place: a coordinate is not finite")
            return None
        if self.degrees and (abs(y) > 90 or abs(x) > 180):
            self._off_earth(loc, x, y)
            return None
        return (x, y) if self.degrees else (x * self.scale, y * self.scale)

    def _off_earth(self, loc: Loc, lon: float, lat: float) -> None:
        if self.off_earth:  # the same mistake in every point is told once
            return
        self.off_earth = True
        if abs(lon) <= 90 < abs(lat) <= 180:
            what = f"has latitude and longitude swapped: latitude {lat:g} does not exist"
            self._say(loc, "E315", what, f"GeoJSON writes longitude first: [{lat:g}, {lon:g}]")
        else:
            hint = 'are these metres? then add `"frame": "local"` at the top of the file'
            self._say(loc, "E311", f"has a point outside of the Earth: longitude {lon:g}, latitude {lat:g}", hint)

    def _valid(self, loc: Loc, geometry: BaseGeometry) -> bool:
        if geometry.is_valid:
            return True
        reason, _, place = explain_validity(geometry).partition("[")
        words, hint = _REASONS.get(reason, (reason.lower(), None))
        numbers = re.findall(r"[-+0-9.eE]+", place)
        if len(numbers) < 2:
            self._say(loc, "E313", words, hint)
            return False
        x, y = float(numbers[0]), float(numbers[1])
        where = f"({x / self.scale:g}, {y / self.scale:g})"
        self._say(self._nearest(loc, x, y), "E313", f"{words} at {where}", hint)
        return False

    def _nearest(self, loc: Loc, x: float, y: float) -> Loc:
        """The place in the file of the point that is nearest to where the geometry is wrong."""
        best: tuple[float, Loc] = (math.inf, loc)
        stack: list[tuple[Loc, Any]] = [(loc, _at(self.document.data, loc))]
        while stack:
            where, data = stack.pop()
            if isinstance(data[0], list):
                stack.extend(((*where, i), part) for i, part in reversed(list(enumerate(data))))
            else:
                px, py = data[0] * self.scale, data[1] * self.scale
                best = min(best, (math.hypot(px - x, py - y), where), key=lambda pair: pair[0])
        return best[1]

    def _say(self, loc: Loc, code: str, what: str, hint: str | None = None) -> None:
        self.diagnostics.append(self.document.diagnostic(loc, code, f"{self.subject}: {what}", hint))


def split(outline: BaseGeometry) -> BaseGeometry:
    """An outline in degrees whose longitudes may pass 180, cut at the antimeridian as RFC 7946 asks."""
    west, _, east, _ = outline.bounds
    if west >= -180 and east <= 180:
        return outline
    if isinstance(outline, Point):
        return Point((outline.x + 180) % 360 - 180, outline.y)
    parts: list[BaseGeometry] = []
    for turn in range(math.floor((west + 180) / 360), math.floor((east + 180) / 360) + 1):
        part = shapely.intersection(outline, box(-180 + 360 * turn, -90, 180 + 360 * turn, 90))
        if part.area > 0:
            parts.append(translate(part, xoff=-360 * turn))
    return shapely.unary_union(parts)


def transform(outline: BaseGeometry, function: Callable[[Any, Any], tuple[Any, Any]]) -> BaseGeometry:
    """`outline` with every (x, y) replaced by `function(xs, ys)`, on arrays."""
    return shapely.transform(outline, lambda points: np.column_stack(function(points[:, 0], points[:, 1])))


def unwrapped(outline: BaseGeometry) -> BaseGeometry:
    """An outline in degrees with longitudes made continuous around its first point, for `split`."""
    first = float(shapely.get_coordinates(outline)[0, 0])
    return transform(outline, lambda lon, lat: (lon + 360 * np.round((first - lon) / 360), lat))


def _unwrap(positions: list[Position], near: Position | None) -> tuple[list[Position], bool]:
    """Each longitude on the side of 180 that is nearer to the one before; and whether the ring goes round the Earth."""
    out: list[Position] = []
    before = near[0] if near else positions[0][0]
    for lon, lat in positions:
        before = lon + 360 * round((before - lon) / 360)
        out.append((before, lat))
    first, last = out[0][0], out[-1][0]
    closed = last + (first - last + 180) % 360 - 180  # where the way back to the first point arrives
    return out, abs(closed - first) > 180


def _area(ring: list[Position]) -> float:
    """Twice the area of the triangles that the first point makes with each side; 0 when all lie on one line."""
    x0, y0 = ring[0]
    xs, ys = np.array([p[0] - x0 for p in ring]), np.array([p[1] - y0 for p in ring])
    twice = float(np.abs(xs * np.roll(ys, -1) - np.roll(xs, -1) * ys).sum())
    extent = float(max(np.abs(xs).max(), np.abs(ys).max()))
    return 0.0 if twice <= 1e-9 * extent * extent else twice


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data
