"""What only PostgreSQL can do to us: lose a connection, run two services, refuse a text. The rest of the store's
tests run on it as well, beside SQLite."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import sqlalchemy as sa

from proximity.model import Shopper, Visit
from proximity.store import history, outbox, people
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError, open_store
from tests.conftest import wait_until
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
                outbox.mark_sent(which, {one.delivery.id: NOW + 50 for one in waiting})
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
