"""The shape of `offer`, `do` and `goal`: what a shopper gets, what the house does, and what counts as success."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from rules import values
from rules.forms import Duration, LastDate, Model, Slug, one_of, some_of
from rules.offers import Money

_MONEY = re.compile(r"(\d{1,9}(?:\.\d{1,2})?) ([A-Z]{3})")


def money(value: Any) -> Money:
    """`"12000 EUR"` or `"2.50 EUR"` -> hundredths, and the currency by ISO 4217."""
    match = _MONEY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        meant = _meant_amount(value) or 'as in "12000 EUR"'
        raise ValueError(f"{values.show(value)} is not an amount; write it with its currency, {meant}")
    whole, _, cents = match[1].partition(".")
    found = Money(int(whole) * 100 + int(cents.ljust(2, "0")), match[2])
    if not found.hundredths:
        raise ValueError("must be more than nothing")
    return found


_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP"}


def _meant_amount(value: Any) -> str | None:
    """What was meant by `2,50 €`."""
    if not isinstance(value, str):
        return None
    number, sign = re.search(r"\d+(?:[.,]\d{1,2})?", value), re.search("[€$£]", value)
    if number is None or sign is None:
        return None
    return f'as "{number[0].replace(",", ".")} {_SIGNS[sign[0]]}"'


Amount = Annotated[
    Money,
    BeforeValidator(money),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(?:\.\d{1,2})? [A-Z]{3}$", "examples": ["12000 EUR"]}),
]
Some = Annotated[int, Field(ge=1)]


WORTHS = ("percent_off", "amount_off", "free", "text")


class Coupon(Model):
    """What the till takes off: one of `percent_off`, `amount_off`, `free` and `text`."""

    model_config = one_of(*WORTHS)

    percent_off: Annotated[float, Field(gt=0, le=100)] | None = None
    """Percent off the article, or off the basket without a `sku`."""
    amount_off: Amount | None = None
    """An amount off, as `"2.50 EUR"`."""
    free: str | None = Field(default=None, min_length=1, max_length=200)
    """What is given for nothing, as `one coffee`."""
    text: str | None = Field(default=None, min_length=1, max_length=200)
    """What it is good for, in words, where the till knows no more."""
    at_most: Amount | None = None
    """The most that it takes off, or costs: with it a budget's `spend` is exact."""
    sku: str | None = Field(default=None, min_length=1, max_length=64)
    """The article; without it and without a `category`, the whole basket."""
    category: str | None = Field(default=None, min_length=1, max_length=64)
    """Articles of this category."""
    basket: Literal[True] | None = None
    """The whole basket, as without `sku` and `category`; for those who like to say it."""
    per_shopper: Some = 1
    """How many a shopper may hold or have redeemed of this rule."""
    valid_for: Duration | None = None
    """How long the till takes it; `24h` when neither this nor `valid_until` is written."""
    valid_until: LastDate = None
    """Until when the till takes it: a date, or a date and a time by the clock of `defaults.timezone`."""
    valid_in: Literal["store", "chain"] = "store"
    """In the `store` where it was given, or in every store of the `chain`."""

    @model_validator(mode="after")
    def _one_worth(self) -> "Coupon":
        given = [name for name in WORTHS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(f'`{name}`' for name in given)}" if given else ""
            raise ValueError(f"needs one of `percent_off`, `amount_off`, `free` and `text`{found}")
        if self.at_most is not None and self.amount_off is not None:
            raise ValueError("`at_most` has no effect beside `amount_off`, which says the amount")
        on = [name for name in ("sku", "category", "basket") if getattr(self, name) is not None]
        if len(on) > 1:
            raise ValueError(f"is for one thing: `{on[0]}` or `{on[1]}`, not both")
        if self.valid_for is not None and self.valid_until is not None:
            raise ValueError("write `valid_for` or `valid_until`, not both")
        return self


class Budget(Model):
    """How much a rule may give away in all, exact however many shoppers come at once."""

    model_config = some_of("coupons", "spend")

    coupons: Some | None = None
    """Coupons that may be given out."""
    spend: Amount | None = None
    """What the coupons may cost, as `"12000 EUR"`. One not yet redeemed counts with the most that it can cost."""
    reserve_for: Duration | None = None
    """How long a coupon given out holds its place, for tills that report late; without it, as long as it is valid."""
    when_spent: Literal["stop", "send_without"] = "stop"
    """`stop`: nothing is sent any more. `send_without`: the message goes out without a coupon."""

    @model_validator(mode="after")
    def _something(self) -> "Budget":
        if self.coupons is None and self.spend is None:
            raise ValueError('needs `coupons`, `spend` or both, as in {coupons: 5000, spend: "12000 EUR"}')
        return self


class Offer(Model):
    """What the shopper gets besides the message."""

    model_config = some_of("coupon", "points")

    coupon: Coupon | None = None
    budget: Budget | None = None
    points: Some | None = None
    """Loyalty points that the shopper earns with the offer."""

    @model_validator(mode="after")
    def _something(self) -> "Offer":
        if self.coupon is None and self.points is None:
            raise ValueError("needs a `coupon`, `points` or both")
        if self.budget is not None and self.coupon is None:
            raise ValueError("`budget` has no effect without a `coupon`")
        return self


class Staff(Model):
    """A word to the people of the store."""

    desk: Slug
    """Who reads it, as `collect`."""
    text: str = Field(min_length=1)
    """What they read. Liquid."""


class Action(Model):
    """Something that the house does."""

    staff: Staff


class Goal(Model):
    """What the rule is for: an event within a time after the offer."""

    event: Slug
    """`redeemed`, or the name of an event of the shop's systems, as `purchase`."""
    within: Duration
    """Counted from the offer."""
    value: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*$", max_length=100)] | None = None
    """What a success is worth: the place of a number in the event, as `basket.total`."""
