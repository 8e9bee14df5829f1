"""Rules as the engine runs them: everything compiled, found by (trigger, zone)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal

from proximity.model import DwellThreshold, Transition
from rules.attributes import BUILT_IN, SOMETIMES, Scope
from rules.catalog import Catalog, Store
from rules.experiments import Experiment, Holdout
from rules.expressions import Compiler, Expression
from rules.limits import Limit
from rules.occurrence import Happening, Occurrence
from rules.offers import Goal, OfferPlan, StaffTask
from rules.schedule import Place, Runs, Window
from rules.templates import Template
from rules.trigger_schema import STORE
from rules.triggers import Absence, AnyTrigger, Detail, Index, Schedule, Sequence, Trigger, detail_of, listens_to

Policy = Literal["skip", "pass", "fail"]


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
    hold: bool = False  # what falls into it is kept until it ends; False: it is dropped


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
    trigger: AnyTrigger
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
    expires: float  # s after what it fired on
    expires_stated: bool  # whether the rule says so; else what was held counts from its release
    only_while: str
    on_exit: str
    clock: str  # defaults.timezone: store | shopper | IANA name
    places: Mapping[str, str] = field(default_factory=dict)  # stage -> where
    where: str = ""
    offer: OfferPlan | None = None
    tasks: tuple[StaffTask, ...] = ()  # `do`
    goal: Goal | None = None
    paused: str = ""  # "by ada at 2026-11-24 12:04 CET": somebody has stopped it from outside its file

    @property
    def measured(self) -> bool:
        """Whether each meeting of a shopper and the rule is logged, for results."""
        points = self.offer is not None and self.offer.points > 0
        return points or not (self.goal is None and self.holdout is None and self.experiment is None)

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
Key = tuple[str, str, str, Detail]  # kind, site, zone, detail
Step = tuple["Rule", int]  # a rule with a sequence, and the number of its step
WITHOUT = -1  # in place of the number: what must not happen


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rules that listen at one place to one thing, and what their conditions read."""

    rules: tuple[Rule, ...]  # by id
    reads: tuple[Read, ...]


NOBODY = Candidates((), ())


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
    own_readers: frozenset[str] = frozenset()  # rules whose conditions or score read of those
    own_namespaces: Mapping[str, Scope] = field(default_factory=dict)  # those that tell of a rule or of its article
    _found: dict[Key, Candidates] = field(default_factory=dict, repr=False)  # a memo of searches in _index
    _index: Index[Rule] = field(default_factory=Index, repr=False)
    _steps: Index[Step] = field(default_factory=Index, repr=False)
    _absences: Index[Rule] = field(default_factory=Index, repr=False)

    def __post_init__(self) -> None:
        scopes = self.catalog.attributes.scopes
        own = {name: scope for name, scope in scopes.items() if scope in ("product", "rule")}
        object.__setattr__(self, "own_namespaces", own)
        readers = (rule for rule in self.by_id.values() if own and _roots(rule.attributes) & own.keys())
        object.__setattr__(self, "own_readers", frozenset(rule.id for rule in readers))
        object.__setattr__(self, "all_reads", tuple(read_of(name) for name in sorted(self.catalog.attributes.types)))
        for rule in sorted(self.by_id.values(), key=lambda rule: rule.id):
            trigger = rule.trigger
            if isinstance(trigger, Trigger):
                self._index.add(trigger.kind, trigger.details, trigger.area, rule)
            elif isinstance(trigger, Absence):
                self._absences.add("exit", (None,), trigger.area, rule)
            elif isinstance(trigger, Sequence):
                for number, step in enumerate(trigger.steps):
                    self._steps.add(step.kind, step.details, step.area, (rule, number))
                if trigger.without is not None:
                    self._steps.add(
                        trigger.without.kind, trigger.without.details, trigger.without.area, (rule, WITHOUT)
                    )

    def having(self, by_id: Mapping[str, Rule]) -> "RuleSet":
        """The same with other rules."""
        return replace(self, by_id=by_id, _found={}, _index=Index(), _steps=Index(), _absences=Index())

    @property
    def rules(self) -> tuple[RuleSummary, ...]:
        """All rules in the order of their ids."""
        return tuple(
            RuleSummary(rule.id, rule.title, rule.owner, rule.status, str(rule.trigger), rule.where)
            for _, rule in sorted(self.by_id.items())
        )

    def thresholds(self) -> dict[tuple[str, str], frozenset[DwellThreshold]]:
        """(site, zone) -> the dwell times that some rule listens to."""
        found: dict[tuple[str, str], set[DwellThreshold]] = {}
        dwells = [trigger for trigger in self._triggers() if trigger.dwell is not None]
        for store in self.catalog.stores:
            for zone in store.zones:
                for trigger in dwells:
                    if trigger.area.covers(store.id, zone.id, zone.tags):
                        threshold = DwellThreshold(trigger.dwell or 0.0, trigger.forgive)
                        found.setdefault((store.id, zone.id), set()).add(threshold)
        return {place: frozenset(times) for place, times in found.items()}

    def reaches(self) -> dict[tuple[str, str], frozenset[str]]:
        """(site, place) -> how near an approach has to come for some rule: `400m`, `300s`. A place is an outdoor zone,
        or `store`."""
        found: dict[tuple[str, str], set[str]] = {}
        approaches = [trigger for trigger in self._triggers() if trigger.reach is not None]
        for store in self.catalog.stores:
            places = [(zone.id, zone.tags) for zone in store.zones if zone.outdoor and zone.id != STORE]
            for place, tags in [*places, (STORE, store.tags_of(STORE))]:
                for trigger in approaches:
                    if trigger.area.covers(store.id, place, tags):
                        found.setdefault((store.id, place), set()).add(trigger.reach or "")
        return {place: frozenset(reaches) for place, reaches in found.items()}

    def _triggers(self) -> list[Trigger]:
        return [trigger for rule in self.by_id.values() for trigger in listens_to(rule.trigger)]

    @cached_property
    def schedules(self) -> tuple[tuple[Rule, Schedule], ...]:
        """The rules with a schedule, by id."""
        rules = sorted(self.by_id.values(), key=lambda rule: rule.id)
        return tuple((rule, rule.trigger) for rule in rules if isinstance(rule.trigger, Schedule))

    @cached_property
    def stateful(self) -> bool:
        """Whether some rule has to be told of what happened before."""
        return any(isinstance(rule.trigger, Sequence | Absence) for rule in self.by_id.values())

    def place(self, site: str) -> Place:
        """The store's clock and hours; of no store, the clock that the stores have in common, else UTC."""
        found = self.places.get(site)
        return self.nowhere if found is None else found

    @cached_property
    def nowhere(self) -> Place:
        """Where things happen that happen in no store."""
        zones = {store.timezone for store in self.catalog.stores}
        return Place.of(Store("", zones.pop() if len(zones) == 1 else "UTC"))

    def history_window(self) -> float:
        """Seconds of sent offers that the limits need to see; 0 when there are none."""
        return self._window

    @cached_property
    def _window(self) -> float:
        return max((limit.reach for rule in self.by_id.values() for limit in rule.limits), default=0.0)

    def candidates(self, happening: Happening) -> Candidates:
        """Rules that listen to what happened, or that it is for."""
        event = None
        if isinstance(happening, Occurrence):
            if happening.only is not None:
                return _candidates(self.by_id[name] for name in happening.only if name in self.by_id)
            event = happening
        key = (happening.kind, happening.site, happening.zone, detail_of(happening))
        found = self._found.get(key)
        if found is None:
            found = self._search(key)
        if event is None:
            return found
        matching = tuple(
            rule for rule in found.rules if isinstance(rule.trigger, Trigger) and self.matches(rule.trigger, event)
        )
        return found if len(matching) == len(found.rules) else Candidates(matching, found.reads)

    def _search(self, key: Key) -> Candidates:
        kind, site, zone, detail = key
        if not self._known(site, zone):
            return NOBODY
        found = _candidates(self._index.find(kind, detail, site, zone, self.tags(site, zone)))
        if found.rules or kind != "event":  # there may be any number of names of events that nobody listens to
            self._found[key] = found
        return found

    def _known(self, site: str, zone: str) -> bool:
        """Whether the catalog holds it; what happens in no store happens in no zone."""
        place = self.places.get(site)
        if place is None:
            return not site and not zone
        return zone in ("", STORE) or place.store.zone(zone) is not None

    def steps(self, happening: Happening) -> list[Step]:
        """The steps of sequences that it is, by rule, the last of a rule first; and what must not happen."""
        found: dict[tuple[str, int], Step] = {}
        if not self._known(happening.site, happening.zone):
            return []
        tags = self.tags(happening.site, happening.zone)
        for rule, number in self._steps.find(
            happening.kind, detail_of(happening), happening.site, happening.zone, tags
        ):
            assert isinstance(rule.trigger, Sequence)
            step = rule.trigger.without if number == WITHOUT else rule.trigger.steps[number]
            initial = isinstance(happening, Transition) and happening.initial
            if step is None or (initial and not step.initial):
                continue
            if not isinstance(happening, Occurrence) or self.matches(step, happening):
                found[rule.id, number] = (rule, number)
        return [found[key] for key in sorted(found, key=lambda key: (key[0], -key[1]))]

    def absences(self, happening: Happening) -> list[Rule]:
        """The rules that wait for the shopper of this exit to stay away."""
        tags = self.tags(happening.site, happening.zone)
        found = self._absences.find(happening.kind, None, happening.site, happening.zone, tags)
        return list({rule.id: rule for rule in found}.values())

    def matches(self, trigger: Trigger, event: Occurrence) -> bool:
        """Whether an event is the one that is meant; what it does not bring matches nothing."""
        if trigger.match is None:
            return True
        values = {name: value for name, value in event_values(event).items() if name in trigger.match.attributes}
        return trigger.match.evaluate(self.compiler.activation(values)) is True

    def tags(self, site: str, zone: str) -> frozenset[str]:
        """The tags of a zone of a store; none of one that is not known."""
        place = self.places.get(site)
        return place.store.tags_of(zone) if place else frozenset()


def event_values(event: Occurrence) -> dict[str, Any]:
    """What an event brings, by attribute."""
    return {f"event.{key}": value for key, value in event.data.items()}


def _candidates(rules: Iterable[Rule]) -> Candidates:
    found = {rule.id: rule for rule in rules}
    names = {name for rule in found.values() for name in rule.attributes}
    return Candidates(tuple(found[name] for name in sorted(found)), tuple(read_of(name) for name in sorted(names)))


def _roots(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@cache
def read_of(name: str) -> Read:
    """Where the value of an attribute comes from."""
    if name in BUILT_IN or name in SOMETIMES:
        return name, None, None
    namespace, _, key = name.partition(".")
    return name, namespace, key or None
