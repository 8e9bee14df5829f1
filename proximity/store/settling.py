"""What became of deliveries, and how an offer's state follows from it: whole batches in one transaction each.

A delivery ends as sent, as skipped (with a reason) or as dead; what is to be tried again stays queued. An offer is sent
when one of its deliveries was; when all of them ended otherwise, it ends too.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from proximity.store import tables
from proximity.store.database import Store, to_json
from proximity.store.withdrawal import notify

MAX_ERROR = 500  # characters kept of what a channel said

_offers = tables.offers
_deliveries = tables.deliveries


class Result(NamedTuple):
    """What became of one delivery."""

    delivery: str
    kind: Literal["sent", "skipped", "retry", "dead"]
    at: float = 0.0  # of sent: when the channel took it; of skipped: when; of retry: not to be tried before
    why: str = ""  # of skipped: expired, no_consent, left_zone or withdrawn; of retry and dead: the error


class Settled(NamedTuple):
    """An offer that ended without reaching anybody."""

    offer: str
    shopper: str
    state: str  # withdrawn | expired | failed
    reason: str


def record(store: Store, results: Sequence[Result]) -> list[Settled]:
    """All of `results`, in one transaction; the offers that thereby ended unsent, by id.

    What had ended before stays as it is, but for a hand-over: that happened, and is written down. An offer that was
    withdrawn while its send was under way is taken back: the withdrawal is queued here. So is that of one that is
    skipped after an attempt that may have brought it.
    """
    if not results:
        return []
    results = sorted(results)
    ids = [one.delivery for one in results]
    sent = [one for one in results if one.kind == "sent"]
    over = [one.delivery for one in results if one.kind in ("skipped", "dead")]
    # Nobody sees an offer that has expired: it needs no withdrawal.
    refused = [one for one in results if one.kind == "skipped" and one.why != "expired"]
    with store.begin() as connection:
        lock_offers(connection, ids)
        for kind in ("sent", "skipped", "retry", "dead"):
            rows = [
                {"delivery": one.delivery, "at": one.at, "why": _text(one.why)} for one in results if one.kind == kind
            ]
            if rows:
                connection.execute(_ending(kind), rows)
        if sent:
            handed = to_json([one.delivery for one in sent])
            overtaken = connection.execute(_overtaken(store.dialect), {"ids": handed}).mappings().all()
            if overtaken:
                notify(store, connection, overtaken, max(one.at for one in sent))
            connection.execute(_reached(store.dialect), {"ids": handed})
        if refused:
            told = {"ids": to_json([one.delivery for one in refused])}
            possible = connection.execute(_possible(store.dialect), told).mappings().all()
            if possible:
                notify(store, connection, possible, max(one.at for one in refused))
        return settle(connection, over) if over else []


def lock_offers(connection: Connection, deliveries: Collection[str]) -> None:
    """Hold the offers of these deliveries, in the order in which withdrawals lock them: offer first, by id. SQLite's
    writer is alone anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(_lock(connection.dialect.name), {"ids": to_json(list(deliveries))})


def settle(connection: Connection, deliveries: Collection[str]) -> list[Settled]:
    """Let the states of these deliveries' offers follow from all deliveries of each. A withdrawn offer stays
    withdrawn. Returned are those that thereby ended unsent."""
    found = connection.execute(_follow(connection.dialect.name), {"ids": to_json(list(deliveries))})
    return sorted(Settled(*row) for row in found if row.state_reason is not None)


def _text(why: str) -> str:
    """As every database takes it: what a server answered may hold anything."""
    return why[:MAX_ERROR].encode(errors="replace").decode().replace("\0", "?")


def given(dialect: str) -> sa.Select[Any]:
    """The strings of the JSON list that the parameter `ids` holds: one statement for any number of them."""
    ids = sa.bindparam("ids", type_=sa.Text)
    if dialect == "sqlite":
        return sa.select(sa.func.json_each(ids).table_valued("value").c.value)
    return sa.select(sa.func.json_array_elements_text(sa.cast(ids, postgresql.JSON)).table_valued("value").c.value)


# Statements are built once: to build one costs more than to run it for a row.


@cache
def _ending(kind: str) -> sa.Executable:
    table = _deliveries.c
    statement = sa.update(_deliveries).where(table.id == sa.bindparam("delivery"))
    at, why = sa.bindparam("at", type_=sa.Double), sa.bindparam("why", type_=sa.Text)
    if kind == "sent":
        return statement.values(state="sent", handed=at, reason=None, error=None)
    statement = statement.where(table.state == "queued")
    if kind == "skipped":
        return statement.values(state="skipped", reason=why)
    if kind == "dead":
        return statement.values(state="dead", attempts=table.attempts + 1, error=why)
    # The attempt may have brought an offer that was withdrawn meanwhile: that is seen to at once.
    withdrawn = sa.exists().where(_offers.c.id == table.offer, _offers.c.state == "withdrawn")
    due = sa.case((sa.and_(table.kind == "offer", withdrawn), table.created), else_=at)
    return statement.values(attempts=table.attempts + 1, due=due, error=why, holder=None, lease=None)


@cache
def _offers_of(dialect: str) -> sa.Select[Any]:
    return sa.select(_deliveries.c.offer).where(_deliveries.c.id.in_(given(dialect)), _deliveries.c.kind == "offer")


@cache
def _lock(dialect: str) -> sa.Executable:
    of_these = sa.select(_deliveries.c.offer).where(_deliveries.c.id.in_(given(dialect)))
    return sa.select(_offers.c.id).where(_offers.c.id.in_(of_these)).order_by(_offers.c.id).with_for_update()


@cache
def _overtaken(dialect: str) -> sa.Executable:
    """Sent deliveries of offers that had been withdrawn by then."""
    return (
        sa.select(_deliveries)
        .join(_offers, _offers.c.id == _deliveries.c.offer)
        .where(_deliveries.c.id.in_(given(dialect)), _deliveries.c.kind == "offer", _offers.c.state == "withdrawn")
    )


@cache
def _possible(dialect: str) -> sa.Executable:
    """Skipped deliveries that an earlier attempt may have brought."""
    own = _deliveries.c
    return sa.select(_deliveries).where(
        own.id.in_(given(dialect)), own.kind == "offer", own.state == "skipped", own.attempts > 0
    )


@cache
def _reached(dialect: str) -> sa.Executable:
    """One hand-over is enough: whatever the other deliveries of the offer came to, it is sent."""
    return (
        sa.update(_offers)
        .where(_offers.c.id.in_(_offers_of(dialect)), _offers.c.state.not_in(("sent", "withdrawn")))
        .values(state="sent", state_reason=None)
    )


@cache
def _follow(dialect: str) -> sa.Executable:
    own = _deliveries.c

    def some(state: str) -> sa.ColumnElement[bool]:
        return sa.func.sum(sa.case((own.state == state, 1), else_=0)) > 0

    # Of several reasons one other than expiry is told, the first of the alphabet.
    reason = sa.func.min(sa.case((own.reason != "expired", own.reason)))
    found = (
        sa.select(
            own.offer,
            sa.case(
                (some("sent"), "sent"),
                (some("queued"), "queued"),
                (some("dead"), "failed"),
                (reason.is_(None), "expired"),
                else_="withdrawn",
            ).label("state"),
            sa.case(
                (sa.or_(some("sent"), some("queued")), None),
                (some("dead"), "undeliverable"),
                else_=sa.func.coalesce(reason, "expired"),
            ).label("reason"),
        )
        .where(own.offer.in_(_offers_of(dialect)), own.kind == "offer")
        .group_by(own.offer)
        .subquery("found")
    )
    return (
        sa.update(_offers)
        .where(
            _offers.c.id == found.c.offer,
            _offers.c.state != "withdrawn",
            sa.or_(_offers.c.state != found.c.state, _offers.c.state_reason.is_distinct_from(found.c.reason)),
        )
        .values(state=found.c.state, state_reason=found.c.reason)
        .returning(_offers.c.id, _offers.c.shopper, _offers.c.state, _offers.c.state_reason)
    )
