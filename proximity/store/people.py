"""Shoppers, what they agreed to, and what they carry."""
# ruff: noqa: A002 - an id is called id, as in every value

import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Device, Shopper
from proximity.store import coupons, observations, tables
from proximity.store.database import Store, StoreError, chunks

_shoppers = tables.shoppers
_consents = tables.consents
_devices = tables.devices


class Consent(msgspec.Struct, frozen=True):
    """The last word of a shopper about one purpose."""

    purpose: str
    granted: bool
    at: float
    source: str  # file | api | shopper


def put_shopper(
    store: Store, shopper: Shopper, token: str | None = None, at: float | None = None, source: str = "file"
) -> str:
    """Add or change a shopper. Returns the token of /me/<token> when this call set one, else "".

    A new shopper gets `token`, or 128 random bits; of an old one it changes only when given. Only its SHA-256 is
    stored. `shopper.consents` count where the shopper has not said anything about that purpose yet, so that loading a
    file again takes back nobody's own word; `set_consent` changes it. `at`: default the machine's time.
    """
    now = time.time() if at is None else at
    values: dict[str, Any] = {
        "name": shopper.name,
        "languages": list(shopper.languages),
        "timezone": shopper.timezone,
        "attributes": shopper.attributes,
    }
    with store.begin() as connection:
        connection.execute(sa.delete(tables.erased).where(tables.erased.c.digest == token_hash(shopper.id)))
        known = _exists(connection, shopper.id)
        fresh = token if token is not None else "" if known else _new_token()
        if fresh:
            values["token_hash"] = token_hash(fresh)
        if known:
            connection.execute(sa.update(_shoppers).where(_shoppers.c.id == shopper.id).values(**values))
        else:
            connection.execute(sa.insert(_shoppers).values(id=shopper.id, created=now, **values))
        first_words = [
            {"shopper": shopper.id, "purpose": purpose, "granted": granted, "at": now, "source": source}
            for purpose, granted in sorted(shopper.consents.items())
        ]
        if first_words:
            connection.execute(
                store.insert(_consents).on_conflict_do_nothing(index_elements=["shopper", "purpose"]), first_words
            )
    return fresh


def new_token(store: Store, shopper: str) -> str:
    """A new token for /me/<token>; the old one is void. StoreError when there is no such shopper."""
    token = _new_token()
    with store.begin() as connection:
        changed = connection.execute(
            sa.update(_shoppers).where(_shoppers.c.id == shopper).values(token_hash=token_hash(token))
        ).rowcount
    if not changed:
        raise StoreError(f"there is no shopper {shopper!r}")
    return token


def token_hash(token: str) -> str:
    """SHA-256 in hex, what is stored of a token. A token is random, so it needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def shopper(store: Store, id: str) -> Shopper | None:
    """One shopper with all consents."""
    return shoppers(store, [id]).get(id)


def shoppers(store: Store, ids: Iterable[str]) -> dict[str, Shopper]:
    """Those of `ids` that are known."""
    found: dict[str, Shopper] = {}
    with store.connect() as connection:
        for some in chunks(sorted(set(ids))):
            rows = connection.execute(sa.select(_shoppers).where(_shoppers.c.id.in_(some))).mappings().all()
            found.update((one.id, one) for one in _with_consents(connection, rows))
    return found


def list_shoppers(store: Store, limit: int = 100, after: str | None = None) -> list[Shopper]:
    """By id; `after` is the last id of the page before."""
    statement = sa.select(_shoppers).order_by(_shoppers.c.id).limit(limit)
    if after is not None:
        statement = statement.where(_shoppers.c.id > after)
    with store.connect() as connection:
        return _with_consents(connection, connection.execute(statement).mappings().all())


def everybody(store: Store) -> dict[str, Shopper]:
    """All shoppers by id, for the pipeline, which asks for every transition."""
    with store.connect() as connection:
        rows = connection.execute(sa.select(_shoppers).order_by(_shoppers.c.id)).mappings().all()
        return {one.id: one for one in _with_consents(connection, rows)}


def by_token(store: Store, token: str) -> Shopper | None:
    """Whose page /me/<token> is."""
    with store.connect() as connection:
        statement = sa.select(_shoppers).where(_shoppers.c.token_hash == token_hash(token))
        found = _with_consents(connection, connection.execute(statement).mappings().all())
    return found[0] if found else None


def set_consent(store: Store, shopper: str, purpose: str, granted: bool, at: float, source: str) -> None:
    """The shopper's word about one purpose. A word older than the stored one changes nothing.

    StoreError when there is no such shopper.
    """
    insert = store.insert(_consents)
    new = insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=["shopper", "purpose"],
        set_={"granted": new.granted, "at": new.at, "source": new.source},
        where=new.at >= _consents.c.at,
    )
    values = {"shopper": shopper, "purpose": purpose, "granted": granted, "at": at, "source": source}
    with store.begin() as connection:
        _require(connection, shopper)
        connection.execute(upsert, [values])


def consents(store: Store, shopper: str) -> list[Consent]:
    """By purpose."""
    statement = (
        sa.select(_consents.c.purpose, _consents.c.granted, _consents.c.at, _consents.c.source)
        .where(_consents.c.shopper == shopper)
        .order_by(_consents.c.purpose)
    )
    with store.connect() as connection:
        return [Consent(**row) for row in connection.execute(statement).mappings()]


def put_device(store: Store, device: Device) -> None:
    """Add or change a device; it may change hands. StoreError when there is no such shopper."""
    values = msgspec.structs.asdict(device)
    changes = {name: value for name, value in values.items() if name != "id"}
    with store.begin() as connection:
        _require(connection, device.shopper)
        insert = store.insert(_devices)
        connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changes), [values])


def devices(store: Store, shopper: str | None = None) -> list[Device]:
    """By id; all of them, or those of one shopper."""
    statement = sa.select(_devices).order_by(_devices.c.id)
    if shopper is not None:
        statement = statement.where(_devices.c.shopper == shopper)
    with store.connect() as connection:
        return [Device(**row) for row in connection.execute(statement).mappings()]


def device(store: Store, id: str) -> Device | None:
    """One device."""
    with store.connect() as connection:
        row = connection.execute(sa.select(_devices).where(_devices.c.id == id)).mappings().one_or_none()
    return None if row is None else Device(**row)


def remove_device(store: Store, id: str) -> bool:
    """False when there was none."""
    with store.begin() as connection:
        return connection.execute(sa.delete(_devices).where(_devices.c.id == id)).rowcount > 0


def erase(store: Store, shopper: str) -> bool:
    """Remove a shopper from every table. False when there was nothing.

    Presence has to forget the shopper first: its checkpoint is one lump that only presence can write. A batch under
    way is no danger: a commit drops rows of shoppers that are not in the store. Until the last step the shopper is
    there, so that an erasure that broke off can be asked for again.
    """
    forgotten = observations.forget(store, shopper)
    with store.begin() as connection:
        # The shopper goes first: on PostgreSQL that waits for the commits that hold the row, and ends what they wrote.
        removed = connection.execute(sa.delete(_shoppers).where(_shoppers.c.id == shopper)).rowcount
        coupons.release_of(connection, shopper)
        of_shopper = sa.select(tables.offers.c.id).where(tables.offers.c.shopper == shopper)
        own = tables.deliveries.c.offer.in_(of_shopper)  # which has an index; `deliveries.shopper` has none
        removed += connection.execute(sa.delete(tables.deliveries).where(own)).rowcount
        removed += observations.erase(connection, shopper, forgotten)
        for table in tables.metadata.sorted_tables:
            if "shopper" in table.c and table is not tables.deliveries:
                removed += connection.execute(sa.delete(table).where(table.c.shopper == shopper)).rowcount
        if removed:
            mark = store.insert(tables.erased).on_conflict_do_nothing(index_elements=["digest"])
            connection.execute(mark, [{"digest": token_hash(shopper), "at": time.time()}])
    return removed > 0


def erased(store: Store, ids: Iterable[str]) -> set[str]:
    """Those of `ids` who were erased and not registered again since."""
    digests = {token_hash(one): one for one in ids}
    found: set[str] = set()
    with store.connect() as connection:
        for some in chunks(sorted(digests)):
            rows = connection.execute(sa.select(tables.erased.c.digest).where(tables.erased.c.digest.in_(some)))
            found.update(digests[digest] for digest in rows.scalars())
    return found


def _new_token() -> str:
    return secrets.token_urlsafe(16)


def _exists(connection: Connection, id: str) -> bool:
    # Locked, so that an erasure at the same moment comes wholly before or wholly after.
    return (
        connection.execute(sa.select(_shoppers.c.id).where(_shoppers.c.id == id).with_for_update()).first() is not None
    )


def _require(connection: Connection, id: str) -> None:
    if not _exists(connection, id):
        raise StoreError(f"there is no shopper {id!r}")


def _with_consents(connection: Connection, rows: Sequence[sa.RowMapping]) -> list[Shopper]:
    given: dict[str, dict[str, bool]] = {row["id"]: {} for row in rows}
    for some in chunks(list(given)):
        query = sa.select(_consents.c.shopper, _consents.c.purpose, _consents.c.granted)
        for shopper, purpose, granted in connection.execute(query.where(_consents.c.shopper.in_(some))):
            given[shopper][purpose] = granted
    return [
        Shopper(
            id=row["id"],
            languages=tuple(row["languages"]),
            timezone=row["timezone"],
            name=row["name"],
            attributes=row["attributes"],
            consents=given[row["id"]],
        )
        for row in rows
    ]
