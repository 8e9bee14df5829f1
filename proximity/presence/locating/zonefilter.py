"""A hidden Markov model over zones: cheap enough for every device of a city, and calm.

The forward algorithm (Rabiner, Proceedings of the IEEE 77, 1989) with one state per zone and one for none of them, each
for every gain of the device.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locating import gains
from proximity.presence.locating.grid import Grid, grid_for, indoor_zones, knows_places, membership
from proximity.presence.locating.packed import pack, unpack
from proximity.presence.locating.radiomap import Likelihoods, RadioMap, from_path_loss, from_survey, level_of
from proximity.presence.locating.slots import CORRELATION, SILENCE, Slots, by_slot, column, copies
from proximity.presence.locating.survey import Survey
from proximity.presence.locator import TICK, Probabilities
from proximity.presence.ranging import PathLoss, expected
from proximity.site.model import Site

STAY = 20.0  # s a shopper stays in one zone on average: an aisle takes ten, a shelf that interests a minute
CELL = 1.0  # m; zones are coarser than places, so a coarser floor will do for their likelihoods
SAME_ZONE, OTHER_ZONE, NO_ZONE = 3.0, 10.0, 15.0  # m to an anchor whose place is unknown, as its zone tells
SPREAD_BY_ZONE = 10.0  # dB; shadowing of 8 dB, and 6 dB for not knowing the distance in a zone
QUIET, ALIVE = 2.5, 30.0  # s, as in the grid filter
LONGEST = 255  # ticks, a good minute: by then the chain has forgotten; and what stands for an anchor that never heard
PRODUCTS = 250_000  # multiplications in one product of matrices; beyond it the linear algebra library wakes threads,
# which cost more than they help
MANY = 6  # readings of one slot in one tick that are worth a step each; more come of a gateway that does not sample
FAINT = 1e-20  # a total below it comes of likelihoods that float32 hardly holds

# How much of a whole observation a reading is, by ticks since the pair was heard last: see `novelty`.
NOVELTY = -np.expm1(-np.arange(LONGEST + 1) * (TICK / CORRELATION)).astype(np.float32)

Ages = NDArray[np.uint8]


class ZoneFilter:
    """Belief by slot over gains and zones, as rows of G·(Z + 1) values of two bytes: see packed.py."""

    def __init__(self, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> None:
        """From outlines and places where the site has them, else from which anchor stands in which zone."""
        zones = indoor_zones(site)
        self.zones: Sequence[str] = tuple(z.id for z in zones)
        if knows_places(site):
            grid = grid_for(site, walkable, None if walkable is not None else CELL)
            shares = membership(grid, zones)
            radio = _radio(site, grid, survey)
            levels, silence = _by_zone(radio, shares)
            with np.errstate(invalid="ignore", divide="ignore"):
                self._centres = (shares.T @ grid.cells) / shares.sum(axis=0)[:, None]
            reachable = shares.sum(axis=0) > 0
        else:
            radio = _without_places(site, self.zones)
            levels, silence = radio.levels(), radio.silence()
            self._centres = np.full((len(zones) + 1, 2), np.nan)
            reachable = np.ones(len(zones) + 1, dtype=np.bool_)
        levels = _relative(_by_gain(levels))
        self._highest = levels.shape[1]
        self._levels = levels.reshape(-1, levels.shape[2])  # (A·R, G·(Z + 1))
        self._silence = _relative(silence.swapaxes(0, 1).reshape(len(site.anchors), -1))
        self._move = _Move(reachable)
        self._ones = np.ones(self._levels.shape[1], dtype=np.float32)
        widest = max(len(site.anchors), len(reachable), len(gains.GAINS))
        self._block = max(PRODUCTS // (len(self._ones) * widest), 16)  # slots worked on at once
        self._alive = np.full(len(site.anchors), -np.inf)
        prior = gains.prior()[:, None] * (reachable / reachable.sum()).astype(np.float32)
        self._slots = Slots(
            {
                "belief": pack(prior.reshape(-1)),
                "last": np.float64(np.nan),
                "heard": np.full(len(site.anchors), LONGEST, dtype=np.uint8),  # ticks before `last`, by anchor
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
        slot, anchor, rssi, which, starts = by_slot(slot, anchor, rssi)
        slots, table = slot[starts], self._slots
        since = _since(table["last"][slots], now)
        heard = _older(table["heard"][slots], since)
        self._alive[anchor] = now
        quiet = self._quiet(heard, since, now)
        told = _Told(anchor * self._highest + level_of(rssi), NOVELTY[heard[which, anchor]])
        if (several := copies(slot, anchor)) is not None:
            told.weight[:] /= several
        heard[which, anchor] = 0
        table["heard"][slots], table["last"][slots] = heard, now
        ends = np.append(starts[1:], len(slot))
        for first in range(0, len(slots), self._block):
            part = slice(first, first + self._block)
            score = quiet[part] @ self._silence
            self._add_levels(score, starts[part], ends[part], told)
            belief = self._move.forward(unpack(table["belief"][slots[part]]), since[part])
            table["belief"][slots[part]] = pack(self._posterior(score, belief))

    def _posterior(self, score: Likelihoods, belief: Likelihoods) -> Likelihoods:
        """Bayes' rule: (n, G·(Z + 1)) log likelihoods, which are spent, and what was believed."""
        found = np.exp(score)
        found *= belief
        total = found @ self._ones
        faint = np.flatnonzero(total < FAINT)
        if len(faint):
            score = score[faint] - score[faint].max(axis=1, keepdims=True)
            found[faint] = belief[faint] * np.exp(score)
            total[faint] = found[faint] @ self._ones
        found *= (1.0 / total)[:, None]
        return found

    def _add_levels(self, score: Likelihoods, starts: NDArray[np.intp], ends: NDArray[np.intp], told: "_Told") -> None:
        """To the scores (n, G·(Z + 1)) what each reading tells; those of each slot go from `starts` to `ends`. All
        first readings at once, then all second ones, and so on: few anchors hear a device within one tick."""
        if int((ends - starts).max(initial=0)) > MANY:
            within = slice(starts[0], ends[-1])
            more = self._levels.take(told.level[within], axis=0) * told.weight[within][:, None]
            score += np.add.reduceat(more, starts - starts[0], axis=0)
            return
        rows, slots = starts, np.arange(len(starts))
        while len(rows):
            more = self._levels.take(told.level[rows], axis=0)
            more *= told.weight[rows][:, None]
            if len(slots) == len(score):
                score += more
            else:
                score[slots] += more
            left = ends[slots] - rows > 1
            rows, slots = rows[left] + 1, slots[left]

    def _quiet(self, heard: Ages, since: Floats, now: float) -> Likelihoods:
        """(n, A) how much each anchor's silence counts."""
        due = (heard > QUIET / TICK) & (now - self._alive < ALIVE)
        witnesses = np.maximum(due.sum(axis=1), 1)  # one body or pocket silences many: together they count as one
        weight = (-np.expm1(-since / SILENCE) / witnesses).astype(np.float32)
        return np.asarray(due * weight[:, None], dtype=np.float32)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        slots = np.asarray(slots)
        since = _since(self._slots["last"][slots], now)
        found = np.empty((len(slots), len(self.zones) + 1))
        for first in range(0, len(slots), self._block):
            part = slice(first, first + self._block)
            found[part] = self._move.zones(unpack(self._slots["belief"][slots[part]]), since[part])
        found /= (found @ np.ones(found.shape[1]))[:, None]
        return found

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


class _Told(NamedTuple):
    """Readings sorted by slot."""

    level: NDArray[np.intp]  # row of `_levels`
    weight: Likelihoods  # from 0 to 1: how much of a whole observation it is


class _Move:
    """A chain in which a shopper leaves his zone every `STAY` seconds on average, for any other one alike. A zone
    without floor is never entered.

    One step of it is λ of what was and 1 - λ of the mean over the zones, and k steps are the same with λ^k.
    """

    def __init__(self, reachable: NDArray[np.bool_]) -> None:
        count, size = int(reachable.sum()), len(gains.GAINS)
        leave = -np.expm1(-TICK / STAY)
        kept = (1.0 - leave - leave / max(count - 1, 1)) ** np.arange(LONGEST + 1)
        self._mixed = ((1.0 - kept) / (kept * count)).astype(np.float32)
        known = reachable.astype(np.float32)
        self._by_gain = np.kron(np.eye(size, dtype=np.float32), known[:, None])  # (G·(Z + 1), G): sums over zones
        self._to_zones = np.ascontiguousarray(self._by_gain.T)
        self._by_zone = np.tile(np.diag(known), (size, 1))  # (G·(Z + 1), Z + 1): sums over gains
        self._width = len(reachable)

    def forward(self, belief: Likelihoods, since: Floats) -> Likelihoods:
        """(n, G·(Z + 1)) after (n,) seconds, but for one factor in each row. In place."""
        if since.any():
            gains.drift(belief, since, self._width)
            means = belief @ self._by_gain
            means *= self._mixed[_ticks(since)][:, None]
            belief += means @ self._to_zones
        return belief

    def zones(self, belief: Likelihoods, since: Floats) -> Likelihoods:
        """(n, Z + 1) after (n,) seconds, but for one factor in each row. `belief` is changed."""
        return self.forward(belief, since) @ self._by_zone


def _since(last: Floats, now: float) -> Floats:
    """(n,) s since the last reading; 0: there was none."""
    return np.where(np.isnan(last), 0.0, np.maximum(now - last, 0.0))


def _ticks(since: Floats) -> NDArray[np.intp]:
    return np.minimum(np.rint(since / TICK), LONGEST).astype(np.intp)


def _older(heard: Ages, since: Floats) -> Ages:
    """(n, A) ages after (n,) seconds. In place."""
    ticks = _ticks(since).astype(np.uint8)[:, None]
    np.minimum(heard, LONGEST - ticks, out=heard)
    heard += ticks
    return heard


def _relative(logs: Likelihoods) -> Likelihoods:
    """(…, G·(Z + 1)) less the highest of each row: likelihoods of no more than 1 tell the same."""
    return np.ascontiguousarray(logs - logs.max(axis=-1, keepdims=True), dtype=np.float32)


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
