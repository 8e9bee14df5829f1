"""What phones say of their own regions, held until its tick and given to the fences as evidence.

A phone that watches a region itself says "entered" or "left" when it crosses it, often with a single position. There
are few such words, a handful in a visit, so they are kept as rows.
"""

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.intake import FUTURE, LATE_FIX, NEVER
from proximity.presence.locator import TICK
from proximity.presence.people import Devices
from proximity.presence.tracking import Tracking


class Word(NamedTuple):
    """A phone's word about one zone, in the order in which words count."""

    tick: int  # 0: not known yet
    at: float
    device: str
    zone: str  # "<site>/<zone>"
    inside: bool


class Regions:
    """All words to come."""

    def __init__(self, catalogue: Catalogue, devices: Devices, tracking: Tracking) -> None:
        self._catalogue, self._devices, self._tracking = catalogue, devices, tracking
        self._new: list[Word] = []  # not looked at yet
        self._words: list[Word] = []

    def tell(self, word: Word) -> None:
        """A word for the next step."""
        self._new.append(word)

    def hold(self, clock: int | None, watermark: float, counts: Counter[str]) -> None:
        """Keep new words until their ticks; those older than a fix may be are dropped. `clock`: last processed tick."""
        new, self._new = self._new, []
        now = watermark if clock is None else max(watermark, clock * TICK)
        for word in new:
            at = word.at
            if not at > 0.0:
                counts["bad_time"] += 1
                continue
            if at > now + FUTURE:
                counts["clamped"] += 1
                at = now
            if clock is not None and at < clock * TICK - LATE_FIX:
                counts["late_regions"] += 1
                continue
            tick = math.ceil(at / TICK) if clock is None else max(math.ceil(at / TICK), clock + 1)
            bisect.insort(self._words, word._replace(tick=tick, at=at))

    def first(self) -> int:
        """Number of the earliest tick with a word; NEVER: none is held."""
        return self._words[0].tick if self._words else NEVER

    def take(self, tick: int, counts: Counter[str]) -> None:
        """Weigh the words of `tick`, in the order of their times."""
        while self._words and self._words[0].tick <= tick:
            word = self._words.pop(0)
            device, zone = self._devices.index.get(word.device), self._catalogue.zone_numbers.index.get(word.zone)
            if device is not None and zone is not None:
                counts["regions"] += 1
                self._tracking.vouch(device, zone, word.inside, word.at, tick, counts)

    def devices(self) -> Ints:
        """Rows of devices whose words are held."""
        index = self._devices.index
        words = [*self._new, *self._words]
        return np.array([index[word.device] for word in words if word.device in index], dtype=np.int32)

    def forget(self, devices: Sequence[str]) -> None:
        """Drop what is held of these."""
        gone = set(devices)
        self._new = [word for word in self._new if word.device not in gone]
        self._words = [word for word in self._words if word.device not in gone]

    def state(self) -> list[list[Word]]:
        """For a checkpoint."""
        return [list(self._new), list(self._words)]

    def restore(self, state: Sequence[Sequence[Sequence[Any]]]) -> None:
        """The reverse of `state`."""
        self._new, self._words = ([Word(*word) for word in words] for words in state)
