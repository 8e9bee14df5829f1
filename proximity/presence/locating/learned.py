"""Zones learned from labelled walks: somebody carries a tag about and says where he is.

Multinomial logistic regression with a ridge (Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3) on
the RSSI of each anchor smoothed over three spans of time: their differences tell which way the tag moves, so the edge
of a zone is learned without the delay of smoothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from proximity.observations import Floats, Ints
from proximity.presence.locating.grid import indoor_zones
from proximity.presence.locating.levels import Levels
from proximity.presence.locator import TICK, Probabilities
from proximity.site.model import Site

SPANS = (0.5, 2.0, 5.0)  # s: one step, crossing a doorway, standing
INDEPENDENT = 1.0  # s; ticks nearer than this tell the same again, so each counts by its share of a second
RIDGE = 1.0  # prior standard deviation of a weight, for features scaled to standard deviation 1


@dataclass(frozen=True, slots=True)
class Lesson:
    """One labelled walk: readings in order of time, and where the tag was at N moments in order of time."""

    at: Floats  # (n,) s
    anchor: Ints  # (n,) index into the site's anchors
    rssi: Floats  # (n,) dBm
    moments: Floats  # (N,) s
    column: NDArray[np.int64]  # (N,) zone of each moment as a column of the belief


class LearnedZones:
    """State: smoothed levels by slot. Knows no places."""

    def __init__(self, site: Site, lessons: Sequence[Lesson]) -> None:
        """Learn from walks in this site. ValueError: there are none, or they stay in one zone."""
        self.zones: Sequence[str] = tuple(z.id for z in indoor_zones(site))
        self._anchors = len(site.anchors)
        self._levels = Levels(self._anchors, SPANS)
        seen = [self._features_of(lesson) for lesson in lessons]
        column = np.concatenate([lesson.column for lesson in lessons]) if lessons else np.empty(0, dtype=np.int64)
        self._classes = np.unique(column)
        if len(self._classes) < 2:
            raise ValueError("the labelled walks must visit at least two zones")
        features = np.concatenate(seen)
        self._mean, self._scale = features.mean(axis=0), features.std(axis=0) + 1e-6
        self._weights = _fit(self._scaled(features), np.searchsorted(self._classes, column))

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        self._levels.slots.grow(capacity)

    def clear(self, slots: Ints) -> None:
        """Forget these slots."""
        self._levels.slots.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Smooth the readings of the tick."""
        if len(slot):
            self._levels.tick(now, slot, anchor, rssi)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) probabilities at `now`."""
        found = np.zeros((len(slots), len(self.zones) + 1))
        features = self._levels.at(slots, now).reshape(len(slots), -1)
        found[:, self._classes] = softmax(self._scaled(features) @ self._weights, axis=1)
        return found

    def position(self, slots: Ints, now: float) -> Floats:  # noqa: ARG002 (the face of every method)
        """(n, 2) NaN."""
        return np.full((len(slots), 2), np.nan)

    def state(self) -> Mapping[str, Any]:
        """Arrays by name."""
        return {"method": "learned", **self._levels.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
        self._levels.slots.restore(state)

    def _scaled(self, features: Floats) -> Floats:
        scaled = (features - self._mean) / self._scale
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)

    def _features_of(self, lesson: Lesson) -> Floats:
        """(N, A·T) the levels at each moment, as `tick` would have made them."""
        levels = Levels(self._anchors, SPANS)
        levels.slots.grow(1)
        slot = np.zeros(1, dtype=np.int32)
        rows, start = [], 0
        for now, end in zip(
            lesson.moments, np.searchsorted(lesson.at, lesson.moments + 1e-6, side="right"), strict=True
        ):
            if end > start:
                new = slice(start, end)
                levels.tick(float(now), np.zeros(end - start, dtype=np.int32), lesson.anchor[new], lesson.rssi[new])
            start = max(start, int(end))
            rows.append(levels.at(slot, float(now)).ravel())
        return np.array(rows)


def _fit(features: Floats, label: NDArray[np.int64]) -> Floats:
    """(F, K) weights that maximise the penalised likelihood; the last feature is the constant, without a penalty."""
    count, classes = features.shape[1], int(label.max()) + 1
    truth = np.eye(classes)[label]
    share = TICK / INDEPENDENT
    penalty = np.ones((count, 1)) / RIDGE**2
    penalty[-1] = 0.0

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(count, classes)
        score = features @ weights
        total = logsumexp(score, axis=1)
        value = share * float((total - (score * truth).sum(axis=1)).sum()) + 0.5 * float((penalty * weights**2).sum())
        slope = share * features.T @ (np.exp(score - total[:, None]) - truth) + penalty * weights
        return value, slope.ravel()

    best = minimize(loss, np.zeros(count * classes), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    weights: Floats = np.asarray(best.x, dtype=np.float64).reshape(count, classes)
    return weights
