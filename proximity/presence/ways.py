"""What is kept of phones on their way: their last fixes, and what was told of them."""

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.closing import SPACING
from proximity.presence.fixes import UNKNOWN, Believed
from proximity.presence.state import Column, Table

KEPT = 10  # fixes of a phone, SPACING apart at least
FORGET = 1800.0  # s without a fix after which a phone is on a new way


def told_accuracy(fix: Believed) -> Floats:
    """Metres, unknown ones replaced."""
    return np.where(np.isnan(fix.accuracy), UNKNOWN, fix.accuracy)


class Tracks(Table):
    """The last fixes of phones, newest first; NaN: none."""

    device: Ints
    at: Floats  # (n, KEPT) s
    x: Floats  # Earth-centred metres
    y: Floats
    z: Floats
    accuracy: Floats  # m, unknown ones replaced

    def __init__(self) -> None:
        unknown = Column("f8", np.nan, KEPT)
        super().__init__(
            {"device": Column("i4", -1), **dict.fromkeys(("at", "x", "y", "z", "accuracy"), unknown)},
        )

    def push(self, rows: Ints, fix: Believed) -> None:
        """One more fix each. One that follows sooner than SPACING takes the place of the last."""
        old = fix.jumped | ~(fix.at - self.at[rows, 0] <= FORGET)
        self._begin(rows[old])
        keep = self.at[rows, 0] - self.at[rows, 1] < SPACING
        new = zip(
            (self.at, self.x, self.y, self.z, self.accuracy), (fix.at, *fix.place.T, told_accuracy(fix)), strict=True
        )
        for column, value in new:
            past = column[rows]
            past[~keep, 1:] = past[~keep, :-1]
            past[:, 0] = value
            column[rows] = past

    def places(self, rows: Ints) -> Floats:
        """(n, KEPT, 3) Earth-centred."""
        return np.stack([self.x[rows], self.y[rows], self.z[rows]], axis=2)

    def _begin(self, rows: Ints) -> None:
        for column in (self.at, self.x, self.y, self.z, self.accuracy):
            column[rows] = np.nan


class Told(Table):
    """Thresholds that were told and may not be told again yet."""

    shopper: Ints
    device: Ints  # the one that met it
    threshold: Ints
    limit: Floats  # m beyond which it may be told again
    seen: Floats  # last fix of the device
    began: Floats  # event time of the first threshold told on this way

    def __init__(self) -> None:
        number, value = Column("i4", -1), Column("f8", np.nan)
        super().__init__(
            {
                **dict.fromkeys(("shopper", "device", "threshold"), number),
                **dict.fromkeys(("limit", "seen", "began"), value),
            }
        )
