"""What each anchor hears from each cell of the floor, as mean and spread: from a survey or from path loss.

From a survey: see process.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats
from proximity.presence.locating import gains
from proximity.presence.locating.survey import Survey
from proximity.presence.ranging import PathLoss, distances, expected, heard, wall_loss
from proximity.site.model import Anchor, Wall

WEAKEST, STRONGEST = -105, -30  # dBm; what BLE radios report, and where the tables of likelihoods end

Likelihoods = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RadioMap:
    """C cells, A anchors."""

    mean: Floats  # (C, A) dBm
    spread: Floats  # (C, A) dB, of one packet around the mean, not knowing the mean exactly
    model: PathLoss  # for the Student tail and the sensitivity

    def levels(self) -> Likelihoods:
        """(A, R, C) log likelihood of each whole dBm from WEAKEST to STRONGEST, Student-t scaled to `spread`."""
        rssi = np.arange(WEAKEST, STRONGEST + 1, dtype=np.float64)
        scale = (self.spread**2 * (self.model.freedom - 2.0) / self.model.freedom).T[:, None, :]
        offset = rssi[None, :, None] - self.mean.T[:, None, :]
        tail = np.log1p(offset**2 / (scale * self.model.freedom))
        return np.asarray(-0.5 * (self.model.freedom + 1.0) * tail - 0.5 * np.log(scale), dtype=np.float32)

    def silence(self) -> Likelihoods:
        """(G, A, C) log likelihood of hearing nothing where a packet was due, for a device of each of `gains.GAINS`: of
        a soft one silence tells little."""
        chances = [heard(self.model, self.mean.T + gain, self.spread.T) for gain in gains.GAINS]
        return np.asarray(np.log1p(-np.stack(chances)), dtype=np.float32)


def level_of(rssi: Floats) -> NDArray[np.intp]:
    """Index into the R axis of `levels`."""
    return (np.clip(np.rint(rssi), WEAKEST, STRONGEST) - WEAKEST).astype(np.intp)


def from_path_loss(cells: Floats, anchors: Sequence[Anchor], walls: Sequence[Wall], model: PathLoss) -> RadioMap:
    """For cells (C, 2) without a survey. An anchor without a place tells nothing: the same mean everywhere."""
    mean = expected(model, distances(cells, anchors)) - wall_loss(cells, anchors, walls)
    mean -= np.array([a.offset for a in anchors])
    mean = np.where(np.isnan(mean), expected(model, np.array(10.0)), mean)
    return RadioMap(mean, np.full_like(mean, model.shadowing), model)


def from_survey(cells: Floats, anchors: Sequence[Anchor], survey: Survey, model: PathLoss) -> RadioMap:
    """For cells (C, 2), interpolating the survey. Every anchor needs a place."""
    from proximity.presence.locating.process import Process  # SciPy's optimizers take 20 MB, and few shops a survey

    process = Process(anchors, survey, model)
    mean, variance = process.predict(cells)
    packet = float(np.nanmean(survey.spread**2))  # dB², of packets at one point
    spread = np.sqrt(variance + process.fading**2 + packet)
    return RadioMap(mean, spread, model)
