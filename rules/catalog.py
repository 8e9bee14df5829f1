"""What rules may speak of: the stores with their zones, and the declared attributes.

The rule engine knows nothing of site files: whoever loads them fills in a `Catalog`.
"""

from dataclasses import dataclass, field

from rules.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Zone:
    """A place that a trigger can name."""

    id: str  # slug, unique in its store
    name: str = ""  # shown to shoppers; empty: the id
    tags: frozenset[str] = frozenset()
    outdoor: bool = True  # judged by positions, so that it can be approached and crossed


@dataclass(frozen=True, slots=True)
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
        return next((zone for zone in self.zones if zone.id == zone_id), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything a rule file is checked against."""

    stores: tuple[Store, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)

    def zone_ids(self, stores: frozenset[str] | None = None) -> frozenset[str]:
        """Zones of these stores; None: of all."""
        return frozenset(z.id for s in self.stores if stores is None or s.id in stores for z in s.zones)

    def tags(self, stores: frozenset[str] | None = None) -> frozenset[str]:
        """Zone tags of these stores; None: of all."""
        return frozenset(t for s in self.stores if stores is None or s.id in stores for z in s.zones for t in z.tags)
