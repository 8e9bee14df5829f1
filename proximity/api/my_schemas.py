"""What a shopper's own page is told, as pydantic models: less than the operator sees, and in words."""

from pydantic import BaseModel, Field

from proximity.api.schemas import ConsentOut


class MyPlace(BaseModel):
    """Where the shopper is seen, in words."""

    site: str
    site_name: str
    zones: list[str]
    at: float


class MeOut(BaseModel):
    """What a shopper's own page shows."""

    at: float = Field(description="The service's time, so that a page counts down by the right clock.")
    name: str | None
    language: str = Field(description="The page's language: the shopper's, else the browser's.")
    consents: list[ConsentOut]
    whereabouts: list[MyPlace]
    sharing: bool = Field(description="Whether the page may share its position now.")


class MyCoupon(BaseModel):
    """A coupon as its shopper sees it. Amounts are in the currency's unit."""

    code: str = Field(description="As it is read out: `K7QF-3MXA-90TB-W2CDR`.")
    qr: str = Field(description="Address of the same as a QR code, an SVG picture.")
    percent_off: float | None
    amount_off: float | None
    at_most: float | None
    currency: str | None
    free: str | None
    text: str | None
    sku: str | None
    category: str | None
    site: str | None = Field(description="The only store that takes it; null: every store.")
    expires: float = Field(description="Seconds since the epoch; minutes left count down to it.")
    state: str = Field(description="valid, redeemed or over.")


class MyOffer(BaseModel):
    """An offer as the shopper sees it."""

    id: str
    title: str
    body: str
    language: str
    url: str | None
    site: str
    site_name: str
    zone: str
    zone_name: str
    created: float
    expires: float
    state: str
    state_reason: str | None
    seen: float | None
    coupon: MyCoupon | None = Field(
        default=None, description="It holds until it expires, also when the message was taken back."
    )


class MyOffers(BaseModel):
    items: list[MyOffer]


class MySharing(BaseModel):
    """The position was taken."""

    accepted: bool
