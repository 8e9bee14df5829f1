"""What a survey says of every place: Gaussian process regression per anchor, with path loss as the trend.

Ferris, Hähnel, Fox, Robotics: Science and Systems 2006; Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, section 2.7. The hyperparameters are found by marginal likelihood over all anchors together, so a survey
needs no settings.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from proximity.observations import Floats
from proximity.presence.locating.survey import Survey
from proximity.presence.ranging import NEAREST, PathLoss, distances, expected
from proximity.site.model import Anchor

POWER_PRIOR = 6.0  # dB; how far a radio in its housing on its shelf is from the nominal power
EXPONENT_PRIOR = 0.5  # how far the exponent of one anchor's surroundings is from free space


class Process:
    """One Gaussian process per anchor, with common hyperparameters."""

    def __init__(self, anchors: Sequence[Anchor], survey: Survey, model: PathLoss) -> None:
        self._anchors, self._survey, self._model = anchors, survey, model
        self._heard = [np.flatnonzero(np.isfinite(survey.mean[:, a])) for a in range(len(anchors))]
        # Started at what shops measure: 3 dB of shadowing over 3 m, 3 dB of standing waves, 1 dB from day to day.
        start = np.log([3.0, 3.0, 3.0, 1.0])
        simplex = np.vstack([start, start + 0.4 * np.eye(4)])  # given, for the usual one hardly moves a zero, log(1 dB)
        options = {"maxiter": 120, "xatol": 0.02, "fatol": 0.2, "initial_simplex": simplex}
        best = minimize(self._evidence, start, method="Nelder-Mead", options=options)
        self.shadowing, self.reach, self.fading, self.day = np.exp(np.clip(best.x, -3.0, 4.0))
        self._solved = [self._solve(a) for a in range(len(anchors))]

    def predict(self, cells: Floats) -> tuple[Floats, Floats]:
        """(C, A) mean in dBm and variance in dB² of the local mean."""
        mean = np.empty((len(cells), len(self._anchors)))
        variance = np.empty_like(mean)
        for a in range(len(self._anchors)):
            points = self._survey.points[self._heard[a]]
            factor, weights = self._solved[a]
            trend = self._trend(cells, a)
            shared = (trend * self._prior()) @ self._trend(points, a).T + self._shadow(cells, points)
            mean[:, a] = self._nominal(cells, a) + shared @ weights
            own = (trend**2 * self._prior()).sum(axis=1) + self.shadowing**2
            variance[:, a] = np.maximum(own - (shared * cho_solve(factor, shared.T).T).sum(axis=1), 0.0)
        return mean, variance

    def _evidence(self, logs: Floats) -> float:
        """Negative log marginal likelihood, but for a constant."""
        self.shadowing, self.reach, self.fading, self.day = np.exp(np.clip(logs, -3.0, 4.0))
        total = 0.0
        for a in range(len(self._anchors)):
            factor, weights = self._solve(a)
            total += 0.5 * float(self._misfit(a) @ weights) + float(np.log(np.diag(factor[0])).sum())
        return total

    def _solve(self, a: int) -> tuple[tuple[Floats, bool], Floats]:
        points, session = self._survey.points[self._heard[a]], self._survey.session[self._heard[a]]
        trend = self._trend(points, a)
        covariance = (trend * self._prior()) @ trend.T + self._shadow(points, points)
        covariance += self.day**2 * (session[:, None] == session[None, :])
        covariance[np.diag_indices(len(points))] += self.fading**2
        factor = cho_factor(covariance, lower=True)
        return factor, cho_solve(factor, self._misfit(a))

    def _misfit(self, a: int) -> Floats:
        rows = self._heard[a]
        difference: Floats = self._survey.mean[rows, a] - self._nominal(self._survey.points[rows], a)
        return difference

    def _nominal(self, points: Floats, a: int) -> Floats:
        return expected(self._model, distances(points, self._anchors[a : a + 1])[:, 0])

    def _trend(self, points: Floats, a: int) -> Floats:
        """(n, 2) what power and exponent multiply."""
        away = np.maximum(distances(points, self._anchors[a : a + 1])[:, 0], NEAREST)
        return np.stack([np.ones(len(points)), -10.0 * np.log10(away)], axis=1)

    def _prior(self) -> Floats:
        return np.array([POWER_PRIOR**2, EXPONENT_PRIOR**2])

    def _shadow(self, a: Floats, b: Floats) -> Floats:
        """Matérn 3/2 covariance of the shadowing between two sets of points: continuous, with kinks at shelves."""
        away = np.sqrt(3.0 * ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)) / self.reach
        covariance: Floats = self.shadowing**2 * (1.0 + away) * np.exp(-away)
        return covariance
