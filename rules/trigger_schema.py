"""The shape of `when`: what a rule listens to."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from rules.cron import CRON_SCHEMA, Cron
from rules.forms import Duration, EventNames, Model, Names, Reach, never, one_of

STEPS = ("enter", "exit", "dwell", "approach", "cross", "event")
TRIGGERS = (*STEPS, "sequence", "absence", "schedule")
STORE = "store"  # the place of a whole store, where a place or zones are named
MOST_STEPS = 8


def _cron(value: Any) -> Cron:
    return Cron.parse(value)


CronLine = Annotated[
    Cron,
    BeforeValidator(_cron),
    WithJsonSchema(CRON_SCHEMA),
]


class Zones(Model):
    """Where a trigger listens: zones by name or by tag, in any store or in some."""

    model_config = one_of("zone", "tag")

    zone: Names = ()
    """One zone, or a list of zones."""
    tag: Names = ()
    """Every zone with this tag, or with one of these."""
    stores: Names = ()
    """Only in these stores; without it, in every store that has such a zone."""

    @model_validator(mode="after")
    def _one_place(self) -> "Zones":
        if not self.zone and not self.tag:
            raise ValueError("say where: `zone: entrance`, `zone: [a, b]` or `tag: coffee`")
        if self.zone and self.tag:
            raise ValueError("write `zone` or `tag`, not both; use two rules, or give the zones a common tag")
        return self


class Enter(Zones):
    """The shopper comes into the zone."""

    initial: bool = True
    """`false`: not for somebody first heard of when already inside."""


class Exit(Zones):
    """The shopper has left the zone."""


class Cross(Zones):
    """The shopper went through an outdoor zone without being seen in it, between two positions."""


class Dwell(Zones):
    """The shopper has been in the zone for a time, once per visit."""

    for_: Duration = Field(alias="for")
    """How long, as `60s` or `5m`."""
    forgive: Duration | None = None
    """How long the shopper may be away and yet goes on counting, as `15s`."""


class Approach(Model):
    """The shopper comes nearer, once per approach."""

    model_config = one_of("place", "tag")

    place: Names = ()
    """`store`, or an outdoor zone, or a list of those."""
    tag: Names = ()
    """Every outdoor zone with this tag, or with one of these."""
    within: Reach
    """How far away, as `400m`, or how long before the arrival, as `5min`."""
    stores: Names = ()
    """Only at these stores."""

    @model_validator(mode="after")
    def _one_place(self) -> "Approach":
        if bool(self.place) == bool(self.tag):
            raise ValueError("say what is approached: `place: store`, `place: car-park` or `tag: parking`")
        return self


class Event(Model):
    """Something that the shop's systems tell of: a code scanned, a basket, an order, an online view."""

    name: EventNames
    """What the event is called, or a list."""
    match: str | None = Field(default=None, min_length=1)
    """A condition over `event`, as `event.category == "socks"`."""
    stores: Names = ()
    """Only when it happens in these stores; without it also when it happens in none, as online."""


class Step(Model):
    """One thing that has to happen."""

    model_config = one_of(*STEPS)

    enter: Enter | None = None
    exit: Exit | None = None
    dwell: Dwell | None = None
    approach: Approach | None = None
    cross: Cross | None = None
    event: Event | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, value: Any) -> Any:
        _meant(value)
        for name in TRIGGERS[len(STEPS) :]:
            if isinstance(value, dict) and name in value:
                raise ValueError(f"`{name}` cannot stand in a sequence; its steps are {', '.join(STEPS)}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Step":
        _one_trigger(self, STEPS)
        return self


class Sequence(Model):
    """Several things one after the other."""

    within: Duration
    """From the first to the last."""
    steps: list[Step] = Field(json_schema_extra={"minItems": 2, "maxItems": MOST_STEPS})
    """In this order; other things may happen in between."""
    without: Step | None = None
    """What must not happen between the first and the last."""

    @field_validator("steps")
    @classmethod
    def _some(cls, steps: list[Step]) -> list[Step]:
        if not 2 <= len(steps) <= MOST_STEPS:
            raise ValueError(f"a sequence has 2 to {MOST_STEPS} steps, not {len(steps)}")
        return steps


class Absence(Model):
    """The shopper has not been seen for a time; once, until seen again."""

    model_config = never({"required": ["zone", "tag"]})

    zone: Names = ()
    """Not seen in this zone, or in none of these; without it, in no zone at all."""
    tag: Names = ()
    """Not seen in any zone with this tag."""
    stores: Names = ()
    """Not seen in these stores."""
    for_: Duration = Field(alias="for")
    """How long, as `30d`."""

    @model_validator(mode="after")
    def _one_place(self) -> "Absence":
        if self.zone and self.tag:
            raise ValueError("write `zone` or `tag`, not both")
        return self


_STORE_AMONG_OTHERS = {
    "required": ["inside"],
    "properties": {"inside": {"type": "array", "minItems": 2, "contains": {"const": STORE}}},
}


class Audience(Model):
    """Whom a schedule is for: those inside, or a segment."""

    model_config = one_of("inside", "tag", "segment", unless=_STORE_AMONG_OTHERS)

    inside: Names = ()
    """Those who are inside this zone, or one of these; `store`: anywhere in the store."""
    tag: Names = ()
    """Those who are inside a zone with this tag."""
    segment: Names = ()
    """Those of this segment, or of one of these, wherever they are."""

    @model_validator(mode="after")
    def _one_sort(self) -> "Audience":
        given = [name for name in ("inside", "tag", "segment") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("say to whom: `inside: store`, `inside: bakery`, `tag: coffee` or `segment: lapsed`")
        if STORE in self.inside and len(self.inside) > 1:
            raise ValueError("`store` stands for all zones; name it alone")
        return self


class Schedule(Model):
    """At times of a calendar."""

    model_config = never({"required": ["stores"], "properties": {"to": {"required": ["segment"]}}})

    cron: CronLine
    """Minute, hour, day of the month, month, day of the week, as `30 17 * * fri`."""
    to: Audience
    clock: str | None = None
    """`store`, `shopper`, or a name as `Europe/Paris`; without it, that of `defaults.timezone`."""
    stores: Names = ()
    """Only in these stores."""

    @model_validator(mode="after")
    def _stores_of_those_inside(self) -> "Schedule":
        if self.stores and self.to.segment:
            raise ValueError("`stores` is for those inside; a segment is wherever its shoppers are")
        return self


class When(Model):
    """Exactly one trigger."""

    model_config = one_of(*TRIGGERS)

    enter: Enter | None = None
    exit: Exit | None = None
    dwell: Dwell | None = None
    approach: Approach | None = None
    cross: Cross | None = None
    event: Event | None = None
    sequence: Sequence | None = None
    absence: Absence | None = None
    schedule: Schedule | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        _meant(value)
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "When":
        _one_trigger(self, TRIGGERS)
        return self


_OTHER_WORDS = {
    "leave": "exit", "left": "exit", "arrive": "enter", "visit": "enter", "stay": "dwell", "linger": "dwell",
    "near": "approach", "nearby": "approach", "pass": "cross", "then": "sequence", "steps": "sequence",
    "away": "absence", "lapsed": "absence", "cron": "schedule", "every": "schedule", "at": "schedule",
}  # fmt: skip


def _meant(value: Any) -> None:
    """Refuse what people call a trigger, and say what it is called here."""
    for word in value if isinstance(value, dict) else ():
        if word in _OTHER_WORDS:
            raise ValueError(f"there is no trigger `{word}`; write `{_OTHER_WORDS[word]}`")


def _one_trigger(given: Model, names: tuple[str, ...]) -> None:
    found = [name for name in names if getattr(given, name) is not None]
    if len(found) == 1:
        return
    tail = f", not {' and '.join(f'`{name}`' for name in found)}; write a rule for each" if found else ""
    raise ValueError(f"needs one trigger: {', '.join(names[:-1])} or {names[-1]}{tail}")
