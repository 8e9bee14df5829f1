"""Sites, zones and anchors as numbers and columns. A number stays with its name through every edit of the sites."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely

from proximity.observations import Floats, Ints
from proximity.presence.state import Numbers
from proximity.site.model import Site, Zone

PIECE = 1024  # zones compared at a time


class Edit(NamedTuple):
    """What an update changed, by zone number."""

    changed: frozenset[int]  # new, or judged otherwise than before: another outline, other anchors
    removed: frozenset[int]
    radios: frozenset[int] | None = None  # numbers of sites of which more changed than outdoor zones; None: all


class Catalogue:
    """The sites in force. Columns are indexed by zone or by anchor number."""

    def __init__(self) -> None:
        self.site_numbers, self.zone_numbers, self.anchor_numbers = Numbers(), Numbers(), Numbers()
        self.sites: dict[int, Site] = {}
        self.zones: dict[int, Zone] = {}
        self.digests: dict[int, str] = {}  # zone number -> what its judgement stands on
        self.top_speed = 0.0
        self._exclusive: dict[tuple[int, int], bool] = {}  # what was asked since the last update
        self._state: dict[str, Any] | None = None
        self._columns()

    def update(self, sites: Sequence[Site]) -> Edit:
        """Put `sites` in force. What is the same value as before costs next to nothing. ValueError: two of one id."""
        before = self.sites
        after = {self.site_numbers.number(site.id): site for site in sites}
        if len(after) < len(sites):
            raise ValueError("two sites have the same id")
        self.sites, self._exclusive, self._state = after, {}, None
        changed: set[int] = set()
        removed: set[int] = set()
        radios: set[int] = set()
        for number in [*after, *(before.keys() - after.keys())]:
            old, new = before.get(number), after.get(number)
            if old is new:
                continue
            same = old is not None and new is not None and _alike(old, new)
            gone, come = _difference(old.zones if old else (), new.zones if new else (), same)
            removed |= self._remove(old, gone)
            changed |= self._put(new, number, come)
            if not same or _heard(new, (*gone, *come)):
                radios.add(number)
        for number in [one for one in self.digests if one not in self.zones] if not before else ():
            removed.add(number)  # of a checkpoint, and gone since
        if radios:
            self._place_anchors()
        # One limit for all: a device belongs to no site, and its fixes are judged before any fence is.
        self.top_speed = max((site.presence.top_speed for site in self.sites.values()), default=0.0)
        removed = {number for number in removed if number not in self.zones}
        for number in removed:
            self.digests.pop(number, None)
        return Edit(frozenset(changed), frozenset(removed), frozenset(radios) if before else None)

    def _remove(self, site: Site | None, zones: Iterable[Zone]) -> set[int]:
        """Zones that are no more, or come again in another form."""
        numbers = {self.zone_numbers.index[f"{site.id}/{zone.id}"] for zone in zones} if site else set()
        for number in numbers:
            del self.zones[number]
            self.zone_site[number] = -1
        return numbers

    def _put(self, site: Site | None, number: int, zones: Sequence[Zone]) -> set[int]:
        """Zones of a site that are new or may have changed: the numbers of those that are judged otherwise."""
        if site is None or not zones:
            return set()
        numbers = [self.zone_numbers.number(f"{site.id}/{zone.id}") for zone in zones]
        self._grow()
        changed = set()
        for row, zone, digest in zip(numbers, zones, zone_digests(site, zones), strict=True):
            self.zones[row] = zone
            if self.digests.get(row) != digest:
                self.digests[row] = digest
                changed.add(row)
            self._fill(row, number, site, zone)
        return changed

    def _columns(self) -> None:
        self.zone_site: Ints = np.empty(0, dtype=np.int32)
        self.enter_after, self.leave_after = np.empty(0), np.empty(0)
        self.exit_after, self.fix_exit_after = np.empty(0), np.empty(0)
        self.hold, self.margin = np.empty(0), np.empty(0)
        self.anchor_site: Ints = np.empty(0, dtype=np.int32)
        self.anchor_column: Ints = np.empty(0, dtype=np.int32)

    def _grow(self) -> None:
        """Room for every zone number, and some more."""
        missing = len(self.zone_numbers) - len(self.zone_site)
        if missing > 0:
            more = np.zeros(max(missing, len(self.zone_site) // 4))
            self.zone_site = np.concatenate([self.zone_site, np.full(len(more), -1, dtype=np.int32)])
            for name in ("enter_after", "leave_after", "exit_after", "fix_exit_after", "hold", "margin"):
                setattr(self, name, np.concatenate([getattr(self, name), more]))

    def _place_anchors(self) -> None:
        for site in self.sites.values():
            for anchor in site.anchors:
                self.anchor_numbers.number(f"{site.id}/{anchor.id}")
        self.anchor_site = np.full(len(self.anchor_numbers), -1, dtype=np.int32)
        self.anchor_column = np.full(len(self.anchor_numbers), -1, dtype=np.int32)
        for number, site in self.sites.items():
            for column, anchor in enumerate(site.anchors):
                place = self.anchor_numbers.index[f"{site.id}/{anchor.id}"]
                self.anchor_site[place], self.anchor_column[place] = number, column

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
        if self._state is None:  # there may be many, and they change seldom
            numbers = (self.site_numbers, self.zone_numbers, self.anchor_numbers)
            self._state = {
                "names": [list(one.names) for one in numbers],
                "digests": {self.zone_numbers.names[number]: digest for number, digest in self.digests.items()},
            }
        return self._state

    def restore(self, state: Mapping[str, Any], sites: Sequence[Site]) -> Edit:
        """Numbers as they were, then `sites` in force: what changed since the checkpoint."""
        self.site_numbers, self.zone_numbers, self.anchor_numbers = (Numbers(names) for names in state["names"])
        self.digests = {self.zone_numbers.index[name]: digest for name, digest in state["digests"].items()}
        self.sites, self.zones = {}, {}
        self._columns()
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


def _alike(old: Site, new: Site) -> bool:
    """Whether two forms of a site differ in nothing but zones."""
    parts = [(one.anchors, one.walls, one.presence, one.lat, one.lon, one.bearing, one.id) for one in (old, new)]
    return parts[0] == parts[1]


def _heard(site: Site | None, zones: Sequence[Zone]) -> bool:
    """Whether radios judge any of the zones: an indoor one, or one with an anchor in it."""
    if not zones:
        return False
    stood_in = {anchor.zone for anchor in site.anchors} if site else set()
    return any(not zone.outdoor or zone.id in stood_in for zone in zones)


def _difference(old: Sequence[Zone], new: Sequence[Zone], alike: bool) -> tuple[Sequence[Zone], Sequence[Zone]]:
    """What went and what came, a zone that changed in both; all of it when the rest of the site is not `alike`."""
    if not alike:
        return old, new
    start = _common(old, new)
    old, new = old[start:], new[start:]
    end = _common(old[::-1], new[::-1])
    old, new = old[: len(old) - end], new[: len(new) - end]
    kept = {id(zone) for zone in new} & {id(zone) for zone in old}
    return [one for one in old if id(one) not in kept], [one for one in new if id(one) not in kept]


def _common(old: Sequence[Zone], new: Sequence[Zone]) -> int:
    """How many are the same at the beginning. Pieces are compared whole, which costs little while they are the same."""
    start, most = 0, min(len(old), len(new))
    while start < most and old[start : start + PIECE] == new[start : start + PIECE]:
        start += PIECE
    end = min(start + PIECE, most)
    return next((i for i in range(start, end) if old[i] != new[i]), min(end, most))


def zone_digests(site: Site, zones: Sequence[Zone]) -> list[str]:
    """One for each zone of a site: it changes when the zone's outline, its place or the anchors in it change."""
    anchors: dict[str | None, list[object]] = {}
    for anchor in sorted(site.anchors, key=lambda one: one.id):
        anchors.setdefault(anchor.zone, []).append((anchor.id, anchor.x, anchor.y, anchor.floor))
    outlines = shapely.to_wkb(np.array([zone.outline for zone in zones], dtype=object))
    place = (site.lat, site.lon, site.bearing)
    found = []
    for zone, outline in zip(zones, outlines.tolist(), strict=True):
        origin = place if zone.frame == "local" and zone.outdoor else None
        rest = (zone.frame, zone.outdoor, zone.floor, zone.radius, origin, anchors.get(zone.id, ()))
        found.append(_digest(zone.id, outline, *rest))
    return found


def radio_digest(site: Site) -> str:
    """Changes when what an indoor method was built on changes."""
    stood_in = {anchor.zone for anchor in site.anchors}
    judged = [zone for zone in site.zones if not zone.outdoor or zone.id in stood_in]
    return _digest(zone_digests(site, judged), site.anchors, site.walls, site.presence)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _own(own: float | None, default: float) -> float:
    return default if own is None else own
