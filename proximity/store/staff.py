"""The outbox of words to the staff."""

from typing import NamedTuple

import sqlalchemy as sa

from proximity.model import StaffMessage
from proximity.store import tables
from proximity.store.database import Store

MAX_ERROR = 500  # characters kept of what a channel said

_table = tables.staff_messages


class StoredMessage(NamedTuple):
    """A message, and what became of it."""

    message: StaffMessage
    state: str  # queued | sent | expired | dead
    attempts: int  # that failed
    error: str | None = None


def due(store: Store, channel: str, now: float, limit: int = 100) -> list[StoredMessage]:
    """Queued messages whose time has come, the longest due first."""
    waiting = (_table.c.state == "queued", _table.c.channel == channel, _table.c.due <= now)
    query = sa.select(_table).where(*waiting).order_by(_table.c.due, _table.c.id).limit(limit)
    return _read(store, query)


def of_site(store: Store, site: str, desk: str | None = None, limit: int = 100) -> list[StoredMessage]:
    """What was said to the desks of a store, newest first."""
    query = sa.select(_table).where(_table.c.site == site, _table.c.channel == "mqtt")
    if desk is not None:
        query = query.where(_table.c.desk == desk)
    return _read(store, query.order_by(_table.c.created.desc(), _table.c.id).limit(limit))


def next_due(store: Store, channel: str) -> float | None:
    """When the next one is due; None when none waits."""
    query = sa.select(sa.func.min(_table.c.due)).where(_table.c.state == "queued", _table.c.channel == channel)
    with store.connect() as connection:
        at: float | None = connection.execute(query).scalar()
    return at


def mark_sent(store: Store, message: str, at: float) -> None:
    """The channel took it."""
    _set(store, message, state="sent", handed=at, error=None)


def mark_retry(store: Store, message: str, due: float, error: str) -> None:
    """An attempt failed; the next is not to be made before `due`."""
    _set(store, message, attempts=_table.c.attempts + 1, due=due, error=error[:MAX_ERROR])


def end(store: Store, message: str, state: str, error: str | None = None) -> None:
    """It will not be sent any more: expired, or dead after the last attempt."""
    _set(store, message, state=state, error=None if error is None else error[:MAX_ERROR])


def _set(store: Store, message: str, **values: object) -> None:
    with store.begin() as connection:
        queued = sa.update(_table).where(_table.c.id == message, _table.c.state == "queued")
        connection.execute(queued.values(**values))


def _read(store: Store, query: sa.Select[tuple[object, ...]]) -> list[StoredMessage]:
    with store.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        StoredMessage(
            StaffMessage(**{name: row[name] for name in StaffMessage.__struct_fields__}),
            row["state"],
            row["attempts"],
            row["error"],
        )
        for row in rows
    ]
