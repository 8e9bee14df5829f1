"""What a radio should hear from a place: log-distance path loss, walls, and the chance to hear anything at all.

`RSSI(d) = power − 10·exponent·log10(d) − walls`, with shadowing around it that has heavier tails than a Gaussian
(Rappaport, Wireless Communications, 2nd ed., chapter 4; for BLE in halls Faragher and Harle, IEEE JSAC 33, 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from proximity.observations import Floats
from proximity.site.model import Anchor, Wall

DEVICE_HEIGHT = 1.2  # m; a phone in a pocket or hand, a tag on a trolley
EDGE = 3.0  # dB, scale of the logistic around a radio's sensitivity
NEAREST = 0.5  # m; nearer than this the near field and the hand matter more than the distance


@dataclass(frozen=True, slots=True)
class PathLoss:
    """Constants of a place that nobody has surveyed."""

    power: float = -60.0  # dBm at 1 m: iBeacon calibrations of tags at 0 dBm transmit power lie between −55 and −65
    exponent: float = 2.0  # free space; corridors measure 1.6 to 1.8, cluttered rooms up to 3
    shadowing: float = 8.0  # dB; shelves (3 to 6), the carrier's body (5 to 10) and fading of one packet (3 to 5)
    freedom: float = 6.0  # degrees of freedom of the Student tail: a deep fade of 20 dB happens once in some hundred
    sensitivity: float = -96.0  # dBm at which half the packets are lost, for usual 1 Mbit/s BLE radios


def expected(model: PathLoss, distance: Floats) -> Floats:
    """dBm at `distance` metres, any shape."""
    return model.power - 10.0 * model.exponent * np.log10(np.maximum(distance, NEAREST))


def distance(model: PathLoss, rssi: Floats) -> Floats:
    """Metres at which `rssi` dBm would be expected: the inverse of `expected` beyond `NEAREST`."""
    return np.maximum(10.0 ** ((model.power - rssi) / (10.0 * model.exponent)), NEAREST)


def heard(model: PathLoss, rssi: Floats, spread: Floats | float = 0.0) -> Floats:
    """Chance that a packet expected at `rssi` dBm is heard: logistic around the sensitivity, averaged over what is not
    known of the level, `spread` dB. (A logistic of scale s spreads by 1.81·s; the two add as variances.)

    Never above 0.9: a scanner that listens on one of three channels and answers its host misses some of anything.
    """
    scale = np.hypot(EDGE, np.asarray(spread) / 1.81)
    chance: Floats = 0.9 / (1.0 + np.exp(-(rssi - model.sensitivity) / scale))
    return chance


def distances(points: Floats, anchors: Sequence[Anchor], height: float = DEVICE_HEIGHT) -> Floats:
    """(P, A) metres from points (P, 2) at `height` to anchors; NaN where an anchor's place is unknown."""
    places = np.array([[_nan(a.x), _nan(a.y), a.z] for a in anchors], dtype=np.float64).reshape(-1, 3)
    flat = points[:, None, :] - places[None, :, :2]
    return np.asarray(np.sqrt((flat**2).sum(axis=2) + (places[:, 2] - height) ** 2), dtype=np.float64)


def wall_loss(points: Floats, anchors: Sequence[Anchor], walls: Sequence[Wall]) -> Floats:
    """(P, A) dB lost on the straight way through walls; 0 where an anchor's place is unknown."""
    loss = np.zeros((len(points), len(anchors)))
    for j, anchor in enumerate(anchors):
        if anchor.x is None or anchor.y is None or not walls:
            continue
        here = np.broadcast_to([anchor.x, anchor.y], points.shape)
        rays = shapely.linestrings(np.stack([points, here], axis=1))
        for wall in walls:
            if wall.floor == anchor.floor:
                segment = shapely.LineString([(wall.x1, wall.y1), (wall.x2, wall.y2)])
                loss[:, j] += wall.loss * shapely.intersects(rays, segment)
    return loss


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
