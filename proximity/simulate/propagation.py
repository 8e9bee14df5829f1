"""How a packet gets weaker between a carried device and an anchor: distance, walls, floors, the body, the furniture.

All functions are pure and work on columns: n devices (or packets) against m anchors gives (n, m) decibels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proximity.site.model import Wall

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

MAX_WALL_LOSS = 30.0  # dB; beyond a few walls the signal comes round them instead of through
NEAREST = 0.3  # m; closer than this the far-field formula means nothing


@dataclass(frozen=True, slots=True)
class Physics:
    """The constants of one store's air.

    Slope, spread and K come from 3GPP TR 38.901 (tables 7.4.1-1 and 7.5-6) for a hall with shelves and line of
    sight; the distance over which shadowing stays alike is its indoor value without line of sight, since it is the
    shelves that shadow.
    """

    slope: float = 2.15  # path loss exponent; walls and bodies are counted apart
    shadowing: float = 4.0  # dB, standard deviation over places
    correlation: float = 6.0  # m, at which shadowing has fallen to 1/e of its likeness (Gudmundson 1991)
    own_share: float = 0.3  # of the shadowing's variance, what differs between two devices at one place
    k_factor: float = 5.0  # direct power over scattered power when nothing is between: 7 dB
    body: float = 20.0  # dB the direct ray loses through a body; scatter goes round it, so about 7 dB are left
    coherence: float = 1.5  # s for which the fading of somebody who stands still lasts: others move around him
    device_spread: float = 2.0  # dB between two phones that claim the same power
    anchor_spread: float = 1.0  # dB between two gateways of one kind
    channel_spread: float = 1.0  # dB between the three advertising channels, from antennas tuned to one of them
    noise: float = 1.0  # dB, repeatability of a receiver's RSSI
    sensitivity: float = -93.0  # dBm at which half of the packets are lost; small chips reach -90 to -96
    softness: float = 1.0  # dB, how steep that edge is
    listening: float = 0.7  # share of time a scanner hears: channel changes and the chip's Wi-Fi take the rest
    background: float = 150.0  # packets a second of devices that are nobody's; a shop has 200 to 500 in all
    airtime: float = 376e-6  # s, one advertisement with 31 bytes of data at 1 Mbit/s: 47 bytes on air
    floor_first: float = 6.0  # dB for one ceiling in a commercial building (ITU-R P.1238: 6 + 3 (n - 1))
    floor_next: float = 3.0  # dB for each further one
    carried_at: float = 1.0  # m above the floor: a pocket or a bag


DEFAULT_PHYSICS = Physics()


def path_loss(distance: Floats, slope: float) -> Floats:
    """dB relative to 1 m, log-distance. Shapes are kept; `distance` in metres."""
    loss: Floats = 10.0 * slope * np.log10(np.maximum(distance, NEAREST))
    return loss


def wall_columns(walls: Sequence[Wall], floor: int = 0) -> Floats:
    """(w, 5): x1, y1, x2, y2, loss of the walls of one floor."""
    rows = [(w.x1, w.y1, w.x2, w.y2, w.loss) for w in walls if w.floor == floor]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def wall_loss(walls: Floats, here: Floats, there: Floats) -> Floats:
    """Sum of the losses of the walls between: `walls` (w, 5), `here` (n, 2), `there` (m, 2) give (n, m) dB.

    A wall counts when the two ends of the ray lie on its two sides, and its two ends on the ray's two sides.
    """
    if not len(walls):
        return np.zeros((len(here), len(there)))
    c, d, loss = walls[:, 0:2], walls[:, 2:4], walls[:, 4]
    along = d - c
    side_here = _cross(along, here[:, None] - c)  # (n, w)
    side_there = _cross(along, there[:, None] - c)  # (m, w)
    splits = (side_here[:, None] > 0) != (side_there[None] > 0)  # (n, m, w)
    ray = (there[None] - here[:, None])[:, :, None]  # (n, m, 1, 2)
    side_c = _cross(ray, (c - here[:, None])[:, None])
    side_d = _cross(ray, (d - here[:, None])[:, None])
    crossed: Floats = (splits & ((side_c > 0) != (side_d > 0))) @ loss
    return np.minimum(crossed, MAX_WALL_LOSS)


def _cross(a: Floats, b: Floats) -> Floats:
    product: Floats = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def floor_loss(floors: Floats, physics: Physics, floor: int = 0) -> Floats:
    """(m,) dB for anchors on `floors`, heard from `floor`."""
    between = np.abs(floors - floor)
    return np.where(between > 0, physics.floor_first + physics.floor_next * (between - 1), 0.0)


def body_loss(facing: Floats, towards: Floats, depth: float) -> Floats:
    """dB the direct ray loses in the carrier's body.

    `facing` (n,): the angle at which the device sits on the body; `towards` (n, m): the angle to the anchor, both in
    radians. Nothing in front, `depth` straight through the body, a raised cosine between.
    """
    loss: Floats = depth * 0.5 * (1.0 - np.cos(towards - facing[:, None]))
    return loss


def fading(k: Floats, body: Floats, scatter: Complexes) -> Floats:
    """dB of one packet's fading (Rician): a direct ray of `k` times the scattered power, weakened by `body` dB.

    `scatter`: complex, mean power 1. Mean power is 1 (0 dB) when `body` is 0.
    """
    direct = np.sqrt(k * 10.0 ** (-body / 10.0))
    power = np.abs(direct + scatter) ** 2 / (k + 1.0)
    decibels: Floats = 10.0 * np.log10(np.maximum(power, 1e-6))
    return decibels


class ShadowField:
    """Correlated shadowing as a fixed map per anchor: the same place sounds the same again, as with real furniture.

    A Gaussian field with covariance exp(-distance / correlation) (Gudmundson), written as a sum of waves whose
    wave numbers follow that covariance's spectrum in the plane, (1/D² + k²)^(-3/2).
    """

    WAVES = 96  # enough that the field's values look Gaussian to a test

    def __init__(self, anchors: int, physics: Physics, rng: np.random.Generator) -> None:
        length = np.sqrt(1.0 / (1.0 - rng.random(self.WAVES)) ** 2 - 1.0) / physics.correlation
        angle = rng.uniform(0, 2 * np.pi, self.WAVES)
        self._waves = np.stack([length * np.cos(angle), length * np.sin(angle)])  # (2, waves)
        scale = physics.shadowing / np.sqrt(self.WAVES)
        self._weights = scale * rng.standard_normal((2 * self.WAVES, anchors))

    def at(self, xy: Floats) -> Floats:
        """(n, 2) places give (n, anchors) dB."""
        phase = xy @ self._waves
        field: Floats = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) @ self._weights
        return field
