"""A Bayes filter over the walkable floor: where a shopper may be, and which way he walks.

Recursive estimation on a grid (Thrun, Burgard, Fox, Probabilistic Robotics, 2005, chapter 8) with a radio map as
measurement model and headings as hidden modes of the motion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locating import gains
from proximity.presence.locating.grid import Grid, grid_for, indoor_zones, membership
from proximity.presence.locating.motion import MODES, Motion, Walk
from proximity.presence.locating.radiomap import Likelihoods, RadioMap, from_path_loss, from_survey, level_of
from proximity.presence.locating.slots import SILENCE, Slots, by_slot, novelty
from proximity.presence.locating.survey import Survey
from proximity.presence.locator import TICK, Probabilities
from proximity.presence.ranging import PathLoss
from proximity.site.model import Site

BLOCK = 32  # slots worked on at once: their beliefs fit in a core's cache of 2 MB, and products of matrices stay so
# small that the linear algebra library does not wake its threads, which cost more than they help
QUIET = 2.5  # s after which an anchor that should hear has missed at least two samples of one a second
ALIVE = 30.0  # s; an anchor that heard nobody for longer may be off: its silence says nothing
LONGEST = 60.0  # s of prediction; after a minute a shopper may be anywhere in a shop anyhow
UNLIKELY = 0.003  # a gain that is less likely costs time and tells nothing


class GridFilter:
    """Belief over cells and modes by slot: float32 (capacity, MODES, C), about 30 kB a device in a shop of 230 m²."""

    def __init__(
        self,
        zones: Sequence[str],
        grid: Grid,
        shares: Floats,
        radio: RadioMap,
        walk: Walk,
        gain_spread: float = gains.SPREAD,
    ) -> None:
        self.zones: Sequence[str] = tuple(zones)
        self.grid = grid
        self._shares, self._centres = shares.astype(np.float32), grid.cells.astype(np.float32)
        self._motion = Motion(grid, walk)
        self._levels, self._silence = radio.levels(), radio.silence()
        self._alive = np.full(self._silence.shape[1], -np.inf)
        self._slots = Slots(
            {
                "belief": self._motion.prior(),
                "last": np.float64(np.nan),  # when the belief was true
                "heard": np.full(self._silence.shape[1], -np.inf),
                "gain": gains.prior(gain_spread),
            }
        )

    @classmethod
    def for_site(
        cls,
        site: Site,
        survey: Survey | None = None,
        walkable: Floats | None = None,
        *,
        cell: float | None = None,
        model: PathLoss | None = None,
        walk: Walk | None = None,
        gain_spread: float = gains.SPREAD,
    ) -> "GridFilter":
        """`walkable`: centres of the cells (C, 2) in local metres, None: the box around zones and anchors.
        `gain_spread`: dB by which tags differ from the one that made the survey, or from the nominal power.
        ValueError: the site has no places to lay a grid on."""
        grid = grid_for(site, walkable, cell)
        model = model or PathLoss()
        if survey is None:
            radio = from_path_loss(grid.cells, site.anchors, site.walls, model)
        else:
            radio = from_survey(grid.cells, site.anchors, survey, model)
        zones = indoor_zones(site)
        return cls([z.id for z in zones], grid, membership(grid, zones), radio, walk or Walk(), gain_spread)

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        self._slots.grow(capacity)

    def clear(self, slots: Ints) -> None:
        """Forget these slots."""
        self._slots.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Predict each slot that was read to `now` and weigh it by what was heard, and by what was not."""
        if not len(slot):
            return
        slot, anchor, rssi, _, starts = by_slot(slot, anchor, rssi)
        weight = novelty(self._slots["heard"], slot, anchor, now).astype(np.float32)
        level = level_of(rssi)
        self._alive[anchor] = now
        quiet = self._quiet(slot[starts], now)
        self._slots["heard"][slot, anchor] = now
        ends = np.append(starts[1:], len(slot))
        for block in range(0, len(starts), BLOCK):
            first, last = starts[block : block + BLOCK], ends[block : block + BLOCK]
            rows = slice(first[0], last[-1])
            gain = self._gain(slot[first], now)
            score = self._score(anchor[rows], level[rows], weight[rows], first - first[0], gain)
            self._mute(score, quiet[block : block + BLOCK])
            self._update(slot[first], now, score, gain)

    def _score(
        self, anchor: Ints, level: NDArray[np.intp], weight: Likelihoods, starts: NDArray[np.intp], gain: Likelihoods
    ) -> Likelihoods:
        """(n, G, C) log likelihood of the readings of n slots for each gain that is not unlikely, -inf for others."""
        score = np.full((len(starts), len(gains.GAINS), self._levels.shape[2]), -np.inf, dtype=np.float32)
        counts = np.diff(np.append(starts, len(anchor)))
        top = self._levels.shape[1] - 1
        for k, decibel in enumerate(gains.GAINS):
            likely = gain[:, k] > UNLIKELY
            if not likely.any():
                continue
            take = np.repeat(likely, counts)
            heard = self._levels[anchor[take], np.clip(level[take] - decibel, 0, top)]
            heard *= weight[take, None]
            begin = np.concatenate([[0], np.cumsum(counts[likely])[:-1]])
            score[likely, k] = np.add.reduceat(heard, begin, axis=0)
        return score

    def _mute(self, score: Likelihoods, quiet: Likelihoods) -> None:
        """Add to the scores (n, G, C) what silence tells of anchors that count (n, A). In place."""
        anchors = np.flatnonzero(quiet.any(axis=0))
        if len(anchors):
            likely = np.isfinite(score[:, :, 0])
            for k in np.flatnonzero(likely.any(axis=0)):
                score[likely[:, k], k] += quiet[likely[:, k]][:, anchors] @ self._silence[k, anchors]

    def _update(self, slots: Ints, now: float, score: Likelihoods, prior: Likelihoods) -> None:
        """Bayes' rule on cells and gain, which are kept as if independent of one another."""
        belief = self._predicted(slots, now)
        likelihood = np.exp(score - score.max(axis=(1, 2), keepdims=True))
        place = belief.sum(axis=1)
        gain = prior * np.einsum("ngc,nc->ng", likelihood, place)
        mixed = np.einsum("ng,ngc->nc", prior, likelihood)[:, None, :]
        belief = belief * mixed
        total = belief.sum(axis=(1, 2), keepdims=True)
        lost = total[:, 0, 0] <= 1e-30  # the evidence is where nobody can be: start again from it alone
        belief[lost] = self._motion.prior() * mixed[lost]
        total[lost] = belief[lost].sum(axis=(1, 2), keepdims=True)
        gain[lost] = prior[lost]
        self._slots["belief"][slots] = belief / total
        self._slots["gain"][slots] = gain / gain.sum(axis=1, keepdims=True)
        self._slots["last"][slots] = now

    def _gain(self, slots: Ints, now: float) -> Likelihoods:
        """(n, G) probability of each gain at `now`."""
        since = np.nan_to_num(np.clip(now - self._slots["last"][slots], 0.0, LONGEST))
        return gains.drifted(self._slots["gain"][slots], since)

    def _quiet(self, slots: Ints, now: float) -> NDArray[np.float32]:
        """(n, A) how much the silence of each anchor counts in this tick; 0 for those that hear, or may be off."""
        heard, last = self._slots["heard"][slots], self._slots["last"][slots]
        since = np.where(np.isnan(last), 0.0, now - last)
        due = (now - heard > QUIET) & (now - self._alive < ALIVE)[None, :]
        witnesses = np.maximum(due.sum(axis=1), 1)  # one body or pocket silences many: together they count as one
        return np.asarray(due * (-np.expm1(-since / SILENCE) / witnesses)[:, None], dtype=np.float32)

    def _predicted(self, slots: Ints, now: float) -> NDArray[np.float32]:
        """(n, MODES, C) at `now`; the stored state stays."""
        last = self._slots["last"][slots]
        ahead = np.nan_to_num(np.clip(now - last, 0.0, LONGEST))
        quarters = np.rint(ahead / TICK).astype(np.int64)
        return self._motion.forward(self._slots["belief"][slots], quarters)

    def cells(self, slots: Ints, now: float) -> NDArray[np.float32]:
        """(n, C) probability of each cell of `grid` at `now`."""
        return self._gathered(slots, now, None)

    def _gathered(self, slots: Ints, now: float, weights: Likelihoods | None) -> Likelihoods:
        """(n, C) as `cells`, or (n, K) sums of it by `weights` (C, K)."""
        slots = np.asarray(slots)
        width = len(self.grid.cells) if weights is None else weights.shape[1]
        found = np.empty((len(slots), width), dtype=np.float32)
        for block in range(0, len(slots), BLOCK):
            place = self._predicted(slots[block : block + BLOCK], now).sum(axis=1)
            found[block : block + BLOCK] = place if weights is None else place @ weights
        return found

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        shares = self._gathered(slots, now, self._shares).astype(np.float64)
        probabilities: Probabilities = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) mean of the belief in local metres; NaN for a slot that was never read."""
        place = self._gathered(slots, now, self._centres).astype(np.float64)
        place[np.isnan(self._slots["last"][slots])] = np.nan
        return place

    def state(self) -> Mapping[str, Any]:
        """Arrays by name."""
        return {"method": "grid", "modes": MODES, "alive": self._alive.copy(), **self._slots.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: of another floor."""
        self._slots.restore(state)
        self._alive = np.array(state["alive"], dtype=np.float64)
