"""Opening, migrating and the two kinds of transactions."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from proximity.store import database, schema
from proximity.store.database import Store, StoreError, open_store
from proximity.store.tables import metadata

pytest_plugins = ["tests.store_fixtures"]


def test_migrations_make_exactly_the_metadata(empty: Store) -> None:
    empty.migrate()
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def described(connection: sa.Connection) -> dict[str, Any]:
    """All that the database says about its tables, constraints and indexes by name."""
    inspector = sa.inspect(connection)

    def named(found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda one: str(one["name"]))

    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "unique": named(inspector.get_unique_constraints(table)),
            "foreign": named(inspector.get_foreign_keys(table)),
            # The condition of a partial index is a text, of which no two are equal.
            "indexes": [
                {**one, "dialect_options": {name: str(value) for name, value in one["dialect_options"].items()}}
                for one in named(inspector.get_indexes(table))
            ],
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_migrated_tables_are_described_as_created_ones(empty: Store) -> None:
    empty.migrate()
    with empty.connect() as connection:
        migrated = described(connection)
    with empty.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert described(connection) == migrated
    assert set(migrated) == set(metadata.tables)


def test_revisions_are_read_from_the_names_of_the_files(empty: Store) -> None:
    scripts = ScriptDirectory.from_config(schema.configuration())
    assert schema.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert scripts.get_heads() == [schema.revisions()[-1]]
    with empty.begin() as connection:
        assert schema.current_revision(connection) is None
        schema.upgrade(connection)
        assert schema.current_revision(connection) == schema.revisions()[-1]


def test_migrating_twice_and_at_once_is_migrating_once(empty: Store, url: str) -> None:
    others = [open_store(url) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Store.migrate, [empty, *others]))
    empty.migrate()
    for other in others:
        other.close()
    with empty.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_a_newer_database_is_refused(empty: Store, url: str) -> None:
    empty.migrate()
    with empty.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer than this version of proximity \(revision 9999\)"):
        open_store(url)
    with pytest.raises(StoreError, match="newer"):
        empty.migrate()


def test_a_migration_that_fails_leaves_nothing_behind(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = schema.upgrade

    def half(connection: sa.Connection) -> None:
        upgrade(connection)
        connection.execute(sa.text("INSERT INTO no_such_table VALUES (1)"))

    monkeypatch.setattr(schema, "upgrade", half)
    with pytest.raises(StoreError, match="no_such_table"):
        empty.migrate()
    with empty.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("mysql://localhost/shop", "mysql is not supported; write sqlite:///data/proximity.db or postgresql://"),
        ("proximity.db", "'proximity.db' is no database address; write sqlite:///data/proximity.db"),
        ("", "'' is no database address"),
        ("sqlite:////proc/nowhere/proximity.db", "/proc/nowhere/proximity.db cannot be written: No such file"),
        ("postgresql://nobody:secret@127.0.0.1:1/shop", "is away: start the server, or see that the network leads"),
    ],
)
def test_a_bad_address_says_what_to_write(url: str, message: str) -> None:
    with pytest.raises(StoreError) as raised:
        open_store(url)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


REMEDIES = [
    # what the database says                                     what the operator reads
    ("database or disk is full", "the disk of the database sqlite:///p.db is full: free some space on it"),
    ('could not extend file "base/5/1": No space left on device', "is full: free some space on it"),
    ("database is locked", "is locked by another program: end what has it open"),
    ("attempt to write a readonly database", "may not be written: give the file and its folder to the user"),
    ("disk I/O error", "has a fault: look into the system's log"),
    ("unable to open database file", "cannot be opened: see that its folder is there"),
    ("server closed the connection unexpectedly", "is away: start the server"),
    ("FATAL: sorry, too many clients already", "has no connection left: raise max_connections"),
    ("something new", "does not answer as it should: something new"),
]


@pytest.mark.parametrize(("said", "told"), REMEDIES)
def test_what_the_database_says_becomes_what_to_do(said: str, told: str) -> None:
    with pytest.raises(StoreError) as raised, database._explained(sa.make_url("sqlite:///p.db")):
        raise sa.exc.OperationalError("INSERT", {}, Exception(said))
    assert told in str(raised.value)
    assert said in str(raised.value)
    assert raised.value.temporary


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "proximity.db"
    file.write_text("this is not a database, and long enough to be read as a page of one" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        open_store(f"sqlite:///{file}")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "proximity.db"
    store = open_store(f"sqlite:///{file}")
    store.migrate()
    with store.begin() as connection:
        connection.execute(sa.text("INSERT INTO rule_sets VALUES ('a', '{}', 'folder', 1.0, '', 'live', 1.0)"))
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    made = sorted(file.parent.iterdir())
    assert {one.name for one in made} >= {"proximity.db", "proximity.db-wal"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in made} == {0o600}
    store.close()


def test_what_is_acknowledged_is_on_disk(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/proximity.db")
    with store.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete")
        }
    assert read == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "secure_delete": 1,
    }
    store.close()


def test_an_error_rolls_everything_back(store: Store) -> None:
    def fail() -> None:
        with store.begin() as connection:
            connection.execute(sa.text("DELETE FROM shoppers"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM shoppers")).scalar() == 2


def test_a_refused_statement_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="refused"), store.begin() as connection:
        connection.execute(sa.text("INSERT INTO consents VALUES ('nobody', 'p', true, 1.0, 'api')"))


def test_readers_see_the_last_commit_while_a_writer_writes(store: Store) -> None:
    with store.begin() as writing:
        writing.execute(sa.text("DELETE FROM shoppers"))
        with store.connect() as reading:
            assert reading.execute(sa.text("SELECT count(*) FROM shoppers")).scalar() == 2


def test_a_stuck_writer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = open_store(f"sqlite:///{tmp_path}/proximity.db")
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.begin():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(60)
    with pytest.raises(StoreError, match="busy"), store.begin():
        pytest.fail("two writers at once")
    leave.set()
    thread.join()
    with store.begin() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    store.close()


def test_another_process_that_holds_the_lock_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    one, other = (open_store(f"sqlite:///{tmp_path}/proximity.db") for _ in range(2))
    with one.begin(), pytest.raises(StoreError, match="database is locked") as raised, other.begin():
        pytest.fail("two writers at once")
    assert raised.value.temporary
    one.close()
    other.close()


def test_json_keeps_what_expressions_saw(store: Store) -> None:
    table = metadata.tables["rule_sets"]
    odd = {"nan": float("nan"), "text": "Kä\u2028se", "object": pytest.approx, "list": [1, (2, 3)]}
    with store.begin() as connection:
        connection.execute(table.insert().values(id="a", files=odd, author="a", created=1.0, note="", state="live"))
    with store.connect() as connection:
        kept = connection.execute(sa.select(table.c.files)).scalar_one()
    assert kept == {"nan": None, "text": "Kä\u2028se", "object": str(pytest.approx), "list": [1, [2, 3]]}
