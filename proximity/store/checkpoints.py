"""Presence's state as the store keeps it: a checkpoint, and a journal of what presence was told since.

The journal grows with every commit, in its transaction; the checkpoint follows on its own time, and what it covers of
the journal is removed. Together they always say how presence stood after the last commit.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.store import tables
from proximity.store.database import Store, StoreError, insert

DEFAULT = "default"  # the partition of a service that has the whole database to itself
PIECE = 200  # entries read or removed at once

_checkpoints = tables.checkpoints.c
_journal = tables.journal.c


@dataclass(frozen=True, slots=True)
class Entry:
    """What presence was told up to one commit."""

    number: int  # counts up by one from 1
    state: bytes
    partition: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Presence's state as of entry `number`, in parts."""

    number: int
    at: float
    parts: Mapping[str, bytes]  # to write, at least one; what is the same as before may be left out …
    kept: Collection[str] = field(default_factory=frozenset)  # … and is named here
    partition: str = DEFAULT


def load_checkpoint(store: Store, partition: str = DEFAULT) -> Checkpoint | None:
    """The last one; None before the first."""
    query = sa.select(tables.checkpoints).where(_checkpoints.partition == partition).order_by(_checkpoints.number)
    with store.connect() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return None
    return Checkpoint(rows[-1].number, rows[-1].at, {row.part: row.state for row in rows}, partition=partition)


def load_journal(store: Store, after: int, partition: str = DEFAULT) -> Iterator[Entry]:
    """Entries beyond number `after`, in order. StoreError when one is missing."""
    while True:
        query = sa.select(tables.journal).where(_journal.partition == partition, _journal.number > after)
        with store.connect() as connection:
            rows = connection.execute(query.order_by(_journal.number).limit(PIECE)).all()
        for row in rows:
            if row.number != after + 1:
                raise StoreError(f"the journal of partition {partition!r} has no entry {after + 1}: restore a backup")
            after = row.number
            yield Entry(row.number, row.state, partition)
        if len(rows) < PIECE:
            return


def append(connection: Connection, entry: Entry) -> None:
    """Add to the journal, within the caller's transaction. StoreError when another service wrote that number."""
    row = {"partition": entry.partition, "number": entry.number, "state": entry.state}
    if connection.execute(_append(connection.dialect.name), row).first() is not None:
        return
    # A commit whose answer was lost is tried again, and finds its own entry.
    query = sa.select(_journal.state).where(_journal.partition == entry.partition, _journal.number == entry.number)
    if connection.execute(query).scalar() != entry.state:
        raise StoreError(
            f"another service writes to partition {entry.partition!r} of this database; end it, or give each its own"
        )


def _put(connection: Connection, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, unless a newer one is there.

    The rows of one checkpoint may carry numbers of earlier ones: that part had not changed since.
    """
    mine = _checkpoints.partition == checkpoint.partition
    newest = connection.execute(sa.select(sa.func.max(_checkpoints.number)).where(mine)).scalar()
    if newest is not None and newest > checkpoint.number:
        return
    stay = [*checkpoint.parts, *checkpoint.kept]
    connection.execute(sa.delete(tables.checkpoints).where(mine, _checkpoints.part.not_in(stay)))
    rows = [
        {
            "partition": checkpoint.partition,
            "part": part,
            "number": checkpoint.number,
            "at": checkpoint.at,
            "state": state,
        }
        for part, state in sorted(checkpoint.parts.items())
    ]
    connection.execute(_replace(connection.dialect.name), rows)


def save(store: Store, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in a transaction of its own, and then remove what it covers of the journal."""
    with store.begin() as connection:
        _put(connection, checkpoint)
    trim(store, checkpoint.number, checkpoint.partition)


def trim(store: Store, number: int, partition: str = DEFAULT) -> None:
    """Remove entries up to and with `number`, in small transactions: the pipeline waits for none of them."""
    query = sa.select(_journal.number).where(_journal.partition == partition, _journal.number <= number)
    oldest = query.order_by(_journal.number).limit(PIECE).scalar_subquery()
    covered = sa.delete(tables.journal).where(_journal.partition == partition, _journal.number.in_(oldest))
    while True:
        with store.begin() as connection:
            if connection.execute(covered).rowcount < PIECE:
                return


@cache
def _append(dialect: str) -> sa.Executable:
    statement = insert(dialect, tables.journal).on_conflict_do_nothing(index_elements=["partition", "number"])
    return statement.returning(_journal.number)


@cache
def _replace(dialect: str) -> sa.Executable:
    statement = insert(dialect, tables.checkpoints)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["partition", "part"], set_={"number": new.number, "at": new.at, "state": new.state}
    )
