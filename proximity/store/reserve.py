"""What a decision uses up is taken in the transaction that stores it, so that no two processes give the same away.

A decision was made on what was known before. Here the shopper's sends are counted again under a lock of the shopper,
and coupons leave their budget under a lock of the budget. What no longer fits turns into a no, with its reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Claim, Decision, Sent, Stage
from proximity.store import tables
from proximity.store.bulk import Rows, from_values, insert_new
from proximity.store.database import chunks, insert
from proximity.store.history import sends_in

if TYPE_CHECKING:
    from proximity.store.commit import Outcome

IN_FORCE = ("reserved", "issued", "redeemed")  # coupons that count against their shopper and their budget
_AFTER_LIMITS = ("render", "send")  # stages that a decision turned here has not passed after all

_shoppers, _budgets, _coupons = tables.shoppers.c, tables.budgets.c, tables.coupons.c


@dataclass(slots=True)
class _Known:
    """What is gone, as the locks show it; it grows with each claim that is taken."""

    sends: dict[str, list[Sent]]  # by shopper
    held: dict[tuple[str, str], int]  # (shopper, rule) -> coupons
    used: dict[str, list[int]]  # rule -> coupons, spend
    touched: set[str] = field(default_factory=set)  # rules whose budget changed


def reserve(connection: Connection, outcome: Outcome, new: frozenset[str]) -> Mapping[str, Decision]:
    """Take what the decisions `new` claim, and store their coupons, exposures and words to the staff.

    Called after the decisions are stored and before their offers are. The decisions that became a no here, by id, as
    they are stored now: their offers and deliveries must not be.
    """
    claims = sorted((one for one in outcome.claims if one.decision in new), key=lambda one: (one.at, one.order))
    turned = _turn(connection, outcome, _take(connection, claims, new)) if claims else {}
    kept = new - turned.keys()
    insert_new(connection, tables.coupons, _rows(outcome.coupons, kept, "id", state="reserved"))
    insert_new(connection, tables.exposures, _rows(outcome.exposures, kept, "id"))
    insert_new(
        connection,
        tables.staff_messages,
        _rows(outcome.staff, kept, "decision", state="queued", attempts=0, due=outcome.at),
    )
    return turned


def _rows(values: Sequence[Any], kept: frozenset[str], by: str, **constants: Any) -> Rows:
    return from_values([one for one in values if getattr(one, by) in kept], **constants)


def _take(connection: Connection, claims: Sequence[Claim], new: frozenset[str]) -> dict[str, tuple[str, Stage]]:
    """Decision -> reason and stage, of the claims that cannot be met."""
    known = _look(connection, claims, new)
    refused: dict[str, tuple[str, Stage]] = {}
    for claim in claims:
        no = _objection(claim, known)
        if no is not None:
            refused[claim.decision] = no
            continue
        known.sends[claim.shopper].append(
            Sent(claim.shopper, claim.rule, claim.site, claim.at, service=claim.service, silent=claim.silent)
        )
        if claim.coupon:
            known.held[claim.shopper, claim.rule] += 1
            known.used[claim.rule][0] += 1
            known.used[claim.rule][1] += claim.worth
            known.touched.add(claim.rule)
    if known.touched:
        connection.execute(
            sa.update(tables.budgets)
            .where(_budgets.rule == sa.bindparam("of"))
            .values(coupons=sa.bindparam("now_coupons"), spend=sa.bindparam("now_spend")),
            [
                {"of": rule, "now_coupons": known.used[rule][0], "now_spend": known.used[rule][1]}
                for rule in sorted(known.touched)
            ],
        )
    return refused


def _look(connection: Connection, claims: Sequence[Claim], new: frozenset[str]) -> _Known:
    """Lock what the claims take from, always in one order: shoppers by id, then budgets by rule."""
    bound = sorted({one.shopper for one in claims if one.caps or one.coupon})
    for some in chunks(bound):
        # NO KEY UPDATE: commits of the same shopper wait for one another, and his other rows are not held up.
        lock = sa.select(_shoppers.id).where(_shoppers.id.in_(some)).order_by(_shoppers.id)
        connection.execute(lock.with_for_update(key_share=True))
    sends: dict[str, list[Sent]] = defaultdict(list)
    after = min((cap.after for one in claims for cap in one.caps), default=None)
    if after is not None:
        for decision, sent in sends_in(connection, {one.shopper for one in claims if one.caps}, after):
            if decision not in new:  # ghosts of this commit are stored already
                sends[sent.shopper].append(sent)
    giving = [one for one in claims if one.coupon]
    held = _held(connection, {one.shopper for one in giving}) if giving else defaultdict(int)
    return _Known(sends, held, _lock_budgets(connection, {one.rule for one in giving}))


def _held(connection: Connection, shoppers: Iterable[str]) -> dict[tuple[str, str], int]:
    held: dict[tuple[str, str], int] = defaultdict(int)
    for some in chunks(sorted(shoppers)):
        query = (
            sa.select(_coupons.shopper, _coupons.rule, sa.func.count())
            .where(_coupons.shopper.in_(some), _coupons.state.in_(IN_FORCE))
            .group_by(_coupons.shopper, _coupons.rule)
        )
        held.update({(shopper, rule): number for shopper, rule, number in connection.execute(query)})
    return held


def _lock_budgets(connection: Connection, rules: set[str]) -> dict[str, list[int]]:
    if not rules:
        return {}
    names = sorted(rules)
    make = insert(connection.dialect.name, tables.budgets).on_conflict_do_nothing(index_elements=["rule"])
    connection.execute(make, [{"rule": rule, "coupons": 0, "spend": 0} for rule in names])
    query = sa.select(_budgets.rule, _budgets.coupons, _budgets.spend).where(_budgets.rule.in_(names))
    rows = connection.execute(query.order_by(_budgets.rule).with_for_update())
    return {rule: [coupons, spend] for rule, coupons, spend in rows}


def _objection(claim: Claim, known: _Known) -> tuple[str, Stage] | None:
    for cap in claim.caps:
        used = sum(_counts(sent, cap.scope, claim) and sent.at > cap.after for sent in known.sends[claim.shopper])
        if used >= cap.max:
            return "limit_reached", _stage(f"at most {cap.text}; {used} sent meanwhile", cap.where)
    if not claim.coupon:
        return None
    held = known.held[claim.shopper, claim.rule]
    if claim.per_shopper is not None and held >= claim.per_shopper:
        return "limit_reached", _stage(f"at most {claim.per_shopper} of this coupon a shopper", claim.where)
    coupons, spend = known.used[claim.rule]
    if claim.most_coupons is not None and coupons >= claim.most_coupons:
        return "budget_spent", _stage(f"all {claim.most_coupons} coupons were given meanwhile", claim.where)
    if claim.most_spend is not None and spend + max(claim.worth, 1) > claim.most_spend:
        return "budget_spent", _stage("the budget was spent meanwhile", claim.where)
    return None


def _counts(sent: Sent, scope: str, claim: Claim) -> bool:
    if scope == "rule":
        return sent.rule == claim.rule
    return not sent.service and not sent.silent and (scope == "all" or sent.site == claim.site)


def _stage(detail: str, where: str) -> Stage:
    return Stage("reserve", False, detail, where=where or None)


def _turn(connection: Connection, outcome: Outcome, refused: Mapping[str, tuple[str, Stage]]) -> dict[str, Decision]:
    """Store the decisions that could not be met as what they are now."""
    turned: dict[str, Decision] = {}
    for one in outcome.decisions if refused else ():
        if (no := refused.get(one.id)) is not None:
            turned[one.id] = _turned(one, *no)
    if turned:
        connection.execute(
            sa.update(tables.decisions)
            .where(tables.decisions.c.id == sa.bindparam("of"))
            .values({name: sa.bindparam(f"now_{name}", type_=tables.decisions.c[name].type) for name in _TURNED}),
            [
                {"of": one.id, **{f"now_{name}": _plain(getattr(one, name)) for name in _TURNED}}
                for one in turned.values()
            ],
        )
    return turned


_TURNED = ("outcome", "reason", "detail", "trace", "ghost")


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, tuple) else value


def _turned(decision: Decision, reason: str, stage: Stage) -> Decision:
    if decision.ghost:  # it stays held out, and is no ghost any more
        return msgspec.structs.replace(decision, ghost=False, detail=f"{decision.detail}; {stage.detail}")
    passed = tuple(one for one in decision.trace if one.name not in _AFTER_LIMITS)
    return msgspec.structs.replace(
        decision, outcome="withheld", reason=reason, detail=stage.detail, trace=(*passed, stage)
    )
