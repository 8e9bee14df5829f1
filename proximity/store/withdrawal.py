"""Taking offers back: the same steps when the shopper left, when an operator says so, and when a send was under way."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import child_id
from proximity.store import tables
from proximity.store.database import Store, chunks

# An OwnTracks phone keeps a notification that it has shown; there is no word that takes it back.
WITHDRAWABLE = frozenset({"inbox", "mqtt", "webhook"})

_offers = tables.offers
_deliveries = tables.deliveries


def withdraw_offers(
    store: Store, connection: Connection, ids: Sequence[str], reason: str, at: float
) -> list[tuple[str, str]]:
    """End those of `ids` that are queued or sent, within the caller's transaction. (offer, shopper) of each ended.

    What waits in the outbox is skipped for `reason`. Where a channel took the offer, or may have taken it in an attempt
    that failed, a delivery of kind "withdraw" is queued. What a worker has in hand stays queued: it may be on its way
    to the shopper, and only that worker knows, or when it was killed, the one that takes the delivery up after it.
    """
    ended: list[tuple[str, str]] = []
    for some in chunks(ids):
        statement = (
            sa.update(_offers)
            .where(_offers.c.id.in_(some), _offers.c.state.in_(("queued", "sent")))
            .values(state="withdrawn", state_reason=reason)
            .returning(_offers.c.id, _offers.c.shopper)
        )
        ended += [(row.id, row.shopper) for row in connection.execute(statement)]
    for offers in chunks([offer for offer, _ in ended]):
        _skip_and_notify(store, connection, offers, reason, at)
    return ended


def notify(store: Store, connection: Connection, taken: Sequence[sa.RowMapping], at: float) -> None:
    """Queue a withdrawal for each of these rows of `deliveries`, once."""
    notices = [_notice(row, max(at, row["created"])) for row in taken if row["channel"] in WITHDRAWABLE]
    if notices:
        connection.execute(store.insert(_deliveries).on_conflict_do_nothing(index_elements=["id"]), notices)


def _skip_and_notify(store: Store, connection: Connection, offers: Sequence[str], reason: str, at: float) -> None:
    of_these = (_deliveries.c.offer.in_(offers), _deliveries.c.kind == "offer")
    waiting = sa.and_(_deliveries.c.state == "queued", _deliveries.c.holder.is_(None))
    known_or_possible = sa.or_(_deliveries.c.state == "sent", sa.and_(waiting, _deliveries.c.attempts > 0))
    taken = connection.execute(sa.select(_deliveries).where(*of_these, known_or_possible)).mappings().all()
    connection.execute(sa.update(_deliveries).where(*of_these, waiting).values(state="skipped", reason=reason))
    notify(store, connection, taken, at)


def _notice(row: sa.RowMapping, at: float) -> dict[str, Any]:
    return {
        "id": child_id(row["offer"], row["channel"], row["address"], "withdraw"),
        "kind": "withdraw",
        "offer": row["offer"],
        "shopper": row["shopper"],
        "channel": row["channel"],
        "address": row["address"],
        "state": "queued",
        "attempts": 0,
        "due": at,
        "created": at,
    }
