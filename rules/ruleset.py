"""Rules as the engine runs them: everything compiled, found by (trigger, zone)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from proximity.model import Transition
from rules.attributes import BUILT_IN
from rules.catalog import Catalog
from rules.experiments import Experiment, Holdout
from rules.expressions import Compiler, Expression
from rules.limits import Limit
from rules.schedule import Place, Runs, Window
from rules.templates import Template
from rules.values import show_duration

Policy = Literal["skip", "pass", "fail"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a rule listens to."""

    kind: Literal["enter", "exit", "dwell"]
    zones: tuple[str, ...]  # zone ids; empty: `tags` say which
    tags: tuple[str, ...]
    stores: frozenset[str] | None  # None: any
    dwell: float | None = None  # s, for dwell
    initial: bool = True  # whether a first sight inside counts
    where: str = ""

    def __str__(self) -> str:
        place = ", ".join(self.zones) if self.zones else f"zones tagged {', '.join(self.tags)}"
        span = f" {show_duration(self.dwell)} in" if self.dwell is not None else ""
        stores = f" at {', '.join(sorted(self.stores))}" if self.stores is not None else ""
        return f"{self.kind}{span} {place}{stores}"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, and what the absence of its attributes means."""

    expression: Expression
    policies: Mapping[str, Policy]  # by attribute
    where: str
    label: str  # as a trace names it


@dataclass(frozen=True, slots=True)
class Conditions:
    """What `where` asks of the shopper and the store's data."""

    any_segment: tuple[Check, ...] = ()
    no_segment: tuple[Check, ...] = ()
    all: tuple[Check, ...] = ()
    any: tuple[Check, ...] = ()
    none: tuple[Check, ...] = ()
    attributes: tuple[str, ...] = ()  # all that they read
    where: str | None = None  # None: the rule has no `where`


@dataclass(frozen=True, slots=True)
class Quiet:
    """A window in which nothing is sent."""

    window: Window  # with the clock of the quiet hours
    where: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is said in one language."""

    title: Template
    body: Template
    url: Template | None
    where: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to run. `where` fields are `file:line`."""

    id: str
    title: str
    owner: str | None
    status: str
    runs: Runs | None
    service: bool
    trigger: Trigger
    conditions: Conditions
    store: Literal["open", "closed"] | None
    during: tuple[Window, ...]
    purpose: str
    group: str | None
    priority: int
    score: Expression | None  # of the whole group, or of none of it
    limits: tuple[Limit, ...]
    quiet: tuple[Quiet, ...]
    holdout: Holdout | None
    experiment: Experiment | None
    say: Mapping[str, Mapping[str, Message]]  # by arm ("" without an experiment), then by language, the fallback first
    channels: tuple[str, ...]
    urgency: str
    expires: float  # s after the transition
    only_while: str
    on_exit: str
    clock: str  # defaults.timezone: store | shopper | IANA name
    places: Mapping[str, str] = field(default_factory=dict)  # stage -> where
    where: str = ""

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that its conditions and its score read."""
        return (*self.conditions.attributes, *(self.score.attributes if self.score else ()))


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule as a list shows it."""

    id: str
    title: str
    owner: str | None
    status: str
    trigger: str  # "dwell 60s in coffee-aisle"
    where: str  # file:line


# Where an attribute's value comes from: its name, its namespace (None: built in), and the key in it (None: all of it).
Read = tuple[str, str | None, str | None]
Key = tuple[str, str, str, float | None]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rules that listen at one place to one thing, and what their conditions read."""

    rules: tuple[Rule, ...]  # by id
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class RuleSet:
    """All rules of a loaded folder."""

    version: str  # hash of the texts
    by_id: Mapping[str, Rule]
    catalog: Catalog
    places: Mapping[str, Place]  # by store id
    compiler: Compiler
    files: Mapping[str, str]  # name -> text
    windows: Mapping[str, Window] = field(default_factory=dict)
    all_reads: tuple[Read, ...] = ()  # every declared attribute
    _found: dict[Key, Candidates] = field(default_factory=dict, repr=False)  # a memo of searches in _index
    _index: dict[Key, tuple[Rule, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all_reads", tuple(_read(name) for name in sorted(self.catalog.attributes.types)))
        lists: dict[Key, list[Rule]] = {}
        for rule in sorted(self.by_id.values(), key=lambda rule: rule.id):
            trigger = rule.trigger
            for sort, names in (("zone", trigger.zones), ("tag", trigger.tags)):
                for name in names:
                    lists.setdefault((trigger.kind, sort, name, trigger.dwell), []).append(rule)
        self._index.update({key: tuple(rules) for key, rules in lists.items()})

    @property
    def rules(self) -> tuple[RuleSummary, ...]:
        """All rules in the order of their ids."""
        return tuple(
            RuleSummary(rule.id, rule.title, rule.owner, rule.status, str(rule.trigger), rule.where)
            for _, rule in sorted(self.by_id.items())
        )

    def thresholds(self) -> dict[tuple[str, str], frozenset[float]]:
        """(site, zone) -> the dwell times, in seconds, that some rule listens to."""
        found: dict[tuple[str, str], set[float]] = {}
        dwells = [rule.trigger for rule in self.by_id.values() if rule.trigger.dwell is not None]
        for store in self.catalog.stores:
            for zone in store.zones:
                for trigger in dwells:
                    if _listens(trigger, store.id, zone.id, zone.tags):
                        found.setdefault((store.id, zone.id), set()).add(trigger.dwell or 0.0)
        return {place: frozenset(times) for place, times in found.items()}

    def history_window(self) -> float:
        """Seconds of sent offers that the limits need to see; 0 when there are none."""
        return max((limit.reach for rule in self.by_id.values() for limit in rule.limits), default=0.0)

    def candidates(self, transition: Transition) -> Candidates:
        """Rules that listen to a transition."""
        key = (transition.kind, transition.site, transition.zone, transition.dwell)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._search(key)
        return found

    def _search(self, key: Key) -> Candidates:
        kind, site, zone_id, dwell = key
        place = self.places.get(site)
        zone = place.store.zone(zone_id) if place else None
        rules: dict[str, Rule] = {}
        for sort, name in (("zone", zone_id), *(("tag", tag) for tag in zone.tags)) if zone else ():
            for rule in self._index.get((kind, sort, name, dwell), ()):
                if rule.trigger.stores is None or site in rule.trigger.stores:
                    rules[rule.id] = rule
        names = {name for rule in rules.values() for name in rule.attributes}
        return Candidates(tuple(rules[name] for name in sorted(rules)), tuple(_read(name) for name in sorted(names)))


def _read(name: str) -> Read:
    if name in BUILT_IN:
        return name, None, None
    namespace, _, key = name.partition(".")
    return name, namespace, key or None


def _listens(trigger: Trigger, site: str, zone: str, tags: Iterable[str]) -> bool:
    if trigger.stores is not None and site not in trigger.stores:
        return False
    return zone in trigger.zones or not set(trigger.tags).isdisjoint(tags)
