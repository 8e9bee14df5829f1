"""One shopper of a simulated shop: visits with their dwell times, approaches, and what rules remember."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proximity.model import DwellThreshold, Sent, Shopper, Transition, TransitionKind, derive_id
from rules.stateful import State

REARM = 1.5  # times a threshold: farther away than that, another approach begins


@dataclass(slots=True)
class Visit:
    """A stay in a zone. Times in seconds after the start of the test."""

    id: str
    zone: str
    started: float
    last_seen: float
    initial: bool


@dataclass(slots=True)
class Count:
    """A dwell that forgives: it goes on counting over short times away, and is told once."""

    started: float
    left: float | None = None  # None: inside
    told: bool = False


@dataclass(slots=True)
class Guest:
    """A shopper and what is known of him."""

    shopper: Shopper
    sent: list[Sent]
    visits: dict[str, Visit] = field(default_factory=dict)  # by zone
    counts: dict[tuple[str, DwellThreshold], Count] = field(default_factory=dict)
    near: set[tuple[str, str]] = field(default_factory=set)  # (place, reach) told of this approach
    state: State = field(default_factory=dict)
    coupons: dict[str, int] = field(default_factory=dict)  # by rule, held or redeemed

    def count_from(self, visit: Visit, threshold: DwellThreshold) -> float | None:
        """From when a dwell counts in this visit; None: it was told already."""
        if threshold.forgive <= 0.0:
            return visit.started
        key = (visit.zone, threshold)
        count = self.counts.get(key)
        if count is None or (count.left is not None and visit.started > count.left + threshold.forgive):
            count = self.counts[key] = Count(visit.started)
        count.left = None
        return None if count.told else count.started

    def leave(self, visit: Visit, at: float) -> None:
        """The visit has ended."""
        del self.visits[visit.zone]
        for (zone, _), count in self.counts.items():
            if zone == visit.zone:
                count.left = at

    def reaches(self, place: str, known: Sequence[str], distance: float | None, eta: float | None) -> list[str]:
        """Those of the known reaches that the shopper has come within now, for the first time of this approach."""
        found = []
        for reach in known:
            bound, value = float(reach[:-1]), distance if reach.endswith("m") else eta
            if value is None:
                continue
            if value > REARM * bound:
                self.near.discard((place, reach))
            elif value <= bound and (place, reach) not in self.near:
                self.near.add((place, reach))
                found.append(reach)
        return found


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes the transitions of one shopper in one store."""

    store: str
    shopper: str
    epoch: Callable[[float], float]

    def begin(self, zone: str, now: float, *, initial: bool) -> Visit:
        """A visit that begins now."""
        return Visit(derive_id("test", self.shopper, zone, now), zone, now, now, initial)

    def of_visit(
        self, kind: TransitionKind, cause: str, visit: Visit, at: float, now: float, dwell: DwellThreshold | None = None
    ) -> Transition:
        """What a visit came to."""
        return Transition(
            id=derive_id(visit.id, kind, *(dwell or (0.0, 0.0))),
            kind=kind,
            cause=cause,
            site=self.store,
            zone=visit.zone,
            shopper=self.shopper,
            device="test",
            visit=visit.id,
            at=self.epoch(at),
            observed=self.epoch(now),
            started=self.epoch(visit.started),
            confidence=1.0,
            dwell=None if dwell is None else dwell.seconds,
            forgive=0.0 if dwell is None else dwell.forgive,
            initial=visit.initial,
        )

    def of_place(
        self,
        kind: TransitionKind,
        place: str,
        now: float,
        reach: str | None = None,
        distance: float | None = None,
        eta: float | None = None,
    ) -> Transition:
        """What positions tell of somebody outside."""
        one = derive_id("test", self.shopper, kind, place, reach or "", now)
        return Transition(
            id=one,
            kind=kind,
            cause="confirmed",
            site=self.store,
            zone=place,
            shopper=self.shopper,
            device="test",
            visit=one,
            at=self.epoch(now),
            observed=self.epoch(now),
            started=self.epoch(now),
            confidence=1.0,
            reach=reach,
            distance=distance,
            eta=eta,
        )
