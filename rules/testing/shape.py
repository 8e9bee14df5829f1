"""The shape of a test file, `*.test.yaml`, as pydantic models. Times in it count from the start of its clock."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from proximity.document import did_you_mean
from rules import values
from rules.explain import REASONS
from rules.forms import STRICT, Duration, Names, Slug

_OFFSET = re.compile(r"(?:\d+\s*[smhd]\s*)+")
EVENTS = ("enter", "seen", "exit")


def offset(value: Any) -> float:
    """`0s`, `90s`, `1m 30s` -> seconds after the start of the clock."""
    if not isinstance(value, str) or not _OFFSET.fullmatch(value):
        raise ValueError(f"{values.show(value)} is not a time of a test; write `0s`, `90s` or `1m 30s`")
    return float(sum(int(number) * values.UNITS[unit] for number, unit in re.findall(r"(\d+)\s*([smhd])", value)))


def instant(value: Any) -> datetime:
    """A date and time with an offset."""
    found = values.moment(value)
    if found.tzinfo is None:
        raise ValueError(f'{values.show(value)} needs its offset from UTC, as in "2026-11-24T11:58:00+01:00"')
    return found


Offset = Annotated[float, BeforeValidator(offset)]
Instant = Annotated[datetime, BeforeValidator(instant)]


class Model(BaseModel):
    """Unknown keys are errors, and nothing is converted in silence."""

    model_config = STRICT


class Event(Model):
    """What presence tells: a shopper comes into a zone, is seen there, leaves it."""

    at: Offset
    enter: str | None = None
    seen: str | None = None
    exit: str | None = None
    every: Duration | None = None
    until: Offset | None = None
    initial: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> "Event":
        given = [name for name in EVENTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("needs one of enter, seen and exit, with the name of a zone")
        if (self.every is None) != (self.until is None):
            raise ValueError("`every` and `until` belong together, as in {at: 5s, seen: bakery, every: 5s, until: 90s}")
        if self.every is not None and given != ["seen"]:
            raise ValueError("only `seen` repeats")
        if self.until is not None and self.until < self.at:
            raise ValueError("`until` is before `at`")
        if self.initial and given != ["enter"]:
            raise ValueError("only an `enter` can be `initial`")
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


class NotSent(Model):
    """A rule that sent nothing, and why."""

    rule: Slug
    because: str

    @field_validator("because")
    @classmethod
    def _known(cls, reason: str) -> str:
        if reason not in REASONS:
            raise ValueError(f"there is no reason `{reason}`; {did_you_mean(reason, REASONS) or 'see docs/rules.md'}")
        return reason


class Expectation(Model):
    """What has to be true at a moment, counted from the start."""

    at: Offset
    sent: list[Sent] | None = None
    not_sent: list[NotSent] = []
    withdrawn: list[Slug] | None = None

    @model_validator(mode="after")
    def _something(self) -> "Expectation":
        if self.sent is None and self.withdrawn is None and not self.not_sent:
            raise ValueError("expects nothing; write `sent`, `not_sent` or `withdrawn`")
        return self


class Before(Model):
    """An offer that the shopper had got before the test began."""

    rule: Slug
    ago: Duration
    store: Slug | None = None


class Words(Model):
    """The words of `given` that are not values."""

    channels: list[str] | None = None
    consents: dict[str, bool] = {}
    sent: list[Before] = []
    arm: dict[str, str] = {}
    holdout: list[str] = []


class Faults(Model):
    """What goes wrong in this test."""

    push_delay: Duration | None = None


class Case(Model):
    """One story and what is expected of it."""

    name: str = Field(min_length=1)
    shopper: Slug | None = None
    store: Slug | None = None
    clock: Instant | None = None
    given: dict[str, Any] = {}
    faults: Faults = Faults()
    events: list[Event] = Field(min_length=1)
    expect: list[Expectation] = Field(min_length=1)


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
    languages: list[str] = []
    timezone: str | None = None
    attributes: dict[str, Any] = {}
    consents: dict[str, bool] = {}
    devices: list[Any] = []


class Place(Model):
    """A zone of the tests."""

    id: Slug
    name: str = ""
    tags: list[str] = []


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

    version: Literal[1] = 1
    rules: Names = ()
    clock: Instant | None = None
    fixtures: Fixtures = Fixtures()
    silence: Duration = 20.0
    windows: list[WindowCase] = []
    tests: list[Case] = []

    @model_validator(mode="after")
    def _some_with_a_clock(self) -> "CaseFile":
        if not self.tests and not self.windows:
            raise ValueError("has no tests; write some under `tests` or `windows`")
        if self.clock is None and any(test.clock is None for test in self.tests):
            raise ValueError('`clock` is missing: say when the tests begin, as in clock: "2026-11-24T11:58:00+01:00"')
        return self


# Words of the language that need budgets, which this version does not have.
LATER_EXPECT = ("coupons_issued", "not_sent_because")
