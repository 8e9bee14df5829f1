"""Which locator a site gets: what site.yaml says, or by what the site knows of its places.

Where outlines and anchors have places, the zone filter is more often right than the strongest anchor, calmer, and costs
microseconds; the grid filter knows places on the floor as well, for sites that want them. A site that knows only which
gateway stands in which zone has the strongest anchor.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from proximity.observations import Floats, Ints
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
    filtered = Pooled.grid(site) if name == "grid" else Pooled.by_zone(site)
    loudest = Strongest.for_site(site)
    return filtered if set(loudest.zones) <= set(filtered.zones) else Beside(filtered, loudest)


class Beside:
    """A filter over the floor, and for zones outside of it in which an anchor stands, the strongest anchor: a gateway
    at the car park tells that somebody is there."""

    def __init__(self, filtered: Locator, loudest: Strongest) -> None:
        self._filter, self._loudest = filtered, loudest
        beside = [zone for zone in loudest.zones if zone not in filtered.zones]
        self.zones: Sequence[str] = (*filtered.zones, *beside)
        self._theirs = np.array([loudest.zones.index(zone) for zone in beside], dtype=np.intp)

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
        self._filter.tick(now, slot, anchor, rssi)
        self._loudest.tick(now, slot, anchor, rssi)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        floor = self._filter.belief(slots, now)
        beside = self._loudest.belief(slots, now)[:, self._theirs]
        rest = 1.0 - beside.sum(axis=1, keepdims=True)
        return np.concatenate([floor[:, :-1] * rest, beside, floor[:, -1:] * rest], axis=1)

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) the filter's, in local metres."""
        return self._filter.position(slots, now)

    def state(self) -> Mapping[str, Any]:
        """Both states by name."""
        return {"method": "beside", "filter": dict(self._filter.state()), "loudest": dict(self._loudest.state())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: of another site or method."""
        if state.get("method") != "beside":
            raise ValueError(f"checkpoint holds the method {state.get('method')!r}, not 'beside'")
        self._filter.restore(state["filter"])
        self._loudest.restore(state["loudest"])
