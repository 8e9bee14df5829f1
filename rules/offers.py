"""What an offer holds: a coupon with its budget, points, words to the staff, and the goal it is measured by. Pure.

Amounts are whole hundredths of the currency's unit, so that sums are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from proximity.model import Coupon
from rules import offers_codes as codes
from rules.templates import Template


class Money(NamedTuple):
    """An amount in hundredths of the unit of a currency (ISO 4217)."""

    hundredths: int
    currency: str

    def __str__(self) -> str:
        return f"{show_amount(self.hundredths)} {self.currency}"


def show_amount(hundredths: int) -> str:
    """`1250` -> `12.50`, `1200` -> `12`."""
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02d}" if rest else str(whole)


class Used(NamedTuple):
    """What is gone of a rule's budget."""

    coupons: int = 0
    spend: int = 0  # hundredths


@dataclass(frozen=True, slots=True)
class Budget:
    """How many coupons a rule gives, and how much money. None: as many as it likes."""

    coupons: int | None
    spend: Money | None
    reserve_for: float | None  # s that a coupon holds its share; None: as long as it is valid
    without: bool  # when it is spent the offer is sent without a coupon; False: it is not sent
    where: str = ""

    def spent(self, used: Used, worth: int) -> str | None:
        """Why another coupon of this worth is not in it; None when it is."""
        if self.coupons is not None and used.coupons >= self.coupons:
            return f"all {self.coupons} coupons are given"
        if self.spend is None:
            return None
        # A coupon whose cost is not known beforehand is given while anything is left.
        if used.spend + max(worth, 1) > self.spend.hundredths:
            return f"{show_amount(used.spend)} of {self.spend} are spent"
        return None


@dataclass(frozen=True, slots=True)
class CouponPlan:
    """The coupon that a rule gives."""

    percent_off: float | None = None
    amount_off: Money | None = None
    at_most: Money | None = None
    free: str | None = None
    text: str | None = None
    sku: str | None = None
    category: str | None = None
    per_shopper: int | None = None
    valid_for: float | None = None  # s; this or valid_until
    valid_until: datetime | None = None  # without an offset: by the rule's clock
    chain: bool = False
    where: str = ""

    @property
    def worth(self) -> int:
        """The most that it can cost; 0 when that is not known."""
        return next((one.hundredths for one in (self.amount_off, self.at_most) if one is not None), 0)

    @property
    def currency(self) -> str | None:
        """Of its amounts."""
        return next((one.currency for one in (self.amount_off, self.at_most) if one is not None), None)


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """`offer` of a rule."""

    coupon: CouponPlan | None = None
    budget: Budget | None = None
    points: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """`goal` of a rule: an event that should come within a time, and what it is worth."""

    event: str
    within: float  # s
    value: str | None = None  # path in the event's data


@dataclass(frozen=True, slots=True)
class StaffTask:
    """A word to the people at a desk."""

    desk: str
    text: Template
    where: str = ""


def make_coupon(
    plan: CouponPlan, budget: Budget | None, *, decision: str, rule: str, shopper: str, site: str, now: float,
    until: float, key: bytes,
) -> Coupon:  # fmt: skip
    """The coupon of a decision. `until`: when it ends, epoch seconds."""
    reserve = budget.reserve_for if budget is not None else None
    return Coupon(
        id=decision,
        code=codes.code(key, decision),
        rule=rule,
        shopper=shopper,
        site=site,
        created=now,
        expires=until,
        reserved_until=until if reserve is None else max(until, now + reserve),
        worth=plan.worth,
        percent_off=plan.percent_off,
        amount_off=None if plan.amount_off is None else plan.amount_off.hundredths,
        at_most=None if plan.at_most is None else plan.at_most.hundredths,
        currency=plan.currency or (budget.spend.currency if budget is not None and budget.spend is not None else None),
        free=plan.free,
        text=plan.text,
        sku=plan.sku,
        category=plan.category,
        chain=plan.chain,
    )


def coupon_values(coupon: Coupon, now: float, clock: datetime) -> Mapping[str, Any]:
    """What texts can say of a coupon. `clock`: its end on the wall clock that the rule goes by."""
    values: dict[str, Any] = {
        "code": codes.shown(coupon.code),
        "minutes_left": max(0, int((coupon.expires - now) // 60)),
        "until": clock.strftime("%H:%M"),
        "until_date": clock.strftime("%Y-%m-%d"),
    }
    if coupon.percent_off is not None:
        values["percent_off"] = int(coupon.percent_off) if coupon.percent_off.is_integer() else coupon.percent_off
    if coupon.amount_off is not None:
        values["amount_off"] = f"{show_amount(coupon.amount_off)} {coupon.currency}"
    if coupon.at_most is not None:
        values["at_most"] = f"{show_amount(coupon.at_most)} {coupon.currency}"
    for name in ("free", "text", "sku", "category"):
        if (value := getattr(coupon, name)) is not None:
            values[name] = value
    return values
