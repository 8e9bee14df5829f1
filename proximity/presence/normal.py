"""The normal distribution, from a table: what SciPy's `ndtr` tells, without SciPy's 30 MB in every service.

The table holds Φ(z) = erfc(-z / √2) / 2 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.2 and 26.2.29)
at 1,024 places a standard deviation from -FAR to FAR, and between them a line is drawn. A chord errs by up to
h² / 8 · max |Φ''|, and |Φ''(z)| = |z| φ(z) is at most φ(1) = 0.242: 2.9e-8. That is absolute, for chances that are
compared with thresholds and told to people; it is no good for the logarithm of a far tail.
"""

import math

import numpy as np

from proximity.observations import Floats

FAR = 8.0  # standard deviations, from which on it is 0 or 1; the chance to be farther out is 6e-16
_STEPS = 1024.0  # a standard deviation; a power of two, so that no place is rounded
_MIDDLE = FAR * _STEPS

_TABLE = np.array([math.erfc(-step / _STEPS / math.sqrt(2.0)) / 2.0 for step in range(-int(_MIDDLE), int(_MIDDLE) + 1)])
_TABLE[[0, -1]] = 0.0, 1.0
_RISE = np.diff(_TABLE, append=1.0)  # to the next place


def below(z: Floats) -> Floats:
    """Chance that a standard normal value is below each `z`, an array of any shape, within 2.9e-8. It never falls where
    z rises, is 0 up to -FAR and 1 from FAR on, and NaN for NaN."""
    place = np.asarray(np.minimum(z, FAR, dtype=np.float64))
    np.maximum(place, -FAR, out=place)
    place *= _STEPS
    place += _MIDDLE
    with np.errstate(invalid="ignore"):  # NaN is no whole number; whichever row it meets, it stays NaN
        row = place.astype(np.intp)
    place -= row
    place *= _RISE.take(row, mode="clip")
    place += _TABLE.take(row, mode="clip")
    return place
