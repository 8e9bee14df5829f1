"""Arrays by slot, and readings of a tick sorted by slot: what all methods share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints

CORRELATION = 0.7  # s; packets of one radio pair share their fading over centimetres and the body for a step or two

SILENCE = 5.0  # s; who is in the shadow of a shelf or of his own body stays in it for three metres of walking


class Slots:
    """State in named arrays whose first axis is the slot. `blank`: what each holds for a slot without a device."""

    def __init__(self, blank: Mapping[str, Any]) -> None:
        self._blank = {name: np.asarray(value) for name, value in blank.items()}
        self.arrays = {name: np.empty((0, *value.shape), value.dtype) for name, value in self._blank.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def grow(self, capacity: int) -> None:
        """Room for slots below `capacity`."""
        for name, value in self._blank.items():
            old = self.arrays[name]
            if capacity > len(old):
                new = np.empty((capacity, *value.shape), value.dtype)
                new[: len(old)], new[len(old) :] = old, value
                self.arrays[name] = new

    def clear(self, slots: Ints) -> None:
        """Back to blank."""
        for name, value in self._blank.items():
            self.arrays[name][slots] = value

    def state(self) -> dict[str, Any]:
        """Copies of all arrays."""
        return {name: array.copy() for name, array in self.arrays.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: of another site or method."""
        for name, value in self._blank.items():
            array = np.asarray(state[name], dtype=value.dtype)
            if array.shape[1:] != value.shape:
                raise ValueError(f"checkpoint holds {name} of shape {array.shape[1:]}, the site needs {value.shape}")
            self.arrays[name] = array.copy()


def by_slot(slot: Ints, anchor: Ints, rssi: Floats) -> tuple[Ints, Ints, Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Readings in one canonical order whatever order they came in: slot, anchor, rssi, the row of each reading in the
    distinct slots, and where each distinct slot starts."""
    pair = slot.astype(np.int64) << 32 | anchor
    if not (pair[1:] > pair[:-1]).all():
        order = np.lexsort((rssi, pair))
        slot, anchor, rssi = slot[order], anchor[order], rssi[order]
    first = np.ones(len(slot), dtype=np.bool_)
    first[1:] = slot[1:] != slot[:-1]
    return slot, anchor, rssi, np.cumsum(first) - 1, np.flatnonzero(first)


def novelty(heard: Floats, slot: Ints, anchor: Ints, now: float) -> Floats:
    """(n,) how much of a whole observation each reading is, from 0 to 1: readings of one pair come faster than its
    fading changes, so each counts by the time since the last, and those of one tick share. Sorted as `by_slot` does.

    `heard`: (capacity, A) when each pair was last heard, -inf: never.
    """
    new = -np.expm1((heard[slot, anchor] - now) / CORRELATION)
    shares = copies(slot, anchor)
    return np.asarray(new if shares is None else new / shares, dtype=np.float64)


def copies(slot: Ints, anchor: Ints) -> NDArray[np.intp] | None:
    """(n,) how many readings of the tick each one's pair has, sorted as `by_slot` does; None: each pair has one."""
    new = np.ones(len(slot), dtype=np.bool_)
    new[1:] = (slot[1:] != slot[:-1]) | (anchor[1:] != anchor[:-1])
    if new.all():
        return None
    group = np.cumsum(new) - 1
    counts: NDArray[np.intp] = np.bincount(group)[group]
    return counts


def column(zones: Sequence[str], zone: str | None) -> int:
    """The belief's column of a zone; the last for none of them."""
    return zones.index(zone) if zone in zones else len(zones)
