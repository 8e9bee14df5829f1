"""How much louder or softer a device is than expected: hidden, and found out while it is heard.

Without it a phone in a back pocket, 6 dB softer than the tag of the survey, is believed to be in the far corner.
"""

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats

Likelihoods = NDArray[np.float32]

GAINS = np.arange(-12, 13, 3)  # dB; its power, its pocket, its owner
SPREAD = 4.0  # dB, standard deviation over devices: phones and pockets differ by some 5 dB, tags of one make by 2
DRIFT = 0.02  # 1/s at which it moves by one step: shoppers take their phone out about every minute


def prior(spread: float = SPREAD) -> Likelihoods:
    """(G,) probability of each gain for a device that is heard for the first time."""
    weight = np.exp(-0.5 * (GAINS / max(spread, 0.1)) ** 2)
    return np.asarray(weight / weight.sum(), dtype=np.float32)


def drifted(gain: Likelihoods, seconds: Floats) -> Likelihoods:
    """(n, G) probabilities after (n,) seconds."""
    moved = gain.copy()
    drift(moved, seconds, 1)
    return moved


def drift(belief: Likelihoods, seconds: Floats, width: int) -> None:
    """Let (n,) seconds pass in (n, G·width): for each gain `width` probabilities in a row. In place."""
    share = (-0.5 * np.expm1(-DRIFT * seconds)).astype(np.float32)
    flow = belief[:, width:] - belief[:, :-width]  # between neighbours: what one loses the other has
    flow *= share[:, None]
    belief[:, :-width] += flow
    belief[:, width:] -= flow
