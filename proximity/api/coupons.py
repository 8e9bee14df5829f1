"""The till's door: a coupon is looked at, and redeemed once. And what is gone of each budget."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path
from pydantic import BaseModel, Field

from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, operator_only, require_till
from proximity.api.values import Body, Filter, Line, Moment, Slug
from proximity.store import budgets, coupons
from proximity.store.coupons import KeyReused, StoredCoupon, Till
from rules import offers_codes

router = APIRouter(tags=["coupons"])
till_only: list[Any] = [Depends(require_till)]

Code = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9-]+$",
        max_length=64,
        description="As it was scanned or typed; hyphens and case do not matter.",
        examples=["K7QF-3MXA-90TB-W2CDR"],
    ),
]
TillKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7E]+$",
        max_length=200,
        description="The till's own name of this request: store, till, transaction and line. Asked again with the same "
        "key, the answer is the same.",
        examples=["lyon/till-2/20261124-0917/3"],
    ),
]
Money = Annotated[float, Field(strict=True, ge=0, le=1e7, allow_inf_nan=False, description="In the currency's unit.")]


class RedeemBody(Body):
    """Where and what for. Amounts are in the currency of the coupon."""

    site: Slug
    till: Line | None = None
    discount: Money | None = Field(default=None, description="What the coupon takes off here; the budget counts it.")
    total: Money | None = Field(default=None, description="Of the basket, before the discount.")
    at: Moment | None = Field(
        default=None, description="Seconds since the epoch; without it: now. A till that was offline says when it was."
    )


class CouponOut(BaseModel):
    """What a coupon is worth. Amounts are in the currency's unit; nothing tells who has it."""

    code: str
    rule: str
    site: str
    chain: bool = Field(description="Taken in every store; otherwise in `site` alone.")
    percent_off: float | None
    amount_off: float | None
    at_most: float | None
    currency: str | None
    free: str | None
    text: str | None
    sku: str | None
    category: str | None
    created: float
    expires: float


class CouponDetail(CouponOut):
    """A coupon and what became of it."""

    state: str = Field(description="reserved, issued, redeemed, expired or released.")
    redeemed: float | None
    discount: float | None


class Redemption(BaseModel):
    """The answer to a till."""

    redeemed: bool
    repeated: bool = Field(description="This key had been answered before, with the same words.")
    reason: str | None = Field(
        description="Of a no: unknown, expired, redeemed_already, other_store, withdrawn or too_much."
    )
    detail: str = Field(description="The same for the person at the till.")
    coupon: CouponOut | None = Field(description="null: unknown.")


class BudgetOut(BaseModel):
    """What a rule has given away. Amounts are in the currency's unit."""

    rule: str
    coupons: int = Field(description="That are given and not expired, redeemed ones included.")
    spend: float = Field(description="What those can cost at most, or have cost.")
    most_coupons: int | None = Field(description="By the rules in force; null: no bound.")
    most_spend: float | None
    currency: str | None


class Budgets(BaseModel):
    items: list[BudgetOut]


@router.post(
    "/coupons/{code}/redeem", dependencies=till_only, responses=responses(401, 404, 409, 422), summary="Redeem"
)
def redeem(context: Context, code: Code, body: RedeemBody, key: TillKey) -> Redemption:
    """Take a coupon, once. A no is an answer too, with its reason. With the till's token or the operator's."""
    if all(site.id != body.site for site in context.live.sites()):
        raise ProblemError(404, f"There is no store {body.site}.")
    now = context.clock()
    till = Till(
        key=key,
        code=offers_codes.read(code),
        site=body.site,
        at=now if body.at is None else min(body.at, now),
        discount=_hundredths(body.discount),
        total=_hundredths(body.total),
        till=body.till,
    )
    try:
        answer = coupons.redeem(context.store, till)
    except KeyReused:
        raise ProblemError(409, "This Idempotency-Key was used for another request. Give each its own.") from None
    if answer.redeemed and not answer.repeated:
        found = coupons.find(context.store, till.code or "")
        if found is not None:
            context.feed.publish("redeemed", {"id": found.coupon.id, "shopper": found.coupon.shopper})
    return Redemption(
        redeemed=answer.redeemed,
        repeated=answer.repeated,
        reason=answer.reason,
        detail=answer.detail,
        coupon=None if answer.coupon is None else CouponOut(**told(answer.coupon)),
    )


@router.get("/coupons/{code}", dependencies=till_only, responses=responses(401, 404, 422))
def read_coupon(context: Context, code: Code) -> CouponDetail:
    """Look at a coupon without taking it."""
    plain = offers_codes.read(code)
    found = None if plain is None else coupons.find(context.store, plain)
    if found is None:
        raise ProblemError(404, "There is no such coupon.")
    return detail(found)


@router.get("/budgets", dependencies=operator_only, responses=responses(401, 422))
def list_budgets(context: Context, rule: Filter = None) -> Budgets:
    """What is gone of the budgets of rules that gave a coupon, and of those that may."""
    used, caps = budgets.used(context.store), context.live.budgets()
    rows = []
    for name in sorted(used.keys() | caps.keys()):
        number, spend = used.get(name, (0, 0))
        most, money = caps.get(name, (None, None))
        row = BudgetOut(
            rule=name, coupons=number, spend=spend / 100, most_coupons=most,
            most_spend=None if money is None else money[0] / 100, currency=None if money is None else money[1],
        )  # fmt: skip
        rows.append(row)
    return Budgets(items=[one for one in rows if rule in (None, one.rule)])


def detail(stored: StoredCoupon) -> CouponDetail:
    """A coupon as the till and the operator see it."""
    discount = None if stored.discount is None else stored.discount / 100
    return CouponDetail(
        **told(coupons.public(stored.coupon)), state=stored.state, redeemed=stored.redeemed, discount=discount
    )


def told(coupon: dict[str, Any]) -> dict[str, Any]:
    """Amounts in the currency's unit, and the code as it is read out."""
    amounts = {name: None if coupon[name] is None else coupon[name] / 100 for name in ("amount_off", "at_most")}
    return {**coupon, **amounts, "code": offers_codes.shown(coupon["code"])}


def _hundredths(amount: float | None) -> int | None:
    return None if amount is None else round(amount * 100)
