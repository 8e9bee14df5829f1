"""Work that goes by the clock: old history is purged."""

import contextlib
from collections.abc import Callable, Iterator

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from proximity.store import retention
from proximity.store.database import Store, StoreError

log = structlog.get_logger(__name__)

PURGE_EVERY = 3600.0  # s


@contextlib.contextmanager
def housekeeping(store: Store, keep: float, clock: Callable[[], float]) -> Iterator[BackgroundScheduler]:
    """Runs the jobs in a thread of their own while the context lasts. `keep`: seconds of history to keep."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(purge, "interval", [store, keep, clock], seconds=PURGE_EVERY, id="purge")
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


def purge(store: Store, keep: float, clock: Callable[[], float]) -> dict[str, int]:
    """Remove what is older than `keep` seconds; rows removed by table. A database that is busy is tried next time."""
    try:
        removed = retention.purge(store, clock() - keep)
    except StoreError as error:
        log.warning("history was not purged; the next hour tries again", error=str(error))
        return {}
    if any(removed.values()):
        log.info("history purged", **removed)
    return removed
