"""Devices and shoppers that presence has seen, by row."""

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.state import Bools, Column, Longs, Named, Singles

GAP_SHARE = 0.25  # of a new interval between fixes in the usual one


class Devices(Named):
    """One row a device."""

    shopper: Ints
    seen: Floats  # last observation of any kind
    site: Ints  # where a radio heard it last: site number and slot; -1: nowhere
    slot: Ints
    fix_at: Floats  # its last place that is believed; NaN: none
    lat: Floats
    lon: Floats
    accuracy: Floats
    held_at: Floats  # a place that no plausible movement leads to; NaN: none
    held_lat: Floats
    held_lon: Floats
    held_accuracy: Floats
    gap: Singles  # usual s between fixes; NaN: not known yet
    left_at: Floats  # when the phone said last that it left one of its regions

    def __init__(self) -> None:
        unknown = Column("f8", np.nan)
        super().__init__(
            {
                "shopper": Column("i4", -1),
                "seen": Column("f8", -np.inf),
                "site": Column("i4", -1),
                "slot": Column("i4", -1),
                **dict.fromkeys(("fix_at", "lat", "lon", "accuracy"), unknown),
                **dict.fromkeys(("held_at", "held_lat", "held_lon", "held_accuracy"), unknown),
                "gap": Column("f4", np.nan),
                "left_at": Column("f8", -np.inf),
            }
        )

    def place(self, rows: Ints, at: Floats, lat: Floats, lon: Floats, accuracy: Floats) -> None:
        """Believe these places, and hold none."""
        gap, usual = at - self.fix_at[rows], self.gap[rows]
        learnt = np.where(np.isnan(usual), gap, usual + GAP_SHARE * (gap - usual))
        self.gap[rows] = np.where(np.isnan(gap), usual, learnt)
        self.fix_at[rows], self.lat[rows], self.lon[rows], self.accuracy[rows] = at, lat, lon, accuracy
        self.hold(rows, *(np.full(len(rows), np.nan) for _ in range(4)))

    def hold(self, rows: Ints, at: Floats, lat: Floats, lon: Floats, accuracy: Floats) -> None:
        """Keep these places until the next ones tell."""
        self.held_at[rows], self.held_lat[rows], self.held_lon[rows] = at, lat, lon
        self.held_accuracy[rows] = accuracy

    def of(self, shopper: int) -> Ints:
        """The rows of a shopper."""
        return np.flatnonzero(self.used & (self.shopper == shopper)).astype(np.int32)


class Shoppers(Named):
    """One row a shopper."""

    first: Longs  # number of the tick of the first observation; -1: none yet

    def __init__(self) -> None:
        super().__init__({"first": Column("i8", -1)})

    def see(self, rows: Ints, tick: int) -> None:
        """Observed in `tick`."""
        new = rows[self.first[rows] < 0]
        self.first[new] = tick

    def is_new(self, rows: Ints, tick: int) -> Bools:
        """Whether `tick` is that of the first observation."""
        return np.asarray(self.first[rows] == tick, dtype=np.bool_)
