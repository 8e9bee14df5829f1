"""Forgetting what is old."""

import sqlalchemy as sa

from proximity.store import coupons, tables
from proximity.store.database import Store

LUMPS = 100  # rows with what was observed, of some ten kilobytes each, and
PIECE = 2_000  # other rows a transaction: the pipeline waits for milliseconds, not for the night's cleaning


def purge(store: Store, before: float) -> dict[str, int]:
    """Remove history from before that moment, in small transactions. Rows removed by table.

    Open visits stay, and so do shoppers, devices, consents, gateways, offsets, checkpoints and rule sets.
    """
    offers = tables.offers
    old_offers = sa.select(offers.c.id).where(offers.c.created < before)
    conditions: list[tuple[sa.Table, sa.ColumnElement[bool]]] = [
        (tables.deliveries, tables.deliveries.c.offer.in_(old_offers)),  # before the offers that they are found by
        (offers, offers.c.created < before),
        (tables.decisions, tables.decisions.c.at < before),
        (tables.transitions, tables.transitions.c.at < before),
        (tables.visits, tables.visits.c.ended < before),
        (tables.late_observations, tables.late_observations.c.at < before),
        (tables.coupons, sa.and_(tables.coupons.c.created < before, tables.coupons.c.state.not_in(coupons.OPEN))),
        (tables.redemptions, tables.redemptions.c.at < before),
        (tables.exposures, tables.exposures.c.at < before),
        (tables.shop_events, tables.shop_events.c.at < before),
        (tables.staff_messages, tables.staff_messages.c.created < before),
        (tables.context_values, tables.context_values.c.until < before),
    ]
    return {table.name: _remove(store, table, condition) for table, condition in conditions}


def purge_observations(store: Store, before: float) -> dict[str, int]:
    """Remove what was observed before that moment; the last word of each gateway stays. Rows removed by table."""
    states = tables.gateway_states
    later = states.alias()
    overtaken = sa.exists().where(later.c.anchor == states.c.anchor, later.c.at > states.c.at, later.c.at < before)
    return {
        "observations": _remove(store, tables.observations, tables.observations.c.ends < before, LUMPS),
        "gateway_states": _remove(store, states, sa.and_(states.c.at < before, overtaken)),
    }


def _remove(store: Store, table: sa.Table, condition: sa.ColumnElement[bool], most: int | None = None) -> int:
    most = most or PIECE
    removed = 0
    while True:
        with store.begin() as connection:
            piece = sa.select(table.c.id).where(condition).limit(most)
            number = connection.execute(sa.delete(table).where(table.c.id.in_(piece))).rowcount
        removed += number
        if number < most:
            return removed
