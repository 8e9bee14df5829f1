"""A store to test with, on SQLite and on PostgreSQL. A plugin: `pytest_plugins = ["tests.store_fixtures"]`."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from proximity.model import Shopper
from proximity.store import people
from proximity.store.database import Store, open_store
from tests.private_postgres import server

NOW = 1_764_155_040.0
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.integration)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL database; one server for the whole run."""
    with server() as address:
        yield address


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of an empty schema of its own."""
    schema = f"proximity_test_{secrets.token_hex(6)}"
    house = open_store(postgres_server)
    with house.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    joint = "&" if "?" in postgres_server else "?"
    yield f"{postgres_server}{joint}options=-csearch_path%3D{schema}"
    with house.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
    house.close()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store/proximity.db"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture
def empty(url: str) -> Iterator[Store]:
    """A store without tables."""
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def store(empty: Store) -> Store:
    """A store with tables, and with Ada and Ben, who agreed to offers."""
    empty.migrate()
    for name in ("ada", "ben"):
        people.put_shopper(empty, Shopper(name, consents={"in-store-offers": True}), at=NOW)
    return empty
