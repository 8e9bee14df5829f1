"""Many rows at once, as fast as each database takes them.

SQLite runs a statement for each row in its own loop, with the rows as tuples. PostgreSQL would answer each of them over
the wire, so there all rows go as one JSON document that the server takes apart. What was new PostgreSQL returns; on
SQLite, where a writer is alone, it is what lies beyond the rows that were there when he began.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from proximity.store.database import chunks, insert, to_json

Row = dict[str, Any]
Names = tuple[str, ...]
Conflict = Callable[[Any], Any]  # adds ON CONFLICT to an INSERT that knows it


class Rows(NamedTuple):
    """Rows of one table, without a dictionary for each."""

    names: Names  # of the columns, `id` among them
    values: list[tuple[Any, ...]]


def from_values(values: Sequence[msgspec.Struct], **constants: Any) -> Rows:
    """Rows of values of one type, with further columns that are the same in all of them."""
    if not values:
        return Rows((), [])
    more, astuple = tuple(constants.values()), msgspec.structs.astuple
    names = (*values[0].__struct_fields__, *constants)
    return Rows(names, [astuple(value) + more for value in values] if more else list(map(astuple, values)))


def from_dicts(rows: Iterable[Row]) -> Rows:
    """Rows that all have the same keys."""
    rows = list(rows)
    names = tuple(rows[0]) if rows else ()
    return Rows(names, [tuple([row[name] for name in names]) for row in rows])


def insert_new(connection: Connection, table: sa.Table, rows: Iterable[Row] | Rows) -> frozenset[str]:
    """Insert the rows whose `id` is not there; those ids. All rows have the same keys.

    On PostgreSQL they go in one order, so that two writers wait for one another in a line and not in a ring.
    """
    names, values = _in_order(connection, rows)
    if not values:
        return frozenset()
    of = itemgetter(names.index("id"))
    if connection.dialect.name == "sqlite":
        last = connection.exec_driver_sql(f"SELECT max(rowid) FROM {table.name}").scalar() or 0
        if _insert(connection, table, Rows(names, values), _skip) == len(values):
            return frozenset(map(of, values))
        return frozenset(_there(connection, _which_are_new(table), list(map(of, values)), last=last))
    unique = list({of(row): row for row in reversed(values)}.values())[::-1]  # the first of an id
    new: set[str] = set()
    for some in chunks(unique):
        told = _from_json(table, names, _skip).returning(table.c.id)
        new.update(connection.execute(told, {"rows": _objects(names, some)}).scalars())
    return frozenset(new)


def add(connection: Connection, table: sa.Table, rows: Iterable[Row] | Rows) -> None:
    """Insert the rows whose `id` is not there. They may hold bytes."""
    names, values = _in_order(connection, rows)
    if values and connection.dialect.name == "postgresql":
        connection.execute(_skip(insert("postgresql", table)), [dict(zip(names, row, strict=True)) for row in values])
    else:
        write(connection, table, Rows(names, values), _skip)


def upsert(connection: Connection, table: sa.Table, rows: Iterable[Row] | Rows, conflict: Conflict) -> None:
    """Insert rows, and do as `conflict` says with those whose `id` is there. Several of one id take their turns."""
    names, waiting = _in_order(connection, rows)
    while waiting:
        of = itemgetter(names.index("id"))
        turn: dict[str, tuple[Any, ...]] = {}
        again = [row for row in waiting if turn.setdefault(of(row), row) is not row]
        write(connection, table, Rows(names, list(turn.values())), conflict)
        waiting = again


def among(connection: Connection, column: sa.Column[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    """That the column is one of these. SQLite gets them as one JSON list, and reads the statement only once."""
    if connection.dialect.name == "sqlite":
        told = sa.func.json_each(sa.bindparam(None, to_json(values), sa.Text)).table_valued("value")
        return column.in_(sa.select(told.c.value))
    return column.in_(values)


def there(connection: Connection, table: sa.Table, ids: Sequence[str]) -> set[str]:
    """Which of these `id`s, each named once, are in a table of SQLite. To count them is quicker than to read them."""
    number = sum(connection.execute(_how_many_are(table), {"ids": to_json(some)}).scalar_one() for some in chunks(ids))
    return set(ids) if number == len(ids) else _there(connection, _which_are(table), ids)


def _there(connection: Connection, query: sa.Executable, ids: Sequence[str], **more: Any) -> set[str]:
    found: set[str] = set()
    for some in chunks(ids):
        found.update(connection.execute(query, {"ids": to_json(some), **more}).scalars())
    return found


def _in_order(connection: Connection, rows: Iterable[Row] | Rows) -> Rows:
    """By id on PostgreSQL. On SQLite, where nobody waits for anybody, as they come: nearly in the order of time."""
    names, values = rows if isinstance(rows, Rows) else from_dicts(rows)
    if not values or connection.dialect.name == "sqlite":
        return Rows(names, values)
    return Rows(names, sorted(values, key=itemgetter(names.index("id"))))


def write(connection: Connection, table: sa.Table, rows: Rows, conflict: Conflict) -> None:
    """Insert rows, each key once, and do as `conflict` says with those that are there. They go as they are ordered."""
    if connection.dialect.name == "postgresql":
        for some in chunks(rows.values):
            told = _from_json(table, rows.names, conflict)
            connection.execute(told, {"rows": _objects(rows.names, some)})
    elif rows.values:
        _insert(connection, table, rows, conflict)


def _objects(names: Names, rows: Sequence[tuple[Any, ...]]) -> str:
    return to_json([dict(zip(names, row, strict=True)) for row in rows])


def _insert(connection: Connection, table: sa.Table, rows: Rows, conflict: Conflict) -> int:
    """On SQLite; the number of rows that came in or were changed."""
    statement, order, text = _row_by_row(table, rows.names, conflict)
    values = rows.values if order is None else list(map(order, rows.values))
    if text:
        values = [_with_text(row, text) for row in values]
    return connection.exec_driver_sql(statement, values).rowcount


def _with_text(row: tuple[Any, ...], places: Iterable[int]) -> tuple[Any, ...]:
    """With JSON in place of the values at `places`."""
    values = list(row)
    for place in places:
        values[place] = to_json(values[place])
    return tuple(values)


def _skip(statement: Any) -> Any:
    return statement.on_conflict_do_nothing(index_elements=["id"])


# Statements are built once: to build one costs more than to run it for a row.


@cache
def _which_are(table: sa.Table) -> sa.Select[Any]:
    told = sa.func.json_each(sa.bindparam("ids", type_=sa.Text)).table_valued("value")
    return sa.select(table.c.id).where(table.c.id.in_(sa.select(told.c.value)))


@cache
def _how_many_are(table: sa.Table) -> sa.Select[Any]:
    return _which_are(table).with_only_columns(sa.func.count())


@cache
def _which_are_new(table: sa.Table) -> sa.Select[Any]:
    """Of these ids: in rows that came after `last`. SQLite numbers them upwards."""
    return _which_are(table).where(sa.text("rowid > :last"))


@cache
def _row_by_row(
    table: sa.Table, names: Names, conflict: Conflict
) -> tuple[str, Callable[[tuple[Any, ...]], tuple[Any, ...]] | None, tuple[int, ...]]:
    """For SQLite: a statement with question marks, what puts a row with `names` into their order (None: it is in it),
    and where JSON belongs."""
    statement = conflict(insert("sqlite", table).values({name: sa.bindparam(name) for name in names}))
    compiled = statement.compile(dialect=sqlite.dialect())
    order = tuple(compiled.positiontup or ())
    text = tuple(place for place, name in enumerate(order) if isinstance(table.c[name].type, sa.JSON))
    return str(compiled), None if order == names else itemgetter(*map(names.index, order)), text


@cache
def _from_json(table: sa.Table, names: Names, conflict: Conflict) -> Any:
    """For PostgreSQL: `rows` is a JSON list of objects with `names`."""
    types = [sa.column(name, table.c[name].type) for name in names]
    told = sa.func.json_to_recordset(sa.cast(sa.bindparam("rows", type_=sa.Text), postgresql.JSON))
    rows = told.table_valued(*types).render_derived(name="told", with_types=True)
    return conflict(insert("postgresql", table).from_select(list(names), sa.select(*rows.c)))
