"""The outbox worker: hands queued deliveries over, each channel in its own lane, so that a slow one delays no other.

A lane works in batches: one claim, one look at what each send depends on, the hand-overs, and one transaction for what
became of them. A delivery is recorded as sent after the hand-over, so a kill in between sends it once more, under the
same id; lane.py says how many at most. The claim outlives the worker: what it held, and may not be sent any more, is
taken back.
"""

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from proximity.delivery.channel import Channel, RetryLaterError
from proximity.delivery.clearing import GONE, Clearing, Presence
from proximity.delivery.lane import Attempt, Lane
from proximity.errors import DeliveryError
from proximity.feed import Feed
from proximity.store import outbox, settling
from proximity.store.database import Store, StoreError
from proximity.store.outbox import StoredDelivery
from proximity.store.settling import Result, Settled

log = structlog.get_logger(__name__)

TAKE = 256  # deliveries claimed at once: what a claim and the questions cost is shared by so many
LOOK_AGAIN = 1.0  # s after which an idle lane looks by itself: another process may have queued something
STORE_RETRY = 1.0  # s between attempts to record while the database refuses

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Doubling waits. With these values the eighth and last attempt comes one to two minutes after the first."""

    attempts: int = 8
    first: float = 1.0  # s before the second attempt
    ceiling: float = 60.0  # s

    def delay(self, failed: int, chance: float) -> float:
        """Seconds to wait after `failed` attempts. `chance` in [0, 1) spreads it over the upper half, so that many
        deliveries to a server that comes back do not come all at once."""
        return float(min(self.ceiling, self.first * 2.0 ** (failed - 1)) * (0.5 + chance / 2))


class OutboxWorker:
    """Works the outbox off. `start` and `stop` for a service; `run_once` for tests and tools."""

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        presence: Presence,
        clock: Clock,
        *,
        feed: Feed | None = None,
        policy: RetryPolicy | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._presence, self._clock, self._feed = store, presence, clock, feed
        self._policy = policy or RetryPolicy()
        self._chance = chance
        self._lanes = [Lane(channel) for channel in channels]
        self._names = frozenset(channel.name for channel in channels)
        self._holder = secrets.token_hex(16)  # whose claims are ours, where several workers share the outbox
        self._unrecorded: set[str] = set()  # at the end: handed over, for all that the store knows
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._looked = 0.0  # monotonic, for deliveries of channels that are no more

    @property
    def courier(self) -> str | None:
        """Whose deliveries of this process are from the start, which spares the claim; None: workers of other processes
        may be quicker."""
        return self._holder if self._store.dialect == "sqlite" else None

    def start(self) -> None:
        """For each channel a thread that looks and records, and as many that hand over as it takes calls at once."""
        for lane in self._lanes:
            name = f"outbox-{lane.channel.name}"
            self._threads += [
                threading.Thread(target=work, args=(lane,), name=name, daemon=True)
                for work in (self._run, *[self._hand_over] * lane.channel.parallel)
            ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was queued. Any thread may call this; it returns at once."""
        for lane in self._lanes:
            lane.wake()

    def stop(self) -> None:
        """Begin nothing new, finish and record what is under way, and close the channels."""
        self._stopping.set()
        for lane in self._lanes:
            lane.stop()
        for thread in self._threads:
            thread.join()
        for lane in self._lanes:
            lane.channel.close()
        with contextlib.suppress(StoreError):  # the next worker takes them for left behind
            outbox.release(self._store, self._holder, self._unrecorded)

    def run_once(self, now: float) -> int:
        """Work off everything that is due at `now`, in this thread and one by one; how many had their turn."""
        self._abandon()
        worked = 0
        for lane in self._lanes:
            while rows := outbox.claim(self._store, self._holder, now, TAKE, lane.channel.name):
                held = time.monotonic()
                for row in rows:
                    clearing = Clearing(self._store, self._presence, self._holder, [row], held)
                    self._record([self._attempt(lane.channel, row, clearing, lambda: now)])
                worked += len(rows)
        return worked

    # -- one delivery -------------------------------------------------------------------------------------------------

    def _attempt(self, channel: Channel, row: StoredDelivery, clearing: Clearing, clock: Clock) -> Attempt:
        """StoreError when the store cannot be read; nothing was sent then, and the row is still queued. Raises nothing
        else: its neighbours' results in the lane must not be lost."""
        delivery, offer = row.delivery, row.offer
        try:
            objection = clearing.objection(row, clock())
            if objection is not None:
                return Attempt(row, "gone" if objection == GONE else "skipped", clock(), objection)
            (channel.send if delivery.kind == "offer" else channel.withdraw)(delivery, offer)
        except DeliveryError as error:
            return self._failed(row, error, clock())
        except StoreError:
            raise
        except Exception as error:  # a fault of one channel must not end its lane
            log.exception("channel failed", channel=channel.name, delivery=delivery.id)
            return self._failed(row, DeliveryError(f"{type(error).__name__}: {error}", retry=True), clock())
        return Attempt(row, "sent", clock())

    def _failed(self, row: StoredDelivery, error: DeliveryError, now: float) -> Attempt:
        failed = row.attempts + 1
        if not error.retry:
            return Attempt(row, "dead", now, str(error))
        if failed >= self._policy.attempts:
            return Attempt(row, "dead", now, f"{error} (attempt {failed} of {self._policy.attempts})")
        pause = self._policy.delay(failed, self._chance())
        if isinstance(error, RetryLaterError):
            pause = max(pause, error.after)
        if now + pause >= row.offer.expires:
            return Attempt(row, "dead", now, f"{error} (the offer expires before another attempt)")
        return Attempt(row, "retry", now + pause, str(error))

    # -- records ------------------------------------------------------------------------------------------------------

    def _record(self, attempts: Sequence[Attempt]) -> None:
        results: list[Result] = []
        for row, result, at, why in attempts:
            delivery = row.delivery
            if result == "gone":
                continue
            if result == "dead":
                log.warning("delivery given up", channel=delivery.channel, delivery=delivery.id, error=why)
            elif result == "retry":
                log.info("delivery failed", channel=delivery.channel, delivery=delivery.id, error=why)
            results.append(Result(delivery.id, result, at, why))
        if results:
            self._announce(settling.record(self._store, results))

    def _announce(self, ended: Sequence[Settled]) -> None:
        """Tell pages of offers that reached nobody."""
        if self._feed is None:
            return
        for one in ended:
            data = {"id": one.offer, "shopper": one.shopper, "state": one.state, "reason": one.reason}
            self._feed.publish("withdrawn", data)

    def _abandon(self) -> None:
        self._announce(outbox.abandon(self._store, self._names))

    # -- lanes --------------------------------------------------------------------------------------------------------

    def _run(self, lane: Lane) -> None:
        look = 0.0  # monotonic, when to look for more
        while True:
            try:
                attempts = lane.collect(look)
                if attempts:
                    self._insist(attempts)
                    look = 0.0 if lane.recorded(attempts) else look
                elif self._stopping.is_set():
                    return
                else:
                    look = time.monotonic() + self._look(lane)
            except StoreError as error:
                log.error("outbox cannot read the store; trying again", error=str(error))
                self._stopping.wait(STORE_RETRY)
                look = 0.0

    def _look(self, lane: Lane) -> float:
        """Claim what is due. Seconds to wait before the next look unless woken, once nothing waits in the lane."""
        held, in_hand = time.monotonic(), lane.in_hand()
        rows = outbox.claim(self._store, self._holder, self._clock(), TAKE + len(in_hand), lane.channel.name)
        fresh = [row for row in rows if row.delivery.id not in in_hand]
        if fresh:
            lane.add(fresh, Clearing(self._store, self._presence, self._holder, fresh, held))
            return 0.0 if len(rows) >= TAKE else LOOK_AGAIN
        if lane is self._lanes[0] and held - self._looked > LOOK_AGAIN:
            self._abandon()
            self._looked = held
        if in_hand:  # they are due still; the lane looks again when they are recorded
            return LOOK_AGAIN
        following = outbox.next_due(self._store, lane.channel.name)
        return LOOK_AGAIN if following is None else min(max(following - self._clock(), 0.0), LOOK_AGAIN)

    def _hand_over(self, lane: Lane) -> None:
        """One row after the other, beside other threads."""
        while (turn := lane.take()) is not None:
            try:
                lane.give(self._attempt(lane.channel, turn.row, turn.clearing, self._clock))
            except StoreError as error:
                lane.fail(turn.row, error)

    def _insist(self, attempts: Sequence[Attempt]) -> None:
        """Record, also when the database refuses for a while: what was handed over must not be handed over again."""
        while True:
            try:
                self._record(attempts)
                return
            except StoreError as error:
                log.error("outbox cannot record; trying again", error=str(error), deliveries=len(attempts))
                if self._stopping.wait(STORE_RETRY):
                    self._unrecorded.update(one.row.delivery.id for one in attempts)
                    return
