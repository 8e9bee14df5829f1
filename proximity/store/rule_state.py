"""What rules remember between two things that happen, and which schedules have come: written with what caused it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.store import bulk, tables
from proximity.store.database import Store, chunks
from rules.audience import Tick
from rules.stateful import Row

_state, _ticks, _events, _visits = tables.rule_state, tables.schedule_ticks, tables.shop_events, tables.visits
MOST_DUE = 1_000  # rows that come true in one turn; the next turn takes the next


class ShopEvent(msgspec.Struct, frozen=True):
    """A named event of the shop's systems, of a shopper who agreed."""

    id: str  # derived from the sender's own id
    name: str
    shopper: str
    site: str | None  # None: in no store
    at: float
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a batch leaves behind for the rules."""

    events: Sequence[ShopEvent] = ()
    rows: Sequence[Row] = ()  # new, or in place of those with their ids
    gone: Sequence[str] = ()  # ids of rows that are void
    ticks: Sequence[Tick] = ()  # that were worked off

    def __bool__(self) -> bool:
        return bool(self.events or self.rows or self.gone or self.ticks)


NOTHING = Memory()


def write(connection: Connection, memory: Memory, known: set[str]) -> None:
    """In the transaction of the batch. Rows and events of shoppers who are not `known` are dropped."""
    if not memory:
        return
    for some in chunks(sorted(memory.gone)):
        connection.execute(sa.delete(_state).where(_state.c.id.in_(some)))
    rows = [_columns(row) for row in memory.rows if row.shopper in known]
    bulk.upsert(connection, _state, rows, _replace)
    events = [event for event in memory.events if event.shopper in known]
    bulk.insert_new(connection, _events, bulk.from_values(events))
    ticks = [{"id": f"{tick.rule} {tick.clock}", "planned": tick.planned} for tick in memory.ticks]
    bulk.upsert(connection, _ticks, ticks, _later)


def rows(store: Store, shoppers: Iterable[str]) -> dict[str, dict[str, Row]]:
    """What is remembered of these shoppers: shopper -> row id -> row. What is held is not in it."""
    found: dict[str, dict[str, Row]] = {}
    with store.connect() as connection:
        for some in chunks(sorted(set(shoppers))):
            query = sa.select(_state.c.state).where(_state.c.shopper.in_(some), _state.c.sort != "hold")
            for text in connection.execute(query).scalars():
                row = _row(text)
                found.setdefault(row.shopper, {})[row.id] = row
    return found


def due(store: Store, now: float) -> list[Row]:
    """Rows whose time has come, the earliest first, `MOST_DUE` at the most."""
    query = sa.select(_state.c.state).where(_state.c.due <= now).order_by(_state.c.due, _state.c.id).limit(MOST_DUE)
    with store.connect() as connection:
        return [_row(text) for text in connection.execute(query).scalars()]


def next_due(store: Store) -> float:
    """When the next row comes true; infinite when there is none."""
    with store.connect() as connection:
        found = connection.execute(sa.select(sa.func.min(_state.c.due))).scalar()
    return float("inf") if found is None else float(found)


def told(store: Store, ids: Iterable[str]) -> set[str]:
    """Those of these events that were told before."""
    found: set[str] = set()
    with store.connect() as connection:
        for some in chunks(sorted(set(ids))):
            found.update(connection.execute(sa.select(_events.c.id).where(_events.c.id.in_(some))).scalars())
    return found


def ticks(store: Store) -> dict[tuple[str, str], float]:
    """(rule, clock) -> the planned time of the last tick that was worked off."""
    with store.connect() as connection:
        rows = connection.execute(sa.select(_ticks.c.id, _ticks.c.planned))
        return {(id.partition(" ")[0], id.partition(" ")[2]): planned for id, planned in rows}  # noqa: A001


def last_seen(store: Store, since: float) -> dict[tuple[str, str, str], float]:
    """(shopper, site, zone) -> when the last visit ended that ended after `since`."""
    query = (
        sa.select(_visits.c.shopper, _visits.c.site, _visits.c.zone, sa.func.max(_visits.c.ended))
        .where(_visits.c.ended > since)
        .group_by(_visits.c.shopper, _visits.c.site, _visits.c.zone)
    )
    with store.connect() as connection:
        return {(shopper, site, zone): at for shopper, site, zone, at in connection.execute(query)}


def _columns(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "sort": row.sort,
        "rule": row.rule,
        "shopper": row.shopper,
        "due": row.due,
        "state": msgspec.json.encode(row).decode(),
    }


def _row(text: str) -> Row:
    return msgspec.json.decode(text, type=Row)


def _replace(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"rule": new.rule, "due": new.due, "state": new.state}
    )


def _later(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"planned": new.planned}, where=new.planned > _ticks.c.planned
    )
