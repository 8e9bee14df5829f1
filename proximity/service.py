"""The pipeline: messages in, committed transitions, decisions and offers out. Read `turn` from top to bottom.

One thread owns it. Other threads look at presence under `lock`, and change people or configuration through it too.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import structlog

from proximity import telling
from proximity.configuration import Configuration
from proximity.deciding import Decider
from proximity.delivery.routes import RouteSettings, routes
from proximity.delivery.staff import copies
from proximity.errors import BadMessage
from proximity.feed import Feed
from proximity.fences import FenceBook
from proximity.gateways import Gateways, save_report
from proximity.ingest.admission import Admission
from proximity.ingest.decode import Decoder, GatewayReport, Read
from proximity.ingest.gateway_config import Wanted
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.offsets import Offsets
from proximity.ingest.regions import RegionBook
from proximity.keeper import Keeper
from proximity.model import Device, Whereabouts
from proximity.observed import Observed, ObservedWriter
from proximity.presence.approach import Reaches
from proximity.presence.dwells import Thresholds
from proximity.presence.engine import Step
from proximity.presence.journal import Recorded
from proximity.presence.locator import TICK
from proximity.presence.visits import Event
from proximity.reacting import Reaction, Reactor
from proximity.registry import Change, Registry
from proximity.site.model import Zone
from proximity.store import commit as commits
from proximity.store import context, observations, people
from proximity.store.context import Value
from proximity.store.database import Store, StoreError
from proximity.turns import Turns
from proximity.vitals import Vitals
from rules.decide import Verdict

log = structlog.get_logger(__name__)

COMMIT_RETRY = 0.5  # s between attempts while the database cannot be written
DAY = 86_400.0  # s
CLOCK_BACK = 30.0  # s that the clock may be set back and presence just waits for the time to come round again
TELL_WHEREABOUTS = 0.5  # s between looks at where everybody is, for pages that watch


class Service:
    """Holds what a turn needs."""

    def __init__(
        self,
        store: Store,
        configuration: Configuration,
        clock: Callable[[], float],
        inbox: Inbox,
        feed: Feed,
        *,
        reorder: float = 0.1,
        route_settings: RouteSettings | None = None,
        keep_observations: float = DAY,
    ) -> None:
        self.store, self.clock, self.inbox, self.feed = store, clock, inbox, feed
        self.lock = threading.RLock()
        self.vitals = Vitals()
        self.gateways = Gateways()
        self.on_offers: Callable[[], None] = lambda: None  # wakes the outbox
        self.courier: str | None = None  # the outbox worker that has what is queued in hand from the start
        self._reorder, self._routes = reorder, route_settings or RouteSettings()
        self.turns = Turns(inbox, self.turn, self._to_tick, self._after)
        self._told = 0.0
        self._offsets = Offsets(commits.load_offsets(store))
        self._decoder = Decoder(self._offsets, self._secret)
        self._regions = RegionBook()
        self._decider = Decider(store, self._routes)
        self._reactor = Reactor(store, self._decider)
        self._keeper = Keeper(store)
        self._observed, self._diary = Observed(keep_observations), ObservedWriter(store)
        self.fences = FenceBook(store)
        self._new_values: list[Value] = []  # told by the shop's systems, for the commit
        self._heeded: tuple[Thresholds, Reaches] = ({}, {})  # what presence was told that rules listen to
        self._restore(configuration)

    # -- the pipeline ---------------------------------------------------------------------------------------------

    def turn(self, messages: Sequence[Inbound], until: float | None = math.inf) -> None:
        """One batch, all the way. Nothing is acknowledged before what it caused is committed. `until`: as in Taken."""
        now = self.clock()
        read = self._decoder.read(messages)
        with self.lock:
            if self._engine.watermark - now > CLOCK_BACK:
                self._begin_anew(now)
            seen = self._seen_until(read, until, now)
            batch, words, refused = self._admission.admit(read, now)
            self.gateways.hear(read.gateways, read.reports, self._engine, seen)
            self._observed.take(batch, words, self.gateways.changes(), self._engine, now)
            for word in words:
                self._engine.region_state(*word)
            step = self._engine.step(batch, seen - self._reorder)
            reaction = self._reactor.react(step.transitions, now, self._engine.inside, read.events, read.ticks)
            verdicts = reaction.verdicts
            taken = len(batch.sightings) + len(batch.fixes) + len(words)
            outcome = self._outcome(step, reaction, now) if taken or self._caused(step, reaction) else None
            self._new_values, counts = self._values(read)
            self._commit(outcome, step, verdicts, read.reports)
            if self._observed.due(now) and self._diary.idle:
                self._diary.write(self._observed.flush(), now)
        self._acknowledge(messages, read.refused)
        self.vitals.count(read.counts + refused + reaction.counts + counts, step, verdicts)

    def _values(self, read: Read) -> tuple[list[Value], Counter[tuple[str, str]]]:
        """Values that rules read from the next turn on, and counts of those that were refused."""
        attributes = self._ruleset.catalog.attributes
        sites = frozenset(site.id for site in self.configuration.sites) if read.context else frozenset()
        return telling.admitted(read.context, self.registry, attributes, sites)

    def _seen_until(self, read: Read, until: float | None, now: float) -> float:
        """The moment up to which presence may look. It does not run ahead of messages that are still to be read, or
        they would be late through no fault of theirs."""
        if until is None:
            until = float(max(np.max(rows.at(), initial=-math.inf) for rows in (read.sightings, read.fixes)))
        return max(min(now, until), self._engine.watermark + self._reorder)

    def _caused(self, step: Step, reaction: Reaction) -> bool:
        """Whether a turn without observations has something to commit all the same: a timer fired, a number covered."""
        return bool(step.transitions or step.visits or step.late or reaction or self._offsets.changed())

    def _outcome(self, step: Step, reaction: Reaction, now: float) -> commits.Outcome:
        """What has to be committed."""
        verdicts = reaction.verdicts
        offers = [verdict.offer for verdict in verdicts if verdict.offer is not None]
        covered = self._offsets.changed()
        return commits.Outcome(
            transitions=step.transitions,
            visits=step.visits,
            decisions=[verdict.decision for verdict in verdicts],
            offers=offers,
            deliveries=[
                delivery
                for offer in offers
                for delivery in routes(offer, self.registry.carried_by(offer.shopper), self._routes)
            ],
            courier=self.courier,
            claims=[verdict.effects.claim for verdict in verdicts if verdict.effects.claim is not None],
            coupons=[verdict.coupon for verdict in verdicts if verdict.coupon is not None],
            exposures=[verdict.effects.exposure for verdict in verdicts if verdict.effects.exposure is not None],
            staff=copies((word for verdict in verdicts for word in verdict.effects.messages), self._routes),
            memory=reaction.memory,
            late=step.late,
            offsets=[
                commits.GatewayOffset(*boot, seq=one.seq, ahead=sorted(one.ahead), messages=one.messages, rows=one.rows)
                for boot, one in covered.items()
            ],
            entry=self._keeper.note(self._engine),
            at=now,
        )

    def _commit(
        self,
        outcome: commits.Outcome | None,
        step: Step,
        verdicts: Sequence[Verdict],
        reports: Sequence[GatewayReport],
    ) -> None:
        """Until it succeeds: a full disk or a locked database holds the stream up, and loses nothing of it."""
        while True:
            try:
                for report in reports:
                    save_report(self.store, self.feed, report)
                context.put(self.store, self._new_values, self.clock(), telling.SOURCE)
                committed = commits.commit(self.store, outcome) if outcome else None
                break
            except StoreError as error:
                self.vitals.commit_error = str(error)
                if not error.temporary:
                    raise  # it would never pass; the process ends, and nothing of the batch was acknowledged
                log.error("cannot commit; trying again", error=str(error))
                if self.turns.stopping.wait(COMMIT_RETRY):
                    raise
        if self._new_values:
            self._new_values = []
            self.context_changed()
        self.vitals.commit_error = None
        self.vitals.last_commit = time.monotonic()
        if outcome is None or committed is None:
            return
        self._keeper.settled(self._engine, outcome.at)
        self.gateways.acknowledge(self._offsets.changed())
        self._offsets.settle()
        self._announce(committed, step, verdicts)

    def _announce(self, committed: commits.Committed, step: Step, verdicts: Sequence[Verdict]) -> None:
        """Tell pages what is new, and wake the outbox. Only what this commit really added."""
        if self.feed.watched:
            self._publish(committed, step, verdicts)
        if committed.deliveries or committed.withdrawn or any(verdict.effects.messages for verdict in verdicts):
            self.on_offers()

    def _publish(self, committed: commits.Committed, step: Step, verdicts: Sequence[Verdict]) -> None:
        for transition in step.transitions:
            if transition.id in committed.transitions:
                self.feed.publish("transition", msgspec.to_builtins(transition))
        for verdict in verdicts:
            if verdict.decision.id in committed.decisions:
                decision = committed.turned.get(verdict.decision.id, verdict.decision)
                self.feed.publish("decision", msgspec.to_builtins(decision))

    @staticmethod
    def _acknowledge(messages: Sequence[Inbound], refused: Sequence[BadMessage | None]) -> None:
        for message, error in zip(messages, refused, strict=True):
            message.done(error)

    # -- looking and changing from outside --------------------------------------------------------------------------

    def whereabouts(self, shopper: str | None = None) -> list[Whereabouts]:
        """Where devices are now."""
        with self.lock:
            return self._engine.whereabouts(shopper)

    def inside(self, shopper: str) -> set[tuple[str, str]]:
        """(site, zone) pairs with an open visit."""
        with self.lock:
            return set(self._engine.inside(shopper))

    def device(self, device_id: str) -> Device | None:
        """A registered device, whether its shopper agreed or not."""
        return self.registry.devices.get(device_id)

    def shopper_changed(self, shopper: str) -> None:
        """A shopper's record, consents or devices were changed in the store: use them from now on. Who agrees to
        nothing any more is forgotten."""
        with self.lock:
            withdrew = self._take_up(self.registry.read_again(self.store, shopper), shopper)
            if withdrew:
                self._forget(shopper, Event.WITHDRAWN)
        if withdrew:
            self._diary.settle()
            observations.forget(self.store, shopper)

    def everybody_changed(self) -> None:
        """The same of any number of shoppers: all are read again, which takes its time."""
        with self.lock:
            before = self.registry.agreed
            self._load_people()
            left = sorted(before - self.registry.agreed)
            for shopper in left:
                self._forget(shopper, Event.WITHDRAWN)
            self.tell_gateways()
        self._diary.settle()
        for shopper in left:
            observations.forget(self.store, shopper)

    def erase(self, shopper: str) -> bool:
        """End the shopper's visits and delete every row about him. False when there is no such shopper. StoreError: not
        all of it could be deleted; ask again."""
        with self.lock:
            self._take_up(self.registry.drop(shopper), shopper)
            self._forget(shopper, Event.ERASED)
            rewritten = self._keeper.renew(self._engine, self.clock())
        try:
            rewritten()
            self._diary.settle()
            return people.erase(self.store, shopper)
        except StoreError:
            self.shopper_changed(shopper)
            raise

    def _take_up(self, change: Change, shopper: str) -> bool:
        """Go by what became of a shopper from now on. Whether he withdrew from everything."""
        self._admission.change(change.gone, change.come)
        self._wanted.change(change.gone, change.come)
        self._decider.shopper_changed(shopper)
        self._reactor.shopper_changed(shopper, self.clock())
        if self._wanted.config() != self.gateways.config:
            self.tell_gateways()
        return change.withdrew

    def _forget(self, shopper: str, event: Event) -> None:
        """End the visits of somebody who is not let in any more."""
        self._observed.forget(shopper)
        ended = self._engine.forget(shopper, self.clock(), event)
        # How the visits of somebody who is erased end is nobody's business any more.
        self._settle(ended if event is Event.WITHDRAWN else Step())

    def context_changed(self) -> None:
        """Values that rules read were written to the store: the next decision looks again."""
        self._decider.context.stale = True

    def configure(self, configuration: Configuration) -> None:
        """Put a checked configuration in force: visits, timers and limits of what is unchanged go on."""
        with self.fences.changing, self.lock:
            same = configuration.people == self._files.people
            self._use(configuration)
            if same:
                self._admission.use(configuration.sites)
                self._use_rules()
            else:
                self._load_people()
            step = self._engine.set_sites(self.configuration.sites, self.clock())
            self._listen(self._ruleset.thresholds(), self._ruleset.reaches())
            self._keeper.hurry()
            self._settle(step)
            self.tell_gateways()

    def file_zones(self, site: str) -> frozenset[str]:
        """Ids of a site's zones in the files."""
        return frozenset(zone.id for one in self._files.sites if one.id == site for zone in one.zones)

    def change_fences(self, site: str, put: Sequence[Zone] = (), remove: Sequence[str] = ()) -> int:
        """Store fences of a site and take some away, and put that in force; how many were taken away. What costs with
        the number of all fences is done before the pipeline has to wait."""
        with self.fences.changing:
            removed = self.fences.change(site, put, remove, self.clock())
            configuration = self.fences.merged(self._files)
            heeded = self.fences.heeded(configuration, self._heeded, site, put, remove)
            with self.lock:
                self.configuration, self._ruleset = configuration, configuration.ruleset
                self._use_rules()
                step = self._engine.set_sites(configuration.sites, self.clock())
                self._listen(*heeded)
                self._keeper.hurry()
                self._settle(step)
        return removed

    def _listen(self, thresholds: Thresholds, reaches: Reaches) -> None:
        """Tell presence what rules listen to, when that is other than before: it looks at every open visit then."""
        if (thresholds, reaches) != self._heeded:
            self._engine.set_thresholds(thresholds)
            self._engine.set_reaches(reaches)
            self._heeded = (thresholds, reaches)

    def look_at_schedules(self) -> int:
        """Let the schedules that have come into the pipeline; how many."""
        with self.lock:
            ticks = self._reactor.come(self.clock())
        for tick in ticks:
            if not self.inbox.put(Inbound("schedule", msgspec.json.encode(tick), self.clock()), COMMIT_RETRY):
                self._reactor.look_again()
        return len(ticks)

    def tell_gateways(self) -> None:
        """Post the settings in force to every gateway."""
        self.gateways.tell(self._wanted.config(), self.configuration.sites)

    def _settle(self, step: Step) -> None:
        """Decide and commit what a change from outside brought about."""
        now = self.clock()
        reaction = self._reactor.react(step.transitions, now, self._engine.inside)
        self._commit(self._outcome(step, reaction, now), step, reaction.verdicts, ())

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take turns in a thread of its own."""
        self._keeper.start()
        self._diary.start()
        self.turns.start()

    def stop(self) -> None:
        """Finish the turn and end. What is not acknowledged comes again."""
        if self.turns.stop():
            orderly = self.turns.failure is None
            with self.lock:
                self.gateways.say(everything=True)
                self._diary.close()
                if orderly:
                    self._diary.write(self._observed.flush(), self.clock())
                self._keeper.close(self._engine, self.clock(), orderly=orderly)

    def _to_tick(self) -> float:
        """Seconds until presence can look again: nobody shall wait longer for what that brings."""
        seen = self.clock() - self._reorder
        return (math.floor(seen / TICK) + 1) * TICK - seen

    def _after(self) -> None:
        self.vitals.turns += 1
        self.gateways.say()
        self._tell_whereabouts()

    def _tell_whereabouts(self) -> None:
        if self.feed.watched and time.monotonic() - self._told > TELL_WHEREABOUTS:
            self._told = time.monotonic()
            self.feed.publish("whereabouts", {"devices": msgspec.to_builtins(self.whereabouts())})

    # -- state ----------------------------------------------------------------------------------------------------

    def _restore(self, configuration: Configuration) -> None:
        self._use(configuration)
        self._load_people()
        sites = self.configuration.sites
        # Time begins now: a position that the broker has retained from yesterday is not live.
        now = self.clock() - self._reorder
        self._heeded = (self._ruleset.thresholds(), self._ruleset.reaches())
        self._engine, went_on = self._keeper.restore(lambda: self._new_engine(now), sites)
        if not went_on:
            return
        # Deaf since the last commit: until a gateway is heard again its silence says nothing about any shopper.
        anchors = (f"{site.id}/{anchor.id}" for site in sites for anchor in site.anchors)
        self.gateways.lose(anchors, self._engine, self._engine.watermark)

    def _new_engine(self, now: float) -> Recorded:
        thresholds, reaches = self._heeded
        engine = Recorded(self.configuration.sites, thresholds, now=now)
        engine.set_reaches(reaches)
        return engine

    def _begin_anew(self, now: float) -> None:
        """The clock was set back. Presence never goes back; it would be blind until the time comes round again."""
        before = self._engine.watermark
        log.error("the clock went back; presence begins anew, and open visits end", seconds=round(before - now))
        self._engine = self._new_engine(now - self._reorder)
        self._keeper.anew(self._engine, self.configuration.sites, before)

    def _use(self, configuration: Configuration) -> None:
        self._files = configuration  # without the fences that the API put
        self.configuration = self.fences.merged(configuration)
        self._ruleset = self.configuration.ruleset

    def _load_people(self) -> None:
        self.registry = Registry(self.store)
        agreed = list(self.registry.agreed_devices())
        self._admission, self._wanted = Admission(self._files.sites, agreed, self._regions), Wanted(agreed)
        self._use_rules()

    def _use_rules(self) -> None:
        self._decider.use(self._ruleset, self.registry, self.configuration.context)
        self._reactor.use(self._ruleset, self.registry, (site.id for site in self.configuration.sites), self.clock())

    def _secret(self, device_id: str) -> str | None:
        return self.registry.secret(device_id)  # of the registry of this moment
