"""Many rows at once, on SQLite and on PostgreSQL."""

import random

import pytest
import sqlalchemy as sa

from proximity.store import tables
from proximity.store.bulk import from_dicts, from_values, insert_new
from proximity.store.database import Store
from rules.stateful import Row
from tests.store_house import NOW, decision, transition, visit

pytest_plugins = ["tests.store_fixtures"]

TABLE = tables.decisions


def row(number: int, detail: str) -> dict[str, object]:
    one = decision(transition(visit(zone=f"zone-{number}")), detail=detail)
    return {name: getattr(one, name) for name in one.__struct_fields__} | {"id": f"{number:026d}", "trace": [detail]}


def stored(store: Store) -> dict[str, tuple[str, list[str]]]:
    with store.connect() as connection:
        rows = connection.execute(sa.select(TABLE.c.id, TABLE.c.detail, TABLE.c.trace))
        return {one.id: (one.detail, one.trace) for one in rows}


@pytest.mark.parametrize("known", [0, 1, 40, 100])
def test_what_is_there_stays_and_what_is_new_is_told(store: Store, known: int) -> None:
    numbers = list(range(100))
    random.Random(known).shuffle(numbers)  # rows that are there lie before, between and behind the new ones
    with store.begin() as connection:
        assert len(insert_new(connection, TABLE, [row(n, "before") for n in numbers[:known]])) == known
    again = [row(n, text) for n in range(100) for text in ("first", "second")]
    with store.begin() as connection:
        assert insert_new(connection, TABLE, again) == {f"{n:026d}" for n in numbers[known:]}
    expected = {f"{n:026d}": "before" if n in numbers[:known] else "first" for n in range(100)}
    assert stored(store) == {name: (text, [text]) for name, text in expected.items()}
    with store.begin() as connection:
        assert insert_new(connection, TABLE, again) == frozenset()
        assert insert_new(connection, TABLE, []) == frozenset()


def test_rows_of_values_are_rows_of_their_fields() -> None:
    values = [Row(name, "absence", "away", "key", "ada", NOW) for name in ("one", "two")]
    rows = from_values(values, state="queued")
    assert rows == from_dicts(
        [{**{name: getattr(one, name) for name in Row.__struct_fields__}, "state": "queued"} for one in values]
    )
    assert from_values([]) == from_dicts([]) == ((), [])
