"""Which of many boxes a position may touch, in bulk: trees of boxes, and cells whose neighbourhood was asked before.

The boxes lie in a few trees of falling size. An edit makes a small tree of its own, and trees grow together when they
come near in size, so an edit costs milliseconds however many boxes there are. Positions ask again and again from the
same places: the ground is cut into cells, and what a cell may touch is asked of the trees once.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.state import Bools, Longs

NEAR_SEAM = 1.0  # degrees from 180° within which a box is also found from the other side
SIZES = (0.064, 0.032, 0.016, 0.008, 0.004, 0.002, 0.001, 0.0005)  # degrees, of a cell: 7 km to 60 m
SAMPLE = 256  # boxes that are asked how crowded it is around them
CROWD = 2.0  # times the boxes at a point, and so many beside, that a cell may touch
FEWEST_CELLS, MOST_CELLS = 1 << 12, 1 << 19  # slots of the table of cells: 80 kB to 10 MB
MOST_POOLED = 1 << 21  # candidates of all cells together, 16 MB; beyond it all cells are forgotten
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: Fibonacci hashing (Knuth, TAOCP 6.4)

_NONE: Longs = np.empty(0, dtype=np.int64)
_Ask = Callable[[Floats, Floats, Floats, Floats], tuple[Longs, Longs]]  # west, south, east, north -> (row, number)


class _Entries(NamedTuple):
    """Boxes of one tree, as they were put. One whose stamp is no longer its owner's is gone."""

    boxes: NDArray[np.object_]
    owner: Longs
    stamp: Longs


class Boxes:
    """Boxes in degrees by number. Longitudes of a box run through and may pass 180."""

    def __init__(self) -> None:
        self._trees: list[tuple[shapely.STRtree, _Entries]] = []
        self._stamp: Longs = np.empty(0, dtype=np.int64)  # by number; -1: no box
        self._box: Floats = np.empty(
            (0, 4)
        )  # by number: longitude and latitude of the middle, half of width and height
        self._time = 0
        self._dead = 0  # boxes in trees that are gone
        self._seam = False  # whether any box lies near 180°
        self._chosen_for = 0  # boxes in the trees when the size of cells was chosen
        self._cells = _Cells(SIZES[0])

    def __len__(self) -> int:
        """Boxes in the trees that are not gone."""
        return sum(len(entries.owner) for _, entries in self._trees) - self._dead

    def put(self, number: Longs, box: Floats) -> None:
        """Boxes (n, 4) west, south, east, north under new numbers."""
        if not len(number):
            return
        self._grow(int(number.max()) + 1)
        self._time += 1
        self._stamp[number] = self._time
        west, south, east, north = box.T
        middle = (west + east) / 2.0
        self._box[number] = np.column_stack([middle, (south + north) / 2.0, east - middle, (north - south) / 2.0])
        shift = -360.0 * np.floor((middle + 180.0) / 360.0)
        west, east = west + shift, east + shift
        left, right = west < -180.0 + NEAR_SEAM, east > 180.0 - NEAR_SEAM
        self._seam = self._seam or bool(left.any() or right.any())
        again = np.concatenate([np.arange(len(number)), np.flatnonzero(left), np.flatnonzero(right)])
        turn = np.repeat([0.0, 360.0, -360.0], [len(number), int(left.sum()), int(right.sum())])
        made = shapely.box(west[again] + turn, south[again], east[again] + turn, north[again])
        self._plant(_Entries(made, number[again], np.full(len(again), self._time)))
        if self._chosen_for * 4 < len(self) or self._chosen_for > 4 * len(self):
            self._choose()
        else:
            self._cells.drop(west, south, east, north)

    def remove(self, number: Longs) -> None:
        """Boxes that are no more."""
        self._stamp[number] = -1
        self._box[number] = np.nan
        self._dead += len(number)  # near 180° a few more, which only lets the trees be cleared later
        if self._dead > len(self):
            trees, self._trees = self._trees, []
            self._grow_together([entries for _, entries in trees])
            self._dead = 0
            self._cells.clear()

    def near(self, lat: Floats, lon: Floats, lat_before: Floats, lon_before: Floats) -> tuple[Longs, Longs]:
        """Pairs (position, number) whose boxes meet, in order of position. Each position stands for the segment from
        where it was before (degrees; NaN: a point only)."""
        if not self._trees or not len(lat):
            return _NONE, _NONE
        lon = (lon + 180.0) % 360.0 - 180.0
        lon_before = lon + (lon_before - lon + 180.0) % 360.0 - 180.0
        row, column = self._cells.of(lat, lon)
        middle_lat, middle_lon = self._cells.middle(row, column)
        reach = self._cells.size  # a cell's candidates are those of twice its width and height
        far = (np.abs(lat_before - middle_lat) > reach) | (np.abs(lon_before - middle_lon) > reach)
        west, east = np.fmin(lon, lon_before), np.fmax(lon, lon_before)
        south, north = np.fmin(lat, lat_before), np.fmax(lat, lat_before)
        short = np.flatnonzero(~far)
        which, number = self._cells.candidates(row[short], column[short], self._ask)
        half = np.column_stack([(west + east) / 2.0, (south + north) / 2.0, (east - west) / 2.0, (north - south) / 2.0])
        which = short[which]
        meets = self._meets(half[which], number)
        which, number = which[meets], number[meets]
        long = np.flatnonzero(far)
        if len(long):
            position, other = self._ask(west[long], south[long], east[long], north[long])
            which, number = np.concatenate([which, long[position]]), np.concatenate([number, other])
            order = np.argsort(which, kind="stable")
            which, number = which[order], number[order]
        return which, number

    def within(self, west: Floats, south: Floats, east: Floats, north: Floats) -> tuple[Longs, Longs]:
        """Pairs (row, number) of boxes that meet these, from -540 to 540 degrees of longitude."""
        return self._ask(west, south, east, north) if self._trees and len(west) else (_NONE, _NONE)

    def touched(self, number: int, lat: Floats, lon: Floats) -> Longs:
        """Indices of positions within one box."""
        level = np.flatnonzero(np.abs(lat - self._box[number, 1]) <= self._box[number, 3])
        apart = np.abs(lon[level] - self._box[number, 0])
        apart = np.abs(apart - 360.0 * np.rint(apart / 360.0))
        found: Longs = level[apart <= self._box[number, 2]]
        return found

    def _meets(self, position: Floats, number: Longs) -> Bools:
        box = self._box[number]
        apart = np.abs(position[:, 0] - box[:, 0])
        if self._seam:
            apart = np.abs(apart - 360.0 * np.rint(apart / 360.0))
        meets = apart <= position[:, 2] + box[:, 2]
        meets &= np.abs(position[:, 1] - box[:, 1]) <= position[:, 3] + box[:, 3]
        return np.asarray(meets)

    def _ask(self, west: Floats, south: Floats, east: Floats, north: Floats) -> tuple[Longs, Longs]:
        asked = shapely.box(west, south, east, north)
        rows, numbers = [_NONE], [_NONE]
        for tree, entries in self._trees:
            row, entry = tree.query(asked)
            number = entries.owner[entry]
            alive = self._stamp[number] == entries.stamp[entry]
            rows.append(row[alive].astype(np.int64))
            numbers.append(number[alive])
        row, number = np.concatenate(rows), np.concatenate(numbers)
        if self._seam:  # both boxes of one near 180° may meet
            pairs = np.unique(row * len(self._stamp) + number)
            return pairs // len(self._stamp), pairs % len(self._stamp)
        if len(self._trees) > 1:
            order = np.argsort(row, kind="stable")
            row, number = row[order], number[order]
        return row, number

    # -- trees ----------------------------------------------------------------------------------------------------

    def _grow(self, size: int) -> None:
        missing = size - len(self._stamp)
        if missing > 0:
            missing = max(missing, len(self._stamp) // 2)
            self._stamp = np.concatenate([self._stamp, np.full(missing, -1)])
            self._box = np.concatenate([self._box, np.full((missing, 4), np.nan)])

    def _plant(self, entries: _Entries) -> None:
        """A tree more, grown together with those that are less than twice as large."""
        together, size = [entries], len(entries.owner)
        while self._trees and len(self._trees[-1][1].owner) < 2 * size:
            together.append(self._trees.pop()[1])
            size += len(together[-1].owner)
        self._grow_together(together)

    def _grow_together(self, parts: list[_Entries]) -> None:
        owner = np.concatenate([one.owner for one in parts])
        stamp = np.concatenate([one.stamp for one in parts])
        alive = self._stamp[owner] == stamp
        self._dead = max(self._dead - int((~alive).sum()), 0)
        if alive.any():
            boxes = np.concatenate([one.boxes for one in parts])[alive]
            self._trees.append((shapely.STRtree(boxes), _Entries(boxes, owner[alive], stamp[alive])))

    def _choose(self) -> None:
        """The largest cells that do not touch many more boxes than a point does."""
        self._chosen_for = len(self)
        known = np.flatnonzero(self._stamp >= 0)
        some = self._box[known[:: max(1, len(known) // SAMPLE)]]
        lon, lat = (some[:, 0] + 180.0) % 360.0 - 180.0, some[:, 1]

        def crowd(size: float) -> float:
            return len(self._ask(lon - size, lat - size, lon + size, lat + size)[0]) / len(some)

        most = CROWD * (crowd(0.0) + 1.0)
        self._cells = _Cells(next((size for size in SIZES if crowd(size) <= most), SIZES[-1]))


class _Cells:
    """Candidates by cell, in a table of one place each: of two cells that want the same place the later one has it."""

    def __init__(self, size: float) -> None:
        self.size = size  # degrees
        self._around = int(np.ceil(360.0 / size)) + 1
        self._bits = FEWEST_CELLS.bit_length() - 1
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        places = 1 << self._bits
        self._key: Longs = np.full(places, -1)
        self._start: Longs = np.zeros(places, dtype=np.int64)
        self._count: Ints = np.zeros(places, dtype=np.int32)
        self._pool: Longs = np.empty(1024, dtype=np.int64)
        self._filled = self._kept = 0

    def of(self, lat: Floats, lon: Floats) -> tuple[Longs, Longs]:
        """Row and column of the cells of positions."""
        row, column = np.floor((lat + 90.0) / self.size), np.floor((lon + 180.0) / self.size)
        return row.astype(np.int64), column.astype(np.int64)

    def middle(self, row: Longs, column: Longs) -> tuple[Floats, Floats]:
        """(lat, lon) of the middles of cells."""
        lat: Floats = (row.astype(np.float64) + 0.5) * self.size - 90.0
        lon: Floats = (column.astype(np.float64) + 0.5) * self.size - 180.0
        return lat, lon

    def drop(self, west: Floats, south: Floats, east: Floats, north: Floats) -> None:
        """Forget the cells whose candidates these new boxes may be."""
        half = self.size / 2.0
        low, first = self.of(south - half, west - half)
        high, last = self.of(north + half, east + half)
        if int(((high - low + 1) * (last - first + 1)).sum()) > len(self._key):
            self.clear()
            return
        for one in zip(low.tolist(), high.tolist(), first.tolist(), last.tolist(), strict=True):
            rows, columns = np.arange(one[0], one[1] + 1), np.arange(one[2], one[3] + 1)
            keys = np.add.outer(rows * self._around, columns % (self._around - 1)).ravel()
            place = self._place(keys)
            self._key[place[self._key[place] == keys]] = -1

    def candidates(self, row: Longs, column: Longs, ask: _Ask) -> tuple[Longs, Longs]:
        """(index, number) of all that the cells may touch, in order of index."""
        if self._filled > MOST_POOLED:
            self.clear()
        key = row * self._around + column
        place = self._place(key)
        start, count = self._start[place], self._count[place]
        missing = np.flatnonzero(self._key[place] != key)
        if len(missing):
            new, back = np.unique(key[missing], return_inverse=True)
            start_new, count_new = self._learn(new, ask)
            start[missing], count[missing] = start_new[back], count_new[back]
        which = np.repeat(np.arange(len(key)), count)
        ends = np.cumsum(count)
        offset = np.arange(len(which)) + np.repeat(start - (ends - count), count)
        return which, self._pool[offset]

    def _learn(self, key: Longs, ask: _Ask) -> tuple[Longs, Longs]:
        lat, lon = self.middle(key // self._around, key % self._around)
        index, number = ask(lon - self.size, lat - self.size, lon + self.size, lat + self.size)
        count = np.bincount(index, minlength=len(key))
        start = self._filled + np.cumsum(count) - count
        self._filled += len(number)
        if self._filled > len(self._pool):
            more = np.empty(max(self._filled - len(self._pool), len(self._pool)), dtype=np.int64)
            self._pool = np.concatenate([self._pool, more])
        self._pool[self._filled - len(number) : self._filled] = number
        self._kept += len(key)
        if self._kept * 4 > len(self._key) and len(self._key) < MOST_CELLS:
            self._spread()
        self._keep(key, start, count)
        return start, count

    def _spread(self) -> None:
        """A larger table."""
        known = np.flatnonzero(self._key >= 0)
        key, start, count = self._key[known], self._start[known], self._count[known]
        while self._kept * 4 > 1 << self._bits and 1 << self._bits < MOST_CELLS:
            self._bits += 1
        places = 1 << self._bits
        self._key, self._start = np.full(places, -1), np.zeros(places, dtype=np.int64)
        self._count = np.zeros(places, dtype=np.int32)
        self._keep(key, start, count)

    def _keep(self, key: Longs, start: Longs, count: Longs | Ints) -> None:
        place = self._place(key)
        self._key[place], self._start[place], self._count[place] = key, start, count

    def _place(self, key: Longs) -> Longs:
        return ((key.astype(np.uint64) * GOLDEN) >> np.uint64(64 - self._bits)).astype(np.int64)
