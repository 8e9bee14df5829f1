"""A site as people meet it: where the door is, what each zone is for, and where one can stand."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from proximity.errors import ProximityError
from proximity.simulate.propagation import Floats
from proximity.simulate.walk import Floor, NoWay
from proximity.site.frames import to_local
from proximity.site.model import Anchor, Site, Wall, Zone

Role = Literal["entrance", "till", "shelf", "outdoor"]

ROLE_WORDS: dict[Role, tuple[str, ...]] = {
    "entrance": ("entrance", "entry", "door", "foyer"),
    "till": ("till", "checkout", "cash", "register"),
}
GAP = 2.0  # m, width of the door of a store whose file names no walls
STREET = (90.0, 120.0)  # m from the door where people come into the scene and leave it
BEYOND = (45.0, 75.0)  # m by which that lies outside of all fences: a phone must be clear of margin and accuracy there
FAR = 400.0  # m; a fence that reaches further than people walk
PARKING = 35.0  # m from the door within which cars are left, if the fence allows
SPOTS = 24  # places to stand in one zone; people stand within a nudge of one of them
NUDGE = 0.4  # m
RING_STEP = 1.0  # m between the places outside that are tried when the door is looked for


@dataclass(frozen=True, slots=True)
class Place:
    """A zone in local metres, and what people do there."""

    zone: str
    outline: BaseGeometry
    role: Role
    words: frozenset[str] = frozenset()  # id, its parts, and tags: what people may be interested in


class Layout:
    """Everything fixed about a simulated store. ProximityError when nobody could walk in it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.places = tuple(_place(site, zone) for zone in site.zones if zone.floor == 0)
        indoor = [p for p in self.places if p.role != "outdoor"]
        if not indoor:
            raise ProximityError(f"site {site.id} has no indoor zone, so there is nothing to simulate; add one")
        self.entrance = next((p for p in indoor if p.role == "entrance"), indoor[0])
        self.footprint = _footprint(indoor, site)
        self.walls = tuple(w for w in site.walls if w.floor == 0) or _shell(self.footprint, self.entrance)
        self.floor = Floor(self.walls)
        self._spots: dict[str, Floats] = {}
        self.inside = self.floor.stand(np.array(self.entrance.outline.representative_point().coords[0]))
        self.doorstep, self.outward = self._find_door()
        reached = [p for p in indoor if p is not self.entrance and self._reached(p)]
        self.shelves = tuple(p for p in reached if p.role == "shelf")
        self.tills = tuple(p for p in reached if p.role == "till")
        self.parking = self._find_parking()
        reach = max((d for d in map(self._reach, self.places) if d < FAR), default=0.0)
        self._street = max(STREET[0], reach + BEYOND[0]), max(STREET[1], reach + BEYOND[1])
        gateways = [a for a in site.anchors if a.kind == "gateway"]
        self.anchors = tuple(f"{site.id}/{a.id}" for a in gateways)
        self.anchor_xyz = np.array([self._stands(a) for a in gateways], dtype=np.float64).reshape(-1, 3)
        self.anchor_floors = np.array([a.floor for a in gateways], dtype=np.float64)

    def zones_at(self, xy: Floats) -> list[str | None]:
        """(n, 2) places -> the zone each lies in; of several the smallest, the edge counts as inside.

        A fence around the store does not count for who is in it.
        """
        found: list[str | None] = [None] * len(xy)
        outside = self.outside(xy) > 0
        for place in sorted(self.places, key=lambda p: -p.outline.area):
            within = shapely.intersects_xy(place.outline, xy[:, 0], xy[:, 1])
            for i in np.flatnonzero(within & (outside if place.role == "outdoor" else True)):
                found[i] = place.zone
        return found

    def spot(self, place: Place, rng: np.random.Generator) -> Floats:
        """A random free place in `place`, from which one can walk to the door."""
        known = self._spots.get(place.zone)
        if known is None:
            known = self._spots[place.zone] = self._find_spots(place)
        spot: Floats = known[rng.integers(len(known))]
        near = spot + rng.uniform(-NUDGE, NUDGE, 2)
        if shapely.contains_xy(place.outline, *near) and self.floor.clear(spot, near[None])[0]:
            spot = near
        return spot

    def _find_spots(self, place: Place) -> Floats:
        """Found once for each zone, always the same ones."""
        rng = np.random.default_rng(len(place.zone))
        tries = rng.uniform(place.outline.bounds[:2], place.outline.bounds[2:], (16 * SPOTS, 2))
        good = tries[shapely.contains_xy(place.outline, tries[:, 0], tries[:, 1]) & self.floor.free(tries)][:SPOTS]
        reached = [xy for xy in good if self.floor.reachable(self.inside, xy)]
        if not reached:
            reached = [self.floor.stand(np.array(place.outline.representative_point().coords[0]))]
        return np.array(reached)

    def street(self, rng: np.random.Generator) -> Floats:
        """A place well away from the store, on the side of its door."""
        turn = rng.uniform(-0.6, 0.6)
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ self.outward
        return self.floor.stand(self.doorstep + rng.uniform(*self._street) * turned)

    def before_door(self, rng: np.random.Generator) -> Floats:
        """A place outside, a few steps from the door."""
        aside = np.array([-self.outward[1], self.outward[0]])
        return self.floor.stand(self.doorstep + rng.uniform(0.0, 3.0) * self.outward + rng.uniform(-1.0, 1.0) * aside)

    def outside(self, xy: Floats) -> Floats:
        """(n, 2) places -> metres to the building, 0 inside."""
        metres: Floats = shapely.distance(self.footprint, shapely.points(xy))
        return metres

    def _find_door(self) -> tuple[Floats, Floats]:
        ring = shapely.buffer(self.footprint, 1.0, join_style="mitre").exterior
        along = np.arange(0.0, ring.length, RING_STEP)
        tries = shapely.get_coordinates(shapely.line_interpolate_point(ring, along))
        best, shortest = None, np.inf
        for xy in tries[self.floor.free(tries)]:
            try:
                path = self.floor.path(self.inside, xy)
            except NoWay:
                continue
            length = float(np.hypot(*np.diff(path, axis=0).T).sum())
            if length < shortest:
                best, shortest = xy, length
        if best is None:
            raise ProximityError(
                f"site {self.site.id}: no gap in the walls leads from outside to zone {self.entrance.zone}; "
                "leave one of at least 0.6 m in gateways.yaml's walls"
            )
        wall = shapely.get_coordinates(shapely.shortest_line(self.footprint, shapely.Point(best)))[0]
        return best, (best - wall) / np.hypot(*(best - wall))

    def _find_parking(self) -> Place | None:
        """The part of the smallest outdoor zone where cars are left: outside, and near the door if it reaches there."""
        aside = self.footprint.buffer(3.0)
        for place in sorted(self.places, key=lambda p: p.outline.area):
            if place.role != "outdoor":
                continue
            ground = place.outline.difference(aside)
            near = ground.intersection(shapely.Point(self.doorstep).buffer(PARKING))
            parking = Place(place.zone, ground if near.area < 1.0 else near, "outdoor")
            if parking.outline.area >= 1.0 and self._reached(parking):
                return parking
        return None

    def _reach(self, place: Place) -> float:
        """Metres from the door to the furthest corner of an outdoor zone."""
        if place.role != "outdoor":
            return 0.0
        return float(np.hypot(*(shapely.get_coordinates(place.outline) - self.doorstep).T).max())

    def _reached(self, place: Place) -> bool:
        middle = self.floor.stand(np.array(place.outline.representative_point().coords[0]))
        return self.floor.reachable(self.inside, middle)

    def _stands(self, anchor: Anchor) -> tuple[float, float, float]:
        if anchor.x is not None and anchor.y is not None:
            return anchor.x, anchor.y, anchor.z
        for place in self.places:
            if place.zone == anchor.zone:
                point = place.outline.representative_point()
                return point.x, point.y, anchor.z
        raise ProximityError(f"gateway {self.site.id}/{anchor.id} has neither a place nor a zone; give it x and y")


def _place(site: Site, zone: Zone) -> Place:
    words = {zone.id, zone.name.lower(), *zone.tags}
    role: Role = "outdoor" if zone.outdoor else "shelf"
    if not zone.outdoor:
        for candidate, keys in ROLE_WORDS.items():
            if any(key in word for word in words for key in keys):
                role = candidate
                break
    about = frozenset({zone.id, *zone.id.split("-"), *zone.tags})
    return Place(zone.id, outline_in_metres(site, zone), role, about)


def outline_in_metres(site: Site, zone: Zone) -> BaseGeometry:
    """The zone's outline in the site's frame; a circle becomes a polygon. ProximityError without an origin."""
    outline = zone.outline
    if zone.frame == "wgs84":
        if site.lat is None or site.lon is None:
            raise ProximityError(f"zone {site.id}/{zone.id} is in degrees, but the site has no lat and lon; add them")
        lat, lon, bearing = site.lat, site.lon, site.bearing
        outline = shapely.transform(
            outline, lambda c: np.column_stack(to_local(lat, lon, bearing, lat=c[:, 1], lon=c[:, 0]))
        )
    return outline.buffer(zone.radius) if zone.radius is not None else outline


def _footprint(indoor: list[Place], site: Site) -> shapely.Polygon:
    parts = [p.outline for p in indoor]
    parts += [shapely.LineString([(w.x1, w.y1), (w.x2, w.y2)]) for w in site.walls if w.floor == 0]
    return shapely.box(*shapely.total_bounds(parts))


def _shell(footprint: shapely.Polygon, entrance: Place) -> tuple[Wall, ...]:
    """The outer wall of a store whose file has no walls, with its gap where the entrance is nearest to it."""
    ring = shapely.buffer(footprint, 0.3, join_style="mitre").exterior
    middle = ring.project(shapely.Point(entrance.outline.representative_point()))
    corners = np.array([ring.project(shapely.Point(xy)) for xy in ring.coords[:-1]])
    stops = [GAP / 2, *sorted((corners - middle) % ring.length), ring.length - GAP / 2]
    stops = [s for s in stops if GAP / 2 <= s <= ring.length - GAP / 2]
    points = [ring.interpolate((middle + s) % ring.length) for s in stops]
    return tuple(Wall(a.x, a.y, b.x, b.y) for a, b in pairwise(points))
