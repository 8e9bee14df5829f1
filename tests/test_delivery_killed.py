"""A worker that is killed between a hand-over and its record: what it may have brought is taken back, nothing else."""

import contextlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.delivery.worker import OutboxWorker, RetryPolicy
from proximity.errors import DeliveryError
from proximity.model import Offer, Shopper
from proximity.store import offers, outbox, people, settling, tables
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError, open_store
from proximity.store.outbox import Delivery
from proximity.store.settling import Settled
from tests.conftest import wait_until
from tests.store_house import NOW, ending, rows, story

pytest_plugins = ["tests.store_fixtures"]


class Killed(BaseException):
    """The process ended here."""


class App:
    """A shopper's app that never forgets: what came and what was taken back, by offer."""

    parallel = 1

    def __init__(self, name: str = "mqtt") -> None:
        self.name = name
        self.came: list[tuple[str, str]] = []  # kind, offer
        self.after: Callable[[], object] = lambda: None  # what happens between a hand-over and its record

    def send(self, delivery: Delivery, offer: Offer) -> None:
        self.came.append(("offer", offer.id))
        self.after()

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        self.came.append(("withdraw", offer.id))

    def close(self) -> None:
        pass

    def shown(self) -> set[str]:
        """Offers that came and were not taken back after that."""
        last = {offer: kind for kind, offer in self.came}
        return {offer for offer, kind in last.items() if kind == "offer"}


class Inside:
    """Whether shoppers are where they should be."""

    def __init__(self) -> None:
        self.here = True

    def zones_of(self, shoppers: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        places = {("lyon", zone) for zone in ("coffee", "tea", "bread")} if self.here else set()
        return dict.fromkeys(shoppers, places)


def worker(store: Store, app: App, where: Inside) -> OutboxWorker:
    """As a new process has it."""
    return OutboxWorker(store, [app], where, lambda: NOW + 99, policy=RetryPolicy(first=0.0), chance=lambda: 1.0)


def killed(store: Store, app: App, where: Inside, now: float) -> None:
    """A process that ends when the first hand-over has been made. On PostgreSQL its lease is over."""

    def end() -> None:
        raise Killed

    app.after = end
    with pytest.raises(Killed):
        worker(store, app, where).run_once(now)
    app.after = lambda: None
    end_leases(store)


def end_leases(store: Store) -> None:
    with store.begin() as connection:
        connection.execute(tables.deliveries.update().values(lease=None))


def left(store: Store, told: Outcome, where: Inside) -> None:
    commit(store, ending(told, NOW + 30))


def gone_by_the_answer(_store: Store, _told: Outcome, where: Inside) -> None:
    where.here = False


def operator(store: Store, told: Outcome, _where: Inside) -> None:
    assert offers.withdraw(store, told.offers[0].id, "operator", NOW + 30)


def consent(store: Store, _told: Outcome, _where: Inside) -> None:
    people.set_consent(store, "ada", "in-store-offers", False, NOW + 30, "shopper")


Reason = Callable[[Store, Outcome, Inside], None]
REASONS = [left, gone_by_the_answer, operator, consent]


@pytest.mark.parametrize("reason", REASONS)
def test_what_a_killed_worker_may_have_brought_is_taken_back(store: Store, reason: Reason) -> None:
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)
    killed(store, app, where, NOW + 5)
    reason(store, told, where)
    worker(store, app, where).run_once(NOW + 40)
    worker(store, app, where).run_once(NOW + 50)
    offer = told.offers[0].id
    assert app.came == [("offer", offer), ("withdraw", offer)]
    stored = offers.offer(store, offer)
    assert stored is not None
    assert stored.state == "withdrawn"


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("stopped", [False, True])
def test_what_no_worker_had_in_hand_is_not(store: Store, reason: Reason, stopped: bool) -> None:
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)
    if stopped:  # it has claimed the offer, and stops before its turn
        first = worker(store, app, where)
        assert outbox.claim(store, first._holder, NOW + 5)
        first.stop()
    reason(store, told, where)
    worker(store, app, where).run_once(NOW + 40)
    worker(store, app, where).run_once(NOW + 50)
    assert app.came == []


@pytest.mark.parametrize("reason", [left, operator])
def test_withdrawn_in_the_workers_hand_and_then_killed(store: Store, reason: Reason) -> None:
    """The exit is committed while the app has the offer already, and the process ends before either is settled."""
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)

    def end() -> None:
        reason(store, told, where)
        raise Killed

    app.after = end
    with pytest.raises(Killed):
        worker(store, app, where).run_once(NOW + 35)
    end_leases(store)
    worker(store, app, where).run_once(NOW + 40)
    assert app.came == [("offer", told.offers[0].id), ("withdraw", told.offers[0].id)]


def test_withdrawn_in_the_workers_hand_and_then_failed(store: Store) -> None:
    """The answer is lost: the app may have it. The next attempt, which is far off, is not waited for."""
    app, where, told = App("webhook"), Inside(), story(channels=("webhook",))
    commit(store, told)

    def fail() -> None:
        operator(store, told, where)
        raise DeliveryError("timed out", retry=True)

    app.after = fail
    patient = OutboxWorker(store, [app], where, lambda: NOW + 35, policy=RetryPolicy(first=60.0), chance=lambda: 1.0)
    patient.run_once(NOW + 35)
    assert app.came == [("offer", told.offers[0].id), ("withdraw", told.offers[0].id)]


def test_what_is_still_wanted_comes_again_and_is_recorded(store: Store) -> None:
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)
    killed(store, app, where, NOW + 5)
    worker(store, app, where).run_once(NOW + 40)
    assert app.came == [("offer", told.offers[0].id)] * 2
    assert outbox.counts(store) == {"queued": 0, "sent": 1, "skipped": 0, "dead": 0}


def test_what_expired_meanwhile_needs_no_word(store: Store) -> None:
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)
    killed(store, app, where, NOW + 5)
    worker(store, app, where).run_once(NOW + 999)
    assert [kind for kind, _ in app.came] == ["offer"]
    (row,) = rows(store, tables.deliveries)
    assert (row["state"], row["reason"]) == ("skipped", "expired")


def test_what_a_stopping_worker_could_not_record_stays_marked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full until the service ends: that is no better than a kill."""
    app, where, told = App(), Inside(), story(channels=("mqtt",))
    commit(store, told)

    def full(_store: Store, _results: object) -> list[Settled]:
        raise StoreError("disk full", temporary=True)

    with monkeypatch.context() as patch:
        patch.setattr(settling, "record", full)
        first = worker(store, app, where)
        first.start()
        wait_until(lambda: bool(app.came), what="the hand-over")
        first.stop()
    end_leases(store)
    operator(store, told, where)
    worker(store, app, where).run_once(NOW + 60)
    assert [kind for kind, _ in app.came] == ["offer", "withdraw"]


# -- laws -------------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from(["work", "kill", "left", "operator"]), st.integers(0, 1)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nobody_is_left_with_an_offer_that_the_store_took_back(steps: list[tuple[str, int]]) -> None:
    """Worked, killed and withdrawn in whatever order; and without a kill nobody gets a needless word."""
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder)}/proximity.db")
        store.migrate()
        people.put_shopper(store, Shopper("ada", consents={"in-store-offers": True}), at=NOW)
        app, where = App(), Inside()
        stories = [story(zone=zone, started=NOW + n, channels=("mqtt",)) for n, zone in enumerate(("coffee", "tea"))]
        for one in stories:
            commit(store, one)
        for kind, which in steps:
            if kind == "work":
                worker(store, app, where).run_once(NOW + 40)
            elif kind == "kill":
                _ended_within(store, app, where)
            elif kind == "left":
                left(store, stories[which], where)
            else:
                offers.withdraw(store, stories[which].offers[0].id, "operator", NOW + 30)
        worker(store, app, where).run_once(NOW + 60)
        states = {row["id"]: row["state"] for row in rows(store, tables.offers)}
        store.close()
    assert app.shown() == {id_ for id_, state in states.items() if state == "sent"}
    if all(kind != "kill" for kind, _ in steps):
        assert len(app.came) == len(set(app.came))
        assert {one for kind, one in app.came if kind == "withdraw"} <= {
            one for kind, one in app.came if kind == "offer"
        }


def _ended_within(store: Store, app: App, where: Inside) -> None:
    """A process that is killed in the first hand-over of an offer, if there is one."""

    def end() -> None:
        raise Killed

    app.after = end
    with contextlib.suppress(Killed):
        worker(store, app, where).run_once(NOW + 40)
    app.after = lambda: None


def test_deliveries_of_the_workers_own_process_are_its_own_from_the_commit_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, where = App(), Inside()
    mine = worker(store, app, where)
    told = replace(story(channels=("mqtt",)), courier=mine.courier)
    commit(store, told)
    written: list[str] = []
    monkeypatch.setattr(outbox, "_hold", lambda: written.append("a claim"))  # which SQLite would run
    mine.run_once(NOW + 5)
    assert (app.came, written) == ([("offer", told.offers[0].id)], [])


def test_what_was_the_own_workers_and_never_handed_over_goes_out_after_a_kill(store: Store) -> None:
    app, where = App(), Inside()
    told = replace(story(channels=("mqtt",)), courier=worker(store, app, where).courier)
    commit(store, told)
    worker(store, app, where).run_once(NOW + 5)  # a new process, with a holder of its own
    assert app.came == [("offer", told.offers[0].id)]
