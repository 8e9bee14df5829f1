"""The shape of a rule file, as pydantic models: one field per key, unknown keys refused.

Meaning (does the zone exist, does the condition compile) is checked afterwards, in `build`. The JSON Schema for editors
is made from the same models, in `json_schema`; the docstrings under fields are what an editor shows.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from rules import values
from rules.forms import (
    EXCEPT_SCHEMA,
    LANGUAGES_SCHEMA,
    PUBLIC_HOLIDAYS,
    STRICT,
    Date,
    Duration,
    LastDate,
    Names,
    Percent,
    Slug,
    TimeOfDay,
    one_of,
    some_of,
)

TRIGGERS = ("enter", "exit", "dwell")
CHANNELS = ("push", "inbox", "webhook")
STATUSES = ("draft", "review", "approved", "live", "paused", "ended")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Missing = Literal["skip", "pass", "fail"]


class Model(BaseModel):
    """Unknown keys are errors, and nothing is converted in silence."""

    model_config = STRICT


class _Zones(Model):
    """Where a trigger listens: zones by name or by tag, in any store or in some."""

    model_config = one_of("zone", "tag")

    zone: Names = ()
    """One zone, or a list of zones."""
    tag: Names = ()
    """Every zone with this tag, or with one of these."""
    stores: Names = ()
    """Only in these stores; without it, in every store that has such a zone."""

    @model_validator(mode="after")
    def _one_place(self) -> "_Zones":
        if not self.zone and not self.tag:
            raise ValueError("say where: `zone: entrance`, `zone: [a, b]` or `tag: coffee`")
        if self.zone and self.tag:
            raise ValueError("write `zone` or `tag`, not both; use two rules, or give the zones a common tag")
        return self


class Enter(_Zones):
    """The shopper comes into the zone."""

    initial: bool = True
    """`false`: not for somebody first heard of when already inside."""


class Exit(_Zones):
    """The shopper has left the zone."""


class Dwell(_Zones):
    """The shopper has been in the zone for a time, once per visit."""

    for_: Duration = Field(alias="for")
    """How long, as `60s` or `5m`."""


class When(Model):
    """Exactly one trigger."""

    model_config = one_of(*TRIGGERS)

    enter: Enter | None = None
    exit: Exit | None = None
    dwell: Dwell | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "When":
        given = [name for name in TRIGGERS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(f'`{name}`' for name in given)}; write a rule for each" if given else ""
            raise ValueError(f"needs one trigger: enter, exit or dwell{found}")
        return self


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
    missing: dict[str, Missing] = {}
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
            raise ValueError(f"the arms add to {total:g}, not to 100")
        return arms


class Limit(Model):
    """At most `max` offers to one shopper in every `every`."""

    scope: Literal["rule", "store", "all"]
    """What is counted: offers of this rule, of any rule in this store, or of all rules in all stores."""
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
    then: Literal["drop"] = "drop"


class Message(Model):
    """What is said in one language. All three are Liquid."""

    title: str = Field(min_length=1)
    body: str = Field(min_length=1)
    url: str | None = None
    """Where a tap leads; begins with `https://`."""


class Deliver(Model):
    """How it reaches the shopper. None: what fits the trigger."""

    channels: list[Literal["push", "inbox", "webhook"]] = Field(
        default=["push", "inbox"], min_length=1, json_schema_extra={"uniqueItems": True}
    )
    """In order of preference."""
    urgency: Literal["very-low", "low", "normal", "high"] = "normal"
    expires: Duration | None = None
    """Counted from the moment of the trigger; `5m` when not written, `30m` for an exit."""
    only_while: Literal["inside", "store", "anywhere"] | None = None
    """Where the shopper still has to be right before the send."""
    on_exit: Literal["withdraw", "keep"] | None = None
    """What becomes of the offer when the shopper leaves the zone."""

    @field_validator("channels")
    @classmethod
    def _no_doubles(cls, channels: list[str]) -> list[str]:
        if len(set(channels)) < len(channels):
            raise ValueError("names a channel twice")
        return channels


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


def _by_language(value: Any) -> Any:
    if isinstance(value, dict) and value and set(value) <= {"title", "body", "url"}:
        raise ValueError('name the language first: {en: {title: "…", body: "…"}}')
    return value


def _sort_of_say(value: Any) -> str:
    """By arm when a message stands one level deeper than the languages of a rule without an experiment."""
    arms = value.values() if isinstance(value, dict) else ()
    deeper = any(isinstance(one, dict) and any(isinstance(part, dict) for part in one.values()) for one in arms)
    return "arms" if deeper else "languages"


ByLanguage = Annotated[
    dict[str, Message],
    Field(min_length=1, json_schema_extra={"propertyNames": values.LANGUAGE_SCHEMA}),
    BeforeValidator(_by_language),
]
ByArm = Annotated[dict[Slug, ByLanguage], Field(min_length=1)]


class Rule(Model):
    """One rule."""

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
    """`service` is for what a shopper waits for: it stands outside limits and quiet hours."""
    when: When
    where: Where = Where()
    consent: Consent = Consent(purpose="in-store-offers")
    compete: Compete | None = None
    limits: list[Limit] = []
    """Stricter than those of `defaults`, which hold too."""
    quiet: Quiet | None = None
    """Quiet hours beside those of `defaults`."""
    holdout: Holdout | None = None
    experiment: Experiment | None = None
    say: Annotated[
        Annotated[ByLanguage, Tag("languages")] | Annotated[ByArm, Tag("arms")],
        Discriminator(_sort_of_say),
    ]
    """What is said, by language; with an `experiment` by arm, then by language."""
    deliver: Deliver = Deliver()


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
    windows: dict[Slug, Window] = {}
    """Named times, for `during` and `quiet`. They hold in every file of the folder."""
    segments: dict[Slug, str] = {}
    """Named conditions, for `where.segments`. They hold in every file of the folder."""
    rules: list[Any] = []

    @field_validator("version")
    @classmethod
    def _one(cls, version: int) -> int:
        if version != 1:
            raise ValueError(f"this program reads version 1, not {version}")
        return version


# Keys of the language that this version does not act on. They are refused, never silently ignored.
LATER_RULE_KEYS = ("offer", "do", "goal")
LATER_TRIGGERS = ("sequence", "absence", "schedule", "event", "approach", "cross")
