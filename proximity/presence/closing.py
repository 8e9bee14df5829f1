"""How fast a phone comes nearer, from a few of its last distances to a place."""

from typing import NamedTuple

import numpy as np

from proximity.observations import Floats
from proximity.presence.state import Bools

SPACING = 8.0  # s between fixes that are compared: at a walk 11 m, a little more than a good fix errs
WINDOW = 90.0  # s that are looked back; who turned round longer ago than that is on another way
GAP = 300.0  # s the fix before the last may be old when there is none in the window: phones save power
SLOWEST = 0.5  # m/s; below it people stroll about
WAY = 20.0  # m by which a phone must have come nearer: fixes of a phone on a table wander about half as far
SIGNIFICANT = 4.0  # standard errors of the speed: an hour on a table gives some hundred chances to be wrong
STEADY = 0.7  # share of the steps that must lead nearer: of a phone that flips between two places two in three may


class Closing(NamedTuple):
    """n estimates."""

    speed: Floats  # m/s, positive: nearer; NaN: too few fixes
    error: Floats  # m/s, its standard error
    sure: Bools  # it comes nearer, beyond what noise does


def window(at: Floats) -> Bools:
    """(n, K) which of the last fixes count, of times in falling order (NaN: none): those within WINDOW, and the
    one before the last when it is not too old."""
    age = at[:, :1] - at
    count = age <= WINDOW
    count[:, 1] |= age[:, 1] <= GAP
    return np.asarray(count)


def closing(at: Floats, distance: Floats, sigma: Floats) -> Closing:
    """Closing speed from (n, K) times in falling order, distances (m) and their standard errors; NaN: none.

    The speed is the median of the slopes between any two of them (Theil 1950; Sen, JASA 63, 1968), weighted by what
    each slope is worth, so that a fix that is far off does not move it. Its error is that of the weighted line, and no
    less than that of the way between the ends: the errors of satellites' fixes wander for minutes, and so do not
    average out.
    """
    known = ~np.isnan(distance)
    later, earlier = np.triu_indices(at.shape[1], 1)
    apart = at[:, later] - at[:, earlier]
    usable = apart >= SPACING  # NaN: not
    usable &= known[:, later] & known[:, earlier]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(usable, (distance[:, earlier] - distance[:, later]) / apart, np.inf)
        weight = np.where(usable, apart**2 / (sigma[:, later] ** 2 + sigma[:, earlier] ** 2), 0.0)
    speed = _median(slope, weight)
    worth = np.where(known, 1.0 / np.where(known, sigma, 1.0) ** 2, 0.0)
    age = np.where(known, at[:, :1] - at, 0.0)
    middle = (worth * age).sum(axis=1) / worth.sum(axis=1)
    spread = (worth * (age - middle[:, None]) ** 2).sum(axis=1)
    span, oldest = age.max(axis=1), np.argmax(age, axis=1)
    ends = np.hypot(sigma[:, 0], sigma[np.arange(len(age)), oldest]) / np.maximum(span, 1e-6)
    error = np.maximum(1.0 / np.sqrt(np.maximum(spread, 1e-12)), ends)
    sure = (speed >= SLOWEST) & (speed >= SIGNIFICANT * error) & (speed * span >= WAY)
    return Closing(speed, error, np.asarray(sure & _steady(distance, usable, later, earlier)))


def _median(slope: Floats, weight: Floats) -> Floats:
    """(n,) weighted medians of rows; NaN where no weight is."""
    order = np.argsort(slope, axis=1, kind="stable")
    rows = np.arange(len(slope))
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    middle = (below < below[:, -1:] / 2.0).sum(axis=1)
    found = slope[rows, order[rows, np.minimum(middle, slope.shape[1] - 1)]]
    return np.where(below[:, -1] > 0.0, found, np.nan)


def _steady(distance: Floats, usable: Bools, later: np.ndarray, earlier: np.ndarray) -> Bools:
    """Whether most steps lead nearer, and the last one does. A step goes from a fix to the next that is far enough in
    time: its neighbour, or for the last fix the one before that."""
    nearer = distance[:, earlier] > distance[:, later]
    step = usable & (earlier == later + 1)
    first = usable & (later == 0)
    last = np.argmax(first, axis=1)
    rows = np.arange(len(distance))
    step[rows, last] |= first[rows, last]
    steps = step.sum(axis=1)
    return np.asarray(((step & nearer).sum(axis=1) >= STEADY * steps) & (steps > 0) & nearer[rows, last])
