"""What rules may speak of: the stores with their zones, and the declared attributes.

The rule engine knows nothing of site files: whoever loads them fills in a `Catalog`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from rules.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Zone:
    """A place that a trigger can name."""

    id: str  # slug, unique in its store
    name: str = ""  # shown to shoppers; empty: the id
    tags: frozenset[str] = frozenset()
    outdoor: bool = True  # judged by positions, so that it can be approached and crossed
    sound: bool = True  # False: it was refused, and is here only so that who names it is not told a second time


@dataclass(frozen=True)  # no slots, for what is worked out once
class Store:
    """A store, as far as rules care."""

    id: str  # slug
    timezone: str  # IANA name that zoneinfo knows
    name: str = ""  # shown to shoppers; empty: the id
    country: str | None = None  # ISO 3166-1 alpha-2, for public holidays
    opening_hours: str | None = None  # OpenStreetMap syntax; None: unknown
    zones: tuple[Zone, ...] = ()
    located: bool = True  # its place on the map is known, so that it can be approached

    def tags_of(self, zone_id: str) -> frozenset[str]:
        """The tags of a zone; none of one that is not there."""
        zone = self.zone(zone_id)
        return zone.tags if zone else frozenset()

    def zone(self, zone_id: str) -> Zone | None:
        """The zone of that id, or None."""
        return self.by_id.get(zone_id)

    @cached_property
    def by_id(self) -> Mapping[str, Zone]:
        """Its zones."""
        return {zone.id: zone for zone in reversed(self.zones)}  # the first of an id that is there twice

    @cached_property
    def tags(self) -> frozenset[str]:
        """Of all its zones."""
        return frozenset(tag for zone in self.zones for tag in zone.tags)


@dataclass(frozen=True)  # no slots, for what is worked out once
class Catalog:
    """Everything a rule file is checked against."""

    stores: tuple[Store, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)

    def zone_ids(self, stores: frozenset[str] | None = None) -> frozenset[str]:
        """Zones of these stores; None: of all."""
        return self._everywhere[0] if stores is None else self._of(stores)[0]

    def tags(self, stores: frozenset[str] | None = None) -> frozenset[str]:
        """Zone tags of these stores; None: of all."""
        return self._everywhere[1] if stores is None else self._of(stores)[1]

    @cached_property
    def refused(self) -> frozenset[str]:
        """Zones that are nowhere sound. Their names are not offered to anybody, and their tags are not known."""
        sound = {zone.id for store in self.stores for zone in store.zones if zone.sound}
        return frozenset(zone.id for store in self.stores for zone in store.zones) - sound

    @cached_property
    def _everywhere(self) -> tuple[frozenset[str], frozenset[str]]:
        return self._of(frozenset(store.id for store in self.stores))  # asked for by every rule

    def _of(self, stores: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        some = [store for store in self.stores if store.id in stores]
        return frozenset().union(*(store.by_id for store in some)), frozenset().union(*(store.tags for store in some))
