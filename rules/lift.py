"""What an offer brought about: the difference between those who got it and those who were held out, with its doubt.

All intervals are for 95 % confidence.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

Z = 1.959963984540054  # the normal distribution has 95 % of itself within so many standard deviations
SUSPICIOUS = 0.001  # a split less likely than this is no chance: something loses people of one arm


class Interval(NamedTuple):
    """An estimate, and between which values the truth lies 19 times out of 20."""

    value: float
    low: float
    high: float


def share(reached: int, of: int) -> Interval:
    """A share with Wilson's interval, which holds for small numbers too. (Wilson, JASA 22, 1927.)

    ValueError when there is nobody.
    """
    if of <= 0 or not 0 <= reached <= of:
        raise ValueError(f"{reached} of {of} is no share")
    p = reached / of
    scale = 1 + Z * Z / of
    middle = (p + Z * Z / (2 * of)) / scale
    half = Z / scale * math.sqrt(p * (1 - p) / of + Z * Z / (4 * of * of))
    return Interval(p, max(0.0, middle - half) if reached else 0.0, min(1.0, middle + half) if reached < of else 1.0)


def difference(reached: int, of: int, control_reached: int, control_of: int) -> Interval:
    """Share minus the control's share, by Newcombe's method 10, which is made of both Wilson intervals.

    (Newcombe, Statistics in Medicine 17, 1998.) ValueError when there is nobody in one of the two.
    """
    one, other = share(reached, of), share(control_reached, control_of)
    low = math.sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = math.sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    between = one.value - other.value
    return Interval(between, max(-1.0, between - low), min(1.0, between + high))


def ratio(reached: int, of: int, control_reached: int, control_of: int) -> Interval | None:
    """How much more often than in the control, 0.25 for a quarter more, by the logarithm of the ratio.

    None where one of the two never reached the goal: there is no ratio then. (Katz et al., Biometrics 34, 1978.)
    """
    if min(reached, control_reached) <= 0:
        return None
    log = math.log(reached / of) - math.log(control_reached / control_of)
    spread = Z * math.sqrt(1 / reached - 1 / of + 1 / control_reached - 1 / control_of)
    return Interval(math.exp(log) - 1, math.exp(log - spread) - 1, math.exp(log + spread) - 1)


def split_chance(counts: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """How likely a split at least as uneven as this is, if people fall into the arms by `shares` (Pearson's test).

    None when there is nobody, or only one arm. Below `SUSPICIOUS` do not trust the result.
    """
    total, whole = sum(counts.get(arm, 0) for arm in shares), sum(shares.values())
    if not total or len(shares) < 2 or not whole:
        return None
    expected = {arm: total * part / whole for arm, part in shares.items()}
    squares = sum((counts.get(arm, 0) - one) ** 2 / one for arm, one in expected.items())
    from scipy.special import gammaincc  # takes a moment to import, and only reports need it

    return float(gammaincc((len(shares) - 1) / 2, squares / 2))
