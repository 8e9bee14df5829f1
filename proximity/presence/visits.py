"""The visit machine: every phase, every event, and what follows. Nothing else in presence changes a phase.

It runs once for each claim. A claim is what one device's evidence of one kind, radio or fixes, says about one zone. A
shopper's visit is the sum of the claims of everything he carries; see ledger.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.state import Bools, Bytes, Column, Singles, Table


class Phase(IntEnum):
    """Of a claim."""

    AWAY = 0  # no claim
    ARRIVING = 1  # evidence of being inside, not yet kept up for enter_after
    INSIDE = 2
    LEAVING = 3  # inside still, with evidence of being outside that is not yet kept up for leave_after


class Event(IntEnum):
    """What can happen to a claim. The first six are evidence, in order of how much it speaks for being inside."""

    SURE_OUT = 0  # clearly outside: one such observation is enough
    LIKELY_OUT = 1  # outside, but another has to agree
    UNLIKELY = 2  # rather not inside
    UNSURE = 3  # hardly more probable than not: a claim may begin with it, but not be confirmed by it
    LIKELY_IN = 4  # inside, but another has to agree
    SURE_IN = 5  # inside: one such observation is enough
    CONFIRMED = 6  # the evidence was kept up for long enough
    SILENT = 7  # nothing heard of the device for the zone's time of silence
    GATEWAY_DOWN = 8  # its gateways are offline, and the hold is over
    ELSEWHERE = 9  # the device entered another zone that excludes this one
    EDITED_IN = 10  # the zone was edited, and its last known place is inside now
    EDITED_OUT = 11  # … is outside now
    REMOVED = 12  # the zone is no more
    ERASED = 13  # the shopper is no more
    WITHDRAWN = 14  # the shopper agrees to nothing any more


A, R, I, L = Phase  # noqa: E741 - letters, so that the table stays a table

TABLE: tuple[tuple[Phase, Event, Phase, str | None, str | None], ...] = (
    # phase, event, next, transition, cause; what is not listed changes nothing
    (A, Event.UNSURE, R, None, None),
    (A, Event.LIKELY_IN, R, None, None),
    (A, Event.SURE_IN, R, None, None),
    (A, Event.EDITED_IN, I, "enter", "zone_changed"),
    (R, Event.SURE_OUT, A, None, None),
    (R, Event.LIKELY_OUT, A, None, None),
    (R, Event.UNLIKELY, A, None, None),
    (R, Event.CONFIRMED, I, "enter", "confirmed"),
    (R, Event.SILENT, A, None, None),
    (R, Event.GATEWAY_DOWN, A, None, None),
    (R, Event.ELSEWHERE, A, None, None),
    (R, Event.EDITED_IN, I, "enter", "zone_changed"),
    (R, Event.EDITED_OUT, A, None, None),
    (R, Event.REMOVED, A, None, None),
    (R, Event.ERASED, A, None, None),
    (R, Event.WITHDRAWN, A, None, None),
    (I, Event.SURE_OUT, L, None, None),
    (I, Event.LIKELY_OUT, L, None, None),
    (I, Event.SILENT, A, "exit", "silence"),
    (I, Event.GATEWAY_DOWN, A, "exit", "gateway_down"),
    (I, Event.ELSEWHERE, A, "exit", "moved"),
    (I, Event.EDITED_OUT, A, "exit", "zone_changed"),
    (I, Event.REMOVED, A, "exit", "zone_removed"),
    (I, Event.ERASED, A, "exit", "erased"),
    (I, Event.WITHDRAWN, A, "exit", "withdrawn"),
    (L, Event.LIKELY_IN, I, None, None),
    (L, Event.SURE_IN, I, None, None),
    (L, Event.CONFIRMED, A, "exit", "left"),
    (L, Event.SILENT, A, "exit", "silence"),
    (L, Event.GATEWAY_DOWN, A, "exit", "gateway_down"),
    (L, Event.ELSEWHERE, A, "exit", "moved"),
    (L, Event.EDITED_IN, I, None, None),
    (L, Event.EDITED_OUT, A, "exit", "zone_changed"),
    (L, Event.REMOVED, A, "exit", "zone_removed"),
    (L, Event.ERASED, A, "exit", "erased"),
    (L, Event.WITHDRAWN, A, "exit", "withdrawn"),
)

NEXT: Bytes = np.repeat(np.array(Phase, dtype=np.int8)[:, None], len(Event), axis=1)
CAUSES = tuple(sorted({cause for *_, cause in TABLE if cause}))
ENTERS: Bools = np.zeros(NEXT.shape, dtype=np.bool_)
CAUSE: Bytes = np.full(NEXT.shape, -1, dtype=np.int8)  # index in CAUSES; -1: no transition
for _phase, _event, _next, _kind, _cause in TABLE:
    NEXT[_phase, _event], ENTERS[_phase, _event] = _next, _kind == "enter"
    CAUSE[_phase, _event] = CAUSES.index(_cause) if _cause else -1

RADIO, FIX = 0, 1  # kinds of evidence
SPAN = 0.5  # of the time of confirmation that evidence must span: two samples a second apart confirm 1 s, one does not

CLAIM = {
    "device": Column("i4", -1),
    "zone": Column("i4", -1),
    "slot": Column("i4", -1),  # radio: the device's slot in its site
    "source": Column("i1", RADIO),
    "phase": Column("i1", Phase.AWAY),
    "since": Column("f8", np.nan),  # event time at which ARRIVING or LEAVING began
    "support": Column("f8", np.nan),  # last evidence of being inside
    "heard": Column("f8", np.nan),  # last evidence of any kind
    "wait": Column("f8", np.inf),  # s of silence that end it
    "due": Column("f8", np.inf),  # event time of the next timer
    "p": Column("f4", 0.0),  # probability of being inside, by the last evidence
    "lead": Column("f4", 0.0),  # radio: s of clear lead over what the zone has to beat, gathered so far
    "ripe": Column("f8", np.inf),  # radio: event time at which the lead will do, if nothing else is heard
    "sure": Column("?", False),  # ARRIVING on evidence that needs no confirmation
    "agreed": Column("?", False),  # the evidence of ARRIVING or LEAVING was repeated, or need not be
    "initial": Column("?", False),
    "jumped": Column("?", False),
    "held": Column("?", False),  # silent because its gateways are offline
    "stay": Column("i4", -1),  # INSIDE and LEAVING: row of the stay that it backs, see stays.py
    "also": Column("i4", -1),  # the next claim that backs it; -1: none
}


class Change(NamedTuple):
    """A claim that entered or left its zone."""

    row: int
    kind: str
    cause: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Claims that entered or left their zones, as columns."""

    row: Ints
    enter: Bools  # else it is an exit
    cause: Bytes  # index in CAUSES

    @classmethod
    def none(cls) -> "Changes":
        """No change at all."""
        return cls(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.int8))

    def __len__(self) -> int:
        return len(self.row)

    def __add__(self, other: "Changes") -> "Changes":
        """These, then the others."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return Changes(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.enter, other.enter]),
            np.concatenate([self.cause, other.cause]),
        )

    def __iter__(self) -> Iterator[Change]:
        for row, enter, cause in zip(self.row.tolist(), self.enter.tolist(), self.cause.tolist(), strict=True):
            yield Change(row, "enter" if enter else "exit", CAUSES[cause])

    def some(self, which: Bools | NDArray[np.intp]) -> "Changes":
        """Those of a mask or of indices."""
        return Changes(self.row[which], self.enter[which], self.cause[which])


class Claims(Table):
    """Claims as columns."""

    device: Ints
    zone: Ints
    slot: Ints
    source: Bytes
    phase: Bytes
    since: Floats
    support: Floats
    heard: Floats
    wait: Floats
    due: Floats
    p: Singles
    lead: Singles
    ripe: Floats
    sure: Bools
    agreed: Bools
    initial: Bools
    jumped: Bools
    held: Bools
    stay: Ints
    also: Ints

    def __init__(self) -> None:
        super().__init__(CLAIM)

    def weigh(
        self,
        rows: Ints,
        code: Bytes,
        at: Floats,
        p: Floats,
        wait: Floats,
        after: tuple[Floats, Floats],
        ripe: Floats | None = None,
    ) -> None:
        """Evidence, one row each: `code` (Event), event time, probability of being inside, s of silence to wait from
        now on; `after`: enter_after and leave_after of each row's zone. `ripe`: event time at which ARRIVING is
        confirmed, inf for not yet; None: when evidence was kept up for enter_after."""
        enter_after, leave_after = after
        old = self.phase[rows]
        new = NEXT[old, code]
        arriving, leaving = new == Phase.ARRIVING, new == Phase.LEAVING
        began = (new != old) & (arriving | leaving)
        since = np.where(began, at, self.since[rows])
        span = at - since
        inward = code >= Event.LIKELY_IN
        outward = code <= Event.LIKELY_OUT
        agreed = self.agreed[rows] & ~began
        agreed |= arriving & inward & ((code == Event.SURE_IN) | (span >= SPAN * enter_after))
        agreed |= leaving & outward & ((code == Event.SURE_OUT) | (span >= SPAN * leave_after))
        if ripe is not None:
            self.ripe[rows] = ripe
            agreed = np.where(arriving, np.isfinite(ripe), agreed)
        heard = np.fmax(self.heard[rows], at)
        self.phase[rows] = new
        self.since[rows], self.heard[rows], self.wait[rows] = since, heard, wait
        self.support[rows] = np.where(inward, heard, self.support[rows])
        self.p[rows] = p
        self.sure[rows] = arriving & ((self.sure[rows] & ~began) | (code == Event.SURE_IN))
        self.agreed[rows], self.held[rows] = agreed, False
        self.schedule(rows, after)

    def schedule(self, rows: Ints, after: tuple[Floats, Floats]) -> None:
        """Work out when the next timer of each row is due."""
        enter_after, leave_after = after
        phase, agreed = self.phase[rows], self.agreed[rows]
        due = self.heard[rows] + self.wait[rows]
        ripe = self.ripe[rows]
        enter = np.where(np.isfinite(ripe), ripe, self.since[rows] + np.where(self.sure[rows], 0.0, enter_after))
        due = np.where((phase == Phase.ARRIVING) & agreed, np.minimum(due, enter), due)
        leave = self.since[rows] + leave_after
        due = np.where((phase == Phase.LEAVING) & agreed, np.minimum(due, leave), due)
        self.due[rows] = np.where(phase == Phase.AWAY, np.inf, due)

    def confirmable(self, rows: Ints, now: float, after: tuple[Floats, Floats]) -> Bools:
        """Which rows have kept up their evidence for long enough."""
        enter_after, leave_after = after
        age, phase, ripe = now - self.since[rows], self.phase[rows], self.ripe[rows]
        enough = np.where(np.isfinite(ripe), now >= ripe, self.sure[rows] | (age >= enter_after))
        entered = (phase == Phase.ARRIVING) & enough
        left = (phase == Phase.LEAVING) & (age >= leave_after)
        return np.asarray(self.agreed[rows] & (entered | left), dtype=np.bool_)

    def happen(self, rows: Ints, event: Event) -> Changes:
        """Let `event` happen to each row: the changes that follow."""
        old = self.phase[rows]
        self.phase[rows] = NEXT[old, event]
        self.due[rows] = np.where(self.phase[rows] == Phase.AWAY, np.inf, self.heard[rows] + self.wait[rows])
        self.agreed[rows] = False
        changed = np.flatnonzero(CAUSE[old, event] >= 0)
        if not len(changed):
            return Changes.none()
        phase = old[changed]
        return Changes(rows[changed], ENTERS[phase, event], CAUSE[phase, event])

    def inside(self, rows: Ints) -> Bools:
        """Which of them count for a visit."""
        return np.asarray(self.phase[rows] >= Phase.INSIDE, dtype=np.bool_)

    def next_due(self) -> float:
        """Event time of the next timer; inf: none."""
        return float(self.due.min(initial=np.inf))
