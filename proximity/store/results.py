"""What came of a rule: who met it, who got it, saw it and used it, and whose goal was reached.

People are counted, not meetings: a shopper belongs to one arm, and reached the goal or did not. An event counts once,
for the last meeting before it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from proximity.store import tables
from proximity.store.database import Store
from rules.experiments import EVERYBODY, HOLDOUT_REASON

HELD_OUT = HOLDOUT_REASON  # the arm of those whom a holdout keeps from the rule

_exposures, _events = tables.exposures.c, tables.shop_events.c
_offers, _coupons = tables.offers.c, tables.coupons.c


@dataclass(slots=True)
class ArmResult:
    """One arm of a rule."""

    arm: str
    held: bool = False  # its people got nothing
    shoppers: int = 0  # who met the rule when it would send
    met: int = 0  # meetings
    sent: int = 0  # offers
    seen: int = 0  # offers opened
    redeemed: int = 0  # coupons
    discount: int = 0  # hundredths that those took off
    points: int = 0
    reached: int = 0  # shoppers whose goal was reached
    value: float = 0.0  # what those goals were worth together


@dataclass(slots=True)
class _People:
    met: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)


def results(store: Store, rule: str, since: float, until: float) -> list[ArmResult]:
    """The arms of a rule by name, over meetings and offers from `since` to before `until`."""
    arms: dict[str, ArmResult] = {}
    people: dict[str, _People] = defaultdict(_People)
    with store.connect() as connection:
        met = sa.select(tables.exposures).where(_exposures.rule == rule, *_between(_exposures.at, since, until))
        exposures = {row["id"]: row for row in connection.execute(met).mappings()}
        for row in exposures.values():
            name = arm_of(row["arm"], row["held"])
            arm = arms.setdefault(name, ArmResult(name, row["held"]))
            arm.met += 1
            arm.points += row["points"]
            people[name].met.add(row["shopper"])
        for exposure, data in _goals(connection, rule, since, until).values():
            row = exposures[exposure]
            name = arm_of(row["arm"], row["held"])
            people[name].reached.add(row["shopper"])
            arms[name].value += _at(data, row["value"])
        for row in connection.execute(_sends(rule, since, until)).mappings():
            name = arm_of(row["arm"], False)
            arm = arms.setdefault(name, ArmResult(name))
            arm.sent += row["sent"]
            arm.seen += row["seen"]
            arm.redeemed += row["redeemed"]
            arm.discount += row["discount"]
    for name, arm in arms.items():
        arm.shoppers, arm.reached = len(people[name].met), len(people[name].reached)
    return [arms[name] for name in sorted(arms)]


def arm_of(arm: str | None, held: bool) -> str:
    """The arm that an exposure belongs to."""
    return arm if arm is not None else HELD_OUT if held else EVERYBODY


def membership(store: Store, since: float, until: float) -> list[dict[str, Any]]:
    """For each experiment and holdout, its arms with the shoppers and meetings that were logged, by name and arm."""
    found: dict[tuple[str, str, str], list[int]] = {}
    in_time = _between(_exposures.at, since, until)
    counts = (sa.func.count(sa.distinct(_exposures.shopper)), sa.func.count())
    with store.connect() as connection:
        trials = sa.select(_exposures.experiment, _exposures.arm, *counts).where(_exposures.arm.is_not(None), *in_time)
        for name, arm, shoppers, met in connection.execute(trials.group_by(_exposures.experiment, _exposures.arm)):
            found["experiment", name, arm] = [shoppers, met]
        # Of a holdout, an arm that says nothing is among those who were not held out.
        out = sa.case((sa.and_(_exposures.held, _exposures.arm.is_(None)), HELD_OUT), else_=EVERYBODY)
        kept = sa.select(_exposures.holdout, out, *counts).where(_exposures.holdout.is_not(None), *in_time)
        for name, arm, shoppers, met in connection.execute(kept.group_by(_exposures.holdout, out)):
            found["holdout", name, arm] = [shoppers, met]
    return [
        {"kind": kind, "name": name, "arm": arm, "shoppers": shoppers, "met": met}
        for (kind, name, arm), (shoppers, met) in sorted(found.items())
    ]


def measured(store: Store, since: float, until: float) -> list[str]:
    """The rules that sent or met anybody, by id."""
    with store.connect() as connection:
        sent = sa.select(_offers.rule).where(*_between(_offers.created, since, until))
        met = sa.select(_exposures.rule).where(*_between(_exposures.at, since, until))
        return sorted(connection.execute(sa.union(sent, met)).scalars())


def _goals(connection: sa.Connection, rule: str, since: float, until: float) -> dict[str, tuple[str, Any]]:
    """Event -> the meeting that it counts for, and its data."""
    query = (
        sa.select(_events.id, _events.data, _exposures.id.label("exposure"), _exposures.goal)
        .join(
            tables.shop_events,
            sa.and_(
                _events.shopper == _exposures.shopper,
                _events.name == _exposures.goal,
                _events.at >= _exposures.at,
                _events.at < _exposures.until,
            ),
        )
        .where(_exposures.rule == rule, *_between(_exposures.at, since, until))
        .order_by(_exposures.at, _exposures.id)  # the last one stays
    )
    return {
        row.id: (row.exposure, row.data)
        for row in connection.execute(query)
        if row.goal != "redeemed" or row.data.get("rule") == rule
    }


def _sends(rule: str, since: float, until: float) -> sa.Select[Any]:
    redeemed = _coupons.state == "redeemed"
    return (
        sa.select(
            _exposures.arm,
            sa.func.count().label("sent"),
            sa.func.count(_offers.seen).label("seen"),
            sa.func.sum(sa.case((redeemed, 1), else_=0)).label("redeemed"),
            sa.func.sum(sa.case((redeemed, sa.func.coalesce(_coupons.discount, 0)), else_=0)).label("discount"),
        )
        .select_from(tables.offers)
        .outerjoin(tables.exposures, _exposures.id == _offers.id)
        .outerjoin(tables.coupons, _coupons.id == _offers.id)
        .where(_offers.rule == rule, *_between(_offers.created, since, until))
        .group_by(_exposures.arm)
    )


def _between(column: Any, since: float, until: float) -> tuple[sa.ColumnElement[bool], ...]:
    return (column >= since, column < until)


def _at(data: Any, path: str | None) -> float:
    """The number at `basket.total` in an event's data; 0 where there is none."""
    for part in (path or "").split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return float(data) if isinstance(data, int | float) and not isinstance(data, bool) else 0.0
