"""The shape of a test file, `*.test.yaml`, as pydantic models. Times in it count from the start of its clock."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from proximity.document import did_you_mean
from rules import values
from rules.explain import REASONS
from rules.forms import Duration, Model, Names, Slug, one_of, some_of
from rules.offer_schema import Budget
from rules.say_schema import CHANNELS

_OFFSET = re.compile(r"(?:\d+\s*(?:s|min|m|h|d)\s*)+")
_METRES = re.compile(r"(\d+(?:\.\d+)?)\s*(m|km)")
ZONE_EVENTS = ("enter", "seen", "exit", "cross")
HAPPENINGS = (*ZONE_EVENTS, "approach", "event")


def offset(value: Any) -> float:
    """`0s`, `90s`, `1m 30s` -> seconds after the start of the clock."""
    if not isinstance(value, str) or not _OFFSET.fullmatch(value):
        raise ValueError(f"{values.show(value)} is not a time of a test; write `0s`, `90s` or `1m 30s`")
    return float(sum(int(number) * values.UNITS[unit] for number, unit in re.findall(r"(\d+)\s*(s|min|m|h|d)", value)))


def instant(value: Any) -> datetime:
    """A date and time with an offset."""
    found = values.moment(value)
    if found.tzinfo is None:
        raise ValueError(f'{values.show(value)} needs its offset from UTC, as in "2026-11-24T11:58:00+01:00"')
    return found


def metres(value: Any) -> float:
    """`380m`, `1.2km` -> metres."""
    match = _METRES.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{values.show(value)} is not a distance; write `380m` or `1.2km`")
    return float(match[1]) * (1000 if match[2] == "km" else 1)


Offset = Annotated[
    float,
    BeforeValidator(offset),
    WithJsonSchema({"type": "string", "pattern": rf"^{_OFFSET.pattern}$", "examples": ["0s", "90s", "1m 30s"]}),
]
Metres = Annotated[
    float,
    BeforeValidator(metres),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(?:\.\d+)?\s*(?:m|km)$", "examples": ["380m"]}),
]
Instant = Annotated[
    datetime,
    BeforeValidator(instant),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*(?:Z|[+-]\d{2}:?\d{2})$",
            "examples": ["2026-11-24T11:58:00+01:00"],
        }
    ),
]
EventName = Annotated[str, BeforeValidator(values.event_name), WithJsonSchema(values.EVENT_NAME_SCHEMA)]


def reason(value: Any) -> Any:
    """A reason code."""
    if isinstance(value, str) and value not in REASONS:
        raise ValueError(f"there is no reason `{value}`; {did_you_mean(value, REASONS) or 'see docs/rules.md'}")
    return value


Reason = Annotated[str, BeforeValidator(reason), WithJsonSchema({"type": "string", "enum": sorted(REASONS)})]
Count = Annotated[int, Field(ge=0)]


class Event(Model):
    """What happens: a shopper comes into a zone, is seen there, leaves it, comes nearer, or the shop's systems tell of
    something."""

    model_config = one_of(*HAPPENINGS)

    at: Offset
    """From the start of the test, as `0s` or `1m 30s`."""
    enter: str | None = None
    """The zone."""
    seen: str | None = None
    """The zone. Somebody who is seen without an `enter` was there already."""
    exit: str | None = None
    """The zone."""
    approach: str | None = None
    """`store` or an outdoor zone, with `distance`, `eta` or both."""
    cross: str | None = None
    """The outdoor zone."""
    event: EventName | None = None
    """The name of the event; `data` is what it brings."""
    every: Duration | None = None
    """A `seen` is repeated so often."""
    until: Offset | None = None
    """A `seen` is repeated until then."""
    initial: bool = False
    """The shopper is first heard of when already inside."""
    distance: Metres | None = None
    """Of an approach, as `380m`."""
    eta: Duration | None = None
    """Of an approach: the time to the arrival, as `4min`."""
    data: dict[str, Any] = Field(default_factory=dict)
    """What an event brings, as rules see it under `event`."""
    online: bool = False
    """An event that happens in no store."""

    @model_validator(mode="after")
    def _one_thing(self) -> "Event":
        given = [name for name in HAPPENINGS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of {', '.join(HAPPENINGS[:-1])} and {HAPPENINGS[-1]}")
        for words, kind in ((("every", "until"), "seen"), (("initial",), "enter"), (("distance", "eta"), "approach"),
                            (("data", "online"), "event")):  # fmt: skip
            for word in words:
                if word in self.model_fields_set and given != [kind]:
                    raise ValueError(f"`{word}` belongs to `{kind}`, not to `{given[0]}`")
        if (self.every is None) != (self.until is None):
            raise ValueError("`every` and `until` belong together, as in {at: 5s, seen: bakery, every: 5s, until: 90s}")
        if self.until is not None and self.until < self.at:
            raise ValueError("`until` is before `at`")
        if given == ["approach"] and self.distance is None and self.eta is None:
            raise ValueError("say how near, as in {at: 0s, approach: store, distance: 380m}, or `eta: 4min`")
        return self


class Sent(Model):
    """An offer that a shopper got. Only what is written is compared."""

    rule: Slug
    channel: str | None = None
    language: str | None = None
    title: str | None = None
    body: str | None = None
    url: str | None = None
    at: Offset | None = None


class Told(Model):
    """A word that the staff got. Only what is written is compared."""

    desk: Slug
    text: str | None = None
    rule: Slug | None = None
    at: Offset | None = None


class NotSent(Model):
    """A rule that sent nothing, and why."""

    rule: Slug
    because: Reason


class Expectation(Model):
    """What has to be true at a moment, counted from the start."""

    at: Offset
    sent: list[Sent] | None = None
    """All that was sent from the start until then."""
    not_sent: list[NotSent] = Field(default_factory=list)
    """Rules that sent nothing the last time they were asked."""
    withdrawn: list[Slug] | None = None
    """The rules whose offers were taken back."""
    told: list[Told] | None = None
    """All that the staff was told from the start until then."""
    coupons_issued: Count | None = None
    """How many coupons were given out."""
    offers_sent: Count | None = None
    """How many offers were sent."""
    not_sent_because: dict[Reason, Count] = Field(default_factory=dict)
    """How many decisions were withheld, by reason."""

    @model_validator(mode="after")
    def _something(self) -> "Expectation":
        if not self.model_fields_set - {"at"}:
            raise ValueError("expects nothing; write `sent`, `not_sent`, `withdrawn` or `told`")
        return self


class Before(Model):
    """An offer that the shopper had got before the test began."""

    rule: Slug
    ago: Duration
    store: Slug | None = None


class Words(Model):
    """The words of `given` that are not values."""

    channels: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"enum": list(CHANNELS)}})] | None = None
    consents: dict[str, bool] = Field(default_factory=dict)
    sent: list[Before] = Field(default_factory=list)
    arm: dict[str, str] = Field(default_factory=dict)
    budget: dict[str, Budget] = Field(default_factory=dict)
    holdout: list[str] = Field(default_factory=list)


class Faults(Model):
    """What goes wrong in this test."""

    push_delay: Duration | None = None


class Crowd(Model):
    """Many shoppers to whom the same happens."""

    shoppers: Annotated[int, Field(ge=1, le=10_000)]
    """How many; each like the shopper of the test."""
    same_instant: bool = True
    """All at once; `false`: one after the other, a second apart."""


class Case(Model):
    """One story and what is expected of it."""

    name: str = Field(min_length=1)
    shopper: Slug | None = None
    """Without one it is somebody who agreed to everything and of whom nothing is known."""
    store: Slug | None = None
    """Where; with one store it need not be said."""
    clock: Instant | None = None
    """When `0s` is, if not at the clock of the file."""
    given: dict[str, Any] = Field(default_factory=dict)
    """What holds: values as in conditions, and `consents`, `channels`, `sent`, `arm`, `holdout`, `budget`."""
    faults: Faults = Faults()
    crowd: Crowd | None = None
    events: list[Event] = Field(min_length=1)
    expect: list[Expectation] = Field(min_length=1)

    @model_validator(mode="after")
    def _counts_for_a_crowd(self) -> "Case":
        for one in self.expect if self.crowd is not None else ():
            if one.sent or one.not_sent or one.withdrawn or one.told:
                raise ValueError("of a crowd only numbers can be expected: write `offers_sent`, `coupons_issued` "
                                 "or `not_sent_because`")  # fmt: skip
        return self


class WindowCase(Model):
    """A window is open, or not, at a moment."""

    window: str
    at: Instant
    open: bool
    zone: str | None = None
    store: Slug | None = None


class Person(Model):
    """A shopper of the tests. `devices` may stand there, as in shoppers.yaml; tests need none."""

    id: Slug
    name: str | None = None
    languages: list[str] = Field(default_factory=list)
    timezone: str | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    consents: dict[str, bool] = Field(default_factory=dict)
    devices: list[Any] = Field(default_factory=list)


class Place(Model):
    """A zone of the tests."""

    id: Slug
    name: str = ""
    tags: list[str] = Field(default_factory=list)


class Shop(Model):
    """A store of the tests."""

    id: Slug
    timezone: str
    name: str = ""
    country: str | None = None
    opening_hours: str | None = None
    zones: list[Place | Slug] = Field(min_length=1)


class People(Model):
    """A file of shoppers."""

    version: Literal[1] = 1
    shoppers: list[Person]


class Shops(Model):
    """A file of stores."""

    version: Literal[1] = 1
    stores: list[Shop] = Field(min_length=1)


class Fixtures(Model):
    """Who and what the tests are about: a file beside this one, or the list itself."""

    shoppers: str | list[Person] | None = None
    stores: str | list[Shop] | None = None
    attributes: str | None = None


class CaseFile(Model):
    """A whole file."""

    model_config = some_of("tests", "windows")

    version: Literal[1] = 1
    rules: Names = ()
    clock: Instant | None = None
    fixtures: Fixtures = Fixtures()
    silence: Duration = 20.0
    windows: list[WindowCase] = Field(default_factory=list)
    tests: list[Case] = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_with_a_clock(self) -> "CaseFile":
        if not self.tests and not self.windows:
            raise ValueError("has no tests; write some under `tests` or `windows`")
        if self.clock is None and any(test.clock is None for test in self.tests):
            raise ValueError('`clock` is missing: say when the tests begin, as in clock: "2026-11-24T11:58:00+01:00"')
        return self
