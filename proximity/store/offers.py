"""Offers as the shopper's page and the operator see them."""
# ruff: noqa: A002 - an id is called id, as in every value

import msgspec
import sqlalchemy as sa

from proximity.model import Offer
from proximity.store import tables
from proximity.store.database import Store
from proximity.store.rows import to_offer
from proximity.store.withdrawal import withdraw_offers

_offers = tables.offers
_deliveries = tables.deliveries


class StoredOffer(msgspec.Struct, frozen=True):
    """An offer and what became of it."""

    offer: Offer
    state: str  # queued | sent | withdrawn | expired | failed
    state_reason: str | None = None  # of the last three
    seen: float | None = None  # when the shopper first opened it


def offers(store: Store, shopper: str, limit: int = 50, active_at: float | None = None) -> list[StoredOffer]:
    """A shopper's offers, newest first. `active_at`: only those neither withdrawn nor expired at that moment."""
    statement = sa.select(_offers).where(_offers.c.shopper == shopper)
    if active_at is not None:
        statement = statement.where(_offers.c.state.in_(("queued", "sent")), _offers.c.expires > active_at)
    statement = statement.order_by(_offers.c.created.desc(), _offers.c.id).limit(limit)
    with store.connect() as connection:
        return [_stored(row) for row in connection.execute(statement).mappings()]


def offer(store: Store, id: str) -> StoredOffer | None:
    """One offer."""
    with store.connect() as connection:
        row = connection.execute(sa.select(_offers).where(_offers.c.id == id)).mappings().one_or_none()
    return None if row is None else _stored(row)


def mark_seen(store: Store, id: str, at: float) -> bool:
    """The shopper opened it; the first time counts. False when there is no such offer."""
    with store.begin() as connection:
        statement = (
            sa.update(_offers).where(_offers.c.id == id).values(seen=sa.func.coalesce(_offers.c.seen, sa.literal(at)))
        )
        return connection.execute(statement).rowcount > 0


def withdraw(store: Store, id: str, reason: str, at: float) -> bool:
    """Take an offer back wherever it is. False when it had ended already, or never was."""
    with store.begin() as connection:
        return bool(withdraw_offers(store, connection, [id], reason, at))


class HandOver(msgspec.Struct, frozen=True):
    """When an offer was made and first handed over; seconds since the epoch."""

    observed: float  # the observation that completed its trigger
    created: float  # the turn that decided it began
    handed: float


def hand_overs(store: Store, since: float | None = None) -> list[HandOver]:
    """One per offer handed over, in the order in which they were.

    The first hand-over to a channel that leaves the house counts; the inbox, a page that may not be open, counts only
    for offers that went nowhere else. `since`: offers created from then on.
    """
    outside = sa.func.min(sa.case((_deliveries.c.channel != "inbox", _deliveries.c.handed)))
    first = sa.func.coalesce(outside, sa.func.min(_deliveries.c.handed))
    statement = (
        sa.select(_offers.c.observed, _offers.c.created, first)
        .join(_deliveries, _deliveries.c.offer == _offers.c.id)
        .where(_deliveries.c.kind == "offer", _deliveries.c.handed.is_not(None))
        .group_by(_offers.c.id, _offers.c.observed, _offers.c.created)
        .order_by(first)
    )
    if since is not None:
        statement = statement.where(_offers.c.created >= since)
    with store.connect() as connection:
        return [HandOver(*row) for row in connection.execute(statement)]


def latencies(store: Store, since: float | None = None) -> list[float]:
    """Seconds from the observation that completed an offer's trigger to its `HandOver`."""
    return [one.handed - one.observed for one in hand_overs(store, since)]


def _stored(row: sa.RowMapping) -> StoredOffer:
    return StoredOffer(to_offer(row), row["state"], row["state_reason"], row["seen"])
