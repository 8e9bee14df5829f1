"""The shape of a rule file, as pydantic models: one field per key, unknown keys refused.

Meaning (does the zone exist, does the condition compile) is checked afterwards, in `build`. The JSON Schema for editors
is made from the same models, in `json_schema`; the docstrings under fields are what an editor shows.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rules import values
from rules.forms import (
    EXCEPT_SCHEMA,
    LANGUAGES_SCHEMA,
    PUBLIC_HOLIDAYS,
    Date,
    Duration,
    LastDate,
    Model,
    Names,
    Percent,
    Slug,
    TimeOfDay,
    some_of,
)
from rules.offer_schema import Action, Goal, Offer
from rules.say_schema import Deliver, Say
from rules.trigger_schema import When

STATUSES = ("draft", "review", "approved", "live", "paused", "ended")

Missing = Literal["skip", "pass", "fail"]


class SegmentChoice(Model):
    """Groups of shoppers: in at least one of `any`, and in none of `none`."""

    model_config = some_of("any", "none")

    any: Names = ()
    """The shopper has to be in one of these segments."""
    none: Names = ()
    """The shopper may be in none of these segments."""

    @model_validator(mode="after")
    def _not_empty(self) -> "SegmentChoice":
        if not self.any and not self.none:
            raise ValueError("name segments under `any` or `none`")
        return self


Expressions = Annotated[list[str], Field(min_length=1)]


class Where(Model):
    """Conditions."""

    segments: SegmentChoice | None = None
    during: Names = ()
    """A window, or several: it has to be in one of them."""
    store: Literal["open", "closed"] | None = None
    """By the opening hours of the store."""
    all: Expressions | None = None
    """Each of these has to hold."""
    any: Expressions | None = None
    """At least one of these has to hold."""
    none: Expressions | None = None
    """None of these may hold."""
    missing: dict[str, Missing] = Field(default_factory=dict)
    """What it means that a value is missing, by value."""


class Consent(Model):
    """The purpose that the shopper must have agreed to."""

    purpose: Slug


class Compete(Model):
    """One best offer of a group."""

    group: Slug
    """Of the rules of a group that fire together, one is sent."""
    priority: int = 0
    """The highest goes first; between equals, the first id of the alphabet."""
    score: str | None = None
    """A formula over values: the highest is sent. All rules of the group have one, or none has."""


class Holdout(Model):
    """A share of shoppers who get nothing, so that the effect of the rules that name it can be measured."""

    percent: Percent
    name: Slug
    """Rules that name the same holdout hold out the same shoppers."""


class Experiment(Model):
    """Wordings tried against one another. `say` is by arm, then by language."""

    name: Slug
    """Rules that name the same experiment give a shopper the same arm."""
    arms: Annotated[dict[Slug, Percent], Field(min_length=2)]
    """Percent by arm, together 100. An arm called `control` may say nothing."""

    @field_validator("arms")
    @classmethod
    def _whole(cls, arms: dict[str, float]) -> dict[str, float]:
        total = round(sum(arms.values()), 6)
        if total != 100:
            lack = round(100 - total, 6)
            tail = (
                f"give the missing {lack:g} to one of them, or to an arm `control`, which says nothing"
                if lack > 0
                else f"take {-lack:g} away"
            )
            raise ValueError(f"the arms add to {total:g}, not to 100; {tail}")
        return arms


class Limit(Model):
    """At most `max` offers to one shopper in every `every`."""

    scope: Literal["rule", "store", "all"]
    """What is counted: offers of this rule, of any rule in this store, or of all rules in all stores. For a service
    rule only `rule`."""
    max: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
    every: Duration
    window: Literal["rolling", "calendar"] = "rolling"
    """`rolling` looks back from now; `calendar` counts from midnight (`24h`) or from Monday (`7d`)."""

    @field_validator("max")
    @classmethod
    def _some(cls, most: int) -> int:
        if most < 1:
            raise ValueError("must be 1 or more; to send nothing, write `status: paused`")
        return most

    @model_validator(mode="after")
    def _calendar(self) -> "Limit":
        if self.window == "calendar" and self.every not in (86400.0, 7 * 86400.0):
            raise ValueError("a calendar window is a day (`24h`) or a week from Monday (`7d`); else use `rolling`")
        return self


class Quiet(Model):
    """A window in which nothing is sent."""

    window: str
    """A name under `windows`."""
    clock: str = "shopper"
    """`store`, `shopper`, or a name as `Europe/Paris`."""
    then: Literal["drop", "hold"] = "drop"
    """`drop`: nothing is sent. `hold`: what falls into the window is looked at again when it ends."""


class Runs(Model):
    """The dates between which a rule is live. Without an offset: wall clock of `defaults.timezone`."""

    model_config = some_of("from", "until")

    from_: Date = Field(default=None, alias="from")
    """As `2026-11-20` or `2026-11-20T09:00`."""
    until: LastDate = None
    """A date alone is the whole of that day."""

    @model_validator(mode="after")
    def _in_order(self) -> "Runs":
        if self.from_ is None and self.until is None:
            raise ValueError('needs `from`, `until` or both, as in {from: "2026-11-20", until: "2026-12-24"}')
        if self.from_ and self.until:
            if (self.from_.tzinfo is None) != (self.until.tzinfo is None):
                raise ValueError("give both dates an offset (`+01:00`) or neither")
            if self.from_ >= self.until:
                raise ValueError("`until` is not after `from`, so the rule never runs")
        return self


def _silent_only_with_do(say: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A rule that only tells the staff says nothing."""
    if say is not None:
        return handler(say)
    if not info.data.get("do", True):  # a `do` with mistakes of its own is not in the data
        raise PydanticCustomError("missing", "Field required")
    return None


# What is not written, made once: pydantic would copy a default for every rule.
_ANYBODY, _OFFERS, _USUAL = Where(), Consent(purpose="in-store-offers"), Deliver()


# A service rule counts nothing but itself.
_OF_ITSELF = {"const": "rule", "description": "A service rule counts only its own messages."}
_ONLY_ITSELF = {
    "if": {"properties": {"class": {"const": "service"}}, "required": ["class"]},
    "then": {"properties": {"limits": {"items": {"properties": {"scope": _OF_ITSELF}}}}},
}


class Rule(Model):
    """One rule."""

    model_config = some_of("say", "do", beside=_ONLY_ITSELF)

    id: Slug
    """A short name that no other rule has, as `coffee-linger`."""
    title: str | None = None
    """What the rule is called in lists."""
    owner: str | None = None
    """Who answers for the rule."""
    status: Literal["draft", "review", "approved", "live", "paused", "ended"] = "live"
    """Only `live` sends."""
    runs: Runs | None = None
    class_: Literal["marketing", "service"] = Field(default="marketing", alias="class")
    """`service` is for what a shopper waits for: it stands outside the limits of the house and quiet hours."""
    when: When
    where: Where = Field(default_factory=lambda: _ANYBODY)
    consent: Consent = Field(default_factory=lambda: _OFFERS)
    compete: Compete | None = None
    limits: list[Limit] = Field(default_factory=list)
    """Stricter than those of `defaults`, which hold too; of a service rule the only ones."""
    quiet: Quiet | None = None
    """Quiet hours beside those of `defaults`."""
    holdout: Holdout | None = None
    experiment: Experiment | None = None
    offer: Offer | None = None
    """What the shopper gets besides the message."""
    do: Annotated[list[Action], Field(min_length=1)] = Field(default_factory=list)
    """What the house does."""
    goal: Goal | None = None
    """What counts as success."""
    say: Annotated[Say, WrapValidator(_silent_only_with_do)] = Field(default=None, validate_default=True)
    """What is said, by language; with an `experiment` by arm, then by language."""
    deliver: Deliver = Field(default_factory=lambda: _USUAL)


class Window(Model):
    """Times of day, on some days. Wraps midnight when `to` is before `from`."""

    model_config = some_of("days", "from", "to", "except")

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = Field(default=None, min_length=1)
    from_: TimeOfDay | None = Field(default=None, alias="from")
    """As `"11:30"`, with quotes."""
    to: TimeOfDay | None = None
    """The first minute that is no longer in the window."""
    except_: Annotated[list[str], WithJsonSchema(EXCEPT_SCHEMA)] = Field(default=[], alias="except")
    """Not on these days: `public-holidays`, or dates as `2026-12-24`."""
    clock: str | None = None
    """`store`, `shopper`, or a name as `Europe/Paris`; without it, that of `defaults.timezone`."""

    @field_validator("except_")
    @classmethod
    def _known_exceptions(cls, found: list[str]) -> list[str]:
        for one in found:
            if one != PUBLIC_HOLIDAYS:
                values.day(one)
        return found

    @model_validator(mode="after")
    def _has_a_time(self) -> "Window":
        if self.days is None and self.from_ is None and self.to is None and not self.except_:
            raise ValueError('is empty; write {from: "09:00", to: "12:00"} or {days: [sat, sun]}')
        if (self.from_ or 0) == (1440 if self.to is None else self.to):
            raise ValueError("`from` and `to` are the same; leave both out for the whole day")
        if self.from_ == 1440:
            raise ValueError('a day begins at "00:00"; "24:00" is only for `to`')
        return self


class Defaults(Model):
    """What holds for every rule of every file."""

    timezone: str | None = None
    """Whose clock counts: `store`, `shopper`, or a name as `Europe/Paris`."""
    languages: Annotated[list[str] | None, WithJsonSchema(LANGUAGES_SCHEMA)] = Field(default=None, min_length=1)
    """The languages of the house, the fallback first."""
    missing: Missing | None = None
    """What a missing value means: the rule does not fire (`skip`), the condition is met (`pass`), or not (`fail`)."""
    limits: list[Limit] | None = None
    """Frequency caps of every rule."""
    quiet: Quiet | None = None
    """Quiet hours of every rule."""


class Header(Model):
    """A file without its rules, whose models are checked one by one."""

    version: Annotated[int, WithJsonSchema({"const": 1})] = 1
    defaults: Defaults = Defaults()
    windows: dict[Slug, Window] = Field(default_factory=dict)
    """Named times, for `during` and `quiet`. They hold in every file of the folder."""
    segments: dict[Slug, str] = Field(default_factory=dict)
    """Named conditions, for `where.segments`. They hold in every file of the folder."""
    rules: list[Any] = Field(default_factory=list)

    @field_validator("version")
    @classmethod
    def _one(cls, version: int) -> int:
        if version != 1:
            raise ValueError(f"this program reads version 1, not {version}")
        return version
