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


class MyOffers(BaseModel):
    items: list[MyOffer]


class MySharing(BaseModel):
    """The position was taken."""

    accepted: bool
