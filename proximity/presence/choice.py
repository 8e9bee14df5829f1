"""Which locator a site gets: what site.yaml says, or by what the site knows of its places.

Where outlines and anchors have places, the zone filter is more often right than the strongest anchor, calmer, and costs
microseconds; the grid filter knows places on the floor as well, for sites that want them. A site that knows only which
gateway stands in which zone has the strongest anchor.
"""

import numpy as np

from proximity.observations import Ints
from proximity.presence.locating.grid import indoor_zones
from proximity.presence.locating.pooled import Pooled
from proximity.presence.locator import Locator, Probabilities
from proximity.presence.strongest import Strongest
from proximity.site.checks import lacking
from proximity.site.model import LocatorName, Site


def chosen(site: Site) -> LocatorName:
    """What `locator_for` will use: never "auto"."""
    wanted = site.presence.locator
    if wanted == "strongest" or lacking(site) is not None:
        return "strongest"
    return "zones" if wanted == "auto" else wanted


def locator_for(site: Site) -> Locator:
    """The locator of a site. One that its files cannot have, which loading refuses, is the strongest anchor."""
    name = chosen(site)
    if name == "strongest":
        return Strongest.for_site(site)
    floor = {zone.id for zone in indoor_zones(site)}
    kind = Pooled if floor.issuperset(Strongest.for_site(site).zones) else Beside
    return kind.grid(site) if name == "grid" else kind.by_zone(site)


class Beside(Pooled):
    """A filter over the floor, and for zones outside of it in which an anchor stands, the strongest anchor: a gateway
    at the car park tells that somebody is there."""

    def __init__(self, site: Site, filtered: Locator, powers: tuple[float, float]) -> None:
        super().__init__(site, filtered, powers)
        beside = [zone for zone in self._loudest.zones if zone not in filtered.zones]
        self.zones = (*filtered.zones, *beside)
        self._beside = np.array([self._loudest.zones.index(zone) for zone in beside], dtype=np.intp)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        loudest = self._loudest.belief(slots, now)
        floor = self._filter.belief(slots, now)
        if len(self._columns) > 1:
            floor = self._pool(floor, loudest)
        beside = loudest[:, self._beside]
        rest = 1.0 - beside.sum(axis=1, keepdims=True)
        return np.concatenate([floor[:, :-1] * rest, beside, floor[:, -1:] * rest], axis=1)
