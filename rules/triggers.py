"""What a rule listens to, as the engine knows it, and the index that finds rules by what happened."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from rules.cron import Cron
from rules.expressions import Expression
from rules.occurrence import Happening, Occurrence
from rules.values import show_duration, show_reach

Kind = Literal["enter", "exit", "dwell", "approach", "cross", "event"]
Detail = tuple[float, float] | str | None  # dwell: seconds and what is forgiven; approach: the reach; event: its name
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Area:
    """Zones by id or by tag, in some stores or in all."""

    zones: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    stores: frozenset[str] | None = None  # None: any

    @property
    def anywhere(self) -> bool:
        """Whether every zone is meant."""
        return not self.zones and not self.tags

    def covers(self, site: str, zone: str, tags: Iterable[str]) -> bool:
        """Whether a zone with these tags is meant."""
        if self.stores is not None and site not in self.stores:
            return False
        return self.anywhere or zone in self.zones or not set(self.tags).isdisjoint(tags)

    def __str__(self) -> str:
        place = ", ".join(self.zones) or (f"zones tagged {', '.join(self.tags)}" if self.tags else "")
        stores = f"at {', '.join(sorted(self.stores))}" if self.stores is not None else ""
        return " ".join(part for part in (place, stores) if part)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that can happen."""

    kind: Kind
    area: Area
    dwell: float | None = None  # s, for dwell
    forgive: float = 0.0  # s away that a dwell forgives
    reach: str | None = None  # for approach, canonical: "400m" or "300s"
    initial: bool = True  # for enter: whether a first sight inside counts
    names: tuple[str, ...] = ()  # for event
    match: Expression | None = None  # for event, over event.*
    where: str = ""  # file:line

    @property
    def details(self) -> tuple[Detail, ...]:
        """What sets happenings of its kind apart."""
        if self.kind == "event":
            return self.names
        if self.dwell is not None:
            return ((self.dwell, self.forgive),)
        return (self.reach,)

    def __str__(self) -> str:
        words: list[str] = [self.kind]
        if self.dwell is not None:
            words.append(f"{show_duration(self.dwell)} in")
        if self.reach is not None:
            words.append(f"within {show_reach(self.reach)} of")
        words += [", ".join(self.names), f"[{self.match.text}]" if self.match else "", str(self.area)]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several things one after the other."""

    steps: tuple[Trigger, ...]
    within: float  # s from the first to the last
    without: Trigger | None
    key: str  # another text has another key, and what was seen for it is void
    where: str = ""
    kind: Literal["sequence"] = "sequence"

    def __str__(self) -> str:
        but = f" without {self.without}" if self.without else ""
        return f"{', then '.join(map(str, self.steps))} within {show_duration(self.within)}{but}"


@dataclass(frozen=True, slots=True)
class Absence:
    """Not seen for a time."""

    area: Area
    after: float  # s
    key: str
    where: str = ""
    kind: Literal["absence"] = "absence"

    def __str__(self) -> str:
        return " ".join(part for part in (f"absence of {show_duration(self.after)}", str(self.area)) if part)


@dataclass(frozen=True, slots=True)
class Schedule:
    """At times of a calendar, to those inside an area or to those of a segment."""

    cron: Cron
    clock: str  # store | shopper | IANA name
    inside: Area | None  # None: `segments` say who
    segments: tuple[tuple[str, Expression], ...]  # with their names; one has to hold
    where: str = ""
    kind: Literal["schedule"] = "schedule"

    def __str__(self) -> str:
        if self.inside is None:
            whom = ", ".join(name for name, _ in self.segments)
        else:
            whom = " ".join(part for part in ("those inside", str(self.inside)) if part)
        return f"schedule {self.cron.text} to {whom}"


AnyTrigger = Trigger | Sequence | Absence | Schedule


def listens_to(trigger: AnyTrigger) -> tuple[Trigger, ...]:
    """The single things that a trigger is made of, what must not happen among them."""
    if isinstance(trigger, Trigger):
        return (trigger,)
    if isinstance(trigger, Sequence):
        return (*trigger.steps, *((trigger.without,) if trigger.without else ()))
    return ()


def detail_of(happening: Happening) -> Detail:
    """What sets it apart from others of its kind."""
    if happening.kind == "dwell":
        return (happening.dwell or 0.0, happening.forgive)
    if happening.kind == "event":
        return happening.name if isinstance(happening, Occurrence) else None
    return happening.reach if happening.kind == "approach" else None


_Key = tuple[str, Detail, str, str]  # kind, detail, zone | tag | any, name


@dataclass(frozen=True)
class Index(Generic[T]):
    """Finds what listens to a happening, at a cost that does not grow with how much there is."""

    _entries: dict[_Key, list[tuple[frozenset[str] | None, T]]] = field(default_factory=dict, repr=False)

    def add(self, kind: str, details: Iterable[Detail], area: Area, what: T) -> None:
        """`what` listens there to that."""
        names = [*(("zone", zone) for zone in area.zones), *(("tag", tag) for tag in area.tags)] or [("any", "")]
        for detail in details:
            for sort, name in names:
                self._entries.setdefault((kind, detail, sort, name), []).append((area.stores, what))

    def find(self, kind: str, detail: Detail, site: str, zone: str, tags: Iterable[str]) -> list[T]:
        """All that listens there to that; what listens by zone and by tag comes twice."""
        found: list[T] = []
        for sort, name in (("any", ""), ("zone", zone), *(("tag", tag) for tag in tags)):
            for stores, what in self._entries.get((kind, detail, sort, name), ()):
                if stores is None or site in stores:
                    found.append(what)
        return found
