"""Shoppers' visits: claims of all their devices in, transitions and visits out. Works on the few rows that changed.

A visit is open while a claim of any of the shopper's devices, of either kind of evidence, backs its zone. Zones that
exclude one another cannot both be open: the more probable one is, and another takes over only when it has been more
probable for the site's leave_after.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proximity.model import DwellThreshold, Transition, TransitionKind, Visit, derive_id
from proximity.presence.catalogue import Catalogue
from proximity.presence.people import Devices, Shoppers
from proximity.presence.visits import Change, Claims

Thresholds = Mapping[tuple[str, str], frozenset[DwellThreshold]]
Key = tuple[int, int]  # shopper row, zone number
Count = tuple[int, int, DwellThreshold]  # shopper row, zone number, what is counted up to
Crossing = tuple[int, int, float, float, float]  # device, zone, event time within, of the fix, probability

ORDER = {"exit": 0, "enter": 1, "cross": 2, "dwell": 3}  # within one instant
KEEP = 600.0  # s beyond what a threshold forgives for which a count is kept: an enter is told after it began


class Stay(msgspec.Struct, gc=False):
    """An open visit."""

    id: str
    device: str
    started: float
    last_seen: float
    confidence: float
    initial: bool
    jumped: bool


class Due(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """A dwell to come."""

    at: float
    visit: str
    threshold: DwellThreshold
    shopper: int
    zone: int


class Chain(msgspec.Struct):
    """A dwell that forgives: it goes on counting over stays with short times away between them, and is told once."""

    started: float  # of the first stay
    left: float | None = None  # event time of the exit; None: inside
    told: bool = False


@dataclass(slots=True)
class Result:
    """What became of it."""

    transitions: list[Transition] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)


class Ledger:
    """All open visits."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers, claims: Claims) -> None:
        self._catalogue, self._claims, self._devices, self._shoppers = catalogue, claims, devices, shoppers
        self.open: dict[Key, Stay] = {}
        # Tuples: a visit is mostly backed by one claim, and a set of one takes four times the memory.
        self._backing: dict[Key, tuple[int, ...]] = {}  # rows of claims that are inside
        self._zones: dict[int, tuple[int, ...]] = {}  # shopper -> zones that are backed
        self._contests: dict[int, float | None] = {}  # shopper -> since when a zone that is not open is more probable
        self._thresholds: Thresholds = {}
        self._dwells: list[Due] = []
        self._chains: dict[Count, Chain] = {}

    # -- changes --------------------------------------------------------------------------------------------------

    def apply(self, now: float, changes: Sequence[Change], crossings: Iterable[Crossing] = ()) -> Result:
        """Everything that happens in the instant `now`: exits, then enters, ways through, and dwells."""
        result = Result()
        ends: dict[Key, Change] = {}
        touched = dict.fromkeys(self._contests)
        for change, key in self._in_order(changes):
            touched[key[0]] = None
            if change.kind == "enter":
                self._back(key, change.row)
            elif self._unback(key, change.row):
                ends[key] = change
        for key, change in ends.items():
            if key in self.open and key not in self._backing:
                self._close(result, now, key, change)
        causes = {change.row: change.cause for change in changes if change.kind == "enter"}
        for shopper in touched:
            self._settle(result, now, shopper, causes)
        self._cross(result, now, crossings)
        self._dwell(result, now)
        result.transitions.sort(key=lambda one: (ORDER[one.kind], one.shopper, one.site, one.zone, one.at, one.id))
        return result

    def _cross(self, result: Result, now: float, crossings: Iterable[Crossing]) -> None:
        """Not for a shopper who is in the zone by another device."""
        for device, zone, within, observed, p in crossings:
            key = (int(self._devices.shopper[device]), zone)
            if key not in self.open:
                stay = Stay(self._visit_id(key, within), self._devices.names[device], within, within, p, False, False)
                result.transitions.append(self._transition("cross", "confirmed", key, stay, now, observed))

    def _in_order(self, changes: Sequence[Change]) -> list[tuple[Change, Key]]:
        """Exits first, then by the name of the device and the kind of evidence; with the visit that each is about."""
        rows = [change.row for change in changes]
        claims, names = self._claims, self._devices.names
        device, source, zone = claims.device[rows], claims.source[rows].tolist(), claims.zone[rows].tolist()
        keys = list(zip(self._devices.shopper[device].tolist(), zone, strict=True))
        kind = [ORDER[change.kind] for change in changes]
        ranks = list(zip(kind, [names[row] for row in device.tolist()], source, strict=True))
        return [(changes[i], keys[i]) for i in sorted(range(len(changes)), key=ranks.__getitem__)]

    def _key(self, row: int) -> Key:
        device = self._claims.device[row]
        return int(self._devices.shopper[device]), int(self._claims.zone[row])

    def _back(self, key: Key, row: int) -> None:
        shopper, zone = key
        rows, zones = self._backing.get(key, ()), self._zones.get(shopper, ())
        if row not in rows:
            self._backing[key] = (*rows, row)
        if zone not in zones:
            self._zones[shopper] = (*zones, zone)

    def _unback(self, key: Key, row: int) -> bool:
        """True when nothing backs the zone any more."""
        rows = tuple([one for one in self._backing.pop(key, ()) if one != row])
        stay = self.open.get(key)
        if stay is not None:
            self._see(stay, row)
        if rows:
            self._backing[key] = rows
            return False
        shopper, gone = key
        zones = tuple([zone for zone in self._zones.pop(shopper, ()) if zone != gone])
        if zones:
            self._zones[shopper] = zones
        return True

    def _see(self, stay: Stay, row: int) -> None:
        stay.last_seen = max(stay.last_seen, self._claims.support.item(row))

    # -- who is where, when several devices say several things --------------------------------------------------------

    def _settle(self, result: Result, now: float, shopper: int, causes: Mapping[int, str]) -> None:
        """Open what is backed and excluded by nothing that is open, or has been more probable for long enough."""
        ranked = list(self._zones.get(shopper, ()))
        if len(ranked) > 1:
            ranked.sort(key=lambda zone: (-self._confidence((shopper, zone)), self._catalogue.name(zone)))
        kept = [zone for zone in ranked if (shopper, zone) in self.open]
        since, leading, shut = self._contests.pop(shopper, None), False, False
        for zone in [zone for zone in ranked if zone not in kept]:
            rivals = [other for other in kept if self._catalogue.exclusive(zone, other)]
            if rivals:
                shut = True
                if self._confidence((shopper, zone)) <= max(self._confidence((shopper, other)) for other in rivals):
                    continue
                leading = True
                since = now if since is None else since
                if now - since < self._catalogue.leave_after[zone]:
                    continue
                since = None
            for other in rivals:
                self._close(result, now, (shopper, other), Change(self._best((shopper, other)), "exit", "moved"))
                kept.remove(other)
            kept.append(zone)
            self._open(result, now, (shopper, zone), causes)
        if shut:
            self._contests[shopper] = since if leading else None

    def _confidence(self, key: Key) -> float:
        return max(map(self._claims.p.item, self._backing[key]))

    def _best(self, key: Key) -> int:
        """The row that backs a zone best; of equals, that of the first device by name."""
        claims, names, rows = self._claims, self._devices.names, self._backing[key]
        if len(rows) == 1:
            return rows[0]
        return min(rows, key=lambda row: (-claims.p[row], names[claims.device[row]], claims.source[row]))

    # -- opening and closing ----------------------------------------------------------------------------------------

    def _open(self, result: Result, now: float, key: Key, causes: Mapping[int, str]) -> None:
        row, claims = self._best(key), self._claims
        fresh = row in causes
        started = claims.since.item(row) if fresh else now
        support = claims.support.item(row)
        stay = Stay(
            id=self._visit_id(key, started),
            device=self._devices.names[claims.device.item(row)],
            started=started,
            last_seen=support,
            confidence=claims.p.item(row),
            initial=claims.initial.item(row) and fresh,
            jumped=claims.jumped.item(row),
        )
        self.open[key] = stay
        cause = causes.get(row, "confirmed")
        result.transitions.append(self._transition("enter", cause, key, stay, now, support))
        result.visits.append(self._visit(key, stay))
        for threshold in self._thresholds.get(self._catalogue.name(key[1]), ()):
            first = self._resume(key, stay, threshold)
            if first is not None:  # what fell due while the shopper was away is told now
                due = first + threshold.seconds
                heapq.heappush(self._dwells, Due(due if first == started else max(due, now), stay.id, threshold, *key))

    def _close(self, result: Result, now: float, key: Key, change: Change) -> None:
        stay, row, claims = self.open.pop(key), change.row, self._claims
        self._see(stay, row)
        stay.device = self._devices.names[claims.device.item(row)]
        silent = change.cause in ("silence", "gateway_down")
        seen = change.cause in ("left", "moved")
        observed = stay.last_seen if silent else claims.heard.item(row) if seen else now
        stay.jumped, stay.confidence = claims.jumped.item(row), claims.p.item(row)
        for threshold in self._thresholds.get(self._catalogue.name(key[1]), ()):
            chain = self._chains.get((*key, threshold))
            if chain is not None:
                chain.left = now
        result.transitions.append(self._transition("exit", change.cause, key, stay, now, observed))
        result.visits.append(self._visit(key, stay, stay.last_seen if silent else now, change.cause))

    def _dwell(self, result: Result, now: float) -> None:
        while self._dwells and self._dwells[0].at <= now:
            due = heapq.heappop(self._dwells)
            key = (due.shopper, due.zone)
            stay = self.open.get(key)
            if stay is not None and stay.id == due.visit:
                if (*key, due.threshold) in self._chains:
                    self._chains[*key, due.threshold].told = True
                result.transitions.append(
                    self._transition("dwell", "threshold", key, stay, due.at, due.at, due.threshold)
                )

    def _resume(self, key: Key, stay: Stay, threshold: DwellThreshold) -> float | None:
        """Event time from which a threshold counts in this stay; None: it was told already."""
        if threshold.forgive <= 0.0:
            return stay.started
        chain = self._chains.get((*key, threshold))
        if chain is None or (chain.left is not None and stay.started > chain.left + threshold.forgive):
            chain = self._chains[*key, threshold] = Chain(stay.started)
        chain.left = None
        return None if chain.told else chain.started

    def _visit_id(self, key: Key, started: float) -> str:
        site, zone = self._catalogue.name(key[1])
        return derive_id(site, zone, self._shoppers.names[key[0]], round(started * 1000))

    def _transition(
        self,
        kind: TransitionKind,
        cause: str,
        key: Key,
        stay: Stay,
        at: float,
        observed: float,
        dwell: DwellThreshold | None = None,
    ) -> Transition:
        site, zone = self._catalogue.name(key[1])
        return Transition(
            id=derive_id(stay.id, kind, *(("",) if dwell is None else dwell if dwell.forgive else dwell[:1])),
            kind=kind,
            cause=cause,
            site=site,
            zone=zone,
            shopper=self._shoppers.names[key[0]],
            device=stay.device,
            visit=stay.id,
            at=at,
            observed=observed,
            started=stay.started,
            confidence=stay.confidence,
            dwell=None if dwell is None else dwell.seconds,
            forgive=0.0 if dwell is None else dwell.forgive,
            initial=stay.initial,
            jumped=stay.jumped,
        )

    def _visit(self, key: Key, stay: Stay, ended: float | None = None, cause: str | None = None) -> Visit:
        site, zone = self._catalogue.name(key[1])
        return Visit(
            id=stay.id,
            shopper=self._shoppers.names[key[0]],
            device=stay.device,
            site=site,
            zone=zone,
            started=stay.started,
            last_seen=stay.last_seen,
            confidence=stay.confidence,
            ended=ended,
            cause=cause,
            initial=stay.initial,
        )

    # -- timers and state -------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Event time of the next timer; inf: none."""
        contests = [
            since + max(self._catalogue.leave_after[zone] for zone in self._zones[shopper])
            for shopper, since in self._contests.items()
            if since is not None
        ]
        return min([*contests, *(due.at for due in self._dwells[:1])], default=float("inf"))

    def set_thresholds(self, thresholds: Thresholds, now: float) -> None:
        """Dwells to tell by (site, zone). For open visits only what is due after `now` is added."""
        self._thresholds, self._dwells = thresholds, []
        for shopper, zone, threshold in list(self._chains):
            if threshold not in thresholds.get(self._catalogue.name(zone), ()):
                del self._chains[shopper, zone, threshold]
        for key, stay in self.open.items():
            for threshold in thresholds.get(self._catalogue.name(key[1]), ()):
                first = self._resume(key, stay, threshold)
                if first is None:
                    continue
                if first + threshold.seconds > now:
                    self._dwells.append(Due(first + threshold.seconds, stay.id, threshold, *key))
                elif threshold.forgive:
                    self._chains[*key, threshold].told = True  # past: not to be told after a short time away either
        heapq.heapify(self._dwells)

    def sweep(self, now: float) -> None:
        """Forget counts that nobody can come back to any more."""
        gone = [
            count
            for count, chain in self._chains.items()
            if chain.left is not None and now > chain.left + count[2].forgive + KEEP
        ]
        self._drop(gone)

    def forget(self, shoppers: Iterable[int]) -> None:
        """Nothing is counted for these shoppers any more; their visits have ended."""
        rows = set(shoppers)
        self._drop([count for count in self._chains if count[0] in rows])

    def _drop(self, counts: Iterable[Count]) -> None:
        for count in counts:
            del self._chains[count]

    def refresh(self, now: float) -> None:
        """Zones came or went."""
        self.set_thresholds(self._thresholds, now)

    def visits(self) -> list[Visit]:
        """Every open visit."""
        return [self._visit(key, stay) for key, stay in self.open.items()]

    def zones_of(self, shopper: int) -> list[int]:
        """Zones with an open visit."""
        return sorted(zone for zone in self._zones.get(shopper, ()) if (shopper, zone) in self.open)

    def state(self) -> dict[str, Any]:
        """For a checkpoint. What backs a visit follows from the claims, and what is due from the thresholds."""
        return {
            "open": msgspec.msgpack.encode([list(self.open), list(self.open.values())]),
            "contests": list(self._contests.items()),
            "chains": [(*count, chain.started, chain.left, chain.told) for count, chain in self._chains.items()],
        }

    def restore(self, state: Mapping[str, Any], now: float) -> None:
        """The reverse of `state`, after the claims were restored."""
        keys, stays = msgspec.msgpack.decode(state["open"], type=tuple[list[Key], list[Stay]])
        self.open = dict(zip(keys, stays, strict=True))
        self._contests = dict(map(tuple, state["contests"]))
        self._chains = {
            (shopper, zone, DwellThreshold(*threshold)): Chain(*chain)
            for shopper, zone, threshold, *chain in state["chains"]
        }
        self._backing, self._zones = {}, {}
        rows = self._claims.rows()
        for row in rows[self._claims.inside(rows)].tolist():
            self._back(self._key(row), row)
        self.set_thresholds(self._thresholds, now)
