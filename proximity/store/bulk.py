"""Many rows at once, as fast as each database takes them.

SQLite runs a statement for each row in its own loop. PostgreSQL would answer each of them over the wire, so there all
rows go as one JSON document that the server takes apart. What was there already is looked up first on SQLite, where a
writer is alone; PostgreSQL, where he is not, returns what was new.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from proximity.store.database import chunks, insert, to_json

Row = dict[str, Any]
Names = tuple[str, ...]
Conflict = Callable[[Any], Any]  # adds ON CONFLICT to an INSERT that knows it


def insert_new(connection: Connection, table: sa.Table, rows: Iterable[Row]) -> frozenset[str]:
    """Insert the rows whose `id` is not there; those ids. All rows have the same keys.

    They go in one order everywhere, so that two writers on PostgreSQL wait for one another in a line and not in a ring.
    """
    unique: dict[str, Row] = {}
    for row in sorted(rows, key=itemgetter("id")):
        unique.setdefault(row["id"], row)
    if connection.dialect.name == "sqlite":
        known = there(connection, table, list(unique))
        fresh = [row for id, row in unique.items() if id not in known] if known else list(unique.values())  # noqa: A001
        _write(connection, table, fresh, _skip)
        return frozenset(unique.keys() - known)
    new: set[str] = set()
    for some in chunks(list(unique.values())):
        told = _from_json(table, tuple(some[0]), _skip).returning(table.c.id)
        new.update(connection.execute(told, {"rows": to_json(some)}).scalars())
    return frozenset(new)


def add(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert the rows whose `id` is not there. They may hold bytes."""
    rows = sorted(rows, key=itemgetter("id"))
    if rows and connection.dialect.name == "postgresql":
        connection.execute(_skip(insert("postgresql", table)), rows)
    else:
        _write(connection, table, rows, _skip)


def upsert(connection: Connection, table: sa.Table, rows: Iterable[Row], conflict: Conflict) -> None:
    """Insert rows, and do as `conflict` says with those whose `id` is there. Several of one id take their turns."""
    waiting = sorted(rows, key=itemgetter("id"))
    while waiting:
        turn: dict[str, Row] = {}
        again = [row for row in waiting if turn.setdefault(row["id"], row) is not row]
        _write(connection, table, list(turn.values()), conflict)
        waiting = again


def _write(connection: Connection, table: sa.Table, rows: Sequence[Row], conflict: Conflict) -> None:
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        for some in chunks(rows):
            connection.execute(_from_json(table, names, conflict), {"rows": to_json(some)})
        return
    statement, order = _row_by_row(table, names, conflict)
    values = list(map(itemgetter(*order), rows))
    text = [place for place, name in enumerate(order) if isinstance(table.c[name].type, sa.JSON)]
    if text:
        values = [_with_text(row, text) for row in values]
    connection.exec_driver_sql(statement, values)


def _with_text(row: tuple[Any, ...], places: Iterable[int]) -> tuple[Any, ...]:
    """With JSON in place of the values at `places`."""
    values = list(row)
    for place in places:
        values[place] = to_json(values[place])
    return tuple(values)


def there(connection: Connection, table: sa.Table, ids: Sequence[str]) -> set[str]:
    """Which of these `id`s are in a table of SQLite."""
    found: set[str] = set()
    for some in chunks(ids):
        found.update(connection.execute(_which_are(table), {"ids": to_json(some)}).scalars())
    return found


def _skip(statement: Any) -> Any:
    return statement.on_conflict_do_nothing(index_elements=["id"])


# Statements are built once: to build one costs more than to run it for a row.


@cache
def _which_are(table: sa.Table) -> sa.Executable:
    told = sa.func.json_each(sa.bindparam("ids", type_=sa.Text)).table_valued("value")
    return sa.select(table.c.id).where(table.c.id.in_(sa.select(told.c.value)))


@cache
def _row_by_row(table: sa.Table, names: Names, conflict: Conflict) -> tuple[str, Names]:
    """For SQLite: with question marks, and what stands for them in order."""
    statement = conflict(insert("sqlite", table).values({name: sa.bindparam(name) for name in names}))
    compiled = statement.compile(dialect=sqlite.dialect())
    return str(compiled), tuple(compiled.positiontup)


@cache
def _from_json(table: sa.Table, names: Names, conflict: Conflict) -> Any:
    """For PostgreSQL: `rows` is a JSON list of objects with `names`."""
    types = [sa.column(name, table.c[name].type) for name in names]
    told = sa.func.json_to_recordset(sa.cast(sa.bindparam("rows", type_=sa.Text), postgresql.JSON))
    rows = told.table_valued(*types).render_derived(name="told", with_types=True)
    return conflict(insert("postgresql", table).from_select(list(names), sa.select(*rows.c)))
