"""Struct-of-arrays: columns that grow together, rows with a free list, names for rows, and sorted keys.

A row keeps its number for as long as it is used, so other tables may refer to it. Which number a row got never shows
in a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Ints

Longs = NDArray[np.int64]
Singles = NDArray[np.float32]
Bytes = NDArray[np.int8]
Bools = NDArray[np.bool_]

FEWEST = 64  # rows of the first allocation
SPARE = 8  # a table that is full grows by this part of itself

_COUNTED: list[int] = []  # each number once, for the names of all tables: a Python int takes 32 bytes


class Column(NamedTuple):
    """One array: NumPy type, the value of a row that nobody uses, and values per row (0: one, and no second axis)."""

    dtype: str
    blank: float
    width: int = 0


class Columns:
    """Arrays of one length, as attributes named like their columns."""

    def __init__(self, spec: Mapping[str, Column]) -> None:
        self._spec = dict(spec)
        self.capacity = 0
        for name, column in self._spec.items():
            setattr(self, name, self._blank(column, 0))

    @staticmethod
    def _blank(column: Column, rows: int) -> NDArray[Any]:
        shape = (rows, column.width) if column.width else (rows,)
        return np.full(shape, column.blank, dtype=column.dtype)

    def grow(self, capacity: int) -> None:
        """Make room for rows below `capacity`."""
        if capacity <= self.capacity:
            return
        for name, column in self._spec.items():
            fresh = self._blank(column, capacity - self.capacity)
            setattr(self, name, np.concatenate([getattr(self, name), fresh]))
        self.capacity = capacity

    def clear(self, rows: Ints) -> None:
        """Back to blank."""
        for name, column in self._spec.items():
            getattr(self, name)[rows] = column.blank

    def state(self, top: int | None = None) -> dict[str, Any]:
        """Copies of the first `top` rows; None: of all."""
        return {name: getattr(self, name)[:top].copy() for name in self._spec}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. Columns unknown to `state` are blank. ValueError: a column of another width."""
        arrays = {name: np.asarray(state[name]) for name in self._spec if name in state}
        rows = max((len(array) for array in arrays.values()), default=0)
        for name, column in self._spec.items():
            blank = self._blank(column, rows)
            if name in arrays:
                if arrays[name].shape != blank.shape:
                    raise ValueError(f"{name} has shape {arrays[name].shape}, expected {blank.shape}")
                blank[...] = arrays[name]
            setattr(self, name, blank)
        self.capacity = rows


class Table(Columns):
    """Columns whose rows are taken and given back."""

    used: Bools

    def __init__(self, spec: Mapping[str, Column]) -> None:
        super().__init__({**spec, "used": Column("?", False)})
        self._free: Ints = np.empty(0, dtype=np.int32)

    def take(self, count: int) -> Ints:
        """`count` blank rows."""
        missing = count - len(self._free)
        if missing > 0:
            old = self.capacity
            self.grow(max(old + missing, old + old // SPARE, FEWEST))
            self._free = np.concatenate([np.arange(self.capacity - 1, old - 1, -1, dtype=np.int32), self._free])
        first = len(self._free) - count
        rows, self._free = self._free[first:].copy(), self._free[:first]
        self.used[rows] = True
        return rows

    def give(self, rows: Ints) -> None:
        """Rows that are needed no more."""
        self.clear(rows)
        self._free = np.concatenate([self._free, rows])

    def rows(self) -> Ints:
        """The used ones, ascending."""
        return np.flatnonzero(self.used).astype(np.int32)

    def state(self, top: int | None = None) -> dict[str, Any]:
        """The rows up to the last used one."""
        used = np.flatnonzero(self.used)
        return super().state(top if top is not None else (int(used[-1]) + 1 if len(used) else 0))

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
        super().restore(state)
        self._free = np.flatnonzero(~self.used)[::-1].astype(np.int32)


class Named(Table):
    """A table whose rows have names."""

    def __init__(self, spec: Mapping[str, Column]) -> None:
        super().__init__(spec)
        self.index: dict[str, int] = {}
        self.names: list[str] = []  # by row; "" for unused ones

    def numbers(self, names: Sequence[str]) -> Ints:
        """The rows of `names`, taken where they are new."""
        found = np.fromiter(map(self.index.get, names, repeat(-1)), dtype=np.int32, count=len(names))
        missing: list[int] = np.flatnonzero(found < 0).tolist()
        if missing:
            new = list(dict.fromkeys(names[i] for i in missing))
            rows = self.take(len(new))
            self.names.extend([""] * (self.capacity - len(self.names)))
            _COUNTED.extend(range(len(_COUNTED), self.capacity))
            for name, row in zip(new, rows.tolist(), strict=True):
                self.index[name], self.names[row] = _COUNTED[row], name
            found[missing] = [self.index[names[i]] for i in missing]
        return found

    def give(self, rows: Ints) -> None:
        """Rows that are needed no more, and their names."""
        for row in rows.tolist():
            del self.index[self.names[row]]
            self.names[row] = ""
        super().give(rows)

    def state(self, top: int | None = None) -> dict[str, Any]:
        """Columns and names."""
        columns = super().state(top)
        return {**columns, "names": self.names[: len(columns["used"])]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
        super().restore(state)
        self.names = list(state["names"])
        _COUNTED.extend(range(len(_COUNTED), self.capacity))
        self.index = {self.names[row]: _COUNTED[row] for row in self.rows().tolist()}


class Numbers:
    """Names to numbers that stay what they are for good."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = list(names)
        self.index = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The name's number, a new one for a new name."""
        number = self.index.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number

    def of(self, names: Sequence[str]) -> Longs:
        """The numbers of names."""
        found = list(map(self.index.get, names))
        return np.array(list(map(self.number, names)) if None in found else found, dtype=np.int64)


class Keys:
    """Sorted pairs (major, minor), each with the row of a table: found in bulk by pair or by major."""

    def __init__(self) -> None:
        self._keys: Longs = np.empty(0, dtype=np.int64)
        self._rows: Ints = np.empty(0, dtype=np.int32)

    @staticmethod
    def of(major: Ints, minor: Ints | int) -> Longs:
        """The pair as one number."""
        return (np.asarray(major, dtype=np.int64) << 32) | np.asarray(minor, dtype=np.int64)

    def find(self, keys: Longs) -> Ints:
        """Rows; -1 where there is none."""
        if not len(self._keys):
            return np.full(len(keys), -1, dtype=np.int32)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, self._rows[place], np.int32(-1))

    def add(self, keys: Longs, rows: Ints) -> None:
        """New pairs, each once."""
        order = np.argsort(keys)
        keys, rows = keys[order], rows[order]
        place = np.searchsorted(self._keys, keys)
        self._keys = np.insert(self._keys, place, keys)
        self._rows = np.insert(self._rows, place, rows)

    def remove(self, keys: Longs) -> None:
        """Pairs that are there."""
        place = np.searchsorted(self._keys, keys)
        self._keys = np.delete(self._keys, place)
        self._rows = np.delete(self._rows, place)

    def under(self, majors: Ints) -> tuple[Longs, Ints]:
        """All rows of each major: (index into `majors`, row)."""
        low = np.searchsorted(self._keys, self.of(majors, 0))
        high = np.searchsorted(self._keys, self.of(majors, 0) + (1 << 32))
        counts = high - low
        which = np.repeat(np.arange(len(majors)), counts)
        offset = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self._rows[np.repeat(low, counts) + offset]
