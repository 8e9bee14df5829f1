"""One database: SQLite for one machine, PostgreSQL for many. Opening, migrating, and the two kinds of transactions."""

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from proximity.errors import ProximityError
from proximity.store import schema

BUSY_SECONDS = 30.0  # longer than any transaction of ours; a purge works in small pieces
CACHE_KIB = 16_384  # of a connection to SQLite, at the most; the pipeline's is the one that fills it
LOG_PAGES = 4_000  # of 4 KiB, after which SQLite folds its log into the file
CHUNK = 10_000  # values in one IN (…): SQLite takes 32,766 parameters, PostgreSQL 65,535

_T = TypeVar("_T")
_encoder = msgspec.json.Encoder(enc_hook=str)


class StoreError(ProximityError):
    """The database cannot be opened, is newer than the code, or refused a transaction. Nothing of it is stored then.

    `temporary`: the same transaction may pass later (locked, disk full, server away); otherwise it never will.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        self.temporary = temporary
        super().__init__(message)


class Store:
    """A database that several threads share. Made by `open_store`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        # SQLite has one writer at a time and lets the others poll; a lock of our own wakes the next one at once.
        self._writer = threading.Lock() if self.dialect == "sqlite" else None

    def migrate(self) -> None:
        """Bring the tables to the newest form, in one transaction. Two processes that start at once do it once.

        StoreError when the database is newer than this code.
        """
        with self.begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": schema.LOCK_KEY})
            self._refuse_newer(connection)
            schema.upgrade(connection)

    @contextmanager
    def begin(self, *, lasting: bool = True) -> Iterator[Connection]:
        """A write transaction: committed at the end of the block, rolled back on an error. Not to be nested.

        On return everything is on disk. Not `lasting`: it outlives a kill of this process, and SQLite waits for no
        disk, so a power cut may take it until the next transaction that lasts. StoreError when the database refuses.
        """
        if self._writer is not None and not self._writer.acquire(timeout=BUSY_SECONDS):
            raise StoreError(
                f"the database was busy for {BUSY_SECONDS:.0f} s with one transaction of this service; if it does not "
                "pass, restart the service: nothing that was acknowledged is lost",
                temporary=True,
            )
        try:
            writing = self.engine.execution_options(proximity_write="FULL" if lasting else "NORMAL")
            with _explained(self.engine.url), writing.begin() as connection:
                yield connection
        finally:
            if self._writer is not None:
                self._writer.release()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A read transaction: one consistent view, which never waits for a writer on SQLite."""
        with _explained(self.engine.url), self.engine.connect() as connection:
            yield connection

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT in this database's words."""
        return insert(self.dialect, table)

    def close(self) -> None:
        """Give every connection back. SQLite folds its log into the file."""
        self.engine.dispose()

    def _refuse_newer(self, connection: Connection) -> None:
        unknown = schema.unknown_revision(connection)
        if unknown is not None:
            raise StoreError(
                f"the database {shown(self.engine.url)} is newer than this version of proximity (revision {unknown}); "
                "install the version that wrote it, or restore a backup from before"
            )


def open_store(url: str) -> Store:
    """Open `sqlite:///path` or `postgresql://…` and see that it answers; `migrate()` makes the tables.

    A SQLite file is made with mode 0600 and its missing directory with 0700, for it holds the keys of people's
    phones. StoreError with what to do when the URL, the directory, the server or the version is not right.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        _make_file(parsed)
    try:
        engine = sa.create_engine(
            parsed,
            json_serializer=to_json,
            json_deserializer=msgspec.json.decode,
            pool_size=16,  # a web server's threads, the outbox and the pipeline hold a connection for milliseconds each
            max_overflow=32,
            pool_use_lifo=True,  # the connection whose memory is warm
            pool_pre_ping=parsed.get_backend_name() == "postgresql",  # the server may have been restarted meanwhile
        )
    except ImportError as error:
        raise StoreError('PostgreSQL needs its driver: pip install "proximity[postgres]"') from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    store = Store(engine)
    try:
        with store.connect() as connection:
            store._refuse_newer(connection)
    except StoreError:
        store.close()
        raise
    return store


def insert(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """As `Store.insert`, for statements that are built once."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def chunks(values: Sequence[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    """`values` in pieces that fit into one IN (…)."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def shown(url: URL) -> str:
    """A database's address without its password."""
    return url.render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(f"{url!r} is no database address; write sqlite:///data/proximity.db") from error
    if backend == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise StoreError("SQLite needs a file: write sqlite:///data/proximity.db")
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(f"{backend} is not supported; write sqlite:///data/proximity.db or postgresql://host/name")


def _make_file(url: URL) -> None:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the database file {path} cannot be written: {error.strerror}") from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours: see _begin_sqlite
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000:.0f}",
        "journal_mode = WAL",
        # NORMAL may lose the last commits when the power fails; a commit here is what a gateway's spool is emptied on.
        "synchronous = FULL",
        "foreign_keys = ON",
        # Pages that one commit after the other changes, as those of indexes, stay in memory between them, and are
        # copied from the log into the file once for many commits.
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {LOG_PAGES}",
        "secure_delete = ON",  # an erased shopper does not stay readable in free pages
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading and then writes fails at once when another wrote in between, whatever the
    # busy timeout: a writer says so at the start.
    write = connection.get_execution_options().get("proximity_write")
    if write is not None and connection.info.get("synchronous", "FULL") != write:
        connection.exec_driver_sql(f"PRAGMA synchronous = {write}")
        connection.info["synchronous"] = write
    connection.exec_driver_sql("BEGIN" if write is None else "BEGIN IMMEDIATE")


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        cause = str(getattr(error, "orig", None) or error).strip()
        raise StoreError(_what_to_do(url, cause), temporary=True) from error
    except StatementError as error:
        raise StoreError(f"the database {shown(url)} refused: {error.orig}") from error


# What a database says when it cannot just now, and what helps. {url}: its address. The first that fits is told.
_REMEDIES = (
    (r"disk is full|no space left|could not extend file", "the disk of {url} is full: free some space on it"),
    (
        r"database is locked|lock timeout|canceling statement due to lock",
        "{url} is locked by another program: end what has it open, as a backup or a shell",
    ),
    (
        r"readonly|read-only|permission denied",
        "{url} may not be written: give the file and its folder to the user that runs proximity",
    ),
    (r"disk i/o error|could not (write|read|fsync)", "the disk of {url} has a fault: look into the system's log"),
    (r"unable to open", "{url} cannot be opened: see that its folder is there and may be read"),
    (
        r"connection (to server .*)?(refused|failed)|server closed|terminating connection|timeout expired",
        "{url} is away: start the server, or see that the network leads there",
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        "{url} has no connection left: raise max_connections",
    ),
)


def _what_to_do(url: URL, cause: str) -> str:
    """One sentence for the operator. Whoever calls tries again, and loses nothing meanwhile."""
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, cause, re.IGNORECASE):
            return f"{remedy.format(url='the database ' + shown(url))} ({cause}); it is tried again"
    return f"the database {shown(url)} does not answer as it should: {cause}"


def to_json(value: Any) -> str:
    # Values in traces come from expressions; what is no JSON is kept as its text. NaN becomes null.
    return _encoder.encode(value).decode()
