"""Which zone a phone means by one of its own regions: by its description, its id, or its place and radius."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import shapely

from proximity.model import Fix
from proximity.observations import Floats
from proximity.phones.report import PhoneTransition, Region
from proximity.site.frames import to_degrees, to_local
from proximity.site.model import Site, Zone

MOST_PHONES = 10_000  # phones whose regions are remembered …
MOST_REGIONS = 64  # … and of each; iOS watches 20, Android 100
NEAR = 3_000.0  # m from a phone to the zone it means, where several stores have a zone of that name
APART = 0.5  # of the smaller radius: how far apart the middles of a region and its zone may be
LIKE = 2.5  # how many times wider one of them may be: phones watch nothing narrower than 100 m


class Word(NamedTuple):
    """A phone's word, on its way to presence."""

    device: str  # canonical id
    shopper: str
    zone: str  # "<site>/<zone>"
    inside: bool
    at: float  # seconds since the epoch


class RegionBook:
    """Regions as phones told of them. Bounded: the phones that were silent longest are forgotten first."""

    def __init__(self) -> None:
        self._regions: OrderedDict[str, dict[str, Region]] = OrderedDict()

    def tell(self, device: str, region: Region) -> None:
        """A phone tells of a region, or of how it changed."""
        known = self._regions.setdefault(device, {})
        self._regions.move_to_end(device)
        for name in _names(region.description, region.region, region.made):
            known.pop(name, None)
            known[name] = region
        while len(known) > 3 * MOST_REGIONS:  # three names each
            del known[next(iter(known))]
        while len(self._regions) > MOST_PHONES:
            self._regions.popitem(last=False)

    def find(self, device: str, said: PhoneTransition) -> Region | None:
        """The region that a phone speaks of; None: it never told of it."""
        known = self._regions.get(device, {})
        names = _names(said.description, said.region, said.region_made)
        return next((known[name] for name in reversed(names) if name in known), None)

    def keep(self, devices: Iterable[str]) -> None:
        """Forget all others."""
        self.forget(self._regions.keys() - set(devices))

    def forget(self, devices: Iterable[str]) -> None:
        """Forget what these told."""
        for device in devices:
            self._regions.pop(device, None)


class _Place(NamedTuple):
    zone: str  # "<site>/<zone>"
    lat: float
    lon: float
    radius: float  # m, of a circle of the zone's area


class ZoneNames:
    """The outdoor zones of the sites in force, as phones may call them."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self._places: list[_Place] = []
        self._named: dict[str, list[_Place]] = {}
        for site in sites:
            for zone in site.zones:
                place = _place(site, zone) if zone.outdoor else None
                if place is not None:
                    self._places.append(place)
                    for name in dict.fromkeys((zone.id, _fold(zone.name), place.zone)):
                        self._named.setdefault(name, []).append(place)

    def match(self, said: PhoneTransition, region: Region | None, fix: Fix | None) -> str | None:
        """ "<site>/<zone>" of the zone that is meant; None: of none here, or it could be several."""
        for name in (said.description, said.region):
            found = self._named.get(_fold(name), []) if name else []
            if len(found) > 1:
                where = region or fix
                found = [] if where is None else [one for one in found if _metres(one, where.lat, where.lon) <= NEAR]
            if len(found) == 1:
                return found[0].zone
        if region is None:
            return None
        alike = [place for place in self._places if _alike(place, region)]
        return min(alike, key=lambda one: _metres(one, region.lat, region.lon)).zone if alike else None


def _place(site: Site, zone: Zone) -> _Place | None:
    """None: nobody knows where on Earth it is."""
    middle = shapely.centroid(zone.outline)
    if zone.frame == "wgs84":
        lat, lon = float(middle.y), float(middle.x)
        metres = shapely.transform(zone.outline, lambda at: _plane(lat, lon, at))
    elif site.lat is None or site.lon is None:
        return None
    else:
        lat, lon = (float(v) for v in to_degrees(site.lat, site.lon, site.bearing, middle.x, middle.y))
        metres = zone.outline
    radius = zone.radius if zone.radius is not None else math.sqrt(metres.area / math.pi)
    return _Place(f"{site.id}/{zone.id}", lat, lon, radius)


def _plane(lat: float, lon: float, degrees: Floats) -> Floats:
    return np.column_stack(to_local(lat, lon, 0.0, degrees[:, 1], degrees[:, 0]))


def _metres(place: _Place, lat: float, lon: float) -> float:
    x, y = to_local(place.lat, place.lon, 0.0, lat, lon)
    return math.hypot(float(x), float(y))


def _alike(place: _Place, region: Region) -> bool:
    smaller, larger = sorted((place.radius, region.radius))
    return larger <= LIKE * smaller and _metres(place, region.lat, region.lon) <= APART * smaller


def _fold(name: str) -> str:
    return name.strip().casefold()


def _names(description: str | None, region: str | None, made: float | None) -> list[str]:
    """From the least to the most certain."""
    told = (("desc", description), ("tst", None if made is None else f"{made:.0f}"), ("rid", region))
    return [f"{kind}:{_fold(name)}" for kind, name in told if name]
