"""A look into presence: what it knows of one device at a moment, and how that came about over a minute.

The observations of one shopper are told to an engine again, the last minute tick by tick, and after each tick the
evidence is noted. It is the engine that the service runs, so what is seen here is what happened there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from proximity.model import Transition, Visit
from proximity.observations import Batch, Fixes, Sightings
from proximity.presence.engine import Engine
from proximity.presence.evidence import Evidence
from proximity.presence.locator import TICK
from proximity.presence.state import Bools

BACK = 3600.0  # s before the moment from which observations are told again: longer than any hold or time of silence
WATCH = 60.0  # s before the moment that are looked at tick by tick
RECENT = 10.0  # s over which the packets of an anchor are counted
CLOCK = 1.0  # s before the first observation at which time begins


class State(NamedTuple):
    """A gateway went offline or came online."""

    anchor: str  # "<site>/<gateway>"
    online: bool
    at: float


class Said(NamedTuple):
    """A phone's word about its own region of a zone."""

    device: str
    shopper: str
    zone: str  # "<site>/<zone>"
    inside: bool
    at: float


class Story(msgspec.Struct, frozen=True):
    """What there is to tell again, of one shopper."""

    batch: Batch  # in any order
    said: Sequence[Said] = ()
    states: Sequence[State] = ()


class HeardBy(msgspec.Struct, frozen=True):
    """One anchor that heard the device, or was heard by it."""

    anchor: str  # "<site>/<anchor>"
    rssi: float  # dBm, the last
    mean: float  # dBm, over the last ten seconds
    count: int  # sightings in the last ten seconds
    at: float  # of the last


class FixAt(msgspec.Struct, frozen=True):
    """A position that the device told."""

    lat: float
    lon: float
    accuracy: float | None  # m
    at: float


class Look(msgspec.Struct, frozen=True):
    """After one tick."""

    at: float
    evidence: list[Evidence]  # of the one device, by site and zone


class Seen(msgspec.Struct, frozen=True):
    """Everything there is to see of one device at one moment."""

    device: str
    shopper: str
    at: float
    begins: float  # time of the first observation that was told again
    heard: list[HeardBy]  # the strongest first
    fixes: list[FixAt]  # the newest first
    looks: list[Look]  # the last is that of the moment itself
    visits: list[Visit]  # of the shopper, open at the moment
    transitions: list[Transition]  # of the shopper, since `begins`
    last_heard: float | None = None  # last sighting; None: none

    @property
    def evidence(self) -> list[Evidence]:
        """At the moment itself."""
        return self.looks[-1].evidence


def look(engine: Engine, story: Story, device: str, at: float, watch: float = WATCH) -> Seen:
    """What a new `engine` knows of `device` at `at` when it is told `story` again. ValueError: the story does not
    name the device."""
    if device not in story.batch.devices:
        raise ValueError(f"{device} is not in the story")
    batch = until(story.batch, at)
    times = [*batch.sightings.at.tolist(), *batch.fixes.at.tolist(), *(one.at for one in story.said if one.at <= at)]
    begins = min(times, default=at)
    player = _Player(engine, story, batch)
    player.play(begins - CLOCK)
    player.play(max(at - watch, begins - CLOCK))
    looks = []
    for tick in range(math.floor(player.now / TICK) + 1, math.ceil(at / TICK) + 1):
        player.play(min(tick * TICK, math.ceil(at / TICK) * TICK))
        looks.append(Look(tick * TICK, engine.evidence(device)))
    if not looks:
        looks.append(Look(at, engine.evidence(device)))
    shopper = story.batch.shoppers[list(story.batch.devices).index(device)]
    return Seen(
        device=device,
        shopper=shopper,
        at=at,
        begins=begins,
        heard=_heard(batch, device, at),
        fixes=_fixes(batch, device, at - watch),
        looks=looks,
        visits=engine.visits(shopper),
        transitions=player.transitions,
        last_heard=_last_heard(batch, device),
    )


class _Player:
    """Tells a story piece by piece, so that nothing comes from the future."""

    def __init__(self, engine: Engine, story: Story, batch: Batch) -> None:
        self._engine, self._batch = engine, batch
        self._said = sorted(story.said, key=lambda one: one.at)
        for state in sorted(story.states, key=lambda one: one.at):
            engine.gateway_state(state.anchor, state.online, state.at)
        self.now = -math.inf
        self.transitions: list[Transition] = []

    def play(self, moment: float) -> None:
        """All up to `moment`."""
        while self._said and self._said[0].at <= moment:
            self._engine.region_state(*self._said.pop(0))
        piece = until(within(self._batch, self.now, self.now), moment)
        self.transitions += self._engine.step(piece, moment).transitions
        self.now = moment


def until(batch: Batch, at: float) -> Batch:
    """What was observed up to `at`."""
    return _where(batch, batch.sightings.at <= at, batch.fixes.at <= at)


def within(batch: Batch, sightings: float, fixes: float, latest: float = math.inf) -> Batch:
    """Sightings and fixes that are newer than these moments, up to the `latest`."""
    seen, fixed = batch.sightings.at, batch.fixes.at
    return _where(batch, (seen > sightings) & (seen <= latest), (fixed > fixes) & (fixed <= latest))


def chosen(batch: Batch, devices: Bools) -> Batch:
    """The rows of some devices, one flag for each of the batch's."""
    return _where(batch, devices[batch.sightings.device], devices[batch.fixes.device])


def _where(batch: Batch, sighting: Bools, fix: Bools) -> Batch:
    seen, fixes = batch.sightings, batch.fixes
    return Batch(
        batch.devices,
        batch.shoppers,
        batch.anchors,
        Sightings(**{name: getattr(seen, name)[sighting] for name in Sightings.__slots__}),
        Fixes(**{name: getattr(fixes, name)[fix] for name in Fixes.__slots__}),
    )


def _last_heard(batch: Batch, device: str) -> float | None:
    mine = batch.sightings.at[batch.sightings.device == list(batch.devices).index(device)]
    return float(mine.max()) if len(mine) else None


def _heard(batch: Batch, device: str, at: float) -> list[HeardBy]:
    seen = batch.sightings
    mine = seen.device == list(batch.devices).index(device)
    found = []
    for anchor in np.unique(seen.anchor[mine]).tolist():
        rows = np.flatnonzero(mine & (seen.anchor == anchor))
        rows = rows[np.argsort(seen.at[rows], kind="stable")]
        lately = rows[seen.at[rows] > at - RECENT]
        last = rows[-1]
        if len(lately):
            mean = float(seen.rssi[lately].mean())
            found.append(
                HeardBy(batch.anchors[anchor], float(seen.rssi[last]), mean, len(lately), float(seen.at[last]))
            )
    return sorted(found, key=lambda one: (-one.mean, one.anchor))


def _fixes(batch: Batch, device: str, since: float) -> list[FixAt]:
    fixes = batch.fixes
    rows = np.flatnonzero(fixes.device == list(batch.devices).index(device))
    rows = rows[np.argsort(-fixes.at[rows], kind="stable")]
    lately = [row for i, row in enumerate(rows.tolist()) if i == 0 or fixes.at[row] > since]
    return [
        FixAt(
            float(fixes.lat[row]),
            float(fixes.lon[row]),
            None if np.isnan(fixes.accuracy[row]) else float(fixes.accuracy[row]),
            float(fixes.at[row]),
        )
        for row in lately[:5]
    ]
