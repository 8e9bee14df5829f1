"""Smoothed RSSI of each device at each anchor, over one or more spans of time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locating.slots import Slots, by_slot

SILENT = -95.0  # dBm, what silence stands for: just below what BLE radios hear
QUIET = 3.0  # s without a packet until an anchor counts as silent: two missed samples of one a second


class Levels:
    """Exponential means with time constants `spans` (T,) seconds; state (capacity, A, T)."""

    def __init__(self, anchors: int, spans: Sequence[float]) -> None:
        self._spans = np.asarray(spans, dtype=np.float64)
        self.slots = Slots({"level": np.full((anchors, len(spans)), SILENT), "heard": np.full(anchors, -np.inf)})

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Take the readings of a tick; several of one pair count by their mean."""
        slot, anchor, rssi, _, _ = by_slot(slot, anchor, rssi)
        new = np.ones(len(slot), dtype=np.bool_)
        new[1:] = (slot[1:] != slot[:-1]) | (anchor[1:] != anchor[:-1])
        starts = np.flatnonzero(new)
        mean = np.add.reduceat(rssi, starts) / np.diff(np.append(starts, len(slot)))
        slot, anchor = slot[starts], anchor[starts]
        gap = now - self.slots["heard"][slot, anchor]
        gap = np.where(gap > QUIET, np.inf, gap)  # after silence the old level says nothing
        share = -np.expm1(-gap[:, None] / self._spans)
        old = self.slots["level"][slot, anchor]
        self.slots["level"][slot, anchor] = old + share * (mean[:, None] - old)
        self.slots["heard"][slot, anchor] = now

    def at(self, slots: Ints, now: float) -> Floats:
        """(n, A, T) dBm at `now`, `SILENT` for anchors that heard nothing lately."""
        late = self._since(slots, now) > QUIET
        return np.where(late[:, :, None], SILENT, self.slots["level"][slots])

    def known(self, slots: Ints, now: float) -> NDArray[np.bool_]:
        """(n,) whether any anchor heard the slot lately."""
        return np.asarray((self._since(slots, now) <= QUIET).any(axis=1))

    def _since(self, slots: Ints, now: float) -> Floats:
        """(n, A) s before `now`, or before the slot's last reading where that is later; inf: nothing was heard."""
        heard = self.slots["heard"][slots]
        until = np.maximum(now, heard.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(np.subtract(until, heard, out=np.full(heard.shape, np.inf), where=np.isfinite(heard)))

    def state(self) -> Mapping[str, Any]:
        """Copies of the arrays."""
        return self.slots.state()
