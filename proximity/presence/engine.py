"""Presence: observations in, transitions out. Pure: time comes with the observations and the watermark.

Event time is cut into ticks. `step` takes a batch in, then processes every tick up to the watermark in which there
is an observation or a timer. So the same observations give the same transitions however they were cut into batches.
"""

import bisect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proximity.errors import BadMessage
from proximity.model import Late, Transition, Visit, Whereabouts
from proximity.observations import Batch, Ints
from proximity.presence import checkpoint
from proximity.presence.approach import Approach, Reached, Reaches
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.choice import locator_for
from proximity.presence.dwells import Thresholds
from proximity.presence.evidence import Evidence, evidence
from proximity.presence.hearing import Hearing
from proximity.presence.intake import NEVER, Columns, Intake, Ticks
from proximity.presence.ledger import Crossing, Ledger
from proximity.presence.locator import TICK, Locator
from proximity.presence.people import Devices, Shoppers
from proximity.presence.regions import Regions, Word
from proximity.presence.tracking import Tracking
from proximity.presence.visits import RADIO, Changes, Claims, Event, Phase
from proximity.presence.whereabouts import whereabouts
from proximity.site.model import Site

SWEEP = 240  # ticks between looks for what nobody hears any more: a minute
FORGET = 86_400.0  # s without an observation after which a device is as good as new: its next visit is initial again


@dataclass(slots=True)
class Step:
    """What one step came to, in order of event time."""

    transitions: list[Transition] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)  # opened or ended
    late: list[Late] = field(default_factory=list)  # too late for live presence; never moved state
    counts: dict[str, int] = field(default_factory=dict)  # sightings, fixes, and what was dropped or held, by name
    ahead: dict[str, float] = field(default_factory=dict)  # anchor -> s by which what it heard came from the future

    def add(self, other: "Step") -> None:
        """What came after this."""
        self.transitions += other.transitions
        self.visits += other.visits
        self.late += other.late
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


class Engine:
    """Presence for any number of sites. Not for several threads at once."""

    def __init__(
        self,
        sites: Sequence[Site],
        thresholds: Thresholds | None = None,
        locator: Callable[[Site], Locator] = locator_for,
        now: float | None = None,
    ) -> None:
        """`thresholds`: seconds of dwell to tell, by (site, zone). `now`: event time to begin at; None: that of the
        first observation. ValueError: sites that cannot be."""
        self._clock: int | None = None if now is None else math.floor(now / TICK)  # number of the last processed tick
        self._watermark = -math.inf if now is None else now
        self._catalogue, self._claims = Catalogue(), Claims()
        self._devices, self._shoppers = Devices(), Shoppers()
        known = (self._catalogue, self._devices, self._shoppers)
        self._ledger = Ledger(*known, self._claims)
        self._intake = Intake(*known)
        self._hearing = Hearing(*known, self._claims, locator)
        self._tracking = Tracking(*known, self._claims)
        self._regions = Regions(self._catalogue, self._devices, self._tracking)
        self._approach = Approach(*known)
        self._switches: list[tuple[float, str, bool]] = []  # states of gateways to come, by event time
        self._swept = 0
        self._unreported = Step()  # what a restore brought about
        self._sites = tuple(sites)
        self._edit(Step(), self._catalogue.update(self._sites), {})
        self._ledger.set_thresholds(thresholds or {}, -math.inf)

    # -- observations ---------------------------------------------------------------------------------------------

    def step(self, batch: Batch, watermark: float) -> Step:
        """Take a batch in, and process all ticks that end at or before `watermark` (event time; nothing older is
        expected). Observations newer than that are held. ValueError: a watermark that is no time."""
        if not math.isfinite(watermark):
            raise ValueError(f"the watermark must be a time in seconds, not {watermark}")
        step, self._unreported = self._unreported, Step()
        numbered = self._intake.number(batch)
        given = numbered.given
        had = given[self._devices.shopper[given] >= 0]
        if len(had):  # they are another shopper's now, and what they said of the one before is void
            self._end(step, self._claims_of(had), Event.ERASED)
            self._approach.forget(had)
        self._devices.shopper[given] = numbered.owners
        late, counts = self._intake.take(batch, numbered, self._clock, watermark)
        step.late += late
        step.ahead = self._intake.ahead
        self._regions.hold(self._clock, watermark, counts)
        self._advance(step, watermark, counts)
        return step

    def gateway_state(self, anchor: str, online: bool, at: float) -> None:
        """ "<site>/<anchor>" went offline or came online at `at`. Visits whose anchors are all offline are held."""
        bisect.insort(self._switches, (at, anchor, online))

    def region_state(self, device: str, shopper: str, zone: str, inside: bool, at: float) -> None:
        """The phone `device` says that it entered (`inside`) or left its own region of "<site>/<zone>" at `at`."""
        row = self._devices.numbers([device])
        owner = self._shoppers.numbers([shopper])
        if self._devices.shopper[row[0]] not in (-1, owner[0]):
            self._end(self._unreported, self._claims_of(row), Event.ERASED)
            self._approach.forget(row)
        self._devices.shopper[row] = owner
        self._regions.tell(Word(0, at, device, zone, inside))

    def next_due(self) -> float | None:
        """Event time up to which nothing happens without a new observation; None: for ever."""
        due = min(self._due(), self._intake.first(), self._regions.first())
        return None if due == NEVER else due * TICK

    @property
    def watermark(self) -> float:
        """The highest one so far; -inf: none."""
        return self._watermark

    # -- the way through --------------------------------------------------------------------------------------------

    def _advance(self, step: Step, watermark: float, counts: Counter[str]) -> None:
        """Process every tick up to `watermark` in which something can happen."""
        end = math.floor(watermark / TICK)
        if self._clock is None:
            self._clock = min(self._intake.first() - 1, self._regions.first() - 1, end)
        sightings, fixes = Ticks(self._intake.sightings.pop(end)), Ticks(self._intake.fixes.pop(end))
        while (tick := min(sightings.next, fixes.next, self._regions.first(), self._due())) <= end:
            self._clock = tick
            self._process(step, tick, sightings.take(tick), fixes.take(tick), counts)
            if tick // SWEEP != self._swept:
                self._swept = tick // SWEEP
                self._sweep(tick * TICK, [sightings.devices(), fixes.devices()])
        self._clock = max(self._clock, end)
        self._watermark = max(self._watermark, watermark)
        for name, count in counts.items():
            if count:
                step.counts[name] = step.counts.get(name, 0) + count

    def _due(self) -> int:
        """Number of the next tick with a timer."""
        at = min(self._claims.next_due(), self._ledger.next_due(), *(switch[0] for switch in self._switches[:1]))
        if math.isinf(at):
            return NEVER
        return max(math.ceil(at / TICK), 0 if self._clock is None else self._clock + 1)

    def _process(
        self, step: Step, tick: int, sightings: Columns | None, fixes: Columns | None, counts: Counter[str]
    ) -> None:
        """One tick, from what was observed to what it came to."""
        now = tick * TICK
        crossings: list[Crossing] = []
        reached: list[Reached] = []
        self._switch(now)
        if sightings is not None:
            for old in self._hearing.take(tick, now, sightings, counts):
                step.late += self._intake.late_sightings({name: column[old] for name, column in sightings.items()})
        if fixes is not None:
            taken = self._tracking.take(tick, fixes, counts)
            crossings, reached = taken.crossings, self._approach.take(taken.believed)
            step.late += self._intake.late_fixes({name: column[taken.old] for name, column in fixes.items()})
        self._regions.take(tick, counts)
        self._tell(step, now, self._fire(now, counts), crossings)
        step.transitions += self._approach.tell(reached, now, self._ledger.zones_of)

    def _switch(self, now: float) -> None:
        while self._switches and self._switches[0][0] <= now:
            at, anchor, online = self._switches.pop(0)
            number = self._catalogue.anchor_numbers.index.get(anchor)
            if number is not None:
                self._hearing.switch(number, online, at)

    def _fire(self, now: float, counts: Counter[str]) -> Changes:
        """Timers that are due: evidence that was kept up, and silence."""
        claims = self._claims
        rows = np.flatnonzero(claims.due <= now).astype(np.int32)
        if not len(rows):
            return Changes.none()
        zone = claims.zone[rows]
        after = self._catalogue.enter_after[zone], self._catalogue.leave_after[zone]
        confirmed = claims.confirmable(rows, now, after)
        changes = self._exclude(claims.happen(rows[confirmed], Event.CONFIRMED))
        quiet = rows[~confirmed]
        quiet = quiet[claims.phase[quiet] != Phase.AWAY]
        radio = claims.source[quiet] == RADIO
        silent, down = self._hearing.silence(quiet[radio], now, counts)
        changes += claims.happen(np.concatenate([silent, quiet[~radio]]), Event.SILENT)
        return changes + claims.happen(down, Event.GATEWAY_DOWN)

    def _exclude(self, changes: Changes) -> Changes:
        """These changes, and those of claims that the entered zones exclude."""
        return changes + self._claims.happen(self._hearing.excluded(changes), Event.ELSEWHERE)

    def _tell(self, step: Step, now: float, changes: Changes, crossings: list[Crossing]) -> None:
        """Changes of claims into visits and transitions; claims that are no more are given back."""
        result = self._ledger.apply(now, changes, crossings)
        step.transitions += result.transitions
        step.visits += result.visits
        over = np.flatnonzero(self._claims.used & (self._claims.phase == Phase.AWAY)).astype(np.int32)
        if len(over):
            radio = self._claims.source[over] == RADIO
            self._hearing.release(over[radio])
            self._tracking.release(over[~radio])
            self._claims.give(over)

    def _sweep(self, now: float, coming: Sequence[Ints]) -> None:
        """Give back what was not observed for long, claims nothing and is not about to be observed."""
        self._hearing.sweep(now)
        self._approach.sweep(now)
        devices = self._devices
        rows = devices.rows()
        rows = rows[(devices.seen[rows] < now - FORGET) & (devices.site[rows] < 0)]
        held = (self._intake.sightings.device, self._intake.fixes.device, self._regions.devices())
        busy = (self._claims.device, *held, *coming)
        idle = rows[~np.isin(rows, np.concatenate(busy))]
        devices.give(idle)
        shoppers = self._shoppers.rows()
        gone = shoppers[~np.isin(shoppers, devices.shopper[devices.rows()])]
        self._ledger.sweep(now)
        self._ledger.forget(gone.tolist())
        self._shoppers.give(gone)
        self._intake.gave_back(idle, gone)

    # -- changes from outside ---------------------------------------------------------------------------------------

    def set_thresholds(self, thresholds: Thresholds) -> None:
        """Seconds of dwell to tell from now on, by (site, zone). What is past for an open visit is not told."""
        self._ledger.set_thresholds(thresholds, self._now())

    def set_reaches(self, reaches: Reaches) -> None:
        """Distances and times to arrival at which to tell that somebody approaches, by (site, place). ValueError: a
        reach that is neither metres nor seconds."""
        self._approach.set_reaches(reaches)

    def set_sites(self, sites: Sequence[Site], at: float) -> Step:
        """Put edited sites in force: time moves on to `at`, then who is inside is judged again where a zone changed.
        Visits in zones that are gone end."""
        step = Step()
        self._advance(step, at, Counter())
        self._sites = tuple(sites)
        self._edit(step, self._catalogue.update(self._sites), {})
        return step

    def forget(self, shopper: str, at: float, event: Event = Event.ERASED) -> Step:
        """Time moves on to `at`; then the shopper's visits end by `event`, ERASED or WITHDRAWN, and nothing of him and
        his devices is left."""
        step = Step()
        self._advance(step, at, Counter())
        row = self._shoppers.index.get(shopper)
        if row is None:
            return step
        devices = self._devices.of(row)
        self._end(step, self._claims_of(devices), event)
        self._ledger.forget([row])
        self._intake.forget(devices)
        self._regions.forget([self._devices.names[row] for row in devices.tolist()])
        self._hearing.forget(devices)
        self._approach.forget(devices, row)
        self._devices.give(devices)
        self._shoppers.give(np.array([row], dtype=np.int32))
        self._intake.gave_back(devices, np.array([row], dtype=np.int32))
        return step

    def _edit(self, step: Step, edit: Edit, before: Mapping[str, Any]) -> None:
        now, claims = self._now(), self._claims
        radio_in, radio_out = self._hearing.edit(edit, before, now)
        fix_in, fix_out = self._tracking.edit(edit, now)
        self._approach.edit(edit)
        rows = claims.rows()
        changes = claims.happen(rows[np.isin(claims.zone[rows], list(edit.removed))], Event.REMOVED)
        changes += claims.happen(np.concatenate([radio_out, fix_out]), Event.EDITED_OUT)
        changes += self._exclude(claims.happen(np.concatenate([radio_in, fix_in]), Event.EDITED_IN))
        self._tell(step, now, changes, [])

    def _end(self, step: Step, rows: Ints, event: Event) -> None:
        self._tell(step, self._now(), self._claims.happen(rows, event), [])

    def _claims_of(self, devices: Ints) -> Ints:
        rows = self._claims.rows()
        return rows[np.isin(self._claims.device[rows], devices)]

    def _now(self) -> float:
        return -math.inf if self._clock is None else self._clock * TICK

    # -- looking ----------------------------------------------------------------------------------------------------

    def whereabouts(self, shopper: str | None = None) -> list[Whereabouts]:
        """Where each device is, or each of one shopper's; sorted by device id."""
        rows = self._devices.rows()
        if shopper is not None:
            rows = self._devices.of(self._shoppers.index.get(shopper, -2))
        rows = rows[np.isfinite(self._devices.seen[rows])]
        names = self._shoppers.names
        found = whereabouts(
            rows, self._now(), self._catalogue, self._devices, self._claims, self._hearing, self._ledger, names
        )
        return sorted(found, key=lambda one: one.device)

    def inside(self, shopper: str) -> list[tuple[str, str]]:
        """(site, zone) of the shopper's open visits, sorted."""
        row = self._shoppers.index.get(shopper)
        return [] if row is None else sorted(self._catalogue.name(zone) for zone in self._ledger.zones_of(row))

    def evidence(self, device: str) -> list[Evidence]:
        """What is known of a device's zones; empty for one that nothing is known of."""
        row = self._devices.index.get(device)
        if row is None:
            return []
        known = (self._catalogue, self._devices, self._claims, self._hearing, self._tracking)
        return evidence(row, self._now(), *known)

    def visits(self, shopper: str) -> list[Visit]:
        """The shopper's open visits, by site and zone."""
        row = self._shoppers.index.get(shopper)
        return [] if row is None else sorted(self._ledger.visits(row), key=lambda one: (one.site, one.zone))

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that `resume` needs to go on as if nothing had happened, observations that are held included.
        It shares nothing with the engine, so it can be packed beside it."""
        return {
            "clock": self._clock,
            "watermark": None if math.isinf(self._watermark) else self._watermark,
            "swept": self._swept,
            "switches": list(self._switches),
            "catalogue": self._catalogue.state(),
            "devices": self._devices.state(),
            "shoppers": self._shoppers.state(),
            "claims": self._claims.state(),
            "radios": self._hearing.state(),
            "sightings": self._intake.sightings.state(),
            "fixes": self._intake.fixes.state(),
            "regions": self._regions.state(),
            "approach": self._approach.state(),
            "ledger": self._ledger.state(),
        }

    def checkpoint(self) -> bytes:
        """A snapshot as bytes."""
        return checkpoint.pack(self.snapshot())

    def restore(self, data: bytes) -> None:
        """Go on from a checkpoint; see `resume`."""
        self.resume(checkpoint.unpack(data))

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, with the sites and thresholds of this engine. What a change of the sites since then
        brings about is in the next step. BadMessage("checkpoint"): not readable; build a new engine then."""
        try:
            self._restore(state)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise BadMessage("checkpoint", f"damaged: {error!r}") from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._clock, self._swept = state["clock"], state["swept"]
        self._watermark = -math.inf if state["watermark"] is None else state["watermark"]
        self._switches = [(at, anchor, online) for at, anchor, online in state["switches"]]
        edit = self._catalogue.restore(state["catalogue"], self._sites)
        self._devices.restore(state["devices"])
        self._shoppers.restore(state["shoppers"])
        self._claims.restore(state["claims"])
        self._intake.gave_back()
        self._intake.sightings.restore(state["sightings"])
        self._intake.fixes.restore(state["fixes"])
        self._regions.restore(state["regions"])
        self._ledger.restore(state["ledger"], self._now())
        self._hearing.radios = {}
        self._tracking.restore()
        self._approach.restore(state["approach"])
        self._unreported = Step()
        self._edit(self._unreported, edit, state["radios"])
