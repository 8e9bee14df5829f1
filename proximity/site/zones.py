"""zones.geojson: zones, outdoor fences and walls, in degrees or in a store's own metres."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from proximity.document import Diagnostic, Document, Loc, did_you_mean
from proximity.shape import check_shape
from proximity.site.frames import distance, to_degrees, to_local
from proximity.site.model import Wall, Zone
from proximity.site.outline import OutlineReader, split, transform, unwrapped
from proximity.site.shapes import FramedShape, WallShape, ZoneShape
from proximity.site.shop import Ground

# What drawing tools write beside what is meant: simplestyle, QGIS, ogr2ogr.
_TOP_EXTRAS = {"name", "bbox", "crs", "generator", "metadata", "description", "xy_coordinate_resolution"}
_FEATURE_KEYS = {"type", "id", "properties", "geometry", "bbox", "frame"}
_STYLE = {"stroke", "stroke-width", "stroke-opacity", "fill", "fill-opacity", "marker-color", "marker-size",
          "marker-symbol", "title", "description"}  # fmt: skip
_GIVE_PLACE = "add `place: {lat: …, lon: …}` to site.yaml"
SWAP_FAR, SWAP_NEAR = 50_000.0, 5_000.0  # m; no customer of a store is there, and a swap lands next door


@dataclass(slots=True)
class Plan:
    """What zones.geojson holds. `marks` says where each zone stands in the file, also a broken one; when the file
    is not `readable` nobody knows which zones there are.
    """

    ground: Ground
    zones: list[Zone] = field(default_factory=list)
    walls: list[Wall] = field(default_factory=list)
    marks: dict[str, Loc] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    readable: bool = True

    @property
    def refused(self) -> frozenset[str]:
        """Zones whose properties were refused: who names one of them is not told of that, and nobody is told to."""
        return frozenset(zone.id for zone in self.zones if not zone.sound)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The frame that coordinates of the file are in."""

    degrees: bool
    lat: float | None
    lon: float | None
    bearing: float


def parse_zones(document: Document, ground: Ground) -> Plan:
    """Zones and walls of a zones.geojson. An indoor zone comes out in the site's metres, an outdoor one in degrees.

    The plan's ground has the file's origin when site.yaml gives no place. A zone whose outline is wrong stays with
    an empty outline beside its diagnostic, so that others may name it.
    """
    plan = Plan(ground, diagnostics=list(document.diagnostics))
    data = document.data
    plan.readable = isinstance(data, dict) and isinstance(data.get("features"), list)
    if not isinstance(data, dict):
        if not document.diagnostics:
            plan.diagnostics.append(document.diagnostic((), "E310", 'this is no FeatureCollection: { "type": … }'))
        return plan
    top, found = check_shape(document, FramedShape, data={k: v for k, v in data.items() if k not in _TOP_EXTRAS})
    plan.diagnostics += found + _check_crs(document, data)
    frame = _frame(plan, top, data)
    features = data.get("features")
    if not isinstance(features, list):
        message = "`features` is missing" if features is None else "`features` must be a list"
        plan.diagnostics.append(document.diagnostic(("features",), "E310", message))
        return plan
    for i, feature in enumerate(features):
        _feature(plan, document, ("features", i), feature, frame)
    return plan


def _frame(plan: Plan, top: FramedShape | None, data: dict[str, Any]) -> _Frame:
    ground = plan.ground
    degrees = data.get("frame", "wgs84") == "wgs84"
    if top is None or top.origin is None:
        bearing = top.bearing if top and top.bearing is not None else ground.bearing
        return _Frame(degrees, ground.lat, ground.lon, bearing)
    bearing = top.bearing if top.bearing is not None else ground.bearing
    if not ground.placed:
        plan.ground = replace(ground, lat=top.origin.lat, lon=top.origin.lon, bearing=bearing)
    return _Frame(degrees, top.origin.lat, top.origin.lon, bearing)


def _feature(plan: Plan, document: Document, loc: Loc, feature: Any, frame: _Frame) -> None:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        plan.diagnostics.append(document.diagnostic(loc, "E310", 'this is no feature: { "type": "Feature", … }'))
        return
    for key in sorted(feature.keys() - _FEATURE_KEYS):
        hint = did_you_mean(key, _FEATURE_KEYS)
        plan.diagnostics.append(document.diagnostic((*loc, key), "E101", f"unknown key `{key}`", hint, key=True))
    if feature.get("frame", "local") not in ("local", "wgs84"):
        message = f"`frame` cannot be {feature['frame']!r}"
        plan.diagnostics.append(document.diagnostic((*loc, "frame"), "E103", message, "write local or wgs84"))
    elif "frame" in feature:
        frame = _Frame(feature["frame"] == "wgs84", frame.lat, frame.lon, frame.bearing)
    given = feature.get("properties")
    properties = {k: v for k, v in given.items() if k not in _STYLE} if isinstance(given, dict) else {}
    if isinstance(given, dict) and "id" not in given and "id" in feature:
        properties["id"] = feature["id"]
    place = (*loc, "properties") if "properties" in feature else loc
    part = _Part(plan, document, frame, properties, place, (*loc, "geometry"), feature.get("geometry"))
    kind = properties.get("kind", "zone")
    if kind == "wall":
        _wall(part)
    elif kind == "zone":
        _zone(part)
    else:
        part.say((*place, "kind"), "E317", f"nothing is of kind {kind!r}", did_you_mean(str(kind), ("zone", "wall")))
        _register(part)
        _refused(part)


@dataclass(frozen=True, slots=True)
class _Part:
    """One feature on its way to a zone or a wall."""

    plan: Plan
    document: Document
    frame: _Frame
    properties: dict[str, Any]
    place: Loc  # of the properties
    where: Loc  # of the geometry
    geometry: Any

    @property
    def subject(self) -> str:
        name, kind = self.properties.get("id"), self.properties.get("kind", "zone")
        kind = kind if kind in ("zone", "wall") else "feature"
        return f'{kind} "{name}"' if isinstance(name, str) else f"this {kind}"

    def say(self, loc: Loc, code: str, what: str, hint: str | None = None) -> None:
        message = f"{self.subject}: {what}"
        self.plan.diagnostics.append(self.document.diagnostic(loc, code, message, hint))

    def outline(self) -> BaseGeometry | None:
        reader = OutlineReader(self.document, self.subject, self.frame.degrees, self.plan.ground.scale)
        found = reader.read(self.where, self.geometry)
        self.plan.diagnostics += reader.diagnostics
        return found


def _zone(part: _Part) -> None:
    plan = part.plan
    shape, found = check_shape(part.document, ZoneShape, part.place, data=part.properties)
    plan.diagnostics += found
    _register(part)
    outline = part.outline()
    if outline is not None and not (_fits(part, outline) and not _swapped(part, outline)):
        outline = None
    if shape is None:
        _refused(part)
        return
    placed = None if outline is None else _placed(plan, outline, part.frame, outdoor=shape.outdoor)
    if outline is not None and placed is None and not plan.ground.doubtful:
        part.say(part.where, "E319", _unplaced(part.frame, shape.outdoor), _GIVE_PLACE)
    scale = plan.ground.scale
    plan.zones.append(
        Zone(
            id=shape.id,
            site=plan.ground.site,
            name=shape.name or shape.id,
            outline=Polygon() if placed is None else placed,
            frame="wgs84" if shape.outdoor else "local",
            outdoor=shape.outdoor,
            floor=shape.floor,
            tags=frozenset(shape.tags),
            enter_after=shape.enter_after,
            exit_after=shape.exit_after,
            exit_margin=None if shape.exit_margin is None else shape.exit_margin * scale,
            radius=shape.radius * scale if shape.radius is not None and isinstance(outline, Point) else None,
        )
    )


def _refused(part: _Part) -> None:
    """A zone that others may name, of which nothing else is known."""
    name = part.properties.get("id")
    if isinstance(name, str):
        part.plan.zones.append(Zone(id=name, site=part.plan.ground.site, name=name, outline=Polygon(), sound=False))


def _register(part: _Part) -> None:
    name, marks = part.properties.get("id"), part.plan.marks
    if not isinstance(name, str):
        return
    if name in marks:
        first = part.document.mark((*marks[name], "id")).line
        part.say((*part.place, "id"), "E307", "is there twice", f"first on line {first}; give one another id")
    else:
        marks[name] = part.place


def _fits(part: _Part, outline: BaseGeometry) -> bool:
    """Whether the geometry can be a zone's, with or without a radius."""
    radius = "radius" in part.properties
    if isinstance(outline, LineString):
        part.say(part.where, "E317", "a line is no zone", 'add "kind": "wall" to its properties if it is a wall')
        return False
    if isinstance(outline, Point) and not radius:
        part.say(part.where, "E318", "a point is no zone", 'add "radius": 50 to its properties for a circle')
        return False
    if radius and not isinstance(outline, Point):
        part.say((*part.place, "radius"), "E318", "only a Point has a radius", "remove it, or draw a Point")
        return False
    return True


def _wall(part: _Part) -> None:
    plan = part.plan
    shape, found = check_shape(part.document, WallShape, part.place, data=part.properties)
    plan.diagnostics += found
    outline = part.outline()
    if outline is None:
        return
    if not isinstance(outline, LineString):
        part.say(part.where, "E317", "a wall is a LineString")
        return
    placed = _placed(plan, outline, part.frame, outdoor=False)
    if placed is None and not plan.ground.doubtful:
        part.say(part.where, "E319", _unplaced(part.frame, False), _GIVE_PLACE)
    elif placed is not None and shape is not None:
        points = [(float(x), float(y)) for x, y in shapely.get_coordinates(placed)]
        for (x1, y1), (x2, y2) in pairwise(points):
            if (x1, y1) != (x2, y2):
                plan.walls.append(Wall(x1, y1, x2, y2, loss=shape.loss, floor=shape.floor))


def _placed(plan: Plan, outline: BaseGeometry, frame: _Frame, *, outdoor: bool) -> BaseGeometry | None:
    """The outline in degrees when `outdoor`, else in the site's metres; None when nobody knows where that is."""
    ground = plan.ground
    same = (frame.lat, frame.lon, frame.bearing) == (ground.lat, ground.lon, ground.bearing)
    if not frame.degrees and not outdoor and same:
        return outline
    if frame.degrees and outdoor:
        return split(outline)
    if frame.lat is None or frame.lon is None or ground.lat is None or ground.lon is None:
        return outline if not frame.degrees and not outdoor else None
    if not frame.degrees:
        lat0, lon0, turn = frame.lat, frame.lon, frame.bearing
        outline = transform(outline, lambda x, y: to_degrees(lat0, lon0, turn, x, y)[::-1])
        if outdoor:
            return split(unwrapped(outline))
    lat0, lon0, turn = ground.lat, ground.lon, ground.bearing
    local = transform(outline, lambda lon, lat: to_local(lat0, lon0, turn, lat, lon))
    # The halves of a zone that was cut at the antimeridian meet again; rounding leaves less than a micrometre between.
    return shapely.unary_union(shapely.set_precision(local, 1e-6)) if local.geom_type == "MultiPolygon" else local


def _unplaced(frame: _Frame, outdoor: bool) -> str:
    if frame.degrees and not outdoor:
        return "it is given in degrees, and the store has no place to measure from"
    return "it is outdoors, where phones report degrees, and the store has no place to measure from"


def _swapped(part: _Part, outline: BaseGeometry) -> bool:
    ground = part.plan.ground
    if not part.frame.degrees or ground.lat is None or ground.lon is None:
        return False
    lon, lat = (float(v) for v in shapely.get_coordinates(outline)[0])
    far = distance(ground.lat, ground.lon, lat, lon)
    if far < SWAP_FAR or abs(lon) > 90 or distance(ground.lat, ground.lon, lon, lat) > SWAP_NEAR:
        return False
    what = f"has latitude and longitude swapped: it lies {far / 1000:.0f} km from the store"
    hint = f"GeoJSON writes longitude first: [{lat:g}, {lon:g}]"
    part.say((*part.where, "coordinates"), "E315", what, hint)
    return True


def _check_crs(document: Document, data: dict[str, Any]) -> list[Diagnostic]:
    crs = data.get("crs")
    if crs is None or any(word in str(crs) for word in ("CRS84", "4326")):
        return []
    hint = "export the file again with the coordinate system EPSG:4326 (WGS 84)"
    return [document.diagnostic(("crs",), "E310", "these coordinates are not in WGS 84 degrees", hint)]
