"""The simplest locator: the zone of the strongest anchor. All it has to know is which anchor stands in which zone.

The RSSI of each anchor is smoothed over a second or two. An anchor that stops hearing a device which others still
hear fades. Another zone has to be stronger by the site's hysteresis before it takes over.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locator import Probabilities
from proximity.presence.state import Column, Columns, Singles
from proximity.site.model import Site

SMOOTHING = 1.2  # s; at one sample a second it halves the variance, and costs a walking shopper one step of delay
GRACE = 2.5  # s without a packet that are normal: a sample each second, and a third of them lost
FADE = 4.0  # dB/s beyond that; after ten seconds an anchor counts for nothing
FLOOR = -92.0  # dBm; at 2.4 GHz indoors a radio this faint is behind walls or outside
SCALE = 2.4  # dB; two means of three samples with 5 dB noise each differ by 4 dB (1 sigma), a logistic of scale 2.4


class Strongest(Columns):
    """A Locator. Z zones that an anchor stands in or that lie indoors, A anchors."""

    level: Singles  # (slots, A) smoothed dBm
    last: Floats  # (slots, A) event time of the last reading
    heard: Floats
    score: Singles  # (slots, Z + 1) dBm for each zone, last for none
    current: NDArray[np.int16]  # column of the zone it is in; -1: nothing known

    def __init__(self, site: Site) -> None:
        stood_in = {anchor.zone for anchor in site.anchors}
        self.zones: Sequence[str] = tuple(zone.id for zone in site.zones if not zone.outdoor or zone.id in stood_in)
        self._site, self._hysteresis = site, site.presence.hysteresis
        columns = {zone: column for column, zone in enumerate(self.zones)}
        none = len(self.zones)
        zone_of = np.array([columns.get(anchor.zone or "", none) for anchor in site.anchors], dtype=np.int64)
        # Anchors in order of their zones, so that the best of each zone is one reduceat.
        self._order = np.argsort(zone_of, kind="stable")
        self._filled, self._starts = np.unique(zone_of[self._order], return_index=True)
        self._one_each = len(self._filled) == len(zone_of)  # no zone has two anchors
        self._offset = np.array([anchor.offset for anchor in site.anchors], dtype=np.float64)
        self._places = np.array([[_nan(anchor.x), _nan(anchor.y)] for anchor in site.anchors]).reshape(-1, 2)
        anchors = max(len(site.anchors), 1)
        super().__init__(
            {
                "level": Column("f4", np.nan, anchors),
                "last": Column("f8", -np.inf, anchors),
                "heard": Column("f8", -np.inf),
                "score": Column("f4", FLOOR, none + 1),
                "current": Column("i2", -1),
            }
        )

    @classmethod
    def for_site(cls, site: Site) -> "Strongest":
        """The locator of a site."""
        return cls(site)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Take the readings of the tick that ends at `now`."""
        slot, anchor, rssi = _means(slot, anchor, rssi + self._offset[anchor], len(self._offset))
        pair = slot.astype(np.int64) * self.level.shape[1] + anchor
        levels, last = self.level.reshape(-1), self.last.reshape(-1)
        level = levels[pair]
        weight = -np.expm1((last[pair] - now) / SMOOTHING)  # 1 for an anchor that never heard it
        levels[pair] = np.where(np.isnan(level), rssi, level + weight * (rssi - level))
        last[pair] = now
        read = slot[np.concatenate([[True], slot[1:] != slot[:-1]])]
        self.heard[read] = now
        self._judge(read)

    def _judge(self, slots: Ints) -> None:
        """Scores and the current zone of slots that were just read."""
        levels = self._faded(slots)[:, self._order]
        score = np.full((len(slots), len(self.zones) + 1), -np.inf, dtype=np.float32)
        score[:, -1] = FLOOR
        best = levels if self._one_each else np.maximum.reduceat(levels, self._starts, axis=1).astype(np.float32)
        score[:, self._filled] = np.maximum(score[:, self._filled], best)
        self.score[slots] = score
        current = self.current[slots].astype(np.int64)
        held = np.take_along_axis(score, np.maximum(current, 0)[:, None], axis=1)[:, 0]
        best = score.argmax(axis=1)
        beaten = (current < 0) | (score.max(axis=1) > held + self._hysteresis)
        self.current[slots] = np.where(beaten, best, current)

    def _faded(self, slots: Ints) -> Singles:
        """(n, A) dBm, less what anchors lost that did not hear the device while others did; -inf: never heard."""
        with np.errstate(invalid="ignore"):  # -inf from -inf, of slots that were never read
            silence = (self.heard[slots][:, None] - self.last[slots]).astype(np.float32)
        level = self.level[slots] - np.float32(FADE) * np.maximum(silence - np.float32(GRACE), 0)
        return np.where(np.isnan(level), np.float32(-np.inf), level)

    def belief(self, slots: Ints, now: float) -> Probabilities:  # noqa: ARG002 - silence of all anchors tells nothing
        """(n, Z + 1): a logistic of the differences in dB, with the hysteresis on the side of the current zone."""
        score = self.score[slots].astype(np.float64)
        current = self.current[slots].astype(np.int64)
        rows = np.flatnonzero(current >= 0)
        score[rows, current[rows]] += self._hysteresis
        weight = np.exp((score - score.max(axis=1, keepdims=True)) / SCALE)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)

    def position(self, slots: Ints, now: float) -> Floats:  # noqa: ARG002 - the same for as long as nothing is heard
        """(n, 2) mean of the anchors' places, weighted by amplitude; NaN where none that hears has a place."""
        level = np.where(np.isnan(self._places[:, 0]), -np.inf, self._faded(slots).astype(np.float64))
        best = level.max(axis=1, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = 10.0 ** ((level - best) / 20.0)  # dB to amplitude, which falls with distance in free space
            weight = np.where(np.isfinite(level), weight, 0.0)
            return np.asarray(weight @ np.nan_to_num(self._places) / weight.sum(axis=1, keepdims=True))


def _means(slot: Ints, anchor: Ints, rssi: Floats, anchors: int) -> tuple[Ints, Ints, Floats]:
    """Readings sorted by slot and anchor, several of one pair in one tick as their mean."""
    pair = slot.astype(np.int64) * anchors + anchor
    step = np.diff(pair)
    if (step > 0).all():
        return slot, anchor, rssi
    order = np.lexsort((rssi, pair))
    slot, anchor, rssi, pair = slot[order], anchor[order], rssi[order], pair[order]
    starts = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    counts = np.diff(np.append(starts, len(pair)))
    return slot[starts], anchor[starts], np.add.reduceat(rssi, starts) / counts


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
