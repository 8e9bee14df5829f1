"""A hidden Markov model over zones: cheap enough for every device of a city, and calm.

The forward algorithm (Rabiner, Proceedings of the IEEE 77, 1989) with one state per zone and one for none of them, each
for every gain of the device.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locating import gains
from proximity.presence.locating.grid import Grid, grid_for, indoor_zones, knows_places, membership
from proximity.presence.locating.radiomap import Likelihoods, RadioMap, from_path_loss, from_survey, level_of
from proximity.presence.locating.slots import SILENCE, Slots, by_slot, column, novelty
from proximity.presence.locating.survey import Survey
from proximity.presence.locator import TICK, Probabilities
from proximity.presence.ranging import PathLoss, expected
from proximity.site.model import Site

STAY = 20.0  # s a shopper stays in one zone on average: an aisle takes ten, a shelf that interests a minute
CELL = 1.0  # m; zones are coarser than places, so a coarser floor will do for their likelihoods
SAME_ZONE, OTHER_ZONE, NO_ZONE = 3.0, 10.0, 15.0  # m to an anchor whose place is unknown, as its zone tells
SPREAD_BY_ZONE = 10.0  # dB; shadowing of 8 dB, and 6 dB for not knowing the distance in a zone
QUIET, ALIVE = 2.5, 30.0  # s, as in the grid filter
BITS = 8  # predictions up to 2^8 ticks, a good minute: by then the chain has forgotten


class ZoneFilter:
    """Belief by slot: float32 (capacity, G, Z + 1) over gains and zones."""

    def __init__(self, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> None:
        """From outlines and places where the site has them, else from which anchor stands in which zone."""
        zones = indoor_zones(site)
        self.zones: Sequence[str] = tuple(z.id for z in zones)
        if knows_places(site):
            grid = grid_for(site, walkable, None if walkable is not None else CELL)
            shares = membership(grid, zones)
            radio = _radio(site, grid, survey)
            self._levels, self._silence = _by_zone(radio, shares)
            with np.errstate(invalid="ignore", divide="ignore"):
                self._centres = (shares.T @ grid.cells) / shares.sum(axis=0)[:, None]
            reachable = shares.sum(axis=0) > 0
        else:
            radio = _without_places(site, self.zones)
            self._levels, self._silence = radio.levels(), radio.silence()
            self._centres = np.full((len(zones) + 1, 2), np.nan)
            reachable = np.ones(len(zones) + 1, dtype=np.bool_)
        self._levels = _by_gain(self._levels)
        # (A, G·(Z + 1)), as the levels: beliefs are worked on as one row a slot.
        self._silence = np.ascontiguousarray(self._silence.swapaxes(0, 1).reshape(len(site.anchors), -1))
        self._chain = _chain(reachable)
        self._alive = np.full(len(site.anchors), -np.inf)
        self._slots = Slots(
            {
                "belief": gains.prior()[:, None] * (reachable / reachable.sum()).astype(np.float32),
                "last": np.float64(np.nan),
                "heard": np.full(len(site.anchors), -np.inf),
            }
        )

    @classmethod
    def for_site(cls, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> "ZoneFilter":
        """The same as the constructor."""
        return cls(site, survey, walkable)

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        self._slots.grow(capacity)

    def clear(self, slots: Ints) -> None:
        """Forget these slots."""
        self._slots.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Predict each slot that was read to `now`, and weigh it by what was heard and what was not."""
        if not len(slot):
            return
        slot, anchor, rssi, _, starts = by_slot(slot, anchor, rssi)
        weight = novelty(self._slots["heard"], slot, anchor, now).astype(np.float32)
        slots = slot[starts]
        self._alive[anchor] = now
        score = self._quiet(slots, now) @ self._silence
        self._add_levels(score, starts, anchor, level_of(rssi), weight)
        self._slots["heard"][slot, anchor] = now
        score -= score.max(axis=1, keepdims=True)
        np.exp(score, out=score)
        score *= self._predicted(slots, now).reshape(score.shape)
        score /= score.sum(axis=1, keepdims=True)
        self._slots["belief"][slots] = score.reshape(len(slots), len(gains.GAINS), -1)
        self._slots["last"][slots] = now

    def _add_levels(
        self, score: Likelihoods, starts: NDArray[np.intp], anchor: Ints, level: NDArray[np.intp], weight: Likelihoods
    ) -> None:
        """To the scores (n, G·(Z + 1)) what each reading tells; those of the slots begin at `starts`. All first
        readings at once, then all second ones, and so on: few anchors hear a device within one tick."""
        counts = np.diff(starts, append=len(anchor))
        for place in range(int(counts.max(initial=0))):
            slots = np.flatnonzero(counts > place)
            rows = starts[slots] + place
            told = self._levels[anchor[rows], level[rows]]
            told *= weight[rows, None]
            if len(slots) == len(score):
                score += told
            else:
                score[slots] += told

    def _quiet(self, slots: Ints, now: float) -> Likelihoods:
        """(n, A) how much each anchor's silence counts."""
        heard_at, last = self._slots["heard"][slots], self._slots["last"][slots]
        since = np.where(np.isnan(last), 0.0, now - last)
        due = (now - heard_at > QUIET) & (now - self._alive < ALIVE)[None, :]
        witnesses = np.maximum(due.sum(axis=1), 1)  # one body or pocket silences many: together they count as one
        return np.asarray(due * (-np.expm1(-since / SILENCE) / witnesses)[:, None], dtype=np.float32)

    def _predicted(self, slots: Ints, now: float) -> Likelihoods:
        """(n, G, Z + 1) at `now`."""
        belief: Likelihoods = self._slots["belief"][slots]
        ahead = now - self._slots["last"][slots]
        later = np.flatnonzero(ahead > 0.0)  # not those just read, nor those never read, whose `last` is NaN
        if len(later) == len(slots):
            return self._moved(belief, ahead)
        if len(later):
            belief[later] = self._moved(belief[later], ahead[later])
        return belief

    def _moved(self, belief: Likelihoods, ahead: Floats) -> Likelihoods:
        """(n, G, Z + 1) after (n,) seconds."""
        belief = gains.drifted(belief, ahead)
        ticks = np.minimum(np.rint(ahead / TICK), 2**BITS - 1).astype(np.int64)
        size = belief.shape[-1]
        for bit in range(BITS):
            rows = np.flatnonzero(ticks & (1 << bit))
            if len(rows) == len(belief):
                belief = (belief.reshape(-1, size) @ self._chain[bit]).reshape(belief.shape)
            elif len(rows):
                some = belief[rows]
                belief[rows] = (some.reshape(-1, size) @ self._chain[bit]).reshape(some.shape)
        return belief

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        found = self._predicted(np.asarray(slots), now).sum(axis=1, dtype=np.float64)
        probabilities: Probabilities = found / found.sum(axis=1, keepdims=True)
        return probabilities

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) mean of the zones' centres by belief; NaN without places or readings."""
        place = self.belief(slots, now) @ np.where(np.isnan(self._centres), 0.0, self._centres)
        unknown = np.isnan(self._slots["last"][slots]) | np.isnan(self._centres).all()
        place[unknown] = np.nan
        return np.asarray(place, dtype=np.float64)

    def state(self) -> Mapping[str, Any]:
        """Arrays by name."""
        return {"method": "zones", "alive": self._alive.copy(), **self._slots.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: of other zones or anchors."""
        self._slots.restore(state)
        self._alive = np.array(state["alive"], dtype=np.float64)


def _radio(site: Site, grid: Grid, survey: Survey | None) -> RadioMap:
    if survey is None:
        return from_path_loss(grid.cells, site.anchors, site.walls, PathLoss())
    return from_survey(grid.cells, site.anchors, survey, PathLoss())


def _by_zone(radio: RadioMap, shares: Floats) -> tuple[Likelihoods, Likelihoods]:
    """Mean likelihood over the cells of each zone: (A, R, Z + 1) of levels and (G, A, Z + 1) of silence, as logs."""
    weight = shares / np.maximum(shares.sum(axis=0), 1e-9)
    levels = np.log(np.exp(radio.levels().astype(np.float64)) @ weight + 1e-30)
    silence = np.log(np.exp(radio.silence().astype(np.float64)) @ weight + 1e-30)
    return levels.astype(np.float32), silence.astype(np.float32)


def _by_gain(levels: Likelihoods) -> Likelihoods:
    """(A, R, G·(Z + 1)) from (A, R, Z + 1): what a device of each gain would have been heard at."""
    top = levels.shape[1] - 1
    rows = np.clip(np.arange(levels.shape[1])[:, None] - gains.GAINS[None, :], 0, top)
    return np.ascontiguousarray(levels[:, rows].reshape(levels.shape[0], levels.shape[1], -1))


def _without_places(site: Site, zones: Sequence[str]) -> RadioMap:
    """Cells are the zones themselves: an anchor is near in its own zone and far in the others."""
    model = PathLoss()
    away = np.full((len(zones) + 1, len(site.anchors)), OTHER_ZONE)
    away[-1] = NO_ZONE
    for j, anchor in enumerate(site.anchors):
        away[column(zones, anchor.zone), j] = SAME_ZONE
    mean = expected(model, away) - np.array([a.offset for a in site.anchors])
    return RadioMap(mean, np.full_like(mean, SPREAD_BY_ZONE), model)


def _chain(reachable: NDArray[np.bool_]) -> list[Likelihoods]:
    """Matrices (Z + 1, Z + 1), row to column, for 1, 2, 4, … ticks. A zone without floor is never entered."""
    size = len(reachable)
    leave = -np.expm1(-TICK / STAY)
    others = max(int(reachable.sum()) - 1, 1)
    step = np.where(reachable[None, :], leave / others, 0.0) * np.ones((size, 1))
    step[np.diag_indices(size)] = 0.0
    step[np.diag_indices(size)] = 1.0 - step.sum(axis=1)
    return [np.linalg.matrix_power(step, 1 << bit).astype(np.float32) for bit in range(BITS)]
