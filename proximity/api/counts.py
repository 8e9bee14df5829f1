"""How many shoppers are where, at most once a second however many pages watch."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from proximity.api.context import Live
from proximity.model import Whereabouts

EVERY = 1.0  # s; a page shows a count no more often


@dataclass(frozen=True, slots=True)
class Count:
    """One site."""

    total: int = 0  # shoppers in any zone
    zones: dict[str, int] = field(default_factory=dict)


def count(rows: Iterable[Whereabouts]) -> dict[str, Count]:
    """Shoppers by site and zone; a shopper with two devices counts once."""
    people: dict[str, set[str]] = {}
    places: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        if row.site is None or not row.zones:
            continue
        people.setdefault(row.site, set()).add(row.shopper)
        zones = places.setdefault(row.site, {})
        for zone in row.zones:
            zones.setdefault(zone, set()).add(row.shopper)
    return {
        site: Count(len(inside), {zone: len(who) for zone, who in sorted(places[site].items())})
        for site, inside in people.items()
    }


class Counter:
    """The latest counts, shared by all watchers."""

    def __init__(self, live: Live, clock: Callable[[], float]) -> None:
        self._live = live
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._latest: dict[str, Count] = {}

    def latest(self) -> dict[str, Count]:
        """By site id; a site with nobody in it is missing."""
        now = self._clock()
        with self._lock:
            if not 0.0 <= now - self._at < EVERY:
                self._latest = count(self._live.whereabouts())
                self._at = now
            return self._latest
