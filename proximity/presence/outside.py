"""Whether a device is on the floor that a site's zones and anchors cover at all, or somewhere around it.

A shopper who comes from the car park is heard through the wall for a minute before he is at the door. No method that
knows only places on the floor can tell, so this is asked first, of what tells best: how loud the loudest anchor is.
"""

import numpy as np
import shapely

from proximity.observations import Floats, Ints
from proximity.presence.ranging import PathLoss, distances, expected, wall_loss
from proximity.presence.state import Longs, Singles
from proximity.site.model import Site

STEP = 1.0  # m between the places that stand for the floor, and …
FAR_STEP = 2.0  # m … between those around it
GAP = 2.0  # m beyond outlines and anchors that may well belong to the floor still
AROUND = 25.0  # m beyond which hardly anybody is heard
SPREAD = 9.0  # dB; body and shadow of the loudest anchor (6), and how devices and pockets differ (6)
PEAK = 3.0  # dB by which the loudest of some seconds is louder than the mean
FADE = 4.0  # dB/s by which what was loud counts less
SHARE = 0.25  # of the time in which a device is heard at all that its owner is not on the floor: coming, going, passing
WEAKEST, LOUDEST = -110, -20  # dBm, ends of the table
FEWEST = 3  # anchors with a place; one or two hear too little of a floor


class Outside:
    """The chance of being outside by the level of the loudest anchor."""

    def __init__(self, site: Site, model: PathLoss | None = None) -> None:
        """Knows nothing of a site without outlines in metres or with fewer than three anchors that have a place."""
        self._chance: Floats | None = None
        outlines = [z.outline for z in site.zones if not z.outdoor and z.frame == "local" and z.radius is None]
        placed = [a for a in site.anchors if a.x is not None and a.y is not None]
        self._offset = np.array([a.offset for a in site.anchors], dtype=np.float64)
        if not outlines or len(placed) < FEWEST:
            return
        model = model or PathLoss()
        floor = shapely.box(*shapely.total_bounds([*outlines, *(shapely.Point(a.x, a.y) for a in placed)]))
        around = floor.buffer(AROUND).difference(floor.buffer(GAP))
        inside, outside = (
            expected(model, distances(points, placed)) - wall_loss(points, placed, site.walls)
            for points in (_lattice(floor, STEP), _lattice(around, FAR_STEP))
        )
        loud = np.arange(WEAKEST, LOUDEST + 1, dtype=np.float64)
        here = _density(loud, inside.max(axis=1) + PEAK) * (1.0 - SHARE)
        there = _density(loud, outside.max(axis=1) + PEAK) * SHARE
        chance = there / (here + there)
        self._chance = np.minimum.accumulate(chance)  # louder never speaks for outside

    @property
    def known(self) -> bool:
        """Whether the site has what it takes."""
        return self._chance is not None

    def loudness(self, before: Singles, seconds: Floats, anchor: Ints, rssi: Floats, starts: Longs) -> Floats:
        """(n,) dBm of the loudest anchor of the last seconds: `before` (n,) as it was `seconds` (n,) ago, and readings
        sorted by device, those of each from `starts` on."""
        loudest = np.maximum.reduceat(rssi + self._offset.take(anchor), starts)
        return np.asarray(np.fmax(before - FADE * seconds, loudest), dtype=np.float64)

    def chance(self, loud: Singles) -> Floats:
        """(n,) probability of being outside, by the loudness in dBm; 0 where the site does not tell."""
        if self._chance is None:
            return np.zeros(len(loud))
        row = np.rint(np.fmin(loud, np.float32(LOUDEST))).astype(np.intp) - WEAKEST  # NaN: as loud as can be
        return np.asarray(self._chance.take(row, mode="clip"), dtype=np.float64)


def _lattice(area: shapely.Geometry, step: float) -> Floats:
    """(n, 2) places of a square lattice within an area; at least one."""
    low_x, low_y, high_x, high_y = area.bounds
    step = min(step, (high_x - low_x) or step, (high_y - low_y) or step)
    x, y = np.meshgrid(np.arange(low_x + step / 2, high_x, step), np.arange(low_y + step / 2, high_y, step))
    points = np.column_stack([x.ravel(), y.ravel()])
    return np.asarray(points[shapely.intersects_xy(area, points[:, 0], points[:, 1])], dtype=np.float64)


def _density(loud: Floats, means: Floats) -> Floats:
    """How often each level is the loudest, over places with these means."""
    return np.asarray(np.exp(-0.5 * ((loud[:, None] - means[None, :]) / SPREAD) ** 2).mean(axis=1), dtype=np.float64)
