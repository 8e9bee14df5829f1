"""The outbox worker: what it asks before each send, what it does when a channel fails, and that lanes are apart."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proximity.delivery import worker as workers
from proximity.delivery.channel import RetryLaterError
from proximity.delivery.clearing import Clearing
from proximity.delivery.worker import OutboxWorker, RetryPolicy
from proximity.errors import DeliveryError
from proximity.feed import Feed
from proximity.model import Offer
from proximity.store import offers, outbox, people, settling, tables
from proximity.store.commit import commit
from proximity.store.database import Store, StoreError
from proximity.store.outbox import Delivery
from proximity.store.settling import Result, Settled
from tests.conftest import wait_until
from tests.store_house import NOW, ending, rows, story

pytest_plugins = ["tests.store_fixtures"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite is enough here: what differs between databases has its tests beside the store."""
    return f"sqlite:///{tmp_path}/proximity.db"


class Channel:
    """Remembers what it was given; fails as told."""

    parallel = 1

    def __init__(self, name: str, *faults: Exception | None) -> None:
        self.name = name
        self.sent: list[tuple[str, str]] = []  # kind, offer
        self.faults = list(faults)  # of the next calls; None: none
        self.before: Callable[[], object] = lambda: None
        self.closed = False

    def _take(self, kind: str, offer: Offer) -> None:
        self.before()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.sent.append((kind, offer.id))

    def send(self, delivery: Delivery, offer: Offer) -> None:
        self._take("offer", offer)

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        self._take("withdraw", offer)

    def close(self) -> None:
        self.closed = True


class Where:
    """Presence, as told."""

    def __init__(self, *places: tuple[str, str]) -> None:
        self.places = set(places)

    def zones_of(self, shoppers: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        return dict.fromkeys(shoppers, self.places)


class Heard(Feed):
    """Keeps what pages would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, dict[str, Any]]] = []

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        self.told.append((kind, data))


COFFEE = ("lyon", "coffee")
STEADY = RetryPolicy()


def made(
    store: Store, *channels: Channel, where: Where | None = None, feed: Feed | None = None, **more: Any
) -> OutboxWorker:
    values: dict[str, Any] = {"chance": lambda: 1.0, **more}
    return OutboxWorker(store, channels, where or Where(COFFEE), lambda: NOW + 1, feed=feed, **values)


def queued(store: Store, *channels: str, **offered: Any) -> Offer:
    outcome = story(channels=channels or ("mqtt",), **offered)
    commit(store, outcome)
    return outcome.offers[0]


def fate(store: Store, channel: str = "mqtt", kind: str = "offer") -> tuple[str, str | None, int, float | None]:
    (row,) = [one for one in rows(store, tables.deliveries) if (one["channel"], one["kind"]) == (channel, kind)]
    return row["state"], row["reason"], row["attempts"], row["handed"]


def state(store: Store, offer: Offer) -> tuple[str, str | None]:
    stored = offers.offer(store, offer.id)
    assert stored is not None
    return stored.state, stored.state_reason


def test_what_is_due_is_sent_once(store: Store) -> None:
    mqtt, inbox = Channel("mqtt"), Channel("inbox")
    offer = queued(store, "mqtt", "inbox")
    worker = made(store, mqtt, inbox)
    assert worker.run_once(NOW) == 0  # not yet
    assert worker.run_once(NOW + 5) == 2
    assert worker.run_once(NOW + 6) == 0
    assert mqtt.sent == inbox.sent == [("offer", offer.id)]
    assert fate(store) == ("sent", None, 0, NOW + 5)
    assert state(store, offer) == ("sent", None)


CHECKS = [
    # the offer                      where the shopper is      when       sent, or the reason
    ({}, [COFFEE], 5, None),
    ({}, [], 5, "left_zone"),
    ({}, [("lyon", "tills")], 5, "left_zone"),
    ({}, [("nice", "coffee")], 5, "left_zone"),
    ({}, [COFFEE, ("lyon", "tills")], 5, None),
    ({"only_while": "store"}, [("lyon", "tills")], 5, None),
    ({"only_while": "store"}, [("nice", "coffee")], 5, "left_zone"),
    ({"only_while": "anywhere"}, [], 5, None),
    ({}, [COFFEE], 179, None),
    ({}, [COFFEE], 181, "expired"),
    ({"only_while": "anywhere"}, [], 181, "expired"),
    ({"purpose": "service"}, [COFFEE], 5, "no_consent"),  # agreed to offers, not to this
    ({"purpose": "service", "service": True}, [COFFEE], 5, "no_consent"),
]


@pytest.mark.parametrize(("offered", "places", "seconds", "reason"), CHECKS)
def test_the_three_questions(
    store: Store, offered: dict[str, Any], places: list[tuple[str, str]], seconds: float, reason: str | None
) -> None:
    channel, feed = Channel("mqtt"), Heard()
    offer = queued(store, **offered)
    made(store, channel, where=Where(*places), feed=feed).run_once(NOW + seconds)
    if reason is None:
        assert channel.sent == [("offer", offer.id)]
        assert feed.told == []
        return
    final = "expired" if reason == "expired" else "withdrawn"
    assert channel.sent == []
    assert fate(store)[:2] == ("skipped", reason)
    assert state(store, offer) == (final, reason)
    assert feed.told == [("withdrawn", {"id": offer.id, "shopper": "ada", "state": final, "reason": reason})]


def test_a_consent_taken_back_counts_at_once(store: Store) -> None:
    channel = Channel("mqtt")
    queued(store)
    people.set_consent(store, "ada", "in-store-offers", False, NOW + 2, "shopper")
    made(store, channel).run_once(NOW + 5)
    assert (channel.sent, fate(store)[:2]) == ([], ("skipped", "no_consent"))


def test_the_questions_are_asked_again_after_each_wait(store: Store) -> None:
    channel, where = Channel("mqtt", DeliveryError("away", retry=True)), Where(COFFEE)
    offer = queued(store)
    worker = made(store, channel, where=where)
    worker.run_once(NOW + 5)
    where.places.clear()
    worker.run_once(NOW + 60)
    assert channel.sent == [("withdraw", offer.id)]  # not sent; the attempt that failed may have brought it
    assert state(store, offer) == ("withdrawn", "left_zone")


# -- failures ---------------------------------------------------------------------------------------------------------


def test_retries_double_and_end_as_a_dead_letter(store: Store) -> None:
    channel = Channel("mqtt", *[DeliveryError("the broker is away", retry=True)] * 99)
    offer = queued(store, expires=NOW + 9000)
    worker = made(store, channel)
    tried = []
    now = outbox.next_due(store)
    while now is not None:
        assert worker.run_once(now - 0.001) == 0
        assert worker.run_once(now) == 1
        tried.append(now - offer.created)
        now = outbox.next_due(store)
    assert tried == pytest.approx([0, 1, 3, 7, 15, 31, 63, 123], abs=0.001)  # with the longest waits
    (letter,) = outbox.dead(store)
    assert (letter.attempts, letter.error) == (8, "the broker is away (attempt 8 of 8)")
    assert state(store, offer) == ("failed", "undeliverable")


def test_a_dead_letter_revived_is_sent(store: Store) -> None:
    channel = Channel("mqtt", DeliveryError("410 Gone", retry=False))
    offer = queued(store)
    worker = made(store, channel)
    worker.run_once(NOW + 5)
    assert fate(store) == ("dead", None, 1, None)
    (letter,) = outbox.dead(store)
    outbox.requeue(store, letter.delivery.id, NOW + 6)
    worker.run_once(NOW + 6)
    assert channel.sent == [("offer", offer.id)]
    assert state(store, offer) == ("sent", None)


def test_expiry_ends_retries(store: Store) -> None:
    channel = Channel("mqtt", DeliveryError("away", retry=True))
    queued(store, expires=NOW + 6.0)
    made(store, channel).run_once(NOW + 5.5)
    (letter,) = outbox.dead(store)
    assert letter.error == "away (the offer expires before another attempt)"


@pytest.mark.parametrize(("after", "wait"), [(20.0, 20.0), (0.1, 1.0)])
def test_the_receivers_own_time_is_honoured(store: Store, after: float, wait: float) -> None:
    channel = Channel("mqtt", RetryLaterError("429", after))
    queued(store)
    made(store, channel).run_once(NOW + 5)
    assert outbox.next_due(store) == NOW + 5 + wait


def test_a_channel_that_breaks_is_tried_again(store: Store) -> None:
    channel = Channel("mqtt", ZeroDivisionError("a fault of ours"))
    offer = queued(store)
    worker = made(store, channel)
    worker.run_once(NOW + 5)
    assert fate(store)[0] == "queued"
    worker.run_once(NOW + 6)
    assert channel.sent == [("offer", offer.id)]


def test_a_channel_that_is_no_more_is_given_up(store: Store) -> None:
    feed = Heard()
    offer = queued(store, "webhook")
    made(store, Channel("mqtt"), feed=feed).run_once(NOW + 5)
    assert outbox.dead(store)[0].error == "no channel webhook is configured"
    assert [data["id"] for _, data in feed.told] == [offer.id]


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_jitter_stays_in_the_upper_half(chance: float) -> None:
    waits = [STEADY.delay(failed, chance) for failed in range(1, 12)]
    longest = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, longest, strict=True))


# -- withdrawals ------------------------------------------------------------------------------------------------------


def test_a_sent_offer_is_taken_back_after_the_exit(store: Store) -> None:
    channel, outcome = Channel("mqtt"), story(channels=("mqtt",))
    offer = outcome.offers[0]
    commit(store, outcome)
    worker = made(store, channel, where=Where())
    worker._presence = Where(COFFEE)
    worker.run_once(NOW + 5)
    commit(store, ending(outcome, NOW + 30))
    people.set_consent(store, "ada", "in-store-offers", False, NOW + 31, "shopper")  # hinders no withdrawal
    worker._presence = Where()
    worker.run_once(NOW + 32)
    assert channel.sent == [("offer", offer.id), ("withdraw", offer.id)]
    assert fate(store, kind="withdraw") == ("sent", None, 0, NOW + 32)
    assert state(store, offer) == ("withdrawn", "left_zone")


def test_an_expired_offer_needs_no_withdrawal(store: Store) -> None:
    channel, outcome = Channel("mqtt"), story(channels=("mqtt",))
    commit(store, outcome)
    worker = made(store, channel)
    worker.run_once(NOW + 5)
    commit(store, ending(outcome, NOW + 30))
    worker.run_once(NOW + 200)
    assert len(channel.sent) == 1
    assert fate(store, kind="withdraw")[:2] == ("skipped", "expired")


def test_an_exit_during_the_send_is_made_good(store: Store) -> None:
    """Ada leaves while the broker has the offer but has not confirmed it."""
    channel, outcome = Channel("mqtt"), story(channels=("mqtt",))
    offer = outcome.offers[0]
    commit(store, outcome)
    left = ending(outcome, NOW + 4)
    channel.before = lambda: commit(store, left)
    made(store, channel).run_once(NOW + 5)
    assert channel.sent == [("offer", offer.id), ("withdraw", offer.id)]
    assert state(store, offer) == ("withdrawn", "left_zone")


def test_an_exit_before_the_send_stops_it(store: Store) -> None:
    """Ada leaves after the worker has read the outbox."""
    channel = Channel("mqtt")
    first, second = story(channels=("mqtt",)), story("ada", "coffee", NOW + 1, channels=("mqtt",))
    commit(store, first)
    commit(store, second)
    by_offer = {first.offers[0].id: second, second.offers[0].id: first}
    rows_read = outbox.due(store, NOW + 5)
    other = by_offer[rows_read[0].offer.id]  # the one that will be second
    channel.before = lambda: commit(store, ending(other, NOW + 4))
    made(store, channel).run_once(NOW + 5)
    assert channel.sent == [("offer", rows_read[0].offer.id)]


def test_an_erased_shopper_gets_nothing(store: Store) -> None:
    channel = Channel("mqtt")
    queued(store)
    worker = made(store, channel)
    (row,) = outbox.due(store, NOW + 5)
    people.erase(store, "ada")
    clearing = Clearing(store, Where(COFFEE), "me", [row], time.monotonic())
    assert worker._attempt(channel, row, clearing, lambda: NOW + 5).result == "gone"
    assert worker.run_once(NOW + 5) == 0
    assert channel.sent == []


# -- lanes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def running() -> Iterator[Callable[[OutboxWorker], OutboxWorker]]:
    """Starts workers, and stops them at the end."""
    started: list[OutboxWorker] = []

    def start(worker: OutboxWorker) -> OutboxWorker:
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()


Start = Callable[[OutboxWorker], OutboxWorker]


def test_a_slow_channel_delays_no_other(store: Store, running: Start) -> None:
    mqtt, webhook = Channel("mqtt"), Channel("webhook")
    answer = threading.Event()
    webhook.before = lambda: answer.wait(60)
    worker = running(made(store, mqtt, webhook))
    queued(store, "mqtt", "webhook")
    second = queued(store, "mqtt", "webhook", zone="coffee", started=NOW + 0.1)
    worker.wake()
    wait_until(lambda: len(mqtt.sent) == 2, what="both offers on MQTT")
    assert webhook.sent == []
    answer.set()
    wait_until(lambda: outbox.counts(store)["sent"] == 4, what="the webhook")
    assert state(store, second) == ("sent", None)


def test_within_a_channel_one_slow_answer_holds_up_one(store: Store, running: Start) -> None:
    webhook = Channel("webhook")
    webhook.parallel = 2
    answer, first = threading.Event(), threading.Lock()
    webhook.before = lambda: first.acquire(blocking=False) and answer.wait(60)
    worker = running(made(store, webhook))
    for number in range(5):
        queued(store, "webhook", started=NOW + number / 10)
    worker.wake()
    wait_until(lambda: outbox.counts(store)["sent"] == 4, what="four of five")
    answer.set()
    wait_until(lambda: outbox.counts(store)["sent"] == 5, what="the fifth")


def test_stop_finishes_and_records_what_is_under_way(store: Store) -> None:
    channel, entered, answer = Channel("mqtt"), threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        answer.wait(60)

    channel.before = hold
    worker = made(store, channel)
    for number in range(3):
        queued(store, started=NOW + number / 10)
    worker.start()
    assert entered.wait(60)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_until(worker._stopping.is_set)
    answer.set()
    stopping.join(60)
    assert channel.closed
    assert len(channel.sent) == 1
    assert outbox.counts(store) == {"queued": 2, "sent": 1, "skipped": 0, "dead": 0}


def test_a_store_that_refuses_for_a_while_makes_no_offer_come_twice(
    store: Store, running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STORE_RETRY", 0.01)
    refusals = [StoreError("disk full", temporary=True)] * 3
    record = settling.record

    def full(store: Store, results: Sequence[Result]) -> list[Settled]:
        if refusals:
            raise refusals.pop()
        return record(store, results)

    monkeypatch.setattr(settling, "record", full)
    channel = Channel("mqtt")
    offer = queued(store)
    running(made(store, channel))
    wait_until(lambda: outbox.counts(store)["sent"] == 1, what="the record")
    assert channel.sent == [("offer", offer.id)]


def test_a_store_that_cannot_be_read_is_asked_again(
    store: Store, running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STORE_RETRY", 0.01)
    refusals = [StoreError("locked", temporary=True)] * 3
    clear = outbox.clearances

    def locked(store: Store, ids: Collection[str]) -> dict[str, outbox.Clearance]:
        if refusals:
            raise refusals.pop()
        return clear(store, ids)

    monkeypatch.setattr(outbox, "clearances", locked)
    channel = Channel("mqtt")
    queued(store)
    running(made(store, channel))
    wait_until(lambda: len(channel.sent) == 1, what="the offer")


def test_what_waits_for_a_retry_is_taken_up_unasked(store: Store, running: Start) -> None:
    channel = Channel("mqtt", DeliveryError("away", retry=True))
    queued(store)
    running(made(store, channel, policy=RetryPolicy(first=0.0)))
    wait_until(lambda: outbox.counts(store)["sent"] == 1, what="the second attempt")
    assert fate(store)[:3] == ("sent", None, 1)
