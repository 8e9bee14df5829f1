"""What was observed of devices lately, kept for hours and not for good: so that presence can be explained."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import dated_id, derive_id
from proximity.presence.probe import BACK, State
from proximity.store import bulk, tables
from proximity.store.database import Store, chunks
from proximity.store.packing import Kept, lump_of, only

_observations = tables.observations
_states = tables.gateway_states
_FIELDS = [_observations.c[name] for name in Kept.__struct_fields__]
PIECE = 100  # lumps that are read at a time
SHORT = 10  # lumps that are written in one transaction


def put(store: Store, connection: Connection, kept: Iterable[Kept], states: Iterable[State] = ()) -> None:
    """Add lumps, within the caller's transaction. What is there already stays."""
    names = ("id", *Kept.__struct_fields__)
    rows = [
        (dated_id(one.begins, one.lump, one.ends, crc32(one.data)), one.lump, one.begins, one.ends, one.data)
        for one in kept
    ]
    bulk.add(connection, _observations, bulk.Rows(names, rows))
    changes = [
        {"id": derive_id(one.anchor, one.at, str(one.online)), "anchor": one.anchor, "online": one.online, "at": one.at}
        for one in states
    ]
    if changes:
        connection.execute(store.insert(_states).on_conflict_do_nothing(index_elements=["id"]), changes)


def load(store: Store, shopper: str, since: float, until: float) -> tuple[list[Kept], list[State]]:
    """What is kept of all the shopper's devices, and all changes of gateways, that touch the time from `since` to
    `until`."""
    table = _observations.c
    mine = sa.select(*_FIELDS).where(table.lump == lump_of(shopper), table.ends >= since, table.begins <= until)
    # What a gateway was before the time began is its last word before.
    before = sa.select(sa.func.max(_states.c.at)).where(_states.c.at < since)
    latest = before.group_by(_states.c.anchor).add_columns(_states.c.anchor.label("anchor")).subquery()
    changed = sa.select(_states.c.anchor, _states.c.online, _states.c.at).where(
        _states.c.at <= until,
        sa.or_(
            _states.c.at >= since,
            sa.tuple_(_states.c.anchor, _states.c.at).in_(sa.select(latest.c.anchor, latest.c[0])),
        ),
    )
    with store.connect() as connection:
        found = [only(Kept(*row), shopper.__eq__) for row in connection.execute(mine.order_by(table.begins))]
        states = [State(row.anchor, row.online, row.at) for row in connection.execute(changed.order_by(_states.c.at))]
    return [one for one in found if one is not None and one.ends >= since and one.begins <= until], states


def span(store: Store, device: str | None = None) -> tuple[float, float] | None:
    """From when to when there is something, of one device or of all; None: nothing."""
    table = _observations.c
    with store.connect() as connection:
        if device is None:
            begins, ends = connection.execute(sa.select(sa.func.min(table.begins), sa.func.max(table.ends))).one()
            return None if begins is None else (float(begins), float(ends))
        mine = [
            part
            for _, one in _naming(connection, device, sa.select(table.id, *_FIELDS))
            if (owner := one.owner(device)) is not None and (part := only(one, owner.__eq__)) is not None
        ]
    return (min(one.begins for one in mine), max(one.ends for one in mine)) if mine else None


def owner(store: Store, device: str, at: float) -> str | None:
    """Whose the device was when it was observed last up to `at`, or first after it; None: it never was."""
    table = _observations.c
    query = sa.select(table.id, *_FIELDS).order_by(table.begins > at, sa.func.abs(table.begins - at))
    lately = query.where(table.ends >= at - BACK, table.begins <= at)
    with store.connect() as connection:
        for some in (lately, query):  # nearly always it was observed lately, and the rest need not be read
            with closing(_naming(connection, device, some)) as lumps:
                found = next((name for _, one in lumps if (name := one.owner(device)) is not None), None)
            if found is not None:
                return found
    return None


class Forgotten(NamedTuple):
    """What was looked through."""

    told: int  # lumps in which the shopper was
    seen: frozenset[str]  # ids of all that could hold him


def forget(store: Store, shopper: str) -> Forgotten:
    """Remove everything of a shopper; what the lumps tell of others stays. A day of lumps takes its time to look
    through: nobody waits for that, and for a few lumps only while they are written."""
    with store.connect() as connection:
        seen = frozenset(connection.execute(_held_with(shopper)).scalars())
        found = list(connection.execute(_held_with(shopper).where(_names(connection, shopper))).scalars())
    told = 0
    for some in chunks(found, SHORT):
        with store.begin() as connection:
            told += _erase(connection, shopper, some)
    return Forgotten(told, seen)


def erase(connection: Connection, shopper: str, before: Forgotten) -> int:
    """The same of what came since, within the caller's transaction; how many lumps told of him in all."""
    new = sorted(set(connection.execute(_held_with(shopper)).scalars()) - before.seen)
    return before.told + sum(_erase(connection, shopper, some) for some in chunks(new))


def _held_with(shopper: str) -> sa.Select[Any]:
    return sa.select(_observations.c.id).where(_observations.c.lump == lump_of(shopper))


def _erase(connection: Connection, shopper: str, lumps: Sequence[str]) -> int:
    table = _observations.c
    left: dict[str, Kept | None] = {}
    some = sa.select(table.id, *_FIELDS).where(table.id.in_(lumps)).with_for_update()
    for name, one in _naming(connection, shopper, some):
        rest = only(one, shopper.__ne__)
        if rest is not one:
            left[name] = rest
    gone = [{"of": name} for name, rest in left.items() if rest is None]
    changed = [
        {"of": name, "now_begins": rest.begins, "now_ends": rest.ends, "now_data": rest.data}
        for name, rest in left.items()
        if rest is not None
    ]
    mine = table.id == sa.bindparam("of")
    if gone:
        connection.execute(sa.delete(_observations).where(mine), gone)
    if changed:
        values: dict[str, Any] = {name: sa.bindparam(f"now_{name}") for name in ("begins", "ends", "data")}
        connection.execute(sa.update(_observations).where(mine).values(values), changed)
    return len(left)


def _naming(connection: Connection, name: str, query: sa.Select[Any]) -> Generator[tuple[str, Kept], None, None]:
    """Lumps with their ids, in the order of the query, in which that name occurs: as a device, a shopper, or within
    another word. The database leaves out the others."""
    named = query.where(_names(connection, name)).execution_options(yield_per=PIECE)
    with connection.execute(named) as rows:
        for row in rows:
            yield row[0], Kept(*row[1:])


def _names(connection: Connection, name: str) -> sa.ColumnElement[bool]:
    data, sought = _observations.c.data, sa.literal(name.encode(), sa.LargeBinary)
    if connection.dialect.name == "sqlite":
        return sa.func.instr(data, sought) > 0
    return sa.func.pg_catalog.position(data, sought) > 0
