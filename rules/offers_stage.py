"""What an offer holds, at the moment of a decision: the budget's stage, the words of a coupon, and what the commit has
to take, to log and to tell the staff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from proximity.model import Cap, Claim, Coupon, Decision, Exposure, StaffMessage, Stage, child_id
from rules.offers import CouponPlan, Used, coupon_values, make_coupon, show_amount

if TYPE_CHECKING:
    from rules.moment import Moment
    from rules.ruleset import Rule
    from rules.templates import Source

DAY = 86400.0  # s; a coupon for which nothing else is said
NO_COUPON = Stage("budget", True)


@dataclass(frozen=True, slots=True)
class Effects:
    """What a decision brings beside its offer."""

    coupon: Coupon | None = None
    claim: Claim | None = None  # None: a service message without limits and without a coupon, which uses nothing up
    exposure: Exposure | None = None  # None: the rule is not measured
    messages: tuple[StaffMessage, ...] = ()


NOTHING = Effects()


def budget(rule: Rule, moment: Moment) -> tuple[str | None, Stage]:
    """Whether a coupon is left for the shopper, in the budget and by number; `moment.coupon` is then it."""
    moment.coupon = None
    plan = rule.offer.coupon if rule.offer is not None else None
    if rule.offer is None or plan is None:
        return None, NO_COUPON
    facts, limits = moment.facts, rule.offer.budget
    used, held = facts.spent.get(rule.id, Used()), facts.held.get(rule.id, 0)
    values: dict[str, Any] = {"coupons": used.coupons, "held": held}
    if limits is not None and limits.spend is not None:
        values["spend"] = f"{show_amount(used.spend)} {limits.spend.currency}"
    if plan.per_shopper is not None and held >= plan.per_shopper:
        detail = f"at most {plan.per_shopper} of this coupon a shopper; {held} held or redeemed"
        return "limit_reached", Stage("budget", False, detail, values, plan.where)
    until = ends(plan, rule, moment)
    if until <= facts.now:
        return "expired", Stage("budget", False, "the coupon's `valid_until` is over", values, plan.where)
    spent = None if limits is None else limits.spent(used, plan.worth)
    if limits is not None and spent is not None:
        if limits.without:
            return None, Stage("budget", True, f"{spent}: sent without a coupon", values, limits.where)
        return "budget_spent", Stage("budget", False, spent, values, limits.where)
    moment.coupon = make_coupon(
        plan,
        limits,
        decision=child_id(moment.transition.id, rule.id),
        rule=rule.id,
        shopper=moment.transition.shopper,
        site=moment.transition.site,
        now=facts.now,
        until=until,
        key=facts.coupon_key,
    )
    return None, Stage("budget", True, "", values, plan.where)


def ends(plan: CouponPlan, rule: Rule, moment: Moment) -> float:
    """When a coupon given now ends, as epoch seconds."""
    if plan.valid_until is None:
        return moment.facts.now + (plan.valid_for or DAY)
    end = plan.valid_until
    return (end if end.tzinfo else end.replace(tzinfo=moment.local(rule.clock).tzinfo)).timestamp()


@dataclass(frozen=True, slots=True)
class Words:
    """The values of a rule's texts, and those of its coupon."""

    values: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """One of them."""
        namespace, _, key = name.partition(".")
        among = self.values.get(namespace)
        return among.get(key) if isinstance(among, Mapping) else None

    def context(self) -> Mapping[str, Any]:
        """All of them."""
        return self.values


def words(rule: Rule, moment: Moment) -> Source:
    """What a rule's texts are made from: all values, and those of its coupon."""
    own_moment = moment.of(rule)
    plan = rule.offer.coupon if rule.offer is not None else None
    if plan is None:
        return own_moment
    context = own_moment.context()
    own: dict[str, Any] = {}
    if moment.coupon is not None:
        end = datetime.fromtimestamp(moment.coupon.expires, moment.local(rule.clock).tzinfo)
        own["coupon"] = coupon_values(moment.coupon, moment.facts.now, end)
    stock = context.get("stock")
    if plan.sku is not None and isinstance(stock, Mapping) and plan.sku in stock:
        own["stock_left"] = stock[plan.sku]
    return Words({**context, **own})


def effects(rule: Rule, moment: Moment, decision: Decision) -> Effects:
    """What a decision to send, or its ghost, brings with it."""
    coupon = None if decision.ghost else moment.coupon
    exposure = _exposure(rule, moment, decision) if rule.measured else None
    free = rule.service and not rule.limits and coupon is None
    claim = None if free else _claim(rule, moment, decision, coupon)
    messages = () if decision.ghost else _messages(rule, moment, decision)
    if coupon is None and exposure is None and claim is None and not messages:
        return NOTHING
    return Effects(coupon, claim, exposure, messages)


def _claim(rule: Rule, moment: Moment, decision: Decision, coupon: Coupon | None) -> Claim:
    caps = tuple([
        Cap(limit.scope, limit.max, limit.after(moment.facts.now, moment.local(rule.clock)), str(limit), limit.where)
        for limit in rule.limits
    ])  # fmt: skip
    most_coupons = most_spend = per_shopper = None
    where = ""
    if coupon is not None and rule.offer is not None and rule.offer.coupon is not None:
        plan, limits = rule.offer.coupon, rule.offer.budget
        per_shopper, where = plan.per_shopper, plan.where
        if limits is not None:
            most_coupons, where = limits.coupons, limits.where
            most_spend = limits.spend.hundredths if limits.spend is not None else None
    return Claim(
        decision=decision.id,
        rule=rule.id,
        shopper=decision.shopper,
        site=decision.site,
        at=decision.at,
        caps=caps,
        coupon=coupon is not None,
        worth=coupon.worth if coupon is not None else 0,
        most_coupons=most_coupons,
        most_spend=most_spend,
        per_shopper=per_shopper,
        silent=not rule.say,
        service=rule.service,
        ghost=decision.ghost,
        order=len(moment.sent),
        where=where,
    )


def _exposure(rule: Rule, moment: Moment, decision: Decision) -> Exposure:
    goal = rule.goal
    held_out = decision.ghost and rule.holdout is not None and moment.held_out(rule.holdout)
    return Exposure(
        id=decision.id,
        rule=rule.id,
        shopper=decision.shopper,
        site=decision.site,
        at=decision.at,
        held=decision.ghost,
        holdout=rule.holdout.name if rule.holdout is not None else None,
        experiment=rule.experiment.name if rule.experiment is not None else None,
        arm=None if rule.experiment is None or held_out else moment.arm(rule),
        goal=goal.event if goal is not None else None,
        until=decision.at + goal.within if goal is not None else None,
        value=goal.value if goal is not None else None,
        points=0 if decision.ghost or rule.offer is None else rule.offer.points,
    )


def _messages(rule: Rule, moment: Moment, decision: Decision) -> tuple[StaffMessage, ...]:
    return tuple(
        StaffMessage(
            id=child_id(decision.id, "staff", number),
            decision=decision.id,
            rule=rule.id,
            shopper=decision.shopper,
            site=decision.site,
            zone=decision.zone,
            desk=task.desk,
            text=text,
            created=decision.at,
            expires=moment.since(rule) + rule.expires,
        )
        for number, (task, text) in enumerate(zip(rule.tasks, moment.tasks, strict=True))
    )
