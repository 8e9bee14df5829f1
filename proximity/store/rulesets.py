"""Rule sets as versions, and who did what to them: publish, approve, roll back, pause, follow the folder.

The log of changes decides: what is in force is what the last of them put in force. A set is pinned by `publish`,
`approve` and `rollback`, until `follow` gives the rules back to the configuration folder.
"""
# ruff: noqa: A002 - an id is called id, as in every value

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.errors import ProximityError
from proximity.store import tables
from proximity.store.database import Store

Action = Literal["load", "submit", "publish", "approve", "rollback", "follow", "pause", "resume"]
PINS = ("publish", "approve", "rollback")
FOLDER = "folder"  # the author of what was read from the configuration folder
PREVIOUS = "previous"  # in place of an id: what was in force before
SHORT = 8  # letters of an id that people see; fewer do as long as they mean one version
_sets, _changes = tables.rule_sets, tables.rule_changes


class UnknownError(ProximityError):
    """There is no such version or rule."""


class RefusedError(ProximityError):
    """As things stand this cannot be done."""


class Version(msgspec.Struct, frozen=True):
    """One set of rules, without its texts."""

    id: str  # hash of the texts
    author: str
    created: float
    note: str
    state: str  # review: waits for a second person; live: in force; past: was, or never will be
    loaded: float | None  # when it last came into force


class Change(msgspec.Struct, frozen=True):
    """Somebody did something."""

    number: int
    at: float
    action: Action
    actor: str
    version: str | None = None
    rule: str | None = None
    note: str = ""


class Paused(msgspec.Struct, frozen=True):
    """A rule that somebody has stopped."""

    by: str
    at: float


class Standing(msgspec.Struct, frozen=True):
    """What is in force."""

    number: int = 0  # of the last change
    version: str | None = None
    pinned: bool = False  # False: the configuration folder says what is in force
    previous: str | None = None  # what was in force before
    paused: dict[str, Paused] = {}


def last_number(store: Store) -> int:
    """Grows with every change, by whichever process."""
    with store.connect() as connection:
        return connection.execute(sa.select(sa.func.max(_changes.c.number))).scalar() or 0


def standing(store: Store, at: float | None = None) -> Standing:
    """What is in force, or was at a moment."""
    with store.connect() as connection:
        return _standing(connection, at)


def versions(store: Store) -> list[Version]:
    """All, the newest first."""
    query = sa.select(*_columns()).order_by(_sets.c.created.desc(), _sets.c.id)
    with store.connect() as connection:
        return [Version(**row) for row in connection.execute(query).mappings()]


def changes(store: Store, limit: int = 100) -> list[Change]:
    """The newest first."""
    with store.connect() as connection:
        rows = connection.execute(sa.select(_changes).order_by(_changes.c.number.desc()).limit(limit)).mappings()
        return [Change(**row) for row in rows]


def version(store: Store, name: str) -> Version:
    """By its id, the beginning of it, or `previous`. UnknownError."""
    with store.connect() as connection:
        return _find(connection, name)


def files(store: Store, id: str) -> dict[str, str]:
    """The texts of a version by the names of their files; none of one that is not there."""
    with store.connect() as connection:
        found: dict[str, str] | None = connection.execute(sa.select(_sets.c.files).where(_sets.c.id == id)).scalar()
        return found or {}


def load(store: Store, id: str, texts: Mapping[str, str], at: float) -> None:
    """The configuration folder's rules come into force; nothing when they are, or when a version is pinned."""
    with _changing(store) as connection:
        now = _standing(connection)
        if now.pinned or now.version == id:
            return
        if _known(connection, id) is None:
            _insert(connection, Version(id, FOLDER, at, "", "past", None), texts)
        _enter(connection, id, Change(0, at, "load", FOLDER, id))


def publish(
    store: Store, id: str, texts: Mapping[str, str], *, author: str, note: str, at: float, approval: bool
) -> Version:
    """A new version, pinned; with `approval` it waits for a second person. RefusedError when it is there already."""
    with _changing(store) as connection:
        now, known = _standing(connection), _known(connection, id)
        if now.version == id and now.pinned:
            raise RefusedError(f"these rules are in force already, as version {id[:SHORT]}")
        if known is not None and known.state == "review":
            raise RefusedError(f"these rules wait for approval already, as version {id[:SHORT]} by {known.author}")
        waits = approval and now.version != id
        if known is None:
            _insert(connection, Version(id, author, at, note, "past", None), texts)
        elif waits:
            fresh = {"author": author, "created": at, "note": note}
            connection.execute(_sets.update().where(_sets.c.id == id).values(fresh))
        if waits:
            connection.execute(_sets.update().where(_sets.c.id == id).values(state="review"))
            _log(connection, Change(0, at, "submit", author, id, note=note))
        else:
            _enter(connection, id, Change(0, at, "publish", author, id, note=note))
        return _find(connection, id)


def approve(store: Store, name: str, *, by: str, at: float) -> Version:
    """A version that waits comes into force. RefusedError when it does not wait, or `by` is its author."""
    with _changing(store) as connection:
        known = _find(connection, name)
        if known.state != "review":
            raise RefusedError(f"version {known.id[:SHORT]} does not wait for approval: it is {known.state}")
        if known.author.strip().casefold() == by.strip().casefold():
            raise RefusedError(f"{by} wrote version {known.id[:SHORT]}; a second person has to approve it")
        _enter(connection, known.id, Change(0, at, "approve", by, known.id))
        return _find(connection, known.id)


def roll_back(store: Store, name: str, *, by: str, note: str, at: float) -> Version:
    """A version that was in force before comes into force again, and is pinned."""
    with _changing(store) as connection:
        now, known = _standing(connection), _find(connection, name)
        if known.loaded is None:
            raise RefusedError(f"version {known.id[:SHORT]} was never in force; only what was can be rolled back to")
        if now.version == known.id and now.pinned:
            raise RefusedError(f"version {known.id[:SHORT]} is in force already")
        _enter(connection, known.id, Change(0, at, "rollback", by, known.id, note=note))
        return _find(connection, known.id)


def follow(store: Store, *, by: str, at: float) -> None:
    """The configuration folder says again what is in force."""
    with _changing(store) as connection:
        if not _standing(connection).pinned:
            raise RefusedError("no version is pinned: the folder's rules are in force already")
        _log(connection, Change(0, at, "follow", by))


def pause(store: Store, rule: str, *, by: str, at: float) -> None:
    """Stop a rule, whichever version it comes from."""
    with _changing(store) as connection:
        known = _standing(connection).paused.get(rule)
        if known is not None:
            raise RefusedError(f"rule {rule} is paused already, by {known.by}")
        _log(connection, Change(0, at, "pause", by, rule=rule))


def resume(store: Store, rule: str, *, by: str, at: float) -> None:
    """Let a paused rule go on."""
    with _changing(store) as connection:
        if rule not in _standing(connection).paused:
            raise RefusedError(f"rule {rule} is not paused")
        _log(connection, Change(0, at, "resume", by, rule=rule))


@contextmanager
def _changing(store: Store) -> Iterator[Connection]:
    """One change after the other, so that numbers are in the order in which changes become visible."""
    with store.begin() as connection:
        if store.dialect == "postgresql":
            connection.execute(sa.text("LOCK TABLE rule_changes IN EXCLUSIVE MODE"))
        yield connection


def _standing(connection: Connection, at: float | None = None) -> Standing:
    where = [] if at is None else [_changes.c.at <= at]
    rows = connection.execute(sa.select(_changes).where(*where).order_by(_changes.c.number)).mappings()
    number, current, previous, pinned = 0, None, None, False
    paused: dict[str, Paused] = {}
    for one in (Change(**row) for row in rows):
        number = one.number
        if one.action == "load" or one.action in PINS:
            if one.version != current:
                current, previous = one.version, current
            pinned = one.action in PINS
        elif one.action == "follow":
            pinned = False
        elif one.action == "pause" and one.rule is not None:
            paused[one.rule] = Paused(one.actor, one.at)
        elif one.action == "resume" and one.rule is not None:
            paused.pop(one.rule, None)
    return Standing(number, current, pinned, previous, paused)


def _columns() -> list[sa.Column[Any]]:
    return [_sets.c[name] for name in Version.__struct_fields__]


def _known(connection: Connection, id: str) -> Version | None:
    row = connection.execute(sa.select(*_columns()).where(_sets.c.id == id)).mappings().one_or_none()
    return None if row is None else Version(**row)


def _find(connection: Connection, name: str) -> Version:
    if name == PREVIOUS:
        name = _standing(connection).previous or ""
        if not name:
            raise UnknownError("no other version was in force before this one")
    query = sa.select(*_columns()).where(_sets.c.id.startswith(name, autoescape=True)).limit(2)
    found = [Version(**row) for row in connection.execute(query).mappings()] if name else []
    if len(found) != 1:
        what = f"`{name}` is the beginning of several versions" if found else f"there is no version `{name}`"
        raise UnknownError(f"{what}; `proximity rules versions` lists them")
    return found[0]


def _insert(connection: Connection, one: Version, texts: Mapping[str, str]) -> None:
    connection.execute(_sets.insert().values(**msgspec.structs.asdict(one), files=dict(texts)))


def _enter(connection: Connection, id: str, change: Change) -> None:
    connection.execute(_sets.update().where(_sets.c.state == "live").values(state="past"))
    connection.execute(_sets.update().where(_sets.c.id == id).values(state="live", loaded=change.at))
    _log(connection, change)


def _log(connection: Connection, change: Change) -> None:
    row = msgspec.structs.asdict(change)
    del row["number"]
    connection.execute(_changes.insert().values(row))
