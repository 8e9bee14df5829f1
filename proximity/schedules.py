"""Rules with a schedule: looks every second whether one has come. The pipeline remembers which were worked off."""

import contextlib
from collections.abc import Callable, Iterator

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0  # s; a look costs nothing before the next time is reached, and finds it after any jump of the clock


@contextlib.contextmanager
def scheduling(look: Callable[[], int]) -> Iterator[BackgroundScheduler]:
    """Calls `look` in a thread of its own while the context lasts; it returns how many schedules have come."""
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(_look, "interval", [look], seconds=LOOK_EVERY, id="schedules", max_instances=1)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


def _look(look: Callable[[], int]) -> None:
    came = look()
    if came:
        log.info("schedules have come", number=came)
