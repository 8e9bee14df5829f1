"""The outbox: what has to be handed to which channel. What becomes of it, settling.py writes down.

A worker claims what it takes up, and the row tells whose it is until it is known what became of it: who finds a row
that another left behind knows that somebody may have got it. Several workers share one outbox on PostgreSQL, and a
claim holds for the time of a lease. On SQLite there is one worker, and another's claim is that of one that was killed.
"""
# ruff: noqa: A002 - an id is called id, as in every value

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from proximity.model import Offer, child_id
from proximity.store import tables
from proximity.store.database import Store, to_json
from proximity.store.rows import OFFER_COLUMNS, OFFER_FIELDS
from proximity.store.settling import Result, Settled, given, lock_offers, record, settle

Kind = Literal["offer", "withdraw"]
LEASE = 30.0  # s for which a claim holds: twice as long as a channel may take for a call

_offers = tables.offers
_deliveries = tables.deliveries


class Delivery(msgspec.Struct, frozen=True):
    """One offer to one address, or the word that takes it back from there."""

    id: str  # the receiver's key for seeing that something came twice
    offer: str
    shopper: str
    channel: str  # inbox | mqtt | owntracks | webhook
    address: str  # topic, device or URL
    due: float  # not to be tried before; seconds since the epoch
    created: float
    kind: Kind = "offer"

    @classmethod
    def of(cls, offer: Offer, channel: str, address: str) -> "Delivery":
        """`offer` to `address`, due at once."""
        return cls(
            id=child_id(offer.id, channel, address, "offer"),
            offer=offer.id,
            shopper=offer.shopper,
            channel=channel,
            address=address,
            due=offer.created,
            created=offer.created,
        )


class StoredDelivery(msgspec.Struct, frozen=True):
    """A delivery with its state and its offer."""

    delivery: Delivery
    offer: Offer
    state: str  # queued | sent | skipped | dead
    attempts: int  # that failed so far; at least 1 when a worker was killed with it in hand
    reason: str | None = None  # of skipped
    handed: float | None = None  # when the channel took it
    error: str | None = None  # of the last failed attempt
    holder: str | None = None  # the worker that claimed it


class Clearance(NamedTuple):
    """What a send depends on, as it stands in the store at this moment."""

    state: str  # of the delivery
    offer_state: str
    consented: bool  # to the offer's purpose


def due(store: Store, now: float, limit: int = 100, channel: str | None = None) -> list[StoredDelivery]:
    """Queued deliveries whose time has come, the longest due first. `channel` None: of every channel."""
    return _read(store, _due(channel is not None), {"now": now, "most": limit, "lane": channel})


def claim(
    store: Store, holder: str, now: float, limit: int = 100, channel: str | None = None, lease: float = LEASE
) -> list[StoredDelivery]:
    """As `due`, and nobody else gets them for `lease` seconds. Rows that another worker is claiming are passed over.
    One that another worker left behind counts as attempted: it may have been handed over."""
    if store.dialect == "sqlite":
        return _claim_alone(store, holder, now, limit, channel)
    told = {"now": now, "most": limit, "lane": channel, "mine": holder, "seconds": lease}
    with store.begin() as connection:
        claimed = list(connection.execute(_claim(channel is not None), told).scalars())
    return _read(store, _these(store.dialect), {"ids": to_json(claimed)}) if claimed else []


def _claim_alone(store: Store, holder: str, now: float, limit: int, channel: str | None) -> list[StoredDelivery]:
    found = due(store, now, limit, channel)
    fresh = [one.delivery.id for one in found if one.holder != holder]
    if fresh:
        with store.begin(lasting=False) as connection:
            connection.execute(_hold(), {"ids": to_json(fresh), "mine": holder})
    if any(one.holder not in (None, holder) for one in found):
        return _read(store, _these(store.dialect), {"ids": to_json([one.delivery.id for one in found])})
    return found


def renew(store: Store, ids: Collection[str], holder: str, lease: float = LEASE) -> frozenset[str]:
    """Hold claimed deliveries for another `lease` seconds. Those that are the holder's still."""
    if store.dialect == "sqlite":
        return frozenset(ids)
    told = {"ids": to_json(sorted(ids)), "mine": holder, "seconds": lease}
    with store.begin() as connection:
        return frozenset(connection.execute(_renew(store.dialect), told).scalars())


def release(store: Store, holder: str, unsure: Collection[str] = ()) -> None:
    """Give up what a worker has claimed and not handed over: the next one gets it at once. `unsure`: deliveries of
    which that is not known."""
    mine = (_deliveries.c.holder == holder, _deliveries.c.state == "queued", _deliveries.c.id.not_in(sorted(unsure)))
    with store.begin() as connection:
        connection.execute(sa.update(_deliveries).where(*mine).values(holder=None, lease=None))


def next_due(store: Store, channel: str | None = None) -> float | None:
    """When the earliest queued delivery that nobody holds is due; None when none waits."""
    with store.connect() as connection:
        found = connection.execute(_next_due(store.dialect, channel is not None), {"lane": channel})
        at: float | None = found.scalar()
    return at


def clearances(store: Store, ids: Collection[str]) -> dict[str, Clearance]:
    """Read just before deliveries are handed over, by delivery. One that is not in it is gone: its shopper was
    erased."""
    with store.connect() as connection:
        rows = connection.execute(_clearances(store.dialect), {"ids": to_json(list(ids))}).all()
    return {row[0]: Clearance(row[1], row[2], bool(row[3])) for row in rows}


def dead(store: Store, limit: int = 100) -> list[StoredDelivery]:
    """Dead letters, newest first."""
    return _read(store, _dead(), {"most": limit})


def requeue(store: Store, id: str, at: float) -> bool:
    """Try a dead letter again from `at` on, with all attempts. False when `id` is no dead letter.

    An offer that has expired meanwhile is skipped when its turn comes.
    """
    with store.begin() as connection:
        lock_offers(connection, [id])
        changed = connection.execute(
            sa.update(_deliveries)
            .where(_deliveries.c.id == id, _deliveries.c.state == "dead")
            .values(state="queued", attempts=0, due=at, holder=None, lease=None)
        ).rowcount
        settle(connection, [id])
    return changed > 0


def abandon(store: Store, channels: Collection[str]) -> list[Settled]:
    """Give up what waits for a channel that is none of `channels`: it was taken out of the configuration."""
    with store.connect() as connection:
        orphans = connection.execute(_orphans(tuple(sorted(channels)))).all()
    if not orphans:
        return []
    return record(store, [Result(one, "dead", why=f"no channel {name} is configured") for one, name in orphans])


def counts(store: Store) -> dict[str, int]:
    """How many deliveries are in each state; all four states are there."""
    statement = sa.select(_deliveries.c.state, sa.func.count().label("number")).group_by(_deliveries.c.state)
    with store.connect() as connection:
        found = {row.state: row.number for row in connection.execute(statement)}
    return {state: found.get(state, 0) for state in ("queued", "sent", "skipped", "dead")}


# A row is the fields of a Delivery, of an Offer and the rest of a StoredDelivery, in their order.
_OWN = Delivery.__struct_fields__
_REST = ("state", "attempts", "reason", "handed", "error", "holder")
_OFFER_AT, _REST_AT = len(_OWN), len(_OWN) + len(OFFER_FIELDS)
_CHANNELS_AT = _OFFER_AT + OFFER_FIELDS.index("channels")


def _read(store: Store, statement: sa.Executable, told: Mapping[str, object]) -> list[StoredDelivery]:
    with store.connect() as connection:
        rows = connection.execute(statement, told).all()
    return [_stored(list(row)) for row in rows]


def _stored(row: list[Any]) -> StoredDelivery:
    row[_CHANNELS_AT] = tuple(row[_CHANNELS_AT])
    return StoredDelivery(Delivery(*row[:_OFFER_AT]), Offer(*row[_OFFER_AT:_REST_AT]), *row[_REST_AT:])


# Statements are built once: to build one costs more than to run it for a row.


def _rows() -> sa.Select[Any]:
    own = [_deliveries.c[name].label(f"d_{name}") for name in (*_OWN, *_REST)]
    columns = [*own[: len(_OWN)], *OFFER_COLUMNS, *own[len(_OWN) :]]
    return sa.select(*columns).join(_offers, _offers.c.id == _deliveries.c.offer)


def _ready(of_channel: bool) -> list[sa.ColumnElement[bool]]:
    where = [_deliveries.c.state == "queued", _deliveries.c.due <= sa.bindparam("now")]
    return [*where, _deliveries.c.channel == sa.bindparam("lane")] if of_channel else where


@cache
def _due(of_channel: bool) -> sa.Executable:
    order = (_deliveries.c.due, _deliveries.c.created, _deliveries.c.id)
    return _rows().where(*_ready(of_channel)).order_by(*order).limit(sa.bindparam("most"))


@cache
def _these(dialect: str) -> sa.Executable:
    order = (_deliveries.c.due, _deliveries.c.created, _deliveries.c.id)
    return _rows().where(_deliveries.c.id.in_(given(dialect))).order_by(*order)


@cache
def _dead() -> sa.Executable:
    order = (_deliveries.c.created.desc(), _deliveries.c.id)
    return _rows().where(_deliveries.c.state == "dead").order_by(*order).limit(sa.bindparam("most"))


@cache
def _claim(of_channel: bool) -> sa.Executable:
    """PostgreSQL only."""
    first = sa.select(_deliveries.c.id).where(*_ready(of_channel), _free())
    first = first.order_by(_deliveries.c.due, _deliveries.c.created).limit(sa.bindparam("most"))
    mine = sa.update(_deliveries).where(_deliveries.c.id.in_(first.with_for_update(skip_locked=True).scalar_subquery()))
    mine = mine.values(holder=sa.bindparam("mine"), lease=_until(), attempts=_attempted())
    return mine.returning(_deliveries.c.id)


@cache
def _hold() -> sa.Executable:
    """SQLite only."""
    own = _deliveries.c
    these = sa.update(_deliveries).where(own.id.in_(given("sqlite")), own.state == "queued")
    return these.values(holder=sa.bindparam("mine"), attempts=_attempted())


def _attempted() -> sa.ColumnElement[int]:
    """How often, when it is claimed: a worker that ended without a word may have handed it over."""
    own = _deliveries.c
    left_behind = sa.and_(own.holder.is_not(None), own.holder != sa.bindparam("mine"), own.attempts == 0)
    return sa.case((left_behind, 1), else_=own.attempts)


@cache
def _renew(dialect: str) -> sa.Executable:
    """PostgreSQL only."""
    own = _deliveries.c
    mine = (own.id.in_(given(dialect)), own.holder == sa.bindparam("mine"), own.state == "queued")
    return sa.update(_deliveries).where(*mine).values(lease=_until()).returning(own.id)


@cache
def _next_due(dialect: str, of_channel: bool) -> sa.Executable:
    statement = sa.select(sa.func.min(_deliveries.c.due)).where(_deliveries.c.state == "queued")
    if dialect == "postgresql":
        statement = statement.where(_free())
    return statement.where(_deliveries.c.channel == sa.bindparam("lane")) if of_channel else statement


@cache
def _clearances(dialect: str) -> sa.Executable:
    consent = tables.consents
    granted = sa.exists().where(
        consent.c.shopper == _offers.c.shopper, consent.c.purpose == _offers.c.purpose, consent.c.granted.is_(True)
    )
    return (
        sa.select(
            _deliveries.c.id, _deliveries.c.state, _offers.c.state.label("offer_state"), granted.label("consented")
        )
        .join(_offers, _offers.c.id == _deliveries.c.offer)
        .where(_deliveries.c.id.in_(given(dialect)))
    )


@cache
def _orphans(channels: tuple[str, ...]) -> sa.Executable:
    return sa.select(_deliveries.c.id, _deliveries.c.channel).where(
        _deliveries.c.state == "queued", _deliveries.c.channel.not_in(channels)
    )


def _free() -> sa.ColumnElement[bool]:
    return sa.or_(_deliveries.c.lease.is_(None), _deliveries.c.lease <= _clock())


def _until() -> sa.ColumnElement[float]:
    return _clock() + sa.bindparam("seconds", type_=sa.Double)


def _clock() -> sa.ColumnElement[float]:
    """The database's clock, which is the same for every worker; seconds since the epoch (PostgreSQL)."""
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)
