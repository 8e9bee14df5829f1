"""The pipeline: messages in, committed transitions, decisions and offers out. Read `turn` from top to bottom.

One thread owns it. Other threads look at presence under `lock`, and change people or configuration through it too.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from proximity.configuration import Configuration
from proximity.delivery.routes import RouteSettings, reachable, routes
from proximity.errors import BadMessage
from proximity.feed import Feed
from proximity.gateways import Gateways, save_report
from proximity.ingest.admission import Admission
from proximity.ingest.decode import Decoder, GatewayReport
from proximity.ingest.gateway_config import gateway_config
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.offsets import Offsets
from proximity.model import Device, Sent, Transition, Whereabouts
from proximity.presence.engine import Engine, Step
from proximity.registry import Registry
from proximity.store import commit as commits
from proximity.store import history, people
from proximity.store.database import Store, StoreError
from rules.decide import Facts, Verdict, decide

log = structlog.get_logger(__name__)

IDLE_WAIT = 0.05  # s an observation may wait for company
COMMIT_RETRY = 0.5  # s between attempts while the database cannot be written
TELL_WHEREABOUTS = 0.5  # s between looks at where everybody is, for pages that watch


@dataclass(slots=True)
class Vitals:
    """What health and metrics show. Written by the pipeline only."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, what), since the start
    transitions: Counter[str] = field(default_factory=Counter)  # by kind
    decisions: Counter[str] = field(default_factory=Counter)  # "sent" or the reason
    last_commit: float | None = None  # monotonic
    commit_error: str | None = None
    turns: int = 0

    def taken(self, what: str) -> int:
        """Rows of sightings or fixes that came in, of devices known or not."""
        return sum(number for (source, kind), number in self.counts.items() if kind == what and source != "presence")


class Service:
    """Holds what a turn needs; `run` takes turns until `stop`."""

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
    ) -> None:
        self.store, self.clock, self.inbox, self.feed = store, clock, inbox, feed
        self.lock = threading.RLock()
        self.vitals = Vitals()
        self.gateways = Gateways()
        self.on_offers: Callable[[], None] = lambda: None  # wakes the outbox
        self.on_failure: Callable[[], None] = lambda: None  # the pipeline has ended and cannot go on
        self.failure: StoreError | None = None
        self._reorder, self._routes = reorder, route_settings or RouteSettings()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = 0.0
        self._offsets = Offsets(commits.load_offsets(store))
        self._decoder = Decoder(self._offsets, self._secret)
        self._restore(configuration)

    # -- the pipeline ---------------------------------------------------------------------------------------------

    def turn(self, messages: Sequence[Inbound]) -> None:
        """One batch, all the way. Nothing is acknowledged before what it caused is committed."""
        now = self.clock()
        read = self._decoder.read(messages)
        with self.lock:
            batch, refused = self._admission.admit(read, now)
            self.gateways.hear(read.gateways, read.reports, self._engine, now)
            step = self._engine.step(batch, now - self._reorder)
            verdicts = self._decide(step.transitions, now)
            taken = len(batch.sightings) + len(batch.fixes)
            outcome = self._outcome(step, verdicts, now) if taken or self._caused(step) else None
            self._commit(outcome, step, verdicts, read.reports)
        self._acknowledge(messages, read.refused)
        self._count(read.counts + refused, step, verdicts)

    def _decide(self, transitions: Sequence[Transition], now: float) -> list[Verdict]:
        verdicts: list[Verdict] = []
        wanted = {t.shopper for t in transitions if self._ruleset.candidates(t).rules}
        if not wanted:
            return verdicts
        since = now - self._ruleset.history_window()
        sent: dict[str, list[Sent]] = {shopper: [] for shopper in wanted}
        for one in history.sends(self.store, wanted, since):
            sent[one.shopper].append(one)
        for transition in transitions:
            if transition.shopper not in wanted:
                continue
            shopper = transition.shopper
            facts = Facts(
                now=now,
                shopper=self.registry.shoppers.get(shopper),
                history=sent[shopper],
                reachable=reachable(self.registry.carried_by(shopper), self._routes),
                attributes={},
            )
            for verdict in decide(self._ruleset, transition, facts):
                verdicts.append(verdict)
                if verdict.counted is not None:
                    sent[shopper].append(verdict.counted)
        return verdicts

    def _caused(self, step: Step) -> bool:
        """Whether a turn without observations has something to commit all the same: a timer fired, a number covered."""
        return bool(step.transitions or step.visits or step.late or self._offsets.changed())

    def _outcome(self, step: Step, verdicts: Sequence[Verdict], now: float) -> commits.Outcome:
        """What has to be committed."""
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
            late=step.late,
            offsets=[
                commits.GatewayOffset(*boot, seq=one.seq, ahead=sorted(one.ahead), messages=one.messages, rows=one.rows)
                for boot, one in covered.items()
            ],
            checkpoint=self._engine.checkpoint(),
            watermark=self._engine.watermark,
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
                committed = commits.commit(self.store, outcome) if outcome else None
                break
            except StoreError as error:
                self.vitals.commit_error = str(error)
                if not error.temporary:
                    raise  # it would never pass; the process ends, and nothing of the batch was acknowledged
                log.error("cannot commit; trying again", error=str(error))
                if self._stopping.wait(COMMIT_RETRY):
                    raise
        self.vitals.commit_error = None
        self.vitals.last_commit = time.monotonic()
        if outcome is None or committed is None:
            return
        self.gateways.acknowledge(self._offsets.changed())
        self._offsets.settle()
        self._announce(committed, step, verdicts)

    def _announce(self, committed: commits.Committed, step: Step, verdicts: Sequence[Verdict]) -> None:
        """Tell pages what is new, and wake the outbox. Only what this commit really added."""
        for transition in step.transitions:
            if transition.id in committed.transitions:
                self.feed.publish("transition", msgspec.to_builtins(transition))
        for verdict in verdicts:
            if verdict.decision.id in committed.decisions:
                self.feed.publish("decision", msgspec.to_builtins(verdict.decision))
        if committed.deliveries or committed.withdrawn:
            self.on_offers()

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

    def in_store(self, shopper: str, site: str) -> bool:
        """Whether the shopper is in any zone of the site."""
        return any(where == site for where, _zone in self.inside(shopper))

    def device(self, device_id: str) -> Device | None:
        """A registered device, whether its shopper agreed or not."""
        return self.registry.devices.get(device_id)

    def people_changed(self) -> None:
        """Shoppers, consents or devices were changed in the store: use them from now on. Who agrees to nothing any
        more is forgotten."""
        with self.lock:
            before = self.registry.agreed
            self._load_people()
            for shopper in sorted(before - self.registry.agreed):
                self._settle(self._engine.forget(shopper, self.clock()))
            self.tell_gateways()

    def erase(self, shopper: str) -> bool:
        """End the shopper's visits and delete every row about him. False when there is no such shopper."""
        with self.lock:
            self._engine.forget(shopper, self.clock())  # how his visits end is deleted with the rest
            erased = people.erase(self.store, shopper)
            self._settle(Step())
            self._load_people()
            self.tell_gateways()
        return erased

    def configure(self, configuration: Configuration) -> None:
        """Put a checked configuration in force: visits, timers and limits of what is unchanged go on."""
        with self.lock:
            self._use(configuration)
            step = self._engine.set_sites(configuration.sites, self.clock())
            self._engine.set_thresholds(self._ruleset.thresholds())
            self._settle(step)
            self.tell_gateways()

    def tell_gateways(self) -> None:
        """Post the settings in force to every gateway."""
        self.gateways.tell(gateway_config(self.registry.agreed_devices()), self.configuration.sites)

    def _settle(self, step: Step) -> None:
        """Decide and commit what a change from outside brought about."""
        now = self.clock()
        verdicts = self._decide(step.transitions, now)
        self._commit(self._outcome(step, verdicts, now), step, verdicts, ())

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take turns in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="pipeline", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the turn and end. What is not acknowledged comes again."""
        self._stopping.set()
        if self._thread:
            self._thread.join(10)

    def run(self) -> None:
        """Turns until `stop`."""
        while not self._stopping.is_set():
            # While a turn runs, messages gather: batches grow with the load by themselves.
            messages = self.inbox.take(IDLE_WAIT)
            try:
                self.turn(messages)
            except StoreError as error:
                if not self._stopping.is_set():
                    self.failure = error
                    self.on_failure()
                return  # nothing of the turn was acknowledged
            self.vitals.turns += 1
            self._tell_whereabouts()

    def _tell_whereabouts(self) -> None:
        if self.feed.watched and time.monotonic() - self._told > TELL_WHEREABOUTS:
            self._told = time.monotonic()
            self.feed.publish("whereabouts", {"devices": msgspec.to_builtins(self.whereabouts())})

    # -- state ----------------------------------------------------------------------------------------------------

    def _restore(self, configuration: Configuration) -> None:
        self._use(configuration)
        checkpoint = commits.load_checkpoint(self.store)
        # Time begins now: a position that the broker has retained from yesterday is not live.
        self._engine = Engine(configuration.sites, self._ruleset.thresholds(), now=self.clock() - self._reorder)
        if checkpoint is None:
            return
        self._engine.restore(checkpoint.state)
        # Deaf since the last commit: until a gateway is heard again its silence says nothing about any shopper.
        anchors = (f"{site.id}/{anchor.id}" for site in configuration.sites for anchor in site.anchors)
        self.gateways.lose(anchors, self._engine, checkpoint.watermark)

    def _use(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._ruleset = configuration.ruleset
        self._load_people()

    def _load_people(self) -> None:
        self.registry = Registry(self.store)
        self._admission = Admission(self.configuration.sites, self.registry.agreed_devices())

    def _secret(self, device_id: str) -> str | None:
        return self.registry.secret(device_id)  # of the registry of this moment

    def _count(self, counts: Counter[tuple[str, str]], step: Step, verdicts: Sequence[Verdict]) -> None:
        self.vitals.counts.update(counts)
        self.vitals.counts.update({("presence", name): count for name, count in step.counts.items()})
        self.vitals.transitions.update(transition.kind for transition in step.transitions)
        self.vitals.decisions.update(verdict.decision.reason or "sent" for verdict in verdicts)
