"""Lanes at work on many deliveries at once: one look for all of them, and yet each has its own fate."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proximity.delivery import clearing as clearings
from proximity.delivery import worker as workers
from proximity.delivery.clearing import GONE, Clearing
from proximity.delivery.lane import WINDOW
from proximity.delivery.worker import OutboxWorker
from proximity.errors import DeliveryError
from proximity.model import Offer
from proximity.store import offers, outbox, people, settling, tables
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError
from proximity.store.outbox import Delivery
from proximity.store.settling import Result, Settled
from tests.conftest import wait_until
from tests.store_house import NOW, ending, rows, story

pytest_plugins = ["tests.store_fixtures"]
ZONES = ("coffee", "tea", "bread", "fish", "wine", "tills")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite is enough here: what differs between databases has its tests beside the store."""
    return f"sqlite:///{tmp_path}/proximity.db"


class Channel:
    """Remembers what it was given, after `before` with its number and offer."""

    def __init__(self, parallel: int = 1, before: Callable[[int, Offer], object] = lambda _n, _offer: None) -> None:
        self.name, self.parallel, self.before = "mqtt", parallel, before
        self.sent: list[tuple[str, str]] = []  # kind, zone
        self.ids: Counter[str] = Counter()
        self._begun = 0
        self._lock = threading.Lock()

    def _take(self, kind: str, delivery: Delivery, offer: Offer) -> None:
        with self._lock:
            self._begun += 1
            number = self._begun
        self.before(number, offer)
        with self._lock:
            self.sent.append((kind, offer.zone))
            self.ids[delivery.id] += 1

    def send(self, delivery: Delivery, offer: Offer) -> None:
        self._take("offer", delivery, offer)

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        self._take("withdraw", delivery, offer)

    def close(self) -> None:
        pass


class Where:
    """Everybody is in the zones named; counts the looks."""

    def __init__(self, *zones: str) -> None:
        self.places = {("lyon", zone) for zone in zones}
        self.asked: list[set[str]] = []

    def zones_of(self, shoppers: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        self.asked.append(set(shoppers))
        return dict.fromkeys(shoppers, self.places)


Begin = Callable[..., OutboxWorker]


@pytest.fixture
def begin(store: Store) -> Iterator[Begin]:
    """Starts workers, and stops them at the end."""
    started: list[OutboxWorker] = []

    def start(channel: Channel, where: Where | None = None) -> OutboxWorker:
        worker = OutboxWorker(store, [channel], where or Where(*ZONES), lambda: NOW + 60, chance=lambda: 1.0)
        started.append(worker)
        worker.start()
        return worker

    yield start
    for worker in started:
        worker.stop()


def queued(store: Store, *zones: str, shopper: str = "ada", **offered: Any) -> list[Outcome]:
    """One offer a zone, in this order."""
    told = [story(shopper, zone, NOW + n / 10, ("mqtt",), **offered) for n, zone in enumerate(zones)]
    for one in told:
        commit(store, one)
    return told


def fates(store: Store) -> dict[str, tuple[str, str | None]]:
    """Zone -> state and reason of its delivery."""
    zones = {row["id"]: row["zone"] for row in rows(store, tables.offers)}
    return {zones[row["offer"]]: (row["state"], row["reason"]) for row in rows(store, tables.deliveries)}


# -- one look for all -------------------------------------------------------------------------------------------------


def test_one_of_a_batch_may_not_go_and_the_others_do(
    store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = outbox.clearances

    def counted(store: Store, ids: Collection[str]) -> dict[str, outbox.Clearance]:
        looks.append(len(ids))
        return look(store, ids)

    monkeypatch.setattr(outbox, "clearances", counted)
    monkeypatch.setattr(clearings, "FRESH", 1e9)
    queued(store, "coffee", "tea")
    commit(store, story("ada", "bread", NOW + 1, ("mqtt",), expires=NOW + 8.0))  # expired
    (fish,) = queued(store, "fish")
    commit(store, story("ada", "wine", NOW + 1, ("mqtt",), purpose="service"))  # never agreed to
    queued(store, "tills", only_while="store")
    queued(store, "coffee", shopper="ben", only_while="anywhere", purpose="in-store-offers")
    queued(store, "nowhere", shopper="ben")
    offers.withdraw(store, fish.offers[0].id, "operator", NOW + 2)
    where, channel = Where("coffee", "tea", "bread", "fish", "wine"), Channel()
    begin(channel, where)
    wait_until(lambda: outbox.counts(store)["queued"] == 0, what="the batch")
    assert fates(store) == {
        "coffee": ("sent", None),
        "tea": ("sent", None),
        "bread": ("skipped", "expired"),
        "fish": ("skipped", "operator"),
        "wine": ("skipped", "no_consent"),
        "tills": ("sent", None),
        "nowhere": ("skipped", "left_zone"),
    }
    assert sorted(channel.sent) == [("offer", "coffee"), ("offer", "coffee"), ("offer", "tea"), ("offer", "tills")]
    assert looks == [7]  # what the operator withdrew was no longer due
    assert where.asked == [{"ada", "ben"}]


def test_a_failing_row_fails_no_neighbour(store: Store, begin: Begin) -> None:
    faults = {
        "tea": DeliveryError("410 Gone", retry=False),
        "bread": DeliveryError("503", retry=True),
        "fish": ZeroDivisionError("a fault of ours"),
    }

    def fail(_number: int, offer: Offer) -> None:
        if offer.zone in faults:
            raise faults[offer.zone]

    queued(store, *ZONES)
    begin(Channel(before=fail))
    wait_until(lambda: outbox.counts(store) == {"queued": 2, "sent": 3, "skipped": 0, "dead": 1}, what="the batch")
    assert {zone for zone, (state, _) in fates(store).items() if state == "queued"} == {"bread", "fish"}


# -- slow channels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "sent"),
    [
        (1.0, ["coffee", "tea"]),  # the answer was old: asked again, and she had left
        (0.0, ["coffee", "tea", "bread"]),  # it was fresh: sent, and taken back at once
    ],
)
def test_who_leaves_while_a_send_is_slow(
    store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch, seconds: float, sent: list[str]
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(clearings, "monotonic", lambda: clock[0])
    *_, bread = queued(store, "coffee", "tea", "bread")

    def slow(_number: int, offer: Offer) -> None:
        if offer.zone == "tea":
            commit(store, ending(bread, NOW + 5))
            clock[0] += seconds

    channel = Channel(before=slow)
    begin(channel)
    wait_until(lambda: outbox.counts(store)["queued"] == 0, what="the batch")
    assert [zone for kind, zone in channel.sent if kind == "offer"] == sent
    assert [zone for kind, zone in channel.sent if kind == "withdraw"] == sent[2:]
    stored = offers.offer(store, bread.offers[0].id)
    assert stored is not None
    assert (stored.state, stored.state_reason) == ("withdrawn", "left_zone")


def test_what_went_is_recorded_while_the_next_hangs(store: Store, begin: Begin) -> None:
    answer = threading.Event()
    queued(store, *ZONES)
    begin(Channel(before=lambda number, _offer: number == 4 and answer.wait(60)))
    wait_until(lambda: outbox.counts(store)["sent"] == 3, what="the record of what went")
    answer.set()
    wait_until(lambda: outbox.counts(store)["sent"] == len(ZONES), what="the rest")


def test_what_comes_while_a_call_hangs_goes_past_it(store: Store, begin: Begin) -> None:
    hangs, answer = threading.Event(), threading.Event()

    def hang(number: int, _offer: Offer) -> None:
        if number == 1:
            hangs.set()
            answer.wait(60)

    queued(store, "coffee")
    channel = Channel(parallel=2, before=hang)
    worker = begin(channel)
    assert hangs.wait(60)
    queued(store, "tea")
    worker.wake()
    wait_until(lambda: fates(store)["tea"] == ("sent", None), what="the one behind")
    assert fates(store)["coffee"] == ("queued", None)
    answer.set()
    wait_until(lambda: outbox.counts(store)["sent"] == 2, what="the slow one")
    assert sorted(channel.ids.values()) == [1, 1]


# -- a store that refuses, and kills ----------------------------------------------------------------------------------


def test_a_kill_before_the_record_repeats_a_window_at_most(
    store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store takes no record until the worker has ended, as if it had been killed."""
    monkeypatch.setattr(workers, "STORE_RETRY", 0.01)
    record, refused = settling.record, []

    def away(_store: Store, results: Sequence[Result]) -> list[Settled]:
        refused.append(len(results))
        raise StoreError("disk full", temporary=True)

    number = 3 * WINDOW
    with monkeypatch.context() as patch:
        patch.setattr(settling, "record", away)
        queued(store, *(f"zone-{n}" for n in range(number)), only_while="anywhere", expires=NOW + 1e6)
        first = Channel(parallel=4)
        worker = begin(first)
        wait_until(lambda: len(first.sent) == WINDOW, what="a full window")
        seen = len(refused)
        wait_until(lambda: len(refused) > seen + 5, what="more attempts to record")
        assert len(first.sent) == WINDOW  # and not one more
        worker.stop()
    assert settling.record is record
    assert outbox.counts(store)["queued"] == number
    second = Channel(parallel=4)
    begin(second)
    wait_until(lambda: outbox.counts(store)["sent"] == number, what="everything")
    handed = first.ids + second.ids
    assert len(handed) == number
    assert {one for one, times in handed.items() if times > 1} == set(first.ids)
    assert max(handed.values()) == 2


def test_a_store_that_refuses_for_a_while_makes_nothing_come_twice(
    store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STORE_RETRY", 0.01)
    refusals = [StoreError("disk full", temporary=True)] * 5
    unread = [StoreError("locked", temporary=True)] * 3
    record, look = settling.record, outbox.clearances

    def full(store: Store, results: Sequence[Result]) -> list[Settled]:
        if refusals:
            raise refusals.pop()
        return record(store, results)

    def locked(store: Store, ids: Collection[str]) -> dict[str, outbox.Clearance]:
        if unread:
            raise unread.pop()
        return look(store, ids)

    monkeypatch.setattr(settling, "record", full)
    monkeypatch.setattr(outbox, "clearances", locked)
    number = 2 * WINDOW
    queued(store, *(f"zone-{n}" for n in range(number)), only_while="anywhere", expires=NOW + 1e6)
    channel = Channel(parallel=3)
    begin(channel)
    wait_until(lambda: outbox.counts(store)["sent"] == number, what="everything")
    assert not refusals
    assert not unread
    assert set(channel.ids.values()) == {1}
    assert len(channel.ids) == number


@pytest.mark.parametrize(
    ("since", "renewed", "ours", "told"),
    [
        (0.0, 0, (0, 1), [None, None]),
        (16.0, 1, (0, 1), [None, None]),  # half of the lease is gone: held for longer
        (16.0, 1, (0,), [None, GONE]),  # another worker has taken it up
    ],
)
def test_a_lease_is_renewed_before_a_call_could_outlast_it(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    since: float,
    renewed: int,
    ours: tuple[int, ...],
    told: list[str | None],
) -> None:
    calls: list[list[str]] = []
    queued(store, "coffee", "tea")
    claimed = outbox.due(store, NOW + 9)

    def renew(_store: Store, ids: Collection[str], _holder: str) -> frozenset[str]:
        calls.append(sorted(ids))
        return frozenset(claimed[n].delivery.id for n in ours)

    monkeypatch.setattr(outbox, "renew", renew)
    monkeypatch.setattr(clearings, "monotonic", lambda: 1000.0)
    clearing = Clearing(store, Where(*ZONES), "me", claimed, 1000.0 - since)
    assert [clearing.objection(row, NOW + 9) for row in claimed] == told
    assert calls == [sorted(row.delivery.id for row in claimed)] * renewed


def test_an_erased_shopper_is_passed_over_within_a_batch(store: Store) -> None:
    queued(store, "coffee")
    queued(store, "tea", shopper="ben")
    claimed = outbox.due(store, NOW + 9)
    people.erase(store, "ada")
    clearing = Clearing(store, Where(*ZONES), "me", claimed, time.monotonic())
    assert {row.offer.shopper: clearing.objection(row, NOW + 9) for row in claimed} == {"ada": GONE, "ben": None}
