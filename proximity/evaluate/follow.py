"""Drive a recording through presence, tick by tick, and note what it says: at each moment only the past is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proximity.evaluate.metrics import Labels
from proximity.model import Sighting
from proximity.observations import Batch, Floats, Ints
from proximity.presence.engine import Engine
from proximity.presence.locator import TICK, Locator, Probabilities
from proximity.recordings import Reading
from proximity.site.model import Site

DAY = 86400.0  # s


@dataclass(frozen=True, slots=True)
class Track:
    """What presence said at N moments, one a tick."""

    at: Floats  # (N,) s, the end of each tick
    belief: Floats  # (N, Z + 1) of the locator
    position: Floats  # (N, 2) local metres
    reported: Labels  # (N,) column of the zone of the visit that is open; the last: none


def follow(locator: Locator, site: Site, readings: Sequence[Reading]) -> Track:
    """One sender through one recording, by the engine that the service runs. ValueError: it holds no reading of the
    site's anchors. The locator must be new, or restored to what it was when new."""
    known = {anchor.id for anchor in site.anchors}
    heard = sorted((r for r in readings if r.receiver in known), key=lambda r: r.at)
    if not heard:
        raise ValueError("no reading of a known receiver")
    shift = 0.0 if heard[0].at > DAY else DAY  # presence takes times since the epoch; some recordings begin at zero
    at = np.array([r.at for r in heard]) + shift
    ticks = np.ceil(at / TICK).astype(np.int64)  # tick k ends at k·TICK and holds its end
    moments = np.arange(ticks[0], ticks[-1] + 1) * TICK
    ends = np.searchsorted(ticks, np.arange(ticks[0], ticks[-1] + 1), side="right")
    locator.grow(1)
    watched = _Watched(locator)
    engine = Engine([site], locator=lambda _: watched, now=float(moments[0] - TICK))
    visits = _Visits(locator.zones)
    beliefs, places, reported, start = [], [], [], 0
    for now, end in zip(moments.tolist(), ends.tolist(), strict=True):
        batch = Batch.of([_sighting(site, r, shift) for r in heard[start:end]])
        reported.append(visits.after(engine.step(batch, now).transitions))
        start = end
        beliefs.append(locator.belief(watched.slot, now)[0])
        places.append(locator.position(watched.slot, now)[0])
    return Track(moments - shift, np.array(beliefs), np.array(places), np.array(reported, dtype=np.int64))


def arrived(reported: Labels, none: int) -> int:
    """The row of the first zone reported: what comes before it is not a change of zone."""
    rows = np.flatnonzero(reported != none)
    return int(rows[0]) if len(rows) else len(reported)


def _sighting(site: Site, reading: Reading, shift: float) -> Sighting:
    anchor = f"{site.id}/{reading.receiver}"
    return Sighting(at=reading.at + shift, anchor=anchor, device=reading.device, rssi=reading.rssi)


class _Visits:
    """The zone of the one device, from its transitions."""

    def __init__(self, zones: Sequence[str]) -> None:
        self._zones = list(zones)
        self._open: list[str] = []

    def after(self, transitions: Sequence[Any]) -> int:
        """The column of the zone entered last of those not left."""
        for transition in transitions:
            if transition.kind == "enter":
                self._open.append(transition.zone)
            elif transition.kind == "exit" and transition.zone in self._open:
                self._open.remove(transition.zone)
        return self._zones.index(self._open[-1]) if self._open else len(self._zones)


class _Watched:
    """A locator that remembers the slot of the one device it was told of."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator
        self.zones = locator.zones
        self.slot: Ints = np.zeros(1, dtype=np.int32)

    def grow(self, capacity: int) -> None:
        self._locator.grow(capacity)

    def clear(self, slots: Ints) -> None:
        self._locator.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        self.slot = slot[:1]
        self._locator.tick(now, slot, anchor, rssi)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        return self._locator.belief(slots, now)

    def position(self, slots: Ints, now: float) -> Floats:
        return self._locator.position(slots, now)

    def state(self) -> Mapping[str, Any]:
        return self._locator.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._locator.restore(state)
