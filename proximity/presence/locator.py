"""The face of every indoor method: readings of one tick in, a belief over one site's zones out, for many devices."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints

TICK = 0.25  # s; presence looks at the shop this often: a quarter of a sample, a third of a walking step

Probabilities = NDArray[np.float64]


class Locator(Protocol):
    """State is held in arrays by slot (0 ≤ slot < capacity); a slot is one device in one site."""

    zones: Sequence[str]  # Z indoor zone ids; the belief has one more column, last: in none of them

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`; what is there stays."""

    def clear(self, slots: Ints) -> None:
        """Forget what is known of these slots, for new owners."""

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Take the readings of the tick that ends at `now` (columns of equal length, any order; anchor indexes the
        site's `anchors`) and move every slot that was read to `now`."""

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities, rows summing to 1, of where each slot is at `now`."""

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) local metres at `now`, or at a slot's last reading where that is later; NaN where the method or the
        site knows no places."""

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps: names to arrays and plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
