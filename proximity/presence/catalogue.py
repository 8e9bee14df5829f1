"""Sites, zones and anchors as numbers and columns. A number stays with its name through every edit of the sites."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.state import Numbers
from proximity.site.model import Site, Zone


class Edit(NamedTuple):
    """What an update changed, by zone number."""

    changed: frozenset[int]  # new, or judged otherwise than before: another outline, other anchors
    removed: frozenset[int]


class Catalogue:
    """The sites in force. Columns are indexed by zone or by anchor number."""

    def __init__(self) -> None:
        self.site_numbers, self.zone_numbers, self.anchor_numbers = Numbers(), Numbers(), Numbers()
        self.sites: dict[int, Site] = {}
        self.zones: dict[int, Zone] = {}
        self.digests: dict[int, str] = {}  # zone number -> what its judgement stands on
        self.top_speed = 0.0
        self._exclusive: dict[tuple[int, int], bool] = {}  # what was asked since the last update
        self._columns()

    def update(self, sites: Sequence[Site]) -> Edit:
        """Put `sites` in force. ValueError: two of one id."""
        before = self.digests
        self.sites = {self.site_numbers.number(site.id): site for site in sites}
        if len(self.sites) < len(sites):
            raise ValueError("two sites have the same id")
        self.zones, self.digests, self._exclusive = {}, {}, {}
        for site in sites:
            for zone in site.zones:
                number = self.zone_numbers.number(f"{site.id}/{zone.id}")
                self.zones[number] = zone
                self.digests[number] = zone_digest(site, zone)
            for anchor in site.anchors:
                self.anchor_numbers.number(f"{site.id}/{anchor.id}")
        self._columns()
        changed = {number for number, digest in self.digests.items() if before.get(number) != digest}
        return Edit(frozenset(changed), frozenset(before.keys() - self.digests.keys()))

    def _columns(self) -> None:
        zones = len(self.zone_numbers)
        self.zone_site: Ints = np.full(zones, -1, dtype=np.int32)
        self.enter_after, self.leave_after = np.zeros(zones), np.zeros(zones)
        self.exit_after, self.fix_exit_after = np.zeros(zones), np.zeros(zones)
        self.hold, self.margin = np.zeros(zones), np.zeros(zones)
        self.anchor_site: Ints = np.full(len(self.anchor_numbers), -1, dtype=np.int32)
        self.anchor_column: Ints = np.full(len(self.anchor_numbers), -1, dtype=np.int32)
        for number, site in self.sites.items():
            for zone in site.zones:
                self._fill(self.zone_numbers.index[f"{site.id}/{zone.id}"], number, site, zone)
            for column, anchor in enumerate(site.anchors):
                place = self.anchor_numbers.index[f"{site.id}/{anchor.id}"]
                self.anchor_site[place], self.anchor_column[place] = number, column
        # One limit for all: a device belongs to no site, and its fixes are judged before any fence is.
        self.top_speed = max((site.presence.top_speed for site in self.sites.values()), default=0.0)

    def _fill(self, row: int, number: int, site: Site, zone: Zone) -> None:
        options = site.presence
        self.zone_site[row] = number
        self.enter_after[row] = _own(zone.enter_after, options.enter_after)
        self.leave_after[row] = options.leave_after
        self.exit_after[row] = _own(zone.exit_after, options.exit_after)
        self.fix_exit_after[row] = _own(zone.exit_after, options.fix_exit_after)
        self.hold[row] = options.gateway_hold
        self.margin[row] = _own(zone.exit_margin, options.exit_margin)

    def name(self, zone: int) -> tuple[str, str]:
        """(site id, zone id) of a zone number, also of one that is gone."""
        site, _, zone_id = self.zone_numbers.names[zone].partition("/")
        return site, zone_id

    def exclusive(self, one: int, other: int) -> bool:
        """Whether nobody can be in both: indoor zones of two sites, or of one site when neither holds the other."""
        a, b = self.zones.get(one), self.zones.get(other)
        if one == other or a is None or b is None or a.outdoor or b.outdoor:
            return False
        if (one, other) not in self._exclusive:
            self._exclusive[one, other] = a.site != b.site or not (holds(a, b) or holds(b, a))
        return self._exclusive[one, other]

    def state(self) -> dict[str, Any]:
        """Names by number, and what each zone's judgement stood on."""
        numbers = (self.site_numbers, self.zone_numbers, self.anchor_numbers)
        return {
            "names": [one.names for one in numbers],
            "digests": {self.zone_numbers.names[number]: digest for number, digest in self.digests.items()},
        }

    def restore(self, state: Mapping[str, Any], sites: Sequence[Site]) -> Edit:
        """Numbers as they were, then `sites` in force: what changed since the checkpoint."""
        self.site_numbers, self.zone_numbers, self.anchor_numbers = (Numbers(names) for names in state["names"])
        self.digests = {self.zone_numbers.index[name]: digest for name, digest in state["digests"].items()}
        return self.update(sites)


def holds(outer: Zone, inner: Zone) -> bool:
    """Whether `inner` lies within `outer`: same frame and floor, and neither given as a circle."""
    return (
        outer.frame == inner.frame
        and outer.floor == inner.floor
        and outer.radius is None
        and inner.radius is None
        and bool(outer.outline.covers(inner.outline))
    )


def nesting(zones: Sequence[Zone]) -> Floats:
    """(Z, Z) 1 where the row's zone lies within the column's or is the same: belief @ nesting adds what is inside."""
    return np.array(
        [[float(i == j or holds(outer, inner)) for j, outer in enumerate(zones)] for i, inner in enumerate(zones)]
    ).reshape(len(zones), len(zones))


def zone_digest(site: Site, zone: Zone) -> str:
    """Changes when the zone's outline, its place or the anchors in it change."""
    anchors = sorted((a.id, a.x, a.y, a.floor) for a in site.anchors if a.zone == zone.id)
    origin = (site.lat, site.lon, site.bearing) if zone.frame == "local" and zone.outdoor else None
    return _digest(zone.id, zone.outline.wkb_hex, zone.frame, zone.outdoor, zone.floor, zone.radius, origin, anchors)


def radio_digest(site: Site) -> str:
    """Changes when what an indoor method was built on changes."""
    stood_in = {anchor.zone for anchor in site.anchors}
    judged = [zone_digest(site, zone) for zone in site.zones if not zone.outdoor or zone.id in stood_in]
    return _digest(judged, site.anchors, site.walls, site.presence)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _own(own: float | None, default: float) -> float:
    return default if own is None else own
