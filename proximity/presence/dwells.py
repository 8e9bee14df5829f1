"""Dwells: what every visit counts up to, and what a time away does not end."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from proximity.model import DwellThreshold
from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.state import Column, Table
from proximity.presence.stays import Stays

Thresholds = Mapping[tuple[str, str], frozenset[DwellThreshold]]
Count = tuple[int, int, DwellThreshold]  # shopper row, zone number, what is counted up to

KEEP = 600.0  # s beyond what a threshold forgives for which a count is kept: an enter is told after it began


class Dwell(NamedTuple):
    """One that is due."""

    stay: int
    at: float
    threshold: DwellThreshold


class Chain(msgspec.Struct):
    """A dwell that forgives: it goes on counting over stays with short times away between them, and is told once."""

    started: float  # of the first stay
    left: float | None = None  # event time of the exit; None: inside
    told: bool = False


class Dues(Table):
    """Dwells to come. Those whose visit has ended since are dropped when they are due."""

    at: Floats
    shopper: Ints
    zone: Ints
    started: Floats  # of the visit: with shopper and zone it says which one
    threshold: Ints  # number of the threshold

    def __init__(self) -> None:
        super().__init__(
            {
                "at": Column("f8", np.inf),
                "shopper": Column("i4", -1),
                "zone": Column("i4", -1),
                "started": Column("f8", np.nan),
                "threshold": Column("i4", -1),
            }
        )


class Dwells:
    """Of all open visits."""

    def __init__(self, catalogue: Catalogue, stays: Stays) -> None:
        self._catalogue, self._stays = catalogue, stays
        self._thresholds: Thresholds = {}
        self._numbers: dict[DwellThreshold, int] = {}
        self._names: list[DwellThreshold] = []
        self._dues, self._next = Dues(), float("inf")
        self._chains: dict[Count, Chain] = {}

    def begin(self, rows: Ints, now: float) -> None:
        """Stays that became visits."""
        if not self._thresholds:
            return
        stays = self._stays
        for some, threshold in self._by_threshold(rows):
            started = stays.started[some]
            if threshold.forgive <= 0.0:
                self._add(started + threshold.seconds, some, threshold)
                continue
            firsts = [self._resume(row, threshold) for row in some.tolist()]
            going = [i for i, first in enumerate(firsts) if first is not None]
            first = np.array([firsts[i] for i in going], dtype=np.float64)
            due = first + threshold.seconds
            # What fell due while the shopper was away is told now.
            self._add(np.where(first == started[going], due, np.maximum(due, now)), some[going], threshold)

    def end(self, rows: Ints, now: float) -> None:
        """Visits that ended."""
        if not self._chains:
            return
        stays = self._stays
        for row in rows.tolist():
            shopper, zone = stays.shopper.item(row), stays.zone.item(row)
            for threshold in self._of(zone):
                chain = self._chains.get((shopper, zone, threshold))
                if chain is not None:
                    chain.left = now

    def pop(self, now: float) -> Sequence[Dwell]:
        """Those that are due."""
        if self._next > now:
            return ()
        dues, stays = self._dues, self._stays
        rows = np.flatnonzero(dues.at <= now).astype(np.int32)
        found = []
        for row in rows.tolist():
            shopper, zone = dues.shopper.item(row), dues.zone.item(row)
            stay, threshold = stays.find(shopper, zone), self._names[dues.threshold.item(row)]
            if stay >= 0 and stays.open[stay] and stays.started[stay] == dues.started[row]:
                chain = self._chains.get((shopper, zone, threshold))
                if chain is not None:
                    chain.told = True
                found.append(Dwell(stay, dues.at.item(row), threshold))
        dues.give(rows)
        self._next = float(dues.at.min(initial=np.inf))
        return found

    def next_due(self) -> float:
        """Event time of the next one; inf: none."""
        return self._next

    def set_thresholds(self, thresholds: Thresholds, now: float) -> None:
        """What to count up to, by (site, zone). For open visits only what is due after `now` is added."""
        self._thresholds = thresholds
        self._numbers, self._names = {}, []
        self._dues, self._next = Dues(), float("inf")
        for shopper, zone, threshold in list(self._chains):
            if threshold not in self._of(zone):
                del self._chains[shopper, zone, threshold]
        stays = self._stays
        if not thresholds:
            return
        for rows, threshold in self._by_threshold(np.flatnonzero(stays.open).astype(np.int32)):
            if threshold.forgive <= 0.0:
                due = stays.started[rows] + threshold.seconds
                self._add(due[due > now], rows[due > now], threshold)
            else:
                self._count_on(rows, threshold, now)

    def _count_on(self, rows: Ints, threshold: DwellThreshold, now: float) -> None:
        """A threshold that forgives, for visits that are open already."""
        stays = self._stays
        for i, row in enumerate(rows.tolist()):
            first = self._resume(row, threshold)
            if first is None:
                continue
            if first + threshold.seconds > now:
                self._add(np.array([first + threshold.seconds]), rows[i : i + 1], threshold)
            else:  # past: not to be told after a short time away either
                self._chains[stays.shopper.item(row), stays.zone.item(row), threshold].told = True

    def _of(self, zone: int) -> frozenset[DwellThreshold]:
        return self._thresholds.get(self._catalogue.name(zone), frozenset())

    def _by_threshold(self, rows: Ints) -> Iterable[tuple[Ints, DwellThreshold]]:
        """Stays with each threshold of their zones."""
        zone = self._stays.zone[rows]
        order = np.argsort(zone, kind="stable")
        numbers, starts = np.unique(zone[order], return_index=True)
        for number, some in zip(numbers.tolist(), np.split(rows[order], starts[1:]), strict=False):
            for threshold in self._of(number):
                yield some, threshold

    def _add(self, at: Floats, stays: Ints, threshold: DwellThreshold) -> None:
        if not len(stays):
            return
        number = self._numbers.setdefault(threshold, len(self._names))
        if number == len(self._names):
            self._names.append(threshold)
        rows = self._dues.take(len(stays))
        dues, table = self._dues, self._stays
        dues.at[rows], dues.threshold[rows] = at, number
        dues.shopper[rows], dues.zone[rows] = table.shopper[stays], table.zone[stays]
        dues.started[rows] = table.started[stays]
        self._next = min(self._next, float(at.min()))

    def _resume(self, stay: int, threshold: DwellThreshold) -> float | None:
        """Event time from which a threshold that forgives counts in this stay; None: it was told already."""
        stays = self._stays
        started, count = stays.started.item(stay), (stays.shopper.item(stay), stays.zone.item(stay), threshold)
        chain = self._chains.get(count)
        if chain is None or (chain.left is not None and started > chain.left + threshold.forgive):
            chain = self._chains[count] = Chain(started)
        chain.left = None
        return None if chain.told else chain.started

    # -- forgetting and state -----------------------------------------------------------------------------------------

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
        if rows:
            self._drop([count for count in self._chains if count[0] in rows])
            dues = self._dues.rows()
            self._dues.give(dues[np.isin(self._dues.shopper[dues], list(rows))])

    def _drop(self, counts: Iterable[Count]) -> None:
        for count in counts:
            del self._chains[count]

    def state(self) -> list[tuple[Any, ...]]:
        """The counts that forgive; what is due follows from the thresholds."""
        return [(*count, chain.started, chain.left, chain.told) for count, chain in self._chains.items()]

    def restore(self, state: Iterable[Any], now: float) -> None:
        """The reverse of `state`, after the stays were restored."""
        self._chains = {
            (shopper, zone, DwellThreshold(*threshold)): Chain(*chain) for shopper, zone, threshold, *chain in state
        }
        self.set_thresholds(self._thresholds, now)
