"""The simplest locator: the zone of the strongest anchor. All it has to know is which anchor stands in which zone.

The RSSI of each anchor is smoothed over a second or two. An anchor that stops hearing a device which others still
hear fades. Another zone has to be stronger by the site's hysteresis before it takes over.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats, Ints
from proximity.presence.locator import TICK, Probabilities
from proximity.presence.state import Column, Columns, Singles
from proximity.site.model import Site

SMOOTHING = 1.2  # s; at one sample a second it halves the variance, and costs a walking shopper one step of delay
GRACE = 2.5  # s without a packet that are normal: a sample each second, and a third of them lost
FADE = 4.0  # dB/s beyond that; after ten seconds an anchor counts for nothing
FLOOR = -92.0  # dBm; at 2.4 GHz indoors a radio this faint is behind walls or outside
SCALE = 2.4  # dB; two means of three samples with 5 dB noise each differ by 4 dB (1 sigma), a logistic of scale 2.4

NEVER = -(1 << 30)  # tick of a reading that never was
LONGEST = 1 << 12  # ticks, a quarter of an hour: who was silent for longer counts for nothing all the more
_SILENCE = np.arange(LONGEST) * TICK  # s
_WEIGHT = -np.expm1(-_SILENCE / SMOOTHING)  # of a reading after so many ticks; as good as 1 for a first one
_WEIGHT[-1] = 1.0
_FADED = (FADE * np.maximum(_SILENCE - GRACE, 0.0)).astype(np.float32)  # dB lost after so many ticks


class Strongest(Columns):
    """A Locator. Z zones that an anchor stands in or that lie indoors, A anchors."""

    level: Singles  # (slots, A) smoothed dBm; nothing to go by where `last` is NEVER
    last: Ints  # (slots, A) tick of the last reading, counted from the locator's own first one
    current: NDArray[np.int16]  # column of the zone it is in; -1: nothing known

    def __init__(self, site: Site) -> None:
        stood_in = {anchor.zone for anchor in site.anchors}
        self.zones: Sequence[str] = tuple(zone.id for zone in site.zones if not zone.outdoor or zone.id in stood_in)
        self._site, self._hysteresis = site, np.float32(site.presence.hysteresis)
        columns = {zone: column for column, zone in enumerate(self.zones)}
        none = len(self.zones)
        zone_of = np.array([columns.get(anchor.zone or "", none) for anchor in site.anchors], dtype=np.int64)
        # Anchors in order of their zones, so that the best of each zone is one reduceat.
        self._order = np.argsort(zone_of, kind="stable")
        self._filled, self._starts = np.unique(zone_of[self._order], return_index=True)
        self._one_each = len(self._filled) == len(zone_of)  # no zone has two anchors
        self._in_order = bool((self._order == np.arange(len(zone_of))).all())
        self._offset = np.array([anchor.offset for anchor in site.anchors], dtype=np.float64)
        self._places = np.array([[_nan(anchor.x), _nan(anchor.y)] for anchor in site.anchors]).reshape(-1, 2)
        self._first: int | None = None  # number of the tick from which `last` counts
        self._read: tuple[Ints, Singles] | None = None  # the slots of the last tick, and their scores
        anchors = max(len(site.anchors), 1)
        super().__init__(
            {
                "level": Column("f4", 0.0, anchors),
                "last": Column("i4", NEVER, anchors),
                "current": Column("i2", -1),
            }
        )

    @classmethod
    def for_site(cls, site: Site) -> "Strongest":
        """The locator of a site."""
        return cls(site)

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        """Take the readings of the tick that ends at `now`."""
        slot, pair, rssi = _means(slot, anchor, rssi + self._offset.take(anchor), self.level.shape[1])
        if self._first is None:
            self._first = round(now / TICK)
        tick = round(now / TICK) - self._first
        levels, last = self.level.reshape(-1), self.last.reshape(-1)
        level = levels.take(pair)
        weight = _WEIGHT.take(tick - last.take(pair), mode="clip")
        levels[pair] = level + weight * (rssi - level)
        last[pair] = tick
        first = np.empty(len(slot), dtype=np.bool_)
        first[:1] = True
        np.not_equal(slot[1:], slot[:-1], out=first[1:])
        self._judge(slot[first], tick)

    def _judge(self, slots: Ints, tick: int) -> None:
        """Scores and the current zone of slots that were just read."""
        score = self._score(slots, tick)
        rows = np.arange(len(slots))
        current = self.current.take(slots)
        best = score.argmax(axis=1)
        beaten = (current < 0) | (score[rows, best] > score[rows, current] + self._hysteresis)
        self.current[slots] = np.where(beaten, best, current)
        self._read = slots, score

    def _score(self, slots: Ints, tick: int | Ints) -> Singles:
        """(n, Z + 1) dBm of the best anchor of each zone, last for none, as it was at `tick`."""
        levels = self._faded(slots, tick)
        if not self._in_order:
            levels = levels.take(self._order, axis=1)
        if not self._one_each:
            levels = np.maximum.reduceat(levels, self._starts, axis=1)
        score = np.full((len(slots), len(self.zones) + 1), -np.inf, dtype=np.float32)
        score[:, self._filled] = levels
        np.maximum(score[:, -1], np.float32(FLOOR), out=score[:, -1])
        return score

    def _faded(self, slots: Ints, tick: int | Ints) -> Singles:
        """(n, A) dBm, less what anchors lost that did not hear the device while others did."""
        silence = np.subtract(tick, self.last.take(slots, axis=0), dtype=np.int32)
        return np.asarray(self.level.take(slots, axis=0) - _FADED.take(silence, mode="clip"), dtype=np.float32)

    def belief(self, slots: Ints, now: float) -> Probabilities:  # noqa: ARG002 - silence of all anchors tells nothing
        """(n, Z + 1): a logistic of the differences in dB, with the hysteresis on the side of the current zone."""
        if self._read is not None and np.array_equal(slots, self._read[0]):
            score = self._read[1].copy()  # mostly asked of those that were just read
        else:
            score = self._score(slots, self._heard(slots))
        current = self.current.take(slots)
        rows = np.arange(len(slots))
        known = current >= 0
        if known.all():
            score[rows, current] += self._hysteresis
        else:
            score[rows[known], current[known]] += self._hysteresis
        score -= score[rows, score.argmax(axis=1)][:, None]
        score /= np.float32(SCALE)
        weight = np.exp(score, out=score).astype(np.float64)
        weight /= np.einsum("ij->i", weight)[:, None]
        return weight

    def _heard(self, slots: Ints) -> Ints:
        """(n, 1) tick of the last reading by any anchor."""
        return np.asarray(self.last.take(slots, axis=0).max(axis=1, keepdims=True), dtype=np.int32)

    def position(self, slots: Ints, now: float) -> Floats:  # noqa: ARG002 - the same for as long as nothing is heard
        """(n, 2) mean of the anchors' places, weighted by amplitude; NaN where none that hears has a place."""
        slots = np.asarray(slots)
        heard = self.last.take(slots, axis=0) > NEVER
        level = self._faded(slots, self._heard(slots)).astype(np.float64)
        level = np.where(heard & ~np.isnan(self._places[:, 0]), level, -np.inf)
        best = level.max(axis=1, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = 10.0 ** ((level - best) / 20.0)  # dB to amplitude, which falls with distance in free space
            weight = np.where(np.isfinite(level), weight, 0.0)
            return np.asarray(weight @ np.nan_to_num(self._places) / weight.sum(axis=1, keepdims=True))

    def clear(self, rows: Ints) -> None:
        """Forget these slots."""
        super().clear(rows)
        self._read = None

    def state(self, top: int | None = None) -> dict[str, Any]:
        """Arrays, and the tick from which they count."""
        return {"first": self._first, **super().state(top)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`. ValueError: a column of another width. KeyError: of another version."""
        first: int | None = state["first"]
        super().restore({name: column for name, column in state.items() if name != "first"})
        self._first, self._read = first, None


def _means(slot: Ints, anchor: Ints, rssi: Floats, anchors: int) -> tuple[Ints, NDArray[np.intp], Floats]:
    """Slots, pairs of slot and anchor as one number that ascends, and dBm; several of one pair as their mean."""
    pair = slot.astype(np.intp) * anchors + anchor
    if (pair[1:] > pair[:-1]).all():
        return slot, pair, rssi
    order = np.lexsort((rssi, pair))
    slot, rssi, pair = slot[order], rssi[order], pair[order]
    starts = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    counts = np.diff(np.append(starts, len(pair)))
    return slot[starts], pair[starts], np.add.reduceat(rssi, starts) / counts


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
