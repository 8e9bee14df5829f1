"""Weighted neighbours: the survey points whose levels look most alike, or without a survey the loudest anchors.

With a survey: weighted k nearest neighbours in signal space (Bahl and Padmanabhan, RADAR, Infocom 2000). Without:
weighted centroid of the anchors (Blumenthal et al., WISP 2007).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from proximity.observations import Floats, Ints
from proximity.presence.locating.grid import indoor_zones
from proximity.presence.locating.levels import SILENT, Levels
from proximity.presence.locating.slots import column
from proximity.presence.locating.survey import Survey
from proximity.presence.locator import Probabilities
from proximity.site.model import Site, Zone

SPAN = 2.0  # s of smoothing: less follows fading, more lags a walker by over a metre
NEIGHBOURS = 6  # points; fewer jump between points, more pull to the middle of the room
DOUBT = 0.02  # share of belief spread over all zones: neighbours never prove that a zone is empty
BLOCK = 512  # slots compared with the survey at once


class Neighbours:
    """State: smoothed levels by slot."""

    def __init__(self, site: Site, survey: Survey | None = None) -> None:
        """ValueError: no survey, and no anchor has a place or a zone."""
        zones = indoor_zones(site)
        self.zones: Sequence[str] = tuple(z.id for z in zones)
        self._levels = Levels(len(site.anchors), (SPAN,))
        self._survey = None if survey is None else np.nan_to_num(survey.mean, nan=SILENT)
        if survey is not None:
            self._places = survey.points
            owners = [_zone_at(zones, x, y) for x, y in survey.points]
        else:
            self._places = np.array([[_nan(a.x), _nan(a.y)] for a in site.anchors]).reshape(-1, 2)
            owners = [column(self.zones, a.zone) for a in site.anchors]
        if not len(self._places):
            raise ValueError(f"site {site.id}: neither a survey nor anchors")
        self._owner = np.eye(len(zones) + 1)[owners]

    @classmethod
    def for_site(cls, site: Site, survey: Survey | None = None, walkable: Floats | None = None) -> "Neighbours":  # noqa: ARG003 (the face of every method)
        """`walkable` is not used: neighbours know no floor."""
        return cls(site, survey)

    def grow(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        self._levels.slots.grow(capacity)

    def clear(self, slots: Ints) -> None:
        """Forget these slots."""
        self._levels.slots.clear(slots)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Smooth the readings of the tick."""
        if len(slot):
            self._levels.tick(now, slot, anchor, rssi)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z + 1) share of the neighbours' weight in each zone."""
        share = self._weights(slots, now) @ self._owner
        found: Probabilities = (1.0 - DOUBT) * share + DOUBT / share.shape[1]
        return found

    def position(self, slots: Ints, now: float) -> Floats:
        """(n, 2) weighted mean of the neighbours' places; NaN for a slot that nobody hears, or without places."""
        weights = self._weights(slots, now)
        known = ~np.isnan(self._places).any(axis=1)
        weights = weights[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            place = (weights @ self._places[known]) / weights.sum(axis=1, keepdims=True)
        place[~self._levels.known(slots, now)] = np.nan
        return np.asarray(place, dtype=np.float64)

    def _weights(self, slots: Ints, now: float) -> Floats:
        """(n, P) weights that sum to 1."""
        level = self._levels.at(slots, now)[:, :, 0]
        if self._survey is None:
            power = 10.0 ** ((level - level.max(axis=1, keepdims=True)) / 10.0)
            return np.asarray(power / power.sum(axis=1, keepdims=True), dtype=np.float64)
        weights = np.zeros((len(slots), len(self._survey)))
        nearest = min(NEIGHBOURS, len(self._survey))
        for block in range(0, len(slots), BLOCK):
            away = ((level[block : block + BLOCK, None, :] - self._survey) ** 2).mean(axis=2)
            best = np.argpartition(away, nearest - 1, axis=1)[:, :nearest]
            close = 1.0 / (np.take_along_axis(away, best, axis=1) + 1.0)  # 1 dB²: below it levels are the same
            np.put_along_axis(weights[block : block + BLOCK], best, close / close.sum(axis=1, keepdims=True), axis=1)
        return weights

    def state(self) -> Mapping[str, Any]:
        """Arrays by name."""
        return {"method": "neighbours", **self._levels.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`."""
        self._levels.slots.restore(state)


def _zone_at(zones: Sequence[Zone], x: float, y: float) -> int:
    """The smallest zone around a place; the last column for none."""
    around = [i for i, z in enumerate(zones) if shapely.covers(z.outline, shapely.Point(x, y))]
    return min(around, key=lambda i: zones[i].outline.area, default=len(zones))


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
