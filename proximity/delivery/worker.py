"""The outbox worker: hands queued deliveries over, each channel in its own lane, so that a slow one delays no other.

Before each send three things are asked again: not expired, still consented, still where the rule says. A delivery is
recorded as sent after the hand-over, so a kill in between sends it once more, under the same id.
"""

import contextlib
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import structlog

from proximity.delivery.channel import MOST_SECONDS, Channel, RetryLaterError
from proximity.errors import DeliveryError
from proximity.feed import Feed
from proximity.store import history, outbox
from proximity.store.database import Store, StoreError
from proximity.store.outbox import Settled, StoredDelivery

log = structlog.get_logger(__name__)

TAKE = 100  # deliveries read from the outbox at once
# Rows of a lane in the pool's hands at once. While a transaction reaches the disk the next ones are handed over, and
# are then recorded together; a kill repeats so many at most, and one when there is no backlog.
WINDOW = 16
LOOK_AGAIN = 1.0  # s after which an idle lane looks by itself: another process may have queued something
STORE_RETRY = 1.0  # s between attempts to record while the database refuses

Clock = Callable[[], float]


class Presence(Protocol):
    """Where a shopper is now."""

    def inside(self, shopper: str) -> Set[tuple[str, str]]:
        """(site, zone) of every open visit."""
        ...

    def in_store(self, shopper: str, site: str) -> bool:
        """Whether the shopper is in any zone of the site."""
        ...


class StoredPresence:
    """Where shoppers are by what was committed: for a worker that shares the outbox with pipelines of other sites."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def inside(self, shopper: str) -> Set[tuple[str, str]]:
        """(site, zone) of every open visit. StoreError when the store cannot be read."""
        return {(one.site, one.zone) for one in history.visits(self._store, shopper=shopper, open_only=True)}

    def in_store(self, shopper: str, site: str) -> bool:
        """Whether the shopper is in any zone of the site."""
        return any(where == site for where, _zone in self.inside(shopper))


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


class Attempt(NamedTuple):
    """What became of one delivery whose turn had come."""

    row: StoredDelivery
    result: Literal["sent", "skipped", "retry", "dead", "gone"]  # gone: not this time
    at: float  # of a hand-over: when the channel had taken it; of a retry: when to try again
    why: str = ""  # reason or error


@dataclass(frozen=True, slots=True)
class _Lane:
    channel: Channel
    wake: threading.Event = field(default_factory=threading.Event)


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
        self._lanes = [_Lane(channel) for channel in channels]
        self._names = frozenset(channel.name for channel in channels)
        self._holder = secrets.token_hex(16)  # whose claims are ours, where several workers share the outbox
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """One thread per channel."""
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"outbox-{lane.channel.name}", daemon=True)
            for lane in self._lanes
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was queued. Any thread may call this; it returns at once."""
        for lane in self._lanes:
            lane.wake.set()

    def stop(self) -> None:
        """Begin nothing new, finish and record what is under way, and close the channels."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join()
        for lane in self._lanes:
            lane.channel.close()
        with contextlib.suppress(StoreError):  # their leases end by themselves
            outbox.release(self._store, self._holder)

    def run_once(self, now: float) -> int:
        """Work off everything that is due at `now`, in this thread; how many deliveries had their turn."""
        self._abandon()
        worked = 0
        for lane in self._lanes:
            while rows := self._claim(lane, now):
                held = time.monotonic()
                for row in rows:
                    self._record([self._attempt(lane.channel, row, lambda: now, held)])
                worked += len(rows)
        return worked

    # -- one delivery -------------------------------------------------------------------------------------------------

    def _claim(self, lane: _Lane, now: float) -> list[StoredDelivery]:
        return outbox.claim(self._store, self._holder, now, TAKE, lane.channel.name)

    def _attempt(self, channel: Channel, row: StoredDelivery, clock: Clock, held: float) -> Attempt:
        """`held`: monotonic time of the claim. Never raises: its neighbours' results in the lane must not be lost."""
        delivery, offer = row.delivery, row.offer
        try:
            late = time.monotonic() - held > outbox.LEASE - MOST_SECONDS  # the call might outlast the lease
            if late and not outbox.renew(self._store, delivery.id, self._holder):
                return Attempt(row, "gone", clock())
            standing = outbox.clearance(self._store, delivery.id)
            if standing is None or standing.state != "queued":
                return Attempt(row, "gone", clock())
            objection = self._objection(row, standing, clock())
            if objection is not None:
                return Attempt(row, "skipped", clock(), objection)
            (channel.send if delivery.kind == "offer" else channel.withdraw)(delivery, offer)
        except DeliveryError as error:
            return self._failed(row, error, clock())
        except StoreError as error:  # nothing was sent, and the row is still queued
            log.error("outbox cannot read the store", error=str(error))
            return Attempt(row, "gone", clock())
        except Exception as error:  # a fault of one channel must not end its lane
            log.exception("channel failed", channel=channel.name, delivery=delivery.id)
            return self._failed(row, DeliveryError(f"{type(error).__name__}: {error}", retry=True), clock())
        return Attempt(row, "sent", clock())

    def _objection(self, row: StoredDelivery, standing: outbox.Clearance, now: float) -> str | None:
        """The reason why this must not be sent now; None when it may."""
        offer = row.offer
        if now >= offer.expires:
            return "expired"
        if row.delivery.kind == "withdraw":
            return None
        if standing.offer_state == "withdrawn":
            return "withdrawn"
        if not standing.consented:
            return "no_consent"
        if offer.only_while == "inside":
            here = (offer.site, offer.zone) in self._presence.inside(offer.shopper)
        elif offer.only_while == "store":
            here = self._presence.in_store(offer.shopper, offer.site)
        else:
            here = True
        return None if here else "left_zone"

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
        sent = {one.row.delivery.id: one.at for one in attempts if one.result == "sent"}
        if sent:
            outbox.mark_sent(self._store, sent)
        for one in attempts:
            delivery = one.row.delivery
            if one.result == "skipped":
                self._announce(outbox.mark_skipped(self._store, delivery.id, one.why))
            elif one.result == "dead":
                log.warning("delivery given up", channel=delivery.channel, delivery=delivery.id, error=one.why)
                self._announce(outbox.mark_dead(self._store, delivery.id, one.why))
            elif one.result == "retry":
                log.info("delivery failed", channel=delivery.channel, delivery=delivery.id, error=one.why)
                outbox.mark_retry(self._store, delivery.id, one.at, one.why)

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

    def _run(self, lane: _Lane) -> None:
        with ThreadPoolExecutor(lane.channel.parallel, f"outbox-{lane.channel.name}") as pool:
            while not self._stopping.is_set():
                lane.wake.clear()  # before the look, so that what is queued during it wakes us again
                try:
                    held = time.monotonic()
                    rows = self._claim(lane, self._clock())
                    if rows:
                        self._drain(lane, rows, held, pool)
                        continue
                    if lane is self._lanes[0]:
                        self._abandon()
                    pause = self._pause(lane)
                except StoreError as error:
                    log.error("outbox cannot read the store; trying again", error=str(error))
                    self._stopping.wait(STORE_RETRY)
                    continue
                lane.wake.wait(pause)

    def _pause(self, lane: _Lane) -> float:
        """Seconds to sleep unless woken."""
        following = outbox.next_due(self._store, lane.channel.name)
        if following is None:
            return LOOK_AGAIN
        return min(max(following - self._clock(), 0.0), LOOK_AGAIN)

    def _drain(self, lane: _Lane, rows: Sequence[StoredDelivery], held: float, pool: ThreadPoolExecutor) -> None:
        """Hand `rows` over; what came back while the last record was written is recorded together."""
        waiting = deque(rows)
        running: set[Future[Attempt]] = set()
        while waiting or running:
            while waiting and len(running) < WINDOW:
                running.add(pool.submit(self._turn, lane.channel, waiting.popleft(), held))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            self._insist([one.result() for one in done])

    def _turn(self, channel: Channel, row: StoredDelivery, held: float) -> Attempt:
        if self._stopping.is_set():
            return Attempt(row, "gone", self._clock())
        return self._attempt(channel, row, self._clock, held)

    def _insist(self, attempts: Sequence[Attempt]) -> None:
        """Record, also when the database refuses for a while: what was handed over must not be handed over again."""
        while True:
            try:
                self._record(attempts)
                return
            except StoreError as error:
                log.error("outbox cannot record; trying again", error=str(error), deliveries=len(attempts))
                if self._stopping.wait(STORE_RETRY):
                    return
