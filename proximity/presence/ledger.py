"""Shoppers' visits: claims of all their devices in, transitions and visits out. Works on the few rows that changed.

A visit is open while a claim of any of the shopper's devices, of either kind of evidence, backs its zone. Zones that
exclude one another cannot both be open: the more probable one is, and another takes over only when it has been more
probable for the site's leave_after.

Mostly a shopper has one device and is in one zone: such changes are taken all at once. Only where several claims or
zones of one shopper come together is he looked at by himself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proximity.model import Transition, TransitionKind, Visit, child_id, dated_id
from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.dwells import Dwell, Dwells, Thresholds
from proximity.presence.people import Devices, Shoppers
from proximity.presence.settling import Settling, Turn
from proximity.presence.state import Bytes
from proximity.presence.stays import Stays
from proximity.presence.visits import CAUSES, Changes, Claims

Crossing = tuple[int, int, float, float, float]  # device, zone, event time within, of the fix, probability

ORDER = {"exit": 0, "enter": 1, "cross": 2, "dwell": 3}  # within one instant
BY_SILENCE = np.isin(CAUSES, ["silence", "gateway_down"])  # nothing told of it: it ended with the last evidence
BY_EVIDENCE = np.isin(CAUSES, ["left", "moved"])


@dataclass(slots=True)
class Result:
    """What became of it."""

    transitions: list[Transition] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)


class Ledger:
    """All open visits."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers, claims: Claims) -> None:
        self._catalogue, self._claims, self._devices, self._shoppers = catalogue, claims, devices, shoppers
        self._stays = Stays(shoppers, claims)
        self._dwells = Dwells(catalogue, self._stays)
        self._settling = Settling(catalogue, devices, claims, self._stays)

    # -- changes --------------------------------------------------------------------------------------------------

    def apply(self, now: float, changes: Changes, crossings: Iterable[Crossing] = ()) -> Result:
        """Everything that happens in the instant `now`: exits, then enters, ways through, and dwells."""
        result = Result()
        if len(changes) or self._settling.pending:
            self._change(result, now, changes)
        self._cross(result, now, crossings)
        for dwell in self._dwells.pop(now):
            self._tell_dwell(result, dwell)
        result.transitions.sort(key=lambda one: (ORDER[one.kind], one.shopper, one.site, one.zone, one.at, one.id))
        return result

    def _change(self, result: Result, now: float, changes: Changes) -> None:
        claims, stays = self._claims, self._stays
        # What enters and leaves again in one instant changes nothing.
        real = np.where(changes.enter, claims.inside(changes.row), claims.stay[changes.row] >= 0)
        changes = changes if real.all() else changes.some(real)
        ends, begins, rest = self._plain(changes)
        ending = stays.claim[:0] if not len(ends) else claims.stay[ends.row]
        stays.end(ending)
        zone = claims.zone[begins.row]
        beginning = stays.begin(self._devices.shopper[claims.device[begins.row]], zone, begins.row)
        closing = Turn(ending, ends.row, ends.cause, ends.enter)
        opening = Turn(beginning, begins.row, begins.cause, begins.enter)
        over: list[int] = ending.tolist()
        settling = self._settling
        if len(rest) or settling.pending:
            settling.settle(now, rest)
            closing, opening = closing.and_(settling.closing), opening.and_(settling.opening)
            over += settling.over
        self._close(result, now, closing)
        self._open(result, now, opening)
        stays.give(np.array(over, dtype=np.int32))

    def _plain(self, changes: Changes) -> tuple[Changes, Changes, Changes]:
        """Exits and enters of shoppers with one claim and one zone before and after; and all other changes."""
        claims, stays, row = self._claims, self._stays, changes.row
        shopper = self._devices.shopper[claims.device[row]]
        order = np.lexsort((changes.enter, shopper))
        ranked = shopper[order]
        starts = np.flatnonzero(np.diff(ranked, prepend=-1))
        counts = np.diff(starts, append=len(row))
        first, last = order[starts], order[starts + counts - 1]  # an exit, if there is one; an enter, if there is one
        stay = self._shoppers.stay[ranked[starts]]
        only = np.zeros(len(starts), dtype=np.bool_)
        held = np.flatnonzero((stay >= 0) & ~changes.enter[first])
        one = row[first[held]]
        only[held] = (stays.next[stay[held]] < 0) & (stays.claim[stay[held]] == one) & (claims.also[one] < 0)
        alone = (counts == 1) & (only | (changes.enter[first] & (stay < 0)))
        moved = (counts == 2) & only & changes.enter[last] & (claims.zone[row[first]] != claims.zone[row[last]])
        plain = alone | moved
        rest = np.ones(len(row), dtype=np.bool_)
        rest[first[plain]] = rest[last[moved]] = False
        ends, begins = first[plain & only], last[plain & changes.enter[last]]
        return changes.some(ends), changes.some(begins), changes.some(rest)

    def _cross(self, result: Result, now: float, crossings: Iterable[Crossing]) -> None:
        """Not for a shopper who is in the zone by another device."""
        stays = self._stays
        for device, zone, within, observed, p in crossings:
            row = stays.find(int(self._devices.shopper[device]), zone)
            if row >= 0 and stays.open[row]:
                continue
            shopper, name = self._shoppers.names[self._devices.shopper[device]], self._catalogue.name(zone)
            visit = visit_id(*name, shopper, within)
            result.transitions.append(
                Transition(
                    id=child_id(visit, "cross", ""),
                    kind="cross",
                    cause="confirmed",
                    site=name[0],
                    zone=name[1],
                    shopper=shopper,
                    device=self._devices.names[device],
                    visit=visit,
                    at=now,
                    observed=observed,
                    started=within,
                    confidence=p,
                )
            )

    # -- opening and closing ----------------------------------------------------------------------------------------

    def _open(self, result: Result, now: float, turn: Turn) -> None:
        rows, claim = turn.stay, turn.claim
        if not len(rows):
            return
        claims, stays = self._claims, self._stays
        support = claims.support[claim]
        stays.open[rows], stays.device[rows] = True, claims.device[claim]
        stays.started[rows] = np.where(turn.fresh, claims.since[claim], now)
        stays.last_seen[rows], stays.confidence[rows] = support, claims.p[claim]
        stays.initial[rows], stays.jumped[rows] = claims.initial[claim] & turn.fresh, claims.jumped[claim]
        visits = self._visits(rows)
        self._tell(result, "enter", turn.cause, rows, visits, now, support)
        result.visits += visits
        self._dwells.begin(rows, now)

    def _close(self, result: Result, now: float, turn: Turn) -> None:
        rows, claim = turn.stay, turn.claim
        if not len(rows):
            return
        claims, stays = self._claims, self._stays
        last_seen = np.fmax(stays.last_seen[rows], claims.support[claim])
        stays.last_seen[rows], stays.device[rows] = last_seen, claims.device[claim]
        stays.jumped[rows], stays.confidence[rows] = claims.jumped[claim], claims.p[claim]
        silent = BY_SILENCE[turn.cause]
        observed = np.where(silent, last_seen, np.where(BY_EVIDENCE[turn.cause], claims.heard[claim], now))
        visits = self._visits(rows, np.where(silent, last_seen, now).tolist(), turn.cause)
        self._tell(result, "exit", turn.cause, rows, visits, now, observed)
        result.visits += visits
        self._dwells.end(rows, now)
        stays.open[rows] = False

    def _tell(
        self,
        result: Result,
        kind: TransitionKind,
        cause: Bytes,
        rows: Ints,
        visits: Sequence[Visit],
        at: float,
        observed: Floats,
    ) -> None:
        jumped = self._stays.jumped[rows].tolist()
        for visit, number, seen, jump in zip(visits, cause.tolist(), observed.tolist(), jumped, strict=True):
            result.transitions.append(
                Transition(
                    id=child_id(visit.id, kind, ""),
                    kind=kind,
                    cause=CAUSES[number],
                    site=visit.site,
                    zone=visit.zone,
                    shopper=visit.shopper,
                    device=visit.device,
                    visit=visit.id,
                    at=at,
                    observed=seen,
                    started=visit.started,
                    confidence=visit.confidence,
                    initial=visit.initial,
                    jumped=jump,
                )
            )

    def _tell_dwell(self, result: Result, dwell: Dwell) -> None:
        (visit,), threshold = self._visits(np.array([dwell.stay], dtype=np.int32)), dwell.threshold
        result.transitions.append(
            Transition(
                id=child_id(visit.id, "dwell", *(threshold if threshold.forgive else threshold[:1])),
                kind="dwell",
                cause="threshold",
                site=visit.site,
                zone=visit.zone,
                shopper=visit.shopper,
                device=visit.device,
                visit=visit.id,
                at=dwell.at,
                observed=dwell.at,
                started=visit.started,
                confidence=visit.confidence,
                dwell=threshold.seconds,
                forgive=threshold.forgive,
                initial=visit.initial,
                jumped=bool(self._stays.jumped[dwell.stay]),
            )
        )

    def _visits(self, rows: Ints, ended: Sequence[float] | None = None, causes: Bytes | None = None) -> list[Visit]:
        """Stays as visits: open, or ended then, each by its cause."""
        stays, shoppers, devices = self._stays, self._shoppers.names, self._devices.names
        zones = stays.zone[rows].tolist()
        names = {zone: self._catalogue.name(zone) for zone in set(zones)}
        columns = (stays.shopper, stays.device, stays.started, stays.last_seen, stays.confidence, stays.initial)
        found: list[Visit] = []
        for zone, shopper, device, started, last_seen, confidence, initial in zip(
            zones, *(column[rows].tolist() for column in columns), strict=True
        ):
            site, name = names[zone]
            owner = shoppers[shopper]
            found.append(
                Visit(
                    visit_id(site, name, owner, started),
                    owner,
                    devices[device],
                    site,
                    name,
                    started,
                    last_seen,
                    confidence,
                    None if ended is None else ended[len(found)],
                    None if causes is None else CAUSES[causes[len(found)]],
                    initial,
                )
            )
        return found

    # -- timers and state -------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Event time of the next timer; inf: none."""
        return min(self._settling.next_due(), self._dwells.next_due())

    def set_thresholds(self, thresholds: Thresholds, now: float) -> None:
        """Dwells to tell by (site, zone). For open visits only what is due after `now` is added."""
        self._dwells.set_thresholds(thresholds, now)

    def sweep(self, now: float) -> None:
        """Forget counts that nobody can come back to any more."""
        self._dwells.sweep(now)

    def forget(self, shoppers: Iterable[int]) -> None:
        """Nothing is counted for these shoppers any more; their visits have ended."""
        self._dwells.forget(shoppers)

    def visits(self, shopper: int | None = None) -> list[Visit]:
        """Every open visit, or those of one shopper."""
        stays = self._stays
        rows = stays.rows() if shopper is None else np.array(stays.of(shopper), dtype=np.int32)
        return self._visits(rows[stays.open[rows]])

    def zones_of(self, shopper: int) -> list[int]:
        """Zones with an open visit."""
        stays = self._stays
        return sorted(stays.zone.item(row) for row in stays.of(shopper) if stays.open[row])

    def state(self) -> dict[str, Any]:
        """For a checkpoint. What is due follows from the thresholds."""
        return {
            "stays": self._stays.state(),
            "contests": self._settling.state(),
            "chains": self._dwells.state(),
        }

    def restore(self, state: Mapping[str, Any], now: float) -> None:
        """The reverse of `state`, after shoppers and claims were restored."""
        self._stays.restore(state["stays"])
        self._settling.restore(state["contests"])
        self._dwells.restore(state["chains"], now)


def visit_id(site: str, zone: str, shopper: str, started: float) -> str:
    """The id of the visit that began at `started`."""
    return dated_id(round(started * 1000) / 1000, site, zone, shopper)
