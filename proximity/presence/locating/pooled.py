"""Two opinions of where somebody is, weighed against one another: a filter's, and that of the strongest anchor.

A filter knows distances, walls and walking, and is as wrong as its map of the radio: by half a metre or more for as
long as somebody walks along a border. Which anchor is the loudest knows less, and errs elsewhere. Their logarithmic
opinion pool (Genest and Zidek, Statistical Science 1, 1986) is right more often than either.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.survey import Survey
from proximity.presence.locating.zonefilter import ZoneFilter
from proximity.presence.locator import Locator, Probabilities
from proximity.presence.strongest import Strongest
from proximity.site.model import Site

# Powers of the filter's opinion and of the loudest's: two to one for a grid with a surveyed map, else even. So a survey
# of one day tells best in which zone the points of another day lie.
SURVEYED, EVEN = (0.8, 0.4), (0.5, 0.5)
LEAST = 1e-6  # a probability no opinion goes below, so that neither has a veto


class Pooled:
    """A locator of both. Between zones in which no anchor stands the filter alone judges."""

    def __init__(self, site: Site, filtered: Locator, powers: tuple[float, float]) -> None:
        """`filtered` gives zones, places, and how likely it is to be in none of the zones."""
        self.zones: Sequence[str] = filtered.zones
        self._filter, self._loudest, self._powers = filtered, Strongest.for_site(site), powers
        stood_in = {anchor.zone for anchor in site.anchors}
        known = [z for z, zone in enumerate(self.zones) if zone in stood_in and zone in self._loudest.zones]
        self._columns: NDArray[np.intp] = np.array(known, dtype=np.intp)
        self._theirs: NDArray[np.intp] = np.array([self._loudest.zones.index(self.zones[z]) for z in known], np.intp)

    @classmethod
    def grid(cls, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> Self:
        """With the grid filter, for sites that want positions on the floor. ValueError: it knows no places."""
        return cls(site, GridFilter.for_site(site, survey, walkable), EVEN if survey is None else SURVEYED)

    @classmethod
    def by_zone(cls, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> Self:
        """With the zone filter, for very many devices."""
        return cls(site, ZoneFilter.for_site(site, survey, walkable), EVEN)

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        self._filter.grow(capacity)
        self._loudest.grow(capacity)

    def clear(self, slots: Ints) -> None:
        """Forget these slots."""
        self._filter.clear(slots)
        self._loudest.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Both hear the same."""
        if len(slot):
            self._filter.tick(now, slot, anchor, rssi)
            self._loudest.tick(now, slot, anchor, rssi)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        found = self._filter.belief(slots, now)
        return self._pool(found, self._loudest.belief(slots, now)) if len(self._columns) > 1 else found

    def _pool(self, found: Probabilities, loudest: Probabilities) -> Probabilities:
        """The filter's opinion, changed where the loudest has one."""
        one, ones = found[:, self._columns], np.ones(len(self._columns))
        mass = one @ ones
        pooled = np.maximum(one, LEAST) ** self._powers[0]
        pooled *= np.maximum(loudest[:, self._theirs], LEAST) ** self._powers[1]
        pooled *= (mass / (pooled @ ones))[:, None]
        found[:, self._columns] = pooled
        return found

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) the filter's, in local metres."""
        return self._filter.position(slots, now)

    def state(self) -> Mapping[str, Any]:
        """Both states by name."""
        return {"method": "pooled", "filter": dict(self._filter.state()), "loudest": dict(self._loudest.state())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: of another site or method."""
        if state.get("method") != "pooled":
            raise ValueError(f"checkpoint holds the method {state.get('method')!r}, not 'pooled'")
        self._filter.restore(state["filter"])
        self._loudest.restore(state["loudest"])
