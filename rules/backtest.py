"""The engine over what has been recorded: what would these rules have sent, to whom, and why not?

The clock is the recording's. Limits, budgets, sequences, absences and what quiet hours hold come of the run itself,
which begins with nothing sent. Pure: whoever calls reads the recording and knows what was recorded of values.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proximity.model import Decision, Sent, Shopper
from rules.attributes import BUILT_IN
from rules.audience import Tick, audience, ticks_between
from rules.decide import Facts, Verdict, decide
from rules.occurrence import Happening, Occurrence
from rules.offers import Used
from rules.ruleset import RuleSet
from rules.stateful import Row, State, advance, hold, ripen

Values = Mapping[str, Any]  # by attribute: {"weather.temp_c": 7.0}


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of the time beside what happened in it. Times in epoch seconds."""

    begin: float
    end: float
    shoppers: Mapping[str, Shopper]
    reachable: Callable[[str], frozenset[str]] = lambda _: frozenset({"push", "inbox"})  # channels of a shopper
    values: Callable[[Happening], Values] = lambda _: {}  # that were seen at what happened
    inside: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)  # (site, zone) at the begin


@dataclass(slots=True)
class Tally:
    """What became of one rule."""

    sent: int = 0
    shoppers: set[str] = field(default_factory=set)  # who got something
    withheld: Counter[str] = field(default_factory=Counter)  # by reason
    coupons: int = 0
    worth: Counter[str] = field(default_factory=Counter)  # hundredths that they can cost at most, by currency
    unknown_worth: int = 0  # coupons that do not say what they cost


@dataclass(slots=True)
class Outcome:
    """What became of all rules."""

    happened: int = 0
    rules: dict[str, Tally] = field(default_factory=dict)
    sent: dict[str, Decision] = field(default_factory=dict)  # by id, which is that of the live decision on the same
    decided: set[str] = field(default_factory=set)  # ids of all decisions
    seen: Counter[str] = field(default_factory=Counter)  # looks at values that were recorded, by attribute
    missing: Counter[str] = field(default_factory=Counter)  # and at those that were not


def backtest(ruleset: RuleSet, recording: Recording, happened: Iterable[Happening]) -> Iterator[Outcome]:
    """Everything that happened, in the order of its times; after each, the outcome so far, and at the end once more."""
    run = _Run(ruleset, recording)
    for one in happened:
        run.until(_noticed(one))
        run.happen(one, _noticed(one))
        run.outcome.happened += 1
        yield run.outcome
    run.until(recording.end)
    yield run.outcome


def _noticed(one: Happening) -> float:
    """When the service knew of it."""
    return max(one.at, one.observed)


class _Run:
    def __init__(self, ruleset: RuleSet, recording: Recording) -> None:
        self._ruleset, self._recording = ruleset, recording
        self._inside: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for shopper, places in recording.inside.items():
            self._inside[shopper] |= places
        self._state: dict[str, State] = {}
        self._sent: dict[str, list[Sent]] = defaultdict(list)
        self._spent: dict[str, Used] = {}
        self._held: dict[str, Counter[str]] = defaultdict(Counter)
        self._due: list[tuple[float, str, str]] = []  # (when, shopper, row)
        ticks = ticks_between(ruleset, recording.shoppers.values(), recording.begin, recording.end)
        self._ticks: list[Tick] = list(reversed(ticks))
        self._reach = ruleset.history_window()
        self.outcome = Outcome(rules={name: Tally() for name in sorted(ruleset.by_id)})

    def until(self, now: float) -> None:
        """What comes by itself up to that moment: schedules, absences, and what was held."""
        while True:
            tick = self._ticks[-1].planned if self._ticks else float("inf")
            ripe = self._due[0][0] if self._due else float("inf")
            if min(tick, ripe) > now:
                return
            if tick <= ripe:
                self._scheduled(self._ticks.pop())
            else:
                self._ripe(*heapq.heappop(self._due))

    def happen(self, one: Happening, now: float) -> None:
        """Something that happened, with the sequences that it completes."""
        places = self._inside[one.shopper]
        if one.kind == "enter":
            places.add((one.site, one.zone))
        elif one.kind == "exit":
            places.discard((one.site, one.zone))
        before = self._state.get(one.shopper, {})
        after, completed = advance(self._ruleset, before, one)
        self._remember(one.shopper, after, [row for name, row in after.items() if before.get(name) is not row])
        for each in (one, *completed):
            self._decide(each, one, now)

    def _remember(self, shopper: str, state: State, changed: Iterable[Row]) -> None:
        self._state[shopper] = state
        for row in changed:
            if row.sort != "sequence":
                heapq.heappush(self._due, (row.due, shopper, row.id))

    def _ripe(self, due: float, shopper: str, name: str) -> None:
        state = self._state.get(shopper, {})
        row = state.get(name)
        if row is None or row.due != due:
            return  # something else has taken its place
        rows = [one for one in state.values() if one.sort != "sequence" and one.due <= due]
        self._state[shopper] = {key: one for key, one in state.items() if one not in rows}
        for one in ripen(self._ruleset, rows, frozenset(self._inside[shopper])):
            self._decide(one, one, due)

    def _scheduled(self, tick: Tick) -> None:
        inside = {name: frozenset(places) for name, places in self._inside.items() if places}
        agreed = {name: one for name, one in self._recording.shoppers.items() if any(one.consents.values())}
        for one in audience(self._ruleset, tick, agreed, inside):
            self._decide(one, one, tick.planned)

    def _decide(self, one: Happening, cause: Happening, now: float) -> None:
        candidates = self._ruleset.candidates(one)
        if not candidates.rules:
            return
        values = self._recording.values(cause)
        if cause is not one:
            values = {**values, **self._recording.values(one)}
        self._count_reads([name for name, _, _ in candidates.reads], values, one)
        shopper = self._recording.shoppers.get(one.shopper)
        sent = self._sent[one.shopper] = [each for each in self._sent[one.shopper] if each.at >= now - self._reach]
        facts = Facts(
            now=now,
            shopper=_then(shopper, values),
            history=tuple(sent),
            reachable=self._recording.reachable(one.shopper),
            attributes=nested(values),
            spent=self._spent,
            held=self._held[one.shopper],
            inside=frozenset(self._inside[one.shopper]),
        )
        verdicts = decide(self._ruleset, one, facts)
        for verdict in verdicts:
            self._count(verdict)
        rows = hold(one, verdicts)
        if rows:
            state = {**self._state.get(one.shopper, {}), **{row.id: row for row in rows}}
            self._remember(one.shopper, state, rows)

    def _count(self, verdict: Verdict) -> None:
        one = verdict.decision
        tally = self.outcome.rules[one.rule]
        self.outcome.decided.add(one.id)
        if verdict.counted is not None:
            self._sent[one.shopper].append(verdict.counted)
        if one.outcome == "withheld":
            tally.withheld[one.reason or "unknown"] += 1
            return
        tally.sent += 1
        tally.shoppers.add(one.shopper)
        self.outcome.sent[one.id] = one
        coupon = verdict.coupon
        if coupon is not None:
            used = self._spent.get(one.rule, Used())
            self._spent[one.rule] = Used(used.coupons + 1, used.spend + coupon.worth)
            self._held[one.shopper][one.rule] += 1
            tally.coupons += 1
            if coupon.worth and coupon.currency:
                tally.worth[coupon.currency] += coupon.worth
            else:
                tally.unknown_worth += 1

    def _count_reads(self, names: Iterable[str], values: Values, one: Happening) -> None:
        """Values that only the shop's systems could tell."""
        brought = one.data if isinstance(one, Occurrence) else {}
        for name in names:
            namespace = name.partition(".")[0]
            if name in BUILT_IN or namespace in ("shopper", "visit", "approach") or (namespace == "event" and brought):
                continue
            (self.outcome.seen if name in values else self.outcome.missing)[name] += 1


def nested(values: Values) -> dict[str, Any]:
    """`{"weather.rain": True}` -> `{"weather": {"rain": True}}`; a whole map stays as it is."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        namespace, _, key = name.partition(".")
        if key and namespace not in ("shopper", "event"):
            found.setdefault(namespace, {})[key] = value
        elif not key:
            found[namespace] = value
    return found


def _then(shopper: Shopper | None, values: Values) -> Shopper | None:
    """The shopper with the values of that time, where they were recorded; else with those of today."""
    own = {name[8:]: value for name, value in values.items() if name.startswith("shopper.") and name not in BUILT_IN}
    if shopper is None or not own:
        return shopper
    return Shopper(
        shopper.id, shopper.languages, shopper.timezone, shopper.name, {**shopper.attributes, **own}, shopper.consents
    )
