"""One transition under decision: what its candidates share, worked out once and only when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from proximity.model import Coupon, Sent, Shopper
from rules.catalog import Zone
from rules.experiments import Holdout, bucket
from rules.expressions import Expression, problem_text
from rules.occurrence import Happening, Occurrence
from rules.offers import Used
from rules.ruleset import Candidates, Read, Rule, RuleSet, read_of
from rules.schedule import local_time
from rules.values import DAYS


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a decision is taken."""

    now: float  # seconds since the epoch
    shopper: Shopper | None  # None: nobody who is registered
    history: Sequence[Sent] = ()  # the shopper's sent offers, in any order, at least `RuleSet.history_window()` back
    reachable: frozenset[str] = frozenset()  # channels by which the shopper can be reached: push, inbox, webhook
    attributes: Mapping[str, Any] = field(default_factory=dict)  # the store's values by namespace: {"weather": {…}}
    arms: Mapping[str, str] = field(default_factory=dict)  # experiment -> arm in place of the hash's, for tests
    holdouts: Mapping[str, bool] = field(default_factory=dict)  # holdout -> held out or not, in place of the hash
    spent: Mapping[str, Used] = field(default_factory=dict)  # rule -> what is gone of its budget
    held: Mapping[str, int] = field(default_factory=dict)  # rule -> its coupons that the shopper holds or has redeemed
    coupon_key: bytes = b""  # the secret that coupon codes are derived from
    inside: frozenset[tuple[str, str]] = frozenset()  # (site, zone) with an open visit, for what was held
    live: bool = True  # False: the transition is history, looked at for the record, and nothing may be sent


class Moment:
    """The facts around one transition, and what was sent so far in this decision."""

    def __init__(self, ruleset: RuleSet, candidates: Candidates, transition: Happening, facts: Facts) -> None:
        self.ruleset = ruleset
        self.candidates = candidates
        self.transition = transition
        self.facts = facts
        self.released = transition.released if isinstance(transition, Occurrence) else None
        self.place = ruleset.place(transition.site)
        self.sent: list[Sent] = list(facts.history)
        self.winners: dict[str, str] = {}  # compete group -> what became of its best rule
        self.scores: dict[str, float | str] = {}  # rule -> its score, or why it has none
        self.said: tuple[str, dict[str, str]] = ("", {})  # language and parts of the last render
        self.coupon: Coupon | None = None  # of the last look at a budget
        self.held: dict[str, float] = {}  # rule -> until when quiet hours hold it
        self.tasks: tuple[str, ...] = ()  # texts to the staff of the last render
        self._of: dict[str, Moment] = {}
        self._happened: str | None = None
        self._values: dict[str, Any] | None = None
        self._activation: Any = None
        self._answers: dict[str, bool | str] = {}
        self._locals: dict[str, datetime] = {}
        self._readings: dict[str, str] = {}
        self._context: dict[str, Any] | None = None
        self._singles: dict[str, Any] = {}
        self._open: tuple[bool | None] | None = None

    def asked_by(self, rule: Rule) -> Moment:
        """The moment that the rule's conditions and score are asked of: shared by all rules that read nothing of their
        own."""
        return self.of(rule) if rule.id in self.ruleset.own_readers else self

    def of(self, rule: Rule) -> Moment:
        """The moment with the values of this rule, and of the article that its coupon is for, where there are such."""
        own = self.ruleset.own_namespaces
        if not own:
            return self
        found = self._of.get(rule.id)
        if found is None:
            plan = rule.offer.coupon if rule.offer is not None else None
            attributes = dict(self.facts.attributes)
            for namespace, scope in own.items():
                key = rule.id if scope == "rule" else plan.sku if plan is not None else None
                told = attributes.get(namespace) or {}
                keyed = any(isinstance(one, Mapping) for one in told.values())
                attributes[namespace] = told.get(key) if keyed else told  # a test tells of its one article alone
            facts = replace(self.facts, attributes=attributes)
            found = self._of[rule.id] = Moment(self.ruleset, self.candidates, self.transition, facts)
            found.scores = self.scores
        return found

    def local(self, clock: str) -> datetime:
        """The wall clock of `clock` now."""
        found = self._locals.get(clock)
        if found is None:
            found = self._locals[clock] = self.clock(clock, self.facts.now)
        return found

    def clock(self, clock: str, at: float) -> datetime:
        """The wall clock of `clock` at a moment."""
        return local_time(at, clock, self.place, self.facts.shopper)

    def since(self, rule: Rule) -> float:
        """The moment from which the rule's `expires` counts: that of the trigger, unless the rule was held and says
        nothing of its own about it."""
        return self.transition.at if self.released is None or rule.expires_stated else self.released

    def still_here(self, rule: Rule) -> bool:
        """Whether the shopper of what was held is still where the rule wants him. What was not held has just come."""
        if self.released is None:
            return True
        happening = self.transition
        if rule.only_while == "inside" or rule.on_exit == "withdraw":
            return (happening.site, happening.zone) in self.facts.inside
        return rule.only_while != "store" or any(site == happening.site for site, _ in self.facts.inside)

    @property
    def happened(self) -> str:
        """What happened, in words."""
        if self._happened is None:
            self._happened = self._in_words()
        return self._happened

    def _in_words(self) -> str:
        one = self.transition
        where = " ".join(part for part in (one.zone, f"at {one.site}" if one.kind == "approach" else "") if part)
        name = one.name if isinstance(one, Occurrence) and one.kind == "event" else ""
        distance = "" if one.distance is None else f"{one.distance:.0f} m away"
        return " ".join(part for part in (one.kind, name, where, distance) if part)

    def reading(self, clock: str) -> str:
        """The wall clock as a trace shows it: `Tue 12:04`."""
        found = self._readings.get(clock)
        if found is None:
            local = self.local(clock)
            found = self._readings[clock] = f"{DAYS[local.weekday()].capitalize()} {local.hour:02d}:{local.minute:02d}"
        return found

    def store_open(self) -> bool | None:
        """Whether the store is open now; None: unknown."""
        if self._open is None:
            self._open = (self.place.is_open(self.facts.now),)
        return self._open[0]

    @property
    def values(self) -> Mapping[str, Any]:
        """The attributes that conditions of the candidates read and that have a value, by name."""
        if self._values is None:
            self._values = self._collect(self.candidates.reads)
        return self._values

    def seen(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of `names` that have a value."""
        values = self.values
        return {name: values[name] for name in names if name in values}

    def answer(self, expression: Expression) -> bool | str:
        """What an expression says here: true, false, or the problem. Asked once per text."""
        found = self._answers.get(expression.text)
        if found is None:
            if self._activation is None:
                self._activation = self.ruleset.compiler.activation(self.values)
            found = self._answers[expression.text] = expression.evaluate(self._activation)
        return found

    def score(self, rule: Rule) -> float:
        """What a rule's score comes to; below every number when it cannot be worked out."""
        assert rule.score is not None
        found = self.scores.get(rule.id)
        if found is None:
            if self._activation is None:
                self._activation = self.ruleset.compiler.activation(self.values)
            found = rule.score.number(self._activation)
            if isinstance(found, str):
                found = problem_text(found, rule.score.absent(found, self.values))
            self.scores[rule.id] = found
        return found if isinstance(found, float) else -math.inf

    def arm(self, rule: Rule) -> str:
        """The arm of the shopper in the rule's experiment; `` without one."""
        if rule.experiment is None:
            return ""
        name = rule.experiment.name
        return self.facts.arms.get(name) or rule.experiment.arm(bucket(name, self.transition.shopper))

    def held_out(self, holdout: Holdout) -> bool:
        """Whether the shopper is held out."""
        given = self.facts.holdouts.get(holdout.name)
        return holdout.holds(bucket(holdout.name, self.transition.shopper)) if given is None else given

    def value(self, name: str) -> Any:
        """One value by its name, as templates ask for it; None without one."""
        if name not in self._singles:
            self._singles[name] = self._collect((read_of(name),)).get(name)
        return self._singles[name]

    def context(self) -> dict[str, Any]:
        """All values as templates see them: nested by namespace."""
        if self._context is not None:
            return self._context
        nested: dict[str, Any] = {}
        for name, value in self._collect(self.ruleset.all_reads).items():
            namespace, _, rest = name.partition(".")
            if rest:
                nested.setdefault(namespace, {})[rest] = value
            else:
                nested[namespace] = value
        self._context = nested
        return nested

    def _collect(self, reads: Iterable[Read]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        shopper = self.facts.shopper
        own: Mapping[str, Any] = shopper.attributes if shopper else {}
        others = self.facts.attributes
        if isinstance(self.transition, Occurrence) and self.transition.data:
            others = {**others, "event": self.transition.data}
        for name, namespace, key in reads:
            if namespace is None:
                own_value = _BUILT_IN[name](self)
                if own_value is not None:
                    values[name] = own_value
                continue
            source: Any = own if namespace == "shopper" else others.get(namespace)
            value = source if key is None else source.get(key) if isinstance(source, Mapping) else None
            if value is not None:
                values[name] = value
        return values

    @property
    def zone(self) -> Zone:
        """The zone of the transition. A whole store, or what happens in no zone, goes by the name of the store."""
        found = self.place.store.zone(self.transition.zone)
        return found or Zone(self.transition.zone, self.place.store.name)

    @property
    def stayed(self) -> float:
        """Seconds from the start of the visit to the transition."""
        return max(0.0, self.transition.at - self.transition.started)


_BUILT_IN: dict[str, Callable[[Moment], Any]] = {
    "shopper.id": lambda m: m.transition.shopper,
    "shopper.languages": lambda m: list(m.facts.shopper.languages) if m.facts.shopper else [],
    "zone.id": lambda m: m.zone.id,
    "zone.name": lambda m: m.zone.name or m.zone.id,
    "zone.tags": lambda m: sorted(m.zone.tags),
    "store.id": lambda m: m.place.store.id,
    "store.name": lambda m: m.place.store.name or m.place.store.id,
    "visit.seconds": lambda m: m.stayed,
    "visit.minutes": lambda m: int(m.stayed // 60),
    "visit.initial": lambda m: m.transition.initial,
    "visit.confidence": lambda m: m.transition.confidence,
    "approach.metres": lambda m: None if m.transition.distance is None else round(m.transition.distance),
    "approach.minutes": lambda m: None if m.transition.eta is None else math.ceil(m.transition.eta / 60),
}
