"""Devices and shoppers that presence has seen, by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.state import Bools, Column, Longs, Named, Singles, Table

GAP_SHARE = 0.25  # of a new interval between fixes in the usual one


class Places(Table):
    """What is known of devices by their fixes. Row 0 stays blank, for all devices that never sent any."""

    fix_at: Floats  # the last place that is believed; NaN: none
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
                **dict.fromkeys(("fix_at", "lat", "lon", "accuracy"), unknown),
                **dict.fromkeys(("held_at", "held_lat", "held_lon", "held_accuracy"), unknown),
                "gap": Column("f4", np.nan),
                "left_at": Column("f8", -np.inf),
            }
        )
        self.take(1)


class ByDevice:
    """A column of `Places`, read by device row."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, devices: "Devices", owner: type) -> "_Reader":
        return _Reader(getattr(devices.places, self._name), devices.fix)


class _Reader:
    def __init__(self, column: NDArray[Any], rows: Ints) -> None:
        self._column, self._rows = column, rows

    def __getitem__(self, devices: Any) -> Any:
        return self._column[self._rows[devices]]


class Devices(Named):
    """One row a device. Most never send a fix, so what fixes tell has a table of its own."""

    shopper: Ints
    seen: Floats  # last observation of any kind
    site: Ints  # where a radio heard it last: site number and slot; -1: nowhere
    slot: Ints
    fix: Ints  # row of `places`; 0: no fix yet

    fix_at, lat, lon, accuracy = ByDevice(), ByDevice(), ByDevice(), ByDevice()
    held_at, held_lat, held_lon, held_accuracy = ByDevice(), ByDevice(), ByDevice(), ByDevice()
    gap, left_at = ByDevice(), ByDevice()

    def __init__(self) -> None:
        super().__init__(
            {
                "shopper": Column("i4", -1),
                "seen": Column("f8", -np.inf),
                "site": Column("i4", -1),
                "slot": Column("i4", -1),
                "fix": Column("i4", 0),
            }
        )
        self.places = Places()

    def _places(self, rows: Ints) -> Ints:
        """The rows of `places` of distinct devices, taken where they are new."""
        new = rows[self.fix[rows] == 0]
        self.fix[new] = self.places.take(len(new))
        return self.fix[rows]

    def place(self, rows: Ints, at: Floats, lat: Floats, lon: Floats, accuracy: Floats) -> None:
        """Believe these places, and hold none."""
        where, places = self._places(rows), self.places
        gap, usual = at - places.fix_at[where], places.gap[where]
        learnt = np.where(np.isnan(usual), gap, usual + GAP_SHARE * (gap - usual))
        places.gap[where] = np.where(np.isnan(gap), usual, learnt)
        places.fix_at[where], places.lat[where], places.lon[where], places.accuracy[where] = at, lat, lon, accuracy
        self.hold(rows, *(np.full(len(rows), np.nan) for _ in range(4)))

    def hold(self, rows: Ints, at: Floats, lat: Floats, lon: Floats, accuracy: Floats) -> None:
        """Keep these places until the next ones tell."""
        where, places = self._places(rows), self.places
        places.held_at[where], places.held_lat[where], places.held_lon[where] = at, lat, lon
        places.held_accuracy[where] = accuracy

    def leave(self, rows: Ints, at: float) -> None:
        """They said that they left one of their regions."""
        where = self._places(rows)
        self.places.left_at[where] = at

    def with_fixes(self) -> Ints:
        """The rows of devices whose last place is known."""
        rows = np.flatnonzero(self.fix > 0).astype(np.int32)
        known: Ints = rows[~np.isnan(self.fix_at[rows])]
        return known

    def give(self, rows: Ints) -> None:
        """Rows that are needed no more, with their names and places."""
        where = self.fix[rows]
        self.places.give(where[where > 0])
        super().give(rows)

    def state(self, top: int | None = None) -> dict[str, Any]:
        """Columns, names and places."""
        return {**super().state(top), "places": self.places.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
        super().restore(state)
        self.places.restore(state["places"])

    def of(self, shopper: int) -> Ints:
        """The rows of a shopper."""
        return np.flatnonzero(self.used & (self.shopper == shopper)).astype(np.int32)


class Shoppers(Named):
    """One row a shopper."""

    first: Longs  # number of the tick of the first observation; -1: none yet
    stay: Ints  # row of the first of his stays, see stays.py; -1: none

    def __init__(self) -> None:
        super().__init__({"first": Column("i8", -1), "stay": Column("i4", -1)})

    def see(self, rows: Ints, tick: int) -> None:
        """Observed in `tick`."""
        new = rows[self.first[rows] < 0]
        self.first[new] = tick

    def is_new(self, rows: Ints, tick: int) -> Bools:
        """Whether `tick` is that of the first observation."""
        return np.asarray(self.first[rows] == tick, dtype=np.bool_)
