"""The shape of the site files as pydantic models: keys, types and ranges. What files say of each other comes later."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from proximity.errors import BadMessage
from proximity.site.ids import read_key
from proximity.site.model import LocatorName
from proximity.wire import SLUG

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d)")


def _duration(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"write a time such as 20s, 15m or 2h, not {_show(value)}")
    return float(match[1]) * _SECONDS[match[2]]


def _slug(value: str) -> str:
    if not SLUG.match(value):
        raise ValueError(f"{value!r} is no id; use lower-case letters, digits and hyphens, 64 at most")
    return value


def _text_of_number(value: Any) -> Any:
    # YAML reads `major: 7` and `id: 7` as numbers; where text is meant, a whole number is as good.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _key(value: str) -> str:
    try:
        read_key(value)
    except BadMessage as error:
        raise ValueError(error.detail) from error
    return value


def _language(value: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError(f"{value!r} is no language; write a code such as fr, en or pt-BR")
    return value


def _show(value: Any) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str | int | float) else "a block"


Duration = Annotated[float, BeforeValidator(_duration)]  # s
Slug = Annotated[str, BeforeValidator(_text_of_number), AfterValidator(_slug)]
Name = Annotated[str, BeforeValidator(_text_of_number), Field(min_length=1)]
Key = Annotated[str, BeforeValidator(_text_of_number), AfterValidator(_key)]
Language = Annotated[str, AfterValidator(_language)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Bearing = Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)]
Sixteen = Annotated[int, Field(ge=0, le=65535)]


class Shape(BaseModel):
    """Numbers stay numbers and text stays text; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PlaceShape(Shape):
    lat: Latitude
    lon: Longitude


class PresenceShape(Shape):
    """As `PresenceOptions`; what is left out keeps its default."""

    enter_after: Duration | None = None
    exit_after: Duration | None = None
    leave_after: Duration | None = None
    exit_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    hysteresis: Annotated[float, Field(ge=0, le=60)] | None = None
    top_speed: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    gateway_hold: Duration | None = None
    fix_exit_after: Duration | None = None
    locator: LocatorName | None = None


class SiteShape(Shape):
    """site.yaml."""

    id: Slug
    name: Name
    timezone: str
    opening_hours: str | None = None
    country: str | None = None
    address: str | None = None
    place: PlaceShape | None = None
    bearing: Bearing = 0.0
    units: Literal["metres", "feet"] = "metres"
    presence: PresenceShape = PresenceShape()
    approval: Literal["none", "required"] = "none"


class FramedShape(Shape):
    """The top of zones.geojson; its features are read one by one."""

    type: Literal["FeatureCollection"]
    frame: Literal["local", "wgs84"] = "wgs84"
    origin: PlaceShape | None = None
    bearing: Bearing | None = None
    features: Any = None


class ZoneShape(Shape):
    """`properties` of a feature that is a zone."""

    id: Slug
    kind: Literal["zone"] = "zone"
    name: Name | None = None
    outdoor: bool = False
    floor: int = 0
    tags: tuple[Slug, ...] = Field(default=(), strict=False)
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    enter_after: Duration | None = None
    exit_after: Duration | None = None
    exit_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class WallShape(Shape):
    """`properties` of a feature that is a wall."""

    kind: Literal["wall"]
    id: Name | None = None
    name: Name | None = None
    loss: Annotated[float, Field(ge=0, le=60)] = 6.0
    floor: int = 0


class GatewayShape(Shape):
    """One of `gateways`."""

    id: Slug
    name: Name | None = None
    zone: str | None = None
    x: Number | None = None
    y: Number | None = None
    z: Number | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None
    floor: int | None = None
    offset: Annotated[float, Field(ge=-60, le=60)] = 0.0


class IBeaconShape(Shape):
    uuid: str | None = None
    major: Sixteen
    minor: Sixteen


class EddystoneShape(Shape):
    namespace: Annotated[str, BeforeValidator(_text_of_number)]
    instance: Annotated[str, BeforeValidator(_text_of_number)]


class EidShape(Shape):
    key: Key
    rotation: Annotated[int, Field(ge=0, le=15)] = 10
    started: float | str = 0.0


class OwnTracksShape(Shape):
    user: Name
    device: Name
    password: str | None = None
    password_file: str | None = None
    key: str | None = None
    key_file: str | None = None


def _named(value: Any) -> Any:
    # `traccar: 123456` is short for `traccar: {id: 123456}`
    return {"id": value} if isinstance(value, str | int) and not isinstance(value, bool) else value


class TraccarShape(Shape):
    id: Name
    password: str | None = None
    password_file: str | None = None


class BeaconShape(Shape):
    """What is on air: exactly one of these."""

    ibeacon: IBeaconShape | None = None
    eddystone: EddystoneShape | None = None
    altbeacon: str | None = None
    mac: str | None = None


class ShelfShape(BeaconShape, GatewayShape):
    """One of `shelf`: a beacon that stays where it is."""


class CarriedShape(BeaconShape):
    """One of a shopper's `devices`: exactly one of these."""

    irk: Key | None = None
    eid: EidShape | None = None
    owntracks: OwnTracksShape | None = None
    traccar: Annotated[TraccarShape | None, BeforeValidator(_named)] = None


class TagShape(CarriedShape):
    """One of `tags`."""

    shopper: str


class ShopperShape(Shape):
    """One of `shoppers`; its devices are read one by one."""

    id: Slug
    name: Name | None = None
    languages: tuple[Language, ...] = Field(default=(), strict=False)
    timezone: str | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    consents: dict[str, bool] = Field(default_factory=dict)
    devices: Any = None
