"""Which zone a device is in, when it can be in one of several: the likeliest takes over once it has led for long.

A sequential test (Wald, Sequential Analysis, 1947; Page, Biometrika 41, 1954, for changes): the lead of a zone over
what it has to beat is gathered over time, and falls back to nothing where it is behind. What it has to beat is the
probability of the zone that the device is in, or of being in none of the zones that exclude one another.
"""

import math

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.locator import Probabilities
from proximity.presence.state import Bools, Bytes, Longs
from proximity.presence.visits import Event

CLEAR = math.log(20.0)  # odds of 20 to 1 are a clear lead, which counts second by second; smaller ones count for less
LEAVE = 2.0  # odds of being nowhere that speak for an exit
TINY = 1e-6  # probabilities below tell nothing of one another
SAMPLE = 1.0  # s that a reading stands for at most, however long nothing was heard before it
ROUNDING = 1e-3  # s; times are milliseconds on the wire
SPAN = 0.5  # of enter_after that evidence itself must span; the rest of it may pass without any


class Rivals:
    """Which of Z zones exclude one another."""

    def __init__(self, nesting: Floats) -> None:
        """`nesting` (Z, Z): 1 where the row's zone lies within the column's or is the same."""
        within = nesting > 0
        self._within = nesting
        self._excluded: Bools = ~(within | within.T)
        holds = within & ~np.eye(len(nesting), dtype=np.bool_)
        self._outer = np.vstack([holds.T, np.ones((1, len(nesting)), dtype=np.bool_)]).astype(np.float64)
        self._any_nested = bool(holds.any())

    def nowhere(self, belief: Probabilities) -> Probabilities:
        """(n, Z) from (n, Z + 1): the probability of being neither in the zone nor in one that excludes it."""
        if not self._any_nested:
            return np.broadcast_to(belief[:, -1:], (len(belief), belief.shape[1] - 1))
        return belief @ self._outer

    def inside(self, belief: Probabilities) -> Probabilities:
        """(n, Z) from (n, Z + 1): the probability of being in the zone or in one that lies within it."""
        return belief[:, :-1] @ self._within if self._any_nested else belief[:, :-1]

    def to_beat(self, p: Probabilities, nowhere: Probabilities, which: Longs, column: Longs) -> Probabilities:
        """(n, Z) what each zone has to beat; the device of row `which[i]` is in zone `column[i]`, rows ascending."""
        if not len(which):
            return nowhere
        theirs, excluded = p[which, column][:, None], self._excluded.take(column, axis=0)
        first = np.empty(len(which), dtype=np.bool_)
        first[:1] = True
        np.not_equal(which[1:], which[:-1], out=first[1:])
        if not first.all():  # some are in several zones
            starts, held = np.flatnonzero(first), np.where(excluded, theirs, -1.0)
            which, theirs = which.take(starts), np.maximum.reduceat(held, starts, axis=0)
            excluded = theirs >= 0.0
        if len(which) == len(p):
            return np.where(excluded, theirs, nowhere)
        beat = nowhere.copy()
        beat[which] = np.where(excluded, theirs, nowhere.take(which, axis=0))
        return beat

    def favourite(self, p: Probabilities, nowhere: Probabilities, which: Ints | Longs, column: Ints | Longs) -> Bools:
        """Of each (row, zone): whether nothing that excludes the zone is likelier; of equals the first zone is."""
        ranked = p.take(which, axis=0) - 1e-9 * np.arange(p.shape[1])
        rows = np.arange(len(which))
        rivals = np.where(self._excluded.take(column, axis=0), ranked, -1.0)
        best = rivals[rows, rivals.argmax(axis=1)]
        return np.asarray((ranked[rows, column] > best) & (p[which, column] >= nowhere[which, column]), dtype=np.bool_)


def clearness(p: Probabilities, beat: Probabilities) -> Floats:
    """From -1 to 1: how clearly `p` leads what it has to beat, by the logarithm of the odds."""
    odds = np.log(np.maximum(p, TINY) / np.maximum(beat, TINY))
    return np.asarray(np.clip(odds / CLEAR, -1.0, 1.0), dtype=np.float64)


def ripe(lead: Floats, rate: Floats, at: Floats, enter_after: Floats) -> Floats:
    """Event time at which `lead` seconds, growing at `rate` from `at` on, come to enter_after; inf: not before more is
    heard."""
    rest = np.maximum(enter_after - lead - ROUNDING, 0.0) / np.maximum(rate, TINY)
    return np.where((rate > 0.0) & (lead >= SPAN * enter_after - ROUNDING), at + rest, np.inf)


def stay(p: Probabilities, nowhere: Probabilities) -> Bytes:
    """Evidence (Event) for a visit that goes on unless another zone takes over."""
    return np.select([p >= nowhere, p * LEAVE >= nowhere], [Event.LIKELY_IN, Event.UNSURE], Event.LIKELY_OUT).astype(
        np.int8
    )
