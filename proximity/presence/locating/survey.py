"""A walk-around survey: what each anchor heard at known points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats


@dataclass(frozen=True, slots=True)
class Survey:
    """P points, A anchors in the order of the site's `anchors`."""

    points: Floats  # (P, 2) local metres
    mean: Floats  # (P, A) dBm; NaN: never heard there
    spread: Floats  # (P, A) dB, standard deviation over time at the point
    count: Floats  # (P, A) packets heard
    session: NDArray[np.int32]  # (P,) which day or round; one session shares its weather, doors and people


def survey_of(rows: Sequence[tuple[int, float, float, int, float, float]], anchors: int) -> Survey:
    """From rows (session, x, y, anchor index, RSSI dBm, count), as a histogram per point lists them."""
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 6)
    places, point = np.unique(table[:, :3], axis=0, return_inverse=True)
    cell = point.reshape(-1) * anchors + table[:, 3].astype(np.int64)
    size = len(places) * anchors

    def total(weights: Floats) -> Floats:
        return np.asarray(np.bincount(cell, weights=weights, minlength=size), dtype=np.float64).reshape(-1, anchors)

    count = total(table[:, 5])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(table[:, 5] * table[:, 4]) / count
        variance = total(table[:, 5] * table[:, 4] ** 2) / count - mean**2
    return Survey(
        points=places[:, 1:],
        mean=mean,
        spread=np.sqrt(np.maximum(variance, 0.0)),
        count=count,
        session=places[:, 0].astype(np.int32),
    )
