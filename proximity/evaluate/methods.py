"""The indoor methods by name, for comparing them."""

from collections.abc import Callable

from proximity.errors import ProximityError
from proximity.observations import Floats
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.neighbours import Neighbours
from proximity.presence.locating.pooled import Pooled
from proximity.presence.locating.survey import Survey
from proximity.presence.locating.zonefilter import ZoneFilter
from proximity.presence.locator import Locator
from proximity.presence.strongest import Strongest
from proximity.site.model import Site

Factory = Callable[[Site, Survey | None, Floats | None], Locator]

METHODS: dict[str, Factory] = {
    "grid": Pooled.grid,
    "zones": Pooled.by_zone,
    "grid-alone": GridFilter.for_site,
    "zones-alone": ZoneFilter.for_site,
    "neighbours": Neighbours.for_site,
    "strongest": lambda site, survey, walkable: Strongest.for_site(site),  # noqa: ARG005 (it uses neither)
}
DEFAULT = "grid"


class UnknownMethodError(ProximityError):
    """A method that is not in the table."""


def method_named(name: str) -> Factory:
    """UnknownMethodError names those there are."""
    if name not in METHODS:
        raise UnknownMethodError(f"no method {name!r}; there are {', '.join(METHODS)}.")
    return METHODS[name]
