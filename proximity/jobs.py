"""Work that goes by the clock: old history is purged, coupons end, free memory is given back."""

import contextlib
from collections.abc import Callable, Iterator

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from proximity.collecting import give_back
from proximity.store import coupons, retention
from proximity.store.database import Store, StoreError

log = structlog.get_logger(__name__)

PURGE_EVERY = 3600.0  # s
GIVE_BACK_EVERY = 60.0  # s
SETTLE_EVERY = 5.0  # s; so long after its end a coupon's share is back in the budget


@contextlib.contextmanager
def housekeeping(
    store: Store, keep: float, clock: Callable[[], float], keep_observations: float = 86_400.0
) -> Iterator[BackgroundScheduler]:
    """Runs the jobs in a thread of their own while the context lasts. `keep`: seconds of history to keep;
    `keep_observations`: of what explanations are made from."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(purge, "interval", [store, keep, clock, keep_observations], seconds=PURGE_EVERY, id="purge")
    scheduler.add_job(settle_coupons, "interval", [store, clock], seconds=SETTLE_EVERY, id="coupons")
    scheduler.add_job(give_back, "interval", seconds=GIVE_BACK_EVERY, id="memory")
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


def purge(store: Store, keep: float, clock: Callable[[], float], keep_observations: float = 86_400.0) -> dict[str, int]:
    """Remove what is older; rows removed by table. A database that is busy is tried next time."""
    try:
        removed = retention.purge(store, clock() - keep)
        removed |= retention.purge_observations(store, clock() - keep_observations)
    except StoreError as error:
        log.warning("history was not purged; the next hour tries again", error=str(error))
        return {}
    if any(removed.values()):
        log.info("history purged", **removed)
    return removed


def settle_coupons(store: Store, clock: Callable[[], float]) -> dict[str, int]:
    """Let coupons follow their offers and the time; how many moved. A database that is busy is tried next time."""
    try:
        moved = coupons.settle(store, clock())
    except StoreError as error:
        log.warning("coupons were not settled; the next round tries again", error=str(error))
        return {}
    if any(moved.values()):
        log.info("coupons settled", **moved)
    return moved
