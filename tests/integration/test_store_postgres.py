"""What only PostgreSQL can do to us: lose a connection, run two services, refuse a text. The rest of the store's
tests run on it as well, beside SQLite."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import sqlalchemy as sa

from proximity.delivery.clearing import StoredPresence
from proximity.delivery.worker import OutboxWorker
from proximity.model import Offer, Shopper, Visit
from proximity.store import history, outbox, people, tables
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError, open_store
from tests.conftest import wait_until
from tests.outbox_marks import mark_retry, mark_sent
from tests.store_house import NOW, ending, story, visit

pytest_plugins = ["tests.store_fixtures"]
pytestmark = pytest.mark.integration


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def other(store: Store, url: str) -> Iterator[Store]:
    """A second service on the same database."""
    made = open_store(url)
    yield made
    made.close()


def drop_connections(store: Store, of: Store) -> None:
    """The server ends every connection of `of`, as a restart would."""
    with of.connect() as connection:
        mine = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    with store.begin() as connection:
        assert connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": mine}).scalar_one()


def test_a_lost_connection_is_made_anew(store: Store, other: Store) -> None:
    commit(other, story())
    drop_connections(store, other)
    assert commit(other, story("ben")).transitions
    assert len(history.transitions(other)) == 2


def test_a_connection_lost_within_a_transaction_is_temporary_and_stores_nothing(store: Store, other: Store) -> None:
    def fail() -> None:
        with other.begin() as connection:
            connection.execute(sa.text("DELETE FROM shoppers"))
            mine = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with store.begin() as killer:
                killer.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": mine})
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(StoreError) as raised:
        fail()
    assert raised.value.temporary
    assert [one.id for one in people.list_shoppers(other)] == ["ada", "ben"]


def test_two_services_in_opposite_orders_do_not_lock_each_other_out(store: Store, other: Store) -> None:
    """Commits, hand-overs, exits and consents of the same people from two processes at once."""
    stories = [story(name, f"zone-{n}", NOW + n) for n in range(10) for name in ("ada", "ben")]
    start = threading.Barrier(4)

    def commits(which: Store, outcomes: list[Outcome]) -> None:
        start.wait(60)
        for outcome in outcomes:
            commit(which, outcome)
            commit(which, ending(outcome, NOW + 60))

    def hands_over(which: Store) -> None:
        start.wait(60)
        for _ in range(30):
            waiting = outbox.due(which, NOW + 100)
            if waiting:
                mark_sent(which, {one.delivery.id: NOW + 50 for one in waiting})
            people.set_consent(which, "ada", "in-store-offers", True, NOW, "api")

    with ThreadPoolExecutor(4) as pool:
        running = [
            pool.submit(commits, store, stories),
            pool.submit(commits, other, stories[::-1]),
            pool.submit(hands_over, store),
            pool.submit(hands_over, other),
        ]
        for one in running:
            one.result()
    assert history.totals(store)["transitions"] == 2 * len(stories)
    assert history.totals(store)["withdrawn"] == len(stories)


def test_an_erasure_waits_for_the_commit_and_takes_its_rows_along(store: Store, other: Store) -> None:
    """The shopper is erased in the moment between a commit's look at who is known and its end."""
    columns = sa.table("visits", *(sa.column(name) for name in Visit.__struct_fields__))
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as connection:
            connection.execute(sa.text("SELECT id FROM shoppers WHERE id = 'ada' FOR KEY SHARE"))
            connection.execute(sa.insert(columns), [msgspec.structs.asdict(visit("ada"))])
            mine = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            erased = pool.submit(people.erase, other, "ada")
            wait_until(lambda: waiting_for(store, mine), what="the erasure at the lock")
        assert erased.result(60)
    assert history.visits(other, shopper="ada") == []


def waiting_for(store: Store, holder: int) -> bool:
    """Whether any connection waits for what `holder` holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))"
    with store.connect() as connection:
        return bool(connection.execute(sa.text(query), {"pid": holder}).scalar_one())


def test_a_text_that_postgres_cannot_hold_is_refused_for_good(store: Store) -> None:
    with pytest.raises(StoreError) as raised:
        people.put_shopper(store, Shopper("x" * 65), at=NOW)
    assert not raised.value.temporary


# -- several workers on one outbox ------------------------------------------------------------------------------------


def queue(store: Store, number: int) -> list[str]:
    outcomes = [story(channels=("mqtt",), started=NOW + n / 10, expires=NOW + 1e9) for n in range(number)]
    for outcome in outcomes:
        commit(store, outcome)
    return [one.id for outcome in outcomes for one in outcome.deliveries]


def claimed(store: Store, holder: str, limit: int = 100, lease: float = 60.0) -> list[str]:
    return [one.delivery.id for one in outbox.claim(store, holder, NOW + 99, limit, "mqtt", lease)]


def test_what_one_worker_holds_no_other_gets(store: Store, other: Store) -> None:
    first, second, third = queue(store, 3)
    assert claimed(store, "a", limit=2) == [first, second]
    assert claimed(other, "b") == [third]
    assert claimed(other, "b") == claimed(store, "a") == []
    assert outbox.next_due(store, "mqtt") is None  # nothing to do until a lease ends
    outbox.release(store, "a")
    assert outbox.next_due(store, "mqtt") is not None
    assert claimed(other, "b") == [first, second]
    assert outbox.renew(store, [first], "a") == frozenset()
    assert outbox.renew(other, [third, first], "b") == {first, third}


def test_a_lease_that_ended_is_anybodys(store: Store, other: Store) -> None:
    """The worker that held it was killed."""
    (only,) = queue(store, 1)
    assert claimed(store, "a", lease=0.0) == [only]
    assert claimed(other, "b") == [only]
    assert outbox.renew(store, [only], "a") == frozenset()
    mark_retry(other, only, NOW + 50, "timed out")  # gives it back
    assert claimed(store, "a") == [only]


def test_a_claim_passes_over_what_another_is_claiming(store: Store, other: Store) -> None:
    first, second = queue(store, 2)
    with store.begin() as connection:
        held = sa.select(tables.deliveries.c.id).where(tables.deliveries.c.id == first).with_for_update()
        assert connection.execute(held).scalar() == first
        assert claimed(other, "b") == [second]


class Counted:
    """Counts what it was given."""

    name, parallel = "mqtt", 4

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def send(self, delivery: outbox.Delivery, offer: Offer) -> None:
        with self._lock:
            self.sent[delivery.id] += 1

    def withdraw(self, delivery: outbox.Delivery, offer: Offer) -> None:
        raise AssertionError("nobody leaves")

    def close(self) -> None:
        pass


def test_two_workers_share_the_work_and_send_nothing_twice(store: Store, other: Store) -> None:
    for one in (store, other):
        assert StoredPresence(one).zones_of(["ada", "ben"]) == {}
    wanted = queue(store, 300)
    assert StoredPresence(other).zones_of(["ada", "ben"]) == {"ada": {("lyon", "coffee")}}
    channels = [Counted(), Counted()]
    workers = [
        OutboxWorker(which, [channel], StoredPresence(which), lambda: NOW + 99)
        for which, channel in zip((store, other), channels, strict=True)
    ]
    for worker in workers:
        worker.start()
    wait_until(lambda: outbox.counts(store)["sent"] == len(wanted), what="all hand-overs")
    for worker in workers:
        worker.stop()
    assert channels[0].sent + channels[1].sent == Counter(wanted)
