"""Words to the staff: on `proximity/v1/<site>/desks/<desk>`, and as a copy to the shop's own system.

Each way is a lane with a thread of its own. A message is recorded as sent after the hand-over, so a kill in between
sends it once more, under the same id.
"""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from proximity import wire
from proximity.delivery.mqtt import Publish, hand_over
from proximity.delivery.routes import RouteSettings
from proximity.delivery.worker import RetryPolicy
from proximity.errors import DeliveryError
from proximity.model import StaffMessage, child_id
from proximity.store import staff
from proximity.store.database import Store, StoreError
from proximity.store.staff import StoredMessage

if TYPE_CHECKING:
    from proximity.delivery.webhook import WebhookChannel

log = structlog.get_logger(__name__)

LOOK_AGAIN = 1.0  # s after which an idle lane looks by itself: another process may have queued something


def copies(messages: Iterable[StaffMessage], settings: RouteSettings) -> list[StaffMessage]:
    """The messages on all their ways: to the desk by MQTT, and to the webhook where there is one."""
    found: list[StaffMessage] = []
    for one in messages:
        found.append(one)
        if settings.webhook_url is not None:
            copy = child_id(one.id, "webhook")
            found.append(msgspec.structs.replace(one, id=copy, channel="webhook"))
    return found


def desk_message(message: StaffMessage) -> bytes:
    """As it goes over the wire: without the shopper's id, for the text says what the desk has to know."""
    return wire.encode(
        wire.DeskMessage(
            id=message.id,
            desk=message.desk,
            text=message.text,
            rule=message.rule,
            site=message.site,
            zone=message.zone,
            created=round(message.created * 1000),
            expires=round(message.expires * 1000),
        )
    )


class Way(Protocol):
    """One way to a desk."""

    @property
    def name(self) -> str:
        """As in `StaffMessage.channel`."""
        ...

    def send(self, message: StaffMessage) -> None:
        """Returns when the other side has it. DeliveryError when it has not."""
        ...


class DeskTopic:
    """By MQTT, QoS 1, not retained: who comes back from the break has not missed a customer who has long left."""

    name = "mqtt"

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def send(self, message: StaffMessage) -> None:
        """To the desk's topic."""
        hand_over(self._publish, wire.desk_topic(message.site, message.desk), desk_message(message))


class DeskWebhook:
    """Posted to the shop's own system, signed as offers are: {"type": "staff", "message": {…}}."""

    name = "webhook"

    def __init__(self, channel: "WebhookChannel", url: str) -> None:
        self._channel, self._url = channel, url

    def send(self, message: StaffMessage) -> None:
        """Post it."""
        body = {"type": "staff", "delivery": message.id, "message": msgspec.Raw(desk_message(message))}
        self._channel.post(message.id, self._url, msgspec.json.encode(body))


class DeskLane:
    """Works off the messages of one way. `start` and `stop` for a service; `run_once` for tests and tools."""

    def __init__(
        self,
        store: Store,
        way: Way,
        clock: Callable[[], float],
        *,
        policy: RetryPolicy | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._way, self._clock = store, way, clock
        self._policy, self._chance = policy or RetryPolicy(), chance
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def run_once(self, now: float) -> int:
        """Everything that is due at `now`; how many had their turn."""
        rows = staff.due(self._store, self._way.name, now)
        for row in rows:
            self._attempt(row, now)
        return len(rows)

    def _attempt(self, row: StoredMessage, now: float) -> None:
        message = row.message
        if now >= message.expires:
            staff.end(self._store, message.id, "expired")
            return
        try:
            self._way.send(message)
        except DeliveryError as error:
            self._failed(row, error, now)
            return
        staff.mark_sent(self._store, message.id, now)

    def _failed(self, row: StoredMessage, error: DeliveryError, now: float) -> None:
        failed = row.attempts + 1
        pause = self._policy.delay(failed, self._chance())
        if not error.retry or failed >= self._policy.attempts or now + pause >= row.message.expires:
            log.warning("staff message given up", desk=row.message.desk, message=row.message.id, error=str(error))
            staff.end(self._store, row.message.id, "dead", str(error))
            return
        staff.mark_retry(self._store, row.message.id, now + pause, str(error))

    def wake(self) -> None:
        """Something was queued. Any thread may call this."""
        self._wake.set()

    def start(self) -> None:
        """Work in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name=f"desks-{self._way.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the message under way, and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()  # before the look, so that what is queued during it wakes us again
            try:
                if self.run_once(self._clock()):
                    continue
                following = staff.next_due(self._store, self._way.name)
            except StoreError as error:
                log.error("words to the staff wait for the store", error=str(error))
                following = None
            pause = LOOK_AGAIN if following is None else min(max(following - self._clock(), 0.01), LOOK_AGAIN)
            self._wake.wait(pause)


class Desks:
    """All lanes together."""

    def __init__(self, store: Store, ways: Iterable[Way], clock: Callable[[], float]) -> None:
        self._lanes = [DeskLane(store, way, clock) for way in ways]

    def waking(self, others: Callable[[], None]) -> Callable[[], None]:
        """One call that wakes these lanes and `others`."""

        def wake() -> None:
            others()
            for lane in self._lanes:
                lane.wake()

        return wake

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work while the context lasts."""
        for lane in self._lanes:
            lane.start()
        try:
            yield
        finally:
            for lane in self._lanes:
                lane.stop()
