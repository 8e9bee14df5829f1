"""From the shape of `offer`, `do` and `goal` to what the engine runs, with every mistake of meaning named in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.attributes import Attributes, Type
from rules.header import at_faults
from rules.offers import Budget, CouponPlan, Goal, OfferPlan, StaffTask
from rules.templates import check_template
from rules.values import show_duration

if TYPE_CHECKING:
    from rules.build import Builder

_COUPON_TYPES = {
    "code": "string", "minutes_left": "int", "until": "string", "until_date": "string", "percent_off": "float",
    "amount_off": "string", "at_most": "string", "free": "string", "text": "string", "sku": "string",
    "category": "string",
}  # fmt: skip
_TYPES = {name: Type("scalar", kind) for name, kind in _COUPON_TYPES.items()}  # type: ignore[arg-type] # scalars
_ALWAYS = ("code", "minutes_left", "until", "until_date")


def coupon_attributes(builder: Builder, plain: Attributes) -> Attributes:
    """The values that the rule's texts may use: those of every rule, and those of its coupon."""
    offer = getattr(builder.rule, "offer", None)
    if not builder.sure("offer"):  # any of them may be meant
        extended = plain.adding({f"coupon.{name}": _TYPES[name] for name in _COUPON_TYPES}, present=False)
        return extended.adding({"stock_left": Type("scalar", "int")}, present=False)
    if offer is None or offer.coupon is None:
        return plain
    coupon, budget = offer.coupon, offer.budget
    names = [*_ALWAYS, *(name for name in _COUPON_TYPES if getattr(coupon, name, None) is not None)]
    types = {f"coupon.{name}": _TYPES[name] for name in names}
    sure = budget is None or budget.when_spent == "stop"
    extended = plain.adding(types, present=sure)
    stock = plain.types.get("stock")
    if coupon.sku is not None and stock is not None and stock.shape == "map":
        extended = extended.adding({"stock_left": Type("scalar", stock.of)}, present=False)
    return extended


def build_offer(builder: Builder, expires: float) -> OfferPlan | None:
    """`offer`. `expires`: seconds for which the message lives."""
    given = builder.rule.offer
    if given is None or not builder.sure("offer"):
        return None
    if given.coupon is None:
        return OfferPlan(points=given.points or 0)
    coupon = given.coupon
    plan = CouponPlan(
        percent_off=coupon.percent_off,
        amount_off=coupon.amount_off,
        at_most=coupon.at_most,
        free=coupon.free,
        text=coupon.text,
        sku=coupon.sku,
        category=coupon.category,
        per_shopper=coupon.per_shopper,
        valid_for=coupon.valid_for,
        valid_until=coupon.valid_until,
        chain=coupon.valid_in == "chain",
        where=builder.place_of("offer", "coupon"),
    )
    if plan.valid_for is not None and expires > plan.valid_for:
        message = f"the message lives for {show_duration(expires)} and the coupon for {show_duration(plan.valid_for)}"
        builder.say_at(("offer", "coupon", "valid_for"), "W043", message,
                       "give the coupon more time, or `deliver` a shorter `expires`", severity="warning")  # fmt: skip
    return OfferPlan(plan, _budget(builder, plan), given.points or 0)


def _budget(builder: Builder, plan: CouponPlan) -> Budget | None:
    given = builder.rule.offer.budget if builder.rule.offer is not None else None
    if given is None:
        return None
    loc = ("offer", "budget")
    if given.spend is not None and plan.currency not in (None, given.spend.currency):
        message = f"the budget is in {given.spend.currency}, and the coupon in {plan.currency}"
        builder.say_at((*loc, "spend"), "E109", message, "write both in one currency")
    if given.spend is not None and plan.worth > given.spend.hundredths:
        builder.say_at((*loc, "spend"), "E109", "the budget does not reach for one coupon", "raise `spend`")
    if given.spend is not None and not plan.worth:
        message = "what a coupon costs is known only when it is redeemed, so those in hand may pass `spend`"
        hint = 'write `at_most` into the coupon, as in `at_most: "5 EUR"`'
        builder.say_at((*loc, "spend"), "W044", message, hint, severity="warning")
    valid = plan.valid_for if plan.valid_for is not None else 86400.0 if plan.valid_until is None else None
    if given.reserve_for is not None and valid is not None and given.reserve_for < valid:
        message = (
            f"the coupon holds its place for {show_duration(given.reserve_for)} and is valid for {show_duration(valid)}"
        )
        builder.say_at((*loc, "reserve_for"), "E109", message, "the place must be held while the till takes the coupon")
    if given.reserve_for is None and plan.valid_for is None:
        message = "nothing says how long a coupon that is not redeemed holds its place in the budget"
        builder.say_at(loc, "W045", message, "write `reserve_for`, or `valid_for` into the coupon", key=True,
                       severity="warning")  # fmt: skip
    return Budget(
        given.coupons, given.spend, given.reserve_for, given.when_spent == "send_without", builder.place_of(*loc)
    )


def build_goal(builder: Builder) -> Goal | None:
    """`goal`."""
    given = builder.rule.goal
    if given is None:
        return None
    offer = builder.rule.offer
    if given.event == "redeemed" and (offer is None or offer.coupon is None) and builder.sure("offer"):
        builder.say_at(("goal", "event"), "E109", "the rule gives no coupon that could be redeemed",
                       "give it one under `offer`, or name another event, as `purchase`")  # fmt: skip
    return Goal(given.event, given.within, given.value)


def build_tasks(builder: Builder, certain: frozenset[str]) -> tuple[StaffTask, ...]:
    """`do`. `certain`: attributes that the conditions have made sure of."""
    tasks = []
    attributes = coupon_attributes(builder, builder.catalog.attributes)
    for number, action in enumerate(builder.rule.do):
        loc = ("do", number, "staff", "text")
        template, faults = check_template(action.staff.text, attributes, certain)
        builder.diagnostics += at_faults(builder.document, (*builder.loc, *loc), action.staff.text, faults)
        if template is not None:
            tasks.append(StaffTask(action.staff.desk, template, builder.place_of("do", number)))
    return tuple(tasks)
