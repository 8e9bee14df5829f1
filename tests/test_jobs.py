"""Work that goes by the clock."""

import pytest

from proximity import jobs
from proximity.store import history
from proximity.store.commit import commit
from proximity.store.database import Store, StoreError
from tests.store_house import NOW, ending, story

pytest_plugins = ["tests.store_fixtures"]


def test_old_history_is_purged_and_the_rest_stays(store: Store) -> None:
    old = story("ada", "coffee", NOW)
    commit(store, old)
    commit(store, ending(old, NOW + 60))
    commit(store, story("ada", "tills", NOW + 10_000))
    removed = jobs.purge(store, 5_000, lambda: NOW + 10_100)
    assert removed["transitions"] == 2
    assert [one.zone for one in history.transitions(store)] == ["tills"]


def test_a_busy_database_is_tried_again_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> dict[str, int]:
        raise StoreError("locked", temporary=True)

    monkeypatch.setattr("proximity.jobs.retention.purge", busy)
    assert jobs.purge(store, 1.0, lambda: NOW) == {}


def test_the_job_is_scheduled_while_the_service_runs(store: Store) -> None:
    with jobs.housekeeping(store, 1.0, lambda: NOW) as scheduler:
        assert sorted(job.id for job in scheduler.get_jobs()) == ["coupons", "memory", "purge"]
    assert not scheduler.running


def test_coupons_are_settled(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, story("ada", started=NOW - 3600))
    assert jobs.settle_coupons(store, lambda: NOW)["expired"] == 1

    def busy(*_: object) -> dict[str, int]:
        raise StoreError("locked", temporary=True)

    monkeypatch.setattr("proximity.jobs.coupons.settle", busy)
    assert jobs.settle_coupons(store, lambda: NOW) == {}
