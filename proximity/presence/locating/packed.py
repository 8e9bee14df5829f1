"""Probabilities in two bytes each: half the memory and half of the way to it.

A float32 from 2^-31 to 1 has no sign and an exponent of five bits, and eleven bits of fraction are enough: a rounding
of 2^-12 is a tenth of what a belief forgets from one tick to the next. IEEE's own half precision has as many bits, but
NumPy converts it value by value, at forty times the cost.
"""

import numpy as np
from numpy.typing import NDArray

from proximity.presence.locating.gains import Likelihoods

Packed = NDArray[np.uint16]

_DROPPED = 12  # of the 23 bits of a float32's fraction
_BASE = np.int32((127 - 31) << 23)  # 2^-31, what stands for zero and all below
_ROUND = np.int32(1 << (_DROPPED - 1))


def pack(values: Likelihoods) -> Packed:
    """From 0 to 1, rounded by one part in 4,096 at the most."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32) - (_BASE - _ROUND)
    np.maximum(bits, 0, out=bits)
    bits >>= _DROPPED
    return bits.astype(np.uint16)


def unpack(packed: Packed) -> Likelihoods:
    """The reverse of `pack`; never less than 2^-31."""
    bits = packed.astype(np.int32)
    bits <<= _DROPPED
    bits += _BASE
    return bits.view(np.float32)
