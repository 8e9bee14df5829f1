"""The types of what callers may say, each as narrow as its meaning, so that the OpenAPI document tells all of it."""

from typing import Annotated
from zoneinfo import available_timezones

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from proximity.wire import SLUG

FUTURE = 32503680000.0  # s: the year 3000; whoever asks for a later time has mistaken milliseconds for seconds
# Texts hold no control characters (PostgreSQL refuses NUL) and no lone surrogates (nothing encodes them).
LINE = r"^[^\x00-\x1F\x7F\uD800-\uDFFF]*$"
_WORD = "[A-Za-z0-9._@-]{1,64}"
_U16 = "(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
DEVICE_ID = (
    "^(?:"
    f"ibeacon:[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}:{_U16}:{_U16}"
    "|altbeacon:[0-9a-f]{40}"
    "|eddystone:[0-9a-f]{20}:[0-9a-f]{12}"
    "|eid:[0-9a-f]{16}"
    "|mac:[0-9a-f]{2}(?::[0-9a-f]{2}){5}"
    "|irk:[0-9a-f]{32}"
    f"|owntracks:{_WORD}/{_WORD}"
    f"|traccar:{_WORD}"
    "|app:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
    ")$"
)
_ZONES = sorted(available_timezones())
_KNOWN = frozenset(_ZONES)


def _timezone(name: str) -> str:
    if name not in _KNOWN:
        raise ValueError("no IANA time zone, for instance Europe/Paris")
    return name


Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1F\x7F]*$", max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=SLUG.pattern, max_length=64)]
Purpose = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$")]
Timezone = Annotated[str, AfterValidator(_timezone), WithJsonSchema({"type": "string", "enum": _ZONES})]
DeviceId = Annotated[str, StringConstraints(pattern=DEVICE_ID, max_length=160)]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
# Numbers that a double holds exactly: what JSON, CEL and both databases agree on.
Integer = Annotated[int, Field(strict=True, ge=-(2**53) + 1, le=2**53 - 1)]
Number = Annotated[float, Field(strict=True, ge=-(2**53) + 1, le=2**53 - 1, allow_inf_nan=False)]
Scalar = bool | Integer | Number | Line | None
Attribute = Scalar | list[Scalar] | dict[AttributeName, Scalar]
Moment = Annotated[float, Field(ge=0, le=FUTURE, allow_inf_nan=False)]

Key = Annotated[str, Path(pattern=r"^[^\x00-\x1F\x7F/]+$", max_length=64)]
ShopperKey = Annotated[
    str, Path(pattern=r"^[^\x00-\x1F\x7F/]+$", max_length=64, description="A shopper's id.", examples=["ada"])
]
SiteKey = Annotated[
    str, Path(pattern=r"^[^\x00-\x1F\x7F/]+$", max_length=64, description="A site's id.", examples=["marais"])
]
Token = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=128,
        description="The shopper's own token.",
        examples=["example-token"],
    ),
]
Filter = Annotated[str | None, Query(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=128)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows at most, newest first.")]
Since = Annotated[
    float | None, Query(ge=0, le=FUTURE, allow_inf_nan=False, description="Seconds since the epoch: not before.")
]
Until = Annotated[
    float | None, Query(ge=0, le=FUTURE, allow_inf_nan=False, description="Seconds since the epoch: before this.")
]


class Body(BaseModel):
    """A request body: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class ShopperBody(Body):
    """What can be said about a shopper."""

    name: Line | None = None
    languages: Annotated[list[Language], Field(max_length=8)] = []
    timezone: Timezone | None = None
    attributes: Annotated[dict[AttributeName, Attribute], Field(max_length=200)] = {}


class NewShopper(ShopperBody):
    """A shopper to be."""

    id: Slug
    consents: Annotated[dict[Purpose, bool], Field(max_length=50)] = {}


class ConsentBody(Body):
    """Yes or no to one purpose."""

    granted: Annotated[bool, Field(strict=True)]


class DeviceBody(Body):
    """A device the shopper carries. Secrets are written, never read back."""

    id: DeviceId
    secret: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7E]+$", max_length=128)] | None = Field(
        default=None, description="IRK, ephemeral identity key, or OwnTracks encryption key."
    )
    password: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7E]+$", max_length=128)] | None = Field(
        default=None, description="What the phone must say over HTTP."
    )


class BeaconHeard(Body):
    """A shelf beacon that the browser hears."""

    uuid: Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}$")]
    major: Annotated[int, Field(strict=True, ge=0, le=65535)]
    minor: Annotated[int, Field(strict=True, ge=0, le=65535)]
    rssi: Annotated[float, Field(strict=True, ge=-127, lt=0, allow_inf_nan=False, description="dBm")]


class BeaconsBody(Body):
    """The shelf beacons that the browser heard in the last second or so."""

    beacons: Annotated[list[BeaconHeard], Field(max_length=100)]
    at: Moment | None = Field(default=None, description="Seconds since the epoch; null: now.")


class PositionBody(Body):
    """A position as the browser's geolocation gives it."""

    lat: Annotated[float, Field(strict=True, ge=-90, le=90, allow_inf_nan=False)]
    lon: Annotated[float, Field(strict=True, ge=-180, le=180, allow_inf_nan=False)]
    accuracy: Annotated[float, Field(strict=True, ge=0, le=1e7, allow_inf_nan=False)] | None = Field(
        default=None, description="Metres; null: unknown."
    )
    speed: Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)] | None = None
    course: Annotated[float, Field(strict=True, ge=0, le=360, allow_inf_nan=False)] | None = None
    at: Moment | None = Field(default=None, description="Seconds since the epoch; null: now.")
