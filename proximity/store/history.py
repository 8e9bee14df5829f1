"""What happened: transitions, visits, decisions and sends, newest first."""
# ruff: noqa: A002 - an id is called id, as in every value

from collections.abc import Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Decision, Sent, Transition, Visit
from proximity.store import tables
from proximity.store.bulk import among
from proximity.store.database import Store, chunks, to_json
from proximity.store.rows import to_decision
from proximity.store.settling import given

_transitions = tables.transitions
_visits = tables.visits
_decisions = tables.decisions
_offers = tables.offers
_deliveries = tables.deliveries


def transitions(
    store: Store,
    *,
    shopper: str | None = None,
    site: str | None = None,
    zone: str | None = None,
    kind: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
) -> list[Transition]:
    """Newest first; `since` ≤ at < `until`."""
    table = _transitions
    where = _equal(table, shopper=shopper, site=site, zone=zone, kind=kind) + _between(table.c.at, since, until)
    # Within one instant: exit, then enter, then dwell. The alphabet has it the other way round, as wanted here.
    order = (table.c.at.desc(), table.c.kind, table.c.id)
    statement = sa.select(table).where(*where).order_by(*order).limit(limit)
    with store.connect() as connection:
        return [Transition(**row) for row in connection.execute(statement).mappings()]


def transition(store: Store, id: str) -> Transition | None:
    """One transition."""
    row = _one(store, _transitions, id)
    return None if row is None else Transition(**row)


def visits(
    store: Store,
    *,
    shopper: str | None = None,
    site: str | None = None,
    zone: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
    open_only: bool = False,
) -> list[Visit]:
    """By start, newest first: those that overlap the time from `since` to `until`. `open_only`: not ended."""
    table = _visits
    where = _equal(table, shopper=shopper, site=site, zone=zone)
    if since is not None:
        where.append(sa.or_(table.c.ended.is_(None), table.c.ended >= since))
    if until is not None:
        where.append(table.c.started < until)
    if open_only:
        where.append(table.c.ended.is_(None))
    statement = sa.select(table).where(*where).order_by(table.c.started.desc(), table.c.id).limit(limit)
    with store.connect() as connection:
        return [Visit(**row) for row in connection.execute(statement).mappings()]


def open_zones(store: Store, shoppers: Iterable[str]) -> dict[str, set[tuple[str, str]]]:
    """(site, zone) of each open visit, by shopper; who has none is missing."""
    found: dict[str, set[tuple[str, str]]] = {}
    with store.connect() as connection:
        for shopper, site, zone in connection.execute(_open_visits(store.dialect), {"ids": to_json(list(shoppers))}):
            found.setdefault(shopper, set()).add((site, zone))
    return found


def decisions(
    store: Store,
    *,
    shopper: str | None = None,
    rule: str | None = None,
    site: str | None = None,
    outcome: str | None = None,
    reason: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
) -> list[Decision]:
    """Newest first, with their traces; `since` ≤ at < `until`."""
    table = _decisions
    where = _equal(table, shopper=shopper, rule=rule, site=site, outcome=outcome, reason=reason)
    where += _between(table.c.at, since, until)
    statement = sa.select(table).where(*where).order_by(table.c.at.desc(), table.c.id).limit(limit)
    with store.connect() as connection:
        return [to_decision(row) for row in connection.execute(statement).mappings()]


def decision(store: Store, id: str) -> Decision | None:
    """One decision with its trace."""
    row = _one(store, _decisions, id)
    return None if row is None else to_decision(row)


def reasons(store: Store, since: float | None = None) -> dict[str, int]:
    """Withheld decisions by reason."""
    where = [_decisions.c.outcome == "withheld", *_between(_decisions.c.at, since, None)]
    statement = sa.select(_decisions.c.reason, sa.func.count()).where(*where).group_by(_decisions.c.reason)
    with store.connect() as connection:
        return {reason or "unknown": number for reason, number in connection.execute(statement)}


def totals(store: Store, since: float | None = None) -> dict[str, int]:
    """Counts since a moment, or of all that is stored.

    transitions, visits (begun), decisions and of them sent and withheld, offers and of them delivered (a channel took
    at least one), withdrawn, expired and failed, dead (letters), late (observations).
    """
    offer_state = _offers.c.state
    with store.connect() as connection:

        def count(table: sa.Table, column: str, *where: sa.ColumnElement[bool]) -> int:
            query = sa.select(sa.func.count()).select_from(table).where(*where, *_between(table.c[column], since, None))
            number: int = connection.execute(query).scalar_one()
            return number

        return {
            "transitions": count(_transitions, "at"),
            "visits": count(_visits, "started"),
            "decisions": count(_decisions, "at"),
            "sent": count(_decisions, "at", _decisions.c.outcome == "sent"),
            "withheld": count(_decisions, "at", _decisions.c.outcome == "withheld"),
            "offers": count(_offers, "created"),
            "delivered": count(_offers, "created", _was_handed()),
            **{state: count(_offers, "created", offer_state == state) for state in ("withdrawn", "expired", "failed")},
            "dead": count(_deliveries, "created", _deliveries.c.state == "dead"),
            "late": count(tables.late_observations, "at"),
        }


def sends(store: Store, shoppers: Iterable[str], since: float) -> list[Sent]:
    """Offers of these shoppers made since then, oldest first, as limits count them.

    An offer that ended before any channel took it has cost the shopper no attention and does not count. A ghost does:
    a shopper who is held out meets a rule as often as the others. A word to the staff counts for its own rule.
    """
    with store.connect() as connection:
        found = [sent for _, sent in sends_in(connection, shoppers, since)]
    return sorted(found, key=lambda sent: (sent.at, sent.shopper, sent.rule))


def sends_in(connection: Connection, shoppers: Iterable[str], since: float) -> list[tuple[str, Sent]]:
    """The same within a transaction, each with its decision's id, in no order."""
    table, ghosts, words = _offers.c, _decisions.c, tables.staff_messages.c
    found: list[tuple[str, Sent]] = []
    for some in chunks(sorted(set(shoppers))):
        offered = sa.select(table.id, table.shopper, table.rule, table.site, table.created, table.service).where(
            among(connection, _offers.c.shopper, some),
            table.created >= since,
            sa.or_(table.state.in_(("queued", "sent")), _was_handed()),
        )
        found += [(row[0], Sent(*row[1:])) for row in connection.execute(offered)]
        held = sa.select(ghosts.id, ghosts.shopper, ghosts.rule, ghosts.site, ghosts.at).where(
            among(connection, _decisions.c.shopper, some),
            ghosts.outcome == "withheld",
            ghosts.at >= since,
            ghosts.ghost,
        )
        found += [(row[0], Sent(*row[1:])) for row in connection.execute(held)]
        offer_too = sa.exists().where(table.id == words.decision)
        told = sa.select(words.decision, words.shopper, words.rule, words.site, words.created).where(
            among(connection, tables.staff_messages.c.shopper, some), words.created >= since, ~offer_too
        )
        found += [(row[0], Sent(*row[1:], silent=True)) for row in connection.execute(told.distinct())]
    return found


@cache
def _open_visits(dialect: str) -> sa.Executable:
    own = _visits.c
    return sa.select(own.shopper, own.site, own.zone).where(own.shopper.in_(given(dialect)), own.ended.is_(None))


def _was_handed() -> sa.ColumnElement[bool]:
    return sa.exists().where(
        _deliveries.c.offer == _offers.c.id, _deliveries.c.kind == "offer", _deliveries.c.handed.is_not(None)
    )


def _equal(table: sa.Table, **wanted: str | None) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _between(column: sa.Column[Any], since: float | None, until: float | None) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = []
    if since is not None:
        where.append(column >= since)
    if until is not None:
        where.append(column < until)
    return where


def _one(store: Store, table: sa.Table, id: str) -> sa.RowMapping | None:
    with store.connect() as connection:
        return connection.execute(sa.select(table).where(table.c.id == id)).mappings().one_or_none()
