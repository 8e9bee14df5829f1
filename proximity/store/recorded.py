"""What happened in a span of time, in its order, for those who play it again; and what was decided about it."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from proximity.model import Stage, Transition
from proximity.store import tables
from proximity.store.database import Store
from proximity.store.rule_state import ShopEvent

PIECE = 1_000  # rows at a time
_transitions, _events, _decisions, _visits = tables.transitions, tables.shop_events, tables.decisions, tables.visits
_Timed = tuple[float, Transition | ShopEvent]


@dataclass(slots=True)
class Decided:
    """What the live rules made of it."""

    sent: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # decision -> rule, shopper, time
    withheld: dict[str, str] = field(default_factory=dict)  # decision -> reason
    rules: dict[str, str] = field(default_factory=dict)  # decision -> rule
    values: dict[str, dict[str, Any]] = field(default_factory=dict)  # what happened -> attribute -> value it had


def span(store: Store) -> tuple[float, float] | None:
    """The times of the first and the last thing that happened; None: there is none."""
    found = []
    with store.connect() as connection:
        for column in (_transitions.c.at, _events.c.at):
            row = connection.execute(sa.select(sa.func.min(column), sa.func.max(column))).one()
            found += [] if row[0] is None else [(row[0], row[1])]
    return (min(one for one, _ in found), max(one for _, one in found)) if found else None


def count(store: Store, begin: float, end: float) -> tuple[int, int]:
    """How many transitions and events: begin ≤ at < end."""
    numbers = []
    with store.connect() as connection:
        for table in (_transitions, _events):
            query = sa.select(sa.func.count()).select_from(table).where(*_within(table, begin, end))
            numbers.append(connection.execute(query).scalar() or 0)
    return numbers[0], numbers[1]


def happened(store: Store, begin: float, end: float) -> Iterator[Transition | ShopEvent]:
    """Transitions and events, by the time at which the service knew of them."""
    one, other = _rows(store, _transitions, "observed", begin, end), _rows(store, _events, "at", begin, end)
    transitions: Iterator[_Timed] = ((row["observed"], Transition(**row)) for row in one)
    events: Iterator[_Timed] = ((row["at"], ShopEvent(**row)) for row in other)
    for _, found in heapq.merge(transitions, events, key=lambda pair: pair[0]):
        yield found


def decided(store: Store, begin: float, end: float) -> Decided:
    """The decisions of that time."""
    found = Decided()
    for row in _rows(store, _decisions, "at", begin, end):
        found.rules[row["id"]] = row["rule"]
        if row["outcome"] == "sent":
            found.sent[row["id"]] = (row["rule"], row["shopper"], row["at"])
        else:
            found.withheld[row["id"]] = row["reason"] or "unknown"
        for stage in msgspec.convert(row["trace"], list[Stage]):
            if stage.name == "conditions" and stage.values:
                found.values.setdefault(row["transition"], {}).update(stage.values)
    return found


def inside(store: Store, at: float) -> dict[str, frozenset[tuple[str, str]]]:
    """Shopper -> (site, zone) where he was."""
    columns = _visits.c
    query = sa.select(columns.shopper, columns.site, columns.zone).where(
        columns.started < at, sa.or_(columns.ended.is_(None), columns.ended >= at)
    )
    found: dict[str, set[tuple[str, str]]] = {}
    with store.connect() as connection:
        for shopper, site, zone in connection.execute(query):
            found.setdefault(shopper, set()).add((site, zone))
    return {shopper: frozenset(places) for shopper, places in found.items()}


def _within(table: sa.Table, begin: float, end: float) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.at >= begin, table.c.at < end


def _rows(store: Store, table: sa.Table, order: str, begin: float, end: float) -> Iterator[sa.RowMapping]:
    # Within one instant: exit, then enter, then dwell, as presence tells them.
    by = [table.c[order], *([table.c.at, table.c.kind.desc()] if table is _transitions else []), table.c.id]
    query = sa.select(table).where(*_within(table, begin, end)).order_by(*by)
    with store.connect() as connection:
        yield from connection.execution_options(yield_per=PIECE).execute(query).mappings()
