"""How people move on the grid: they stand, or walk in one of eight headings and now and then turn or stop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proximity.presence.locating.grid import HEADINGS, Grid

MODES = 1 + len(HEADINGS)  # standing, and each heading
STRIDE = 0.5  # s, the longest step of the chain: at walking speed it stays below one cell

Belief = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Walk:
    """Habits of shoppers."""

    speed: float = (
        0.7  # m/s while walking: with a basket or a trolley, between the 0.4 of browsing and the 1.2 of passing
    )
    turn: float = 0.3  # 1/s: a straight piece of an aisle takes about three seconds
    stop: float = 0.15  # 1/s: shoppers walk some seven seconds at a time
    go: float = 0.3  # 1/s: and stand about three, seldom longer


class Motion:
    """The chain over (mode, cell) for one grid."""

    def __init__(self, grid: Grid, walk: Walk) -> None:
        self.size = len(grid.cells)
        self._rates = _rates(walk)
        self._speed = walk.speed / (grid.size * np.hypot(*np.array(HEADINGS, dtype=np.float64).T))  # cells per second
        self._open = grid.neighbours >= 0
        self._from, self._comes = _sources(grid)
        self._steps = {quarters: self._step(quarters * 0.25) for quarters in (1, 2)}

    def prior(self) -> Belief:
        """(MODES, C): anywhere, standing or walking as long as shoppers do."""
        rest = np.linalg.matrix_power(np.eye(MODES) + self._rates * 0.5, 1024)[:, 0]
        share = rest / rest.sum() / self.size
        return np.repeat(share[:, None], self.size, axis=1).astype(np.float32)

    def forward(self, belief: Belief, quarters: NDArray[np.int64]) -> Belief:
        """(n, MODES, C) moved on by (n,) quarters of a second each, in strides of half a second and a rest."""
        moved = belief
        left = quarters.copy()
        while (todo := left > 0).any():
            for step in (2, 1):
                rows = np.flatnonzero(todo & ((left >= 2) if step == 2 else (left == 1)))
                if len(rows) == len(left):
                    moved = self._once(moved, step)
                elif len(rows):
                    if moved is belief:
                        moved = belief.copy()
                    moved[rows] = self._once(moved[rows], step)
                left[rows] -= step
        return moved

    def _once(self, belief: Belief, quarters: int) -> Belief:
        mixing, leave, arrive, stuck = self._steps[quarters]
        turned = np.matmul(mixing, belief)
        walking = turned[:, 1:].reshape(len(belief), -1)
        moved = walking * leave
        moved += walking[:, self._from] * arrive
        blocked = (walking * stuck).reshape(len(belief), len(HEADINGS), self.size).sum(axis=1)
        turned[:, 1:] = moved.reshape(len(belief), len(HEADINGS), self.size)
        turned += blocked[:, None, :] / np.float32(MODES)  # at a shelf people stop or take any way
        return np.asarray(turned, dtype=np.float32)

    def _step(self, seconds: float) -> tuple[Belief, Belief, Belief, Belief]:
        """Mixing of modes (MODES, MODES), and per (heading, cell): staying, arriving, and running into a shelf."""
        mixing = np.linalg.matrix_power(np.eye(MODES) + self._rates * seconds / 64.0, 64)
        share = np.broadcast_to(np.minimum(self._speed * seconds, 1.0)[:, None], self._open.shape)
        arrive = np.where(self._comes, share, 0.0)
        stuck = np.where(self._open, 0.0, share)
        return (
            mixing.astype(np.float32),
            (1.0 - share).astype(np.float32).ravel(),
            arrive.astype(np.float32).ravel(),
            stuck.astype(np.float32).ravel(),
        )


def _rates(walk: Walk) -> NDArray[np.float64]:
    """(MODES, MODES) column to row, per second. Small turns are likelier than turning back."""
    headings = len(HEADINGS)
    rates = np.zeros((MODES, MODES))
    for k in range(headings):
        likely = np.array([np.exp(2.0 * np.cos((q - k) * np.pi / 4.0)) if q != k else 0.0 for q in range(headings)])
        rates[1:, 1 + k] = walk.turn * likely / likely.sum()
        rates[0, 1 + k] = walk.stop
    rates[1:, 0] = walk.go / headings
    rates[np.diag_indices(MODES)] = -rates.sum(axis=0)
    return rates


def _sources(grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(8·C,) flat index of the (heading, cell) one comes from, and (8, C) whether anybody can come that way."""
    size = len(grid.cells)
    sources = np.zeros((len(HEADINGS), size), dtype=np.intp)
    comes = np.zeros((len(HEADINGS), size), dtype=np.bool_)
    for k in range(len(HEADINGS)):
        here = np.flatnonzero(grid.neighbours[k] >= 0)
        there = grid.neighbours[k][here]
        sources[k, there], comes[k, there] = k * size + here, True
    return sources.ravel(), comes
