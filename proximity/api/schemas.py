"""What the API answers, as pydantic models: the OpenAPI document is made of them.

Times are seconds since the epoch, lengths metres, signal strengths dBm.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field


class Geometry(BaseModel):
    """A GeoJSON geometry, or the same shape in a site's metres."""

    type: str
    coordinates: list[Any]


class SiteOut(BaseModel):
    """A store in a list."""

    id: str
    name: str
    timezone: str
    address: str | None = None
    lat: float | None = None
    lon: float | None = None


class ZoneOut(BaseModel):
    """A zone as a GeoJSON feature would say it."""

    id: str
    name: str
    floor: int
    outdoor: bool
    tags: list[str]
    radius: float | None = Field(default=None, description="m; the outline is then the circle's centre.")
    geometry: Geometry | None = Field(description="GeoJSON in degrees; null when the site's place is not known.")
    local: Geometry | None = Field(description="The same in the site's metres, y up.")


class GatewayOut(BaseModel):
    """A gateway or a shelf beacon, and how it is."""

    id: str
    kind: Literal["gateway", "beacon"]
    zone: str | None
    x: float | None
    y: float | None
    floor: int
    state: str = Field(description="online, offline or unknown; a beacon is always unknown.")
    seen: float | None = Field(default=None, description="Last word from it, seconds since the epoch.")
    version: str | None = None
    adapter: str | None = Field(
        default=None, description="Its radio: ready, quiet, powered-off, blocked, failed or none; null: not told yet."
    )


class WallOut(BaseModel):
    """A wall, in the site's metres."""

    x1: float
    y1: float
    x2: float
    y2: float
    floor: int


class SiteDetail(SiteOut):
    """A store with everything that a floor plan needs."""

    opening_hours: str | None = None
    bearing: float
    zones: list[ZoneOut] = Field(description="Zones of zones.geojson, and the first hundred fences.")
    fences: int = Field(description="Fences put by the API, all of them; `GET /api/v1/fences` gives them page by page.")
    gateways: list[GatewayOut]
    walls: list[WallOut]


class Sites(BaseModel):
    items: list[SiteOut]


class WhereaboutsOut(BaseModel):
    """Where one device of a shopper is."""

    device: str
    shopper: str
    name: str | None = None
    site: str | None
    zones: list[str]
    confidence: float
    at: float
    x: float | None = None
    y: float | None = None
    lat: float | None = None
    lon: float | None = None


class PresenceOut(BaseModel):
    """Who is where. Counts are for everybody, people only for the operator."""

    site: str
    at: float
    total: int = Field(description="Shoppers in any zone of the site.")
    zones: dict[str, int] = Field(
        description="Shoppers by zone id: every zone of zones.geojson, and fences with somebody in them."
    )
    people: list[WhereaboutsOut] | None = Field(description="null without the operator's token.")


class ConsentOut(BaseModel):
    """A yes or no, and when it was said."""

    purpose: str
    granted: bool
    at: float | None = None
    source: str | None = None


class DeviceOut(BaseModel):
    """A device; its secrets are never shown."""

    id: str
    kind: str
    has_secret: bool
    has_password: bool


class ShopperOut(BaseModel):
    """A pseudonymous person."""

    id: str
    name: str | None
    languages: list[str]
    timezone: str | None
    attributes: dict[str, Any]
    consents: dict[str, bool]


class ShopperDetail(ShopperOut):
    """A shopper with devices and whereabouts."""

    devices: list[DeviceOut]
    whereabouts: list[WhereaboutsOut]


class NewShopperOut(ShopperOut):
    """A shopper just made, with the token of the shopper's own page: it is told only this once."""

    token: str
    page: str = Field(description="Path of the shopper's own page.")


class Shoppers(BaseModel):
    items: list[ShopperOut]
    next: str | None = Field(description="Give it as `after` to read on; null: there is no more.")


class Consents(BaseModel):
    items: list[ConsentOut]


class Devices(BaseModel):
    items: list[DeviceOut]


class TransitionOut(BaseModel):
    """A change of presence."""

    id: str
    kind: str
    cause: str
    site: str
    zone: str
    shopper: str
    device: str
    visit: str
    at: float
    observed: float
    started: float
    confidence: float
    dwell: float | None
    initial: bool
    jumped: bool
    forgive: float
    reach: str | None
    distance: float | None
    eta: float | None


class Transitions(BaseModel):
    items: list[TransitionOut]


class VisitOut(BaseModel):
    """One stay in one zone."""

    id: str
    shopper: str
    device: str
    site: str
    zone: str
    started: float
    last_seen: float
    ended: float | None
    cause: str | None
    confidence: float
    initial: bool


class Visits(BaseModel):
    items: list[VisitOut]


class StageOut(BaseModel):
    """One step of a decision."""

    name: str
    passed: bool
    detail: str
    values: dict[str, Any]
    where: str | None = Field(description="File and line of the rule, for instance `coffee.rules.yaml:36`.")


class DecisionOut(BaseModel):
    """The outcome of one rule for one shopper at one transition."""

    id: str
    transition: str
    rule: str
    shopper: str
    site: str
    zone: str
    at: float
    outcome: Literal["sent", "withheld"]
    reason: str | None
    detail: str


class DecisionDetail(DecisionOut):
    """A decision with its trace."""

    trace: list[StageOut]


class Decisions(BaseModel):
    items: list[DecisionOut]


class Explanation(BaseModel):
    """Why a rule did or did not send."""

    text: str = Field(description="The answer in words.")
    decision: DecisionDetail | None = Field(description="null: no decision was taken around that time.")
    transition: TransitionOut | None = Field(description="What the rule heard.")


class OfferOut(BaseModel):
    """An offer and what became of it."""

    id: str
    rule: str
    shopper: str
    site: str
    zone: str
    visit: str
    title: str
    body: str
    language: str
    url: str | None
    created: float
    observed: float
    expires: float
    urgency: str
    state: str = Field(description="queued, sent, withdrawn, expired or failed.")
    state_reason: str | None
    seen: float | None


class Offers(BaseModel):
    items: list[OfferOut]


class DeliveryOut(BaseModel):
    """One attempt to bring an offer to one channel that was given up."""

    id: str
    kind: str = Field(description="offer, or withdraw: the word that takes it back.")
    offer: str
    title: str
    shopper: str
    channel: str
    address: str = Field(description="Its beginning: the rest may hold a key.")
    state: str
    attempts: int
    due: float
    created: float
    error: str | None


class Deliveries(BaseModel):
    items: list[DeliveryOut]


class RuleOut(BaseModel):
    """A rule in force."""

    id: str
    title: str
    owner: str | None
    status: str
    trigger: str


class Rules(BaseModel):
    version: str
    errors: str | None = Field(description="The text of a refused reload; null: files and set in force agree.")
    items: list[RuleOut]


class HealthOut(BaseModel):
    """Whether all is well."""

    status: Literal["pass", "fail"]
    broker: bool
    commit_age: float | None
    queue: int
    gateways_online: int
    gateways_total: int
    observations: int = Field(description="Sightings and fixes committed since the start.")
    outbox: dict[str, int]
    problems: int = Field(description="How many things are wrong.")
    errors: list[str] | None = Field(description="What they are; null without the operator's token.")


class StatsOut(BaseModel):
    """Figures since a moment. They name nobody."""

    since: float
    inside: int = Field(description="Shoppers in any zone of any site, now.")
    transitions: int
    sent: int
    withheld: int
    reasons: dict[str, int] = Field(description="Withheld, by reason.")


class Done(BaseModel):
    """It is done."""

    id: str
