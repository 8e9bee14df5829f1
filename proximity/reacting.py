"""Everything that rules react to in one turn: transitions, events of the shop, schedules that have come, absences and
held offers whose time is up, and the sequences that all of these complete.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from proximity.deciding import Decider
from proximity.ingest.decode import ToldEvent
from proximity.model import Shopper, Transition
from proximity.registry import Registry
from proximity.shop_events import admitted, occurrence
from proximity.store import rule_state
from proximity.store.database import Store
from proximity.store.rule_state import NOTHING, Memory
from rules.audience import Tick, audience, coming, missed, pairs
from rules.decide import Verdict
from rules.occurrence import Happening, Occurrence
from rules.ruleset import RuleSet
from rules.stateful import Row, State, absent_since, advance, hold, ripen
from rules.triggers import Absence

PIECE = 1_000  # shoppers of a schedule that are decided about in one turn: live observations come in between
_Places = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What rules said, what they go on remembering, and counts of events that were left out."""

    verdicts: list[Verdict] = field(default_factory=list)
    memory: Memory = NOTHING
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.verdicts or self.memory)


class Reactor:
    """For one pipeline. Not for several threads at once."""

    def __init__(self, store: Store, decider: Decider) -> None:
        self._store, self._decider = store, decider
        self._next_due: float | None = None  # None: the store has to be asked
        self._came = rule_state.ticks(store)  # (rule, clock) -> planned time of the last tick taken up
        self._waiting: list[tuple[Tick, Iterator[Occurrence]]] = []
        self._newly_absent: list[Row] = []
        self._newly_known: list[Tick] = []
        self._next_tick: float | None = None  # None: has to be worked out
        self._armed: set[str] = set()  # absences that know who was away before their rule came

    def use(self, ruleset: RuleSet, registry: Registry, sites: Iterable[str], now: float) -> None:
        """Rules, people and stores to go by from now on."""
        self._ruleset, self._registry, self._sites = ruleset, registry, frozenset(sites)
        self._newly_absent += self._arm(now)
        self._meet(registry.shoppers.values(), now)
        self._next_tick = None

    def shopper_changed(self, shopper: str, now: float) -> None:
        """He may live by another clock."""
        one = self._registry.shoppers.get(shopper)
        if one is not None:
            self._meet([one], now)

    def _meet(self, people: Iterable[Shopper], now: float) -> None:
        """A schedule is not late for what was before it, or before the first who lives by a clock."""
        for pair in pairs(self._ruleset, people):
            if pair not in self._came:
                self._came[pair] = now
                self._newly_known.append(Tick(*pair, now))
                self._next_tick = None

    def come(self, now: float) -> list[Tick]:
        """The schedules that have come and were not taken up yet."""
        if self._next_tick is not None and now < self._next_tick:
            return []
        here = pairs(self._ruleset, self._registry.shoppers.values())
        self._next_tick = coming(self._ruleset, here, now)
        return missed(self._ruleset, {pair: self._came.get(pair, now) for pair in here}, now)

    def look_again(self) -> None:
        """What has come did not find its way in: it comes again."""
        self._next_tick = None

    def react(
        self,
        transitions: Sequence[Transition],
        now: float,
        inside: Callable[[str], _Places],
        told: Sequence[ToldEvent] = (),
        ticks: Sequence[Tick] = (),
    ) -> Reaction:
        """What rules say of a batch. `inside`: (site, zone) pairs in which a shopper is now."""
        attributes = self._ruleset.catalog.attributes
        events, counts = (
            admitted(self._store, told, self._registry, attributes, self._sites) if told else ([], Counter())
        )
        ripe = self._ripe(now)
        others = [occurrence(event) for event in events]
        others += [one for rows in _by_shopper(ripe).values()
                   for one in ripen(self._ruleset, rows, frozenset(inside(rows[0].shopper)))]  # fmt: skip
        scheduled, done = self._scheduled(ticks, inside)
        happened = _in_order(transitions, [*others, *scheduled])
        happenings, kept, gone = self._advance(happened)
        verdicts = self._decider.decide(happenings, now, inside)
        kept |= {row.id: row for row in (*self._newly_absent, *_held(happenings, verdicts)) if row.id not in kept}
        self._newly_absent = []
        gone |= {row.id for row in ripe}
        self._next_due = min([self._next_due or math.inf, *(row.due for row in kept.values())]) if not ripe else None
        memory = Memory(events, list(kept.values()), sorted(gone - kept.keys()), [*self._newly_known, *done])
        self._newly_known = []
        return Reaction(verdicts, memory, counts)

    # -- what is remembered -----------------------------------------------------------------------------------------

    def _advance(self, happened: Sequence[Happening]) -> tuple[list[Happening], dict[str, Row], set[str]]:
        """What happened with the sequences that it completes, the rows that changed, and the ids of those that went."""
        if not happened or not self._ruleset.stateful:
            return list(happened), {}, set()
        states: dict[str, State] = dict(rule_state.rows(self._store, self._remembering(happened)))
        before = {row.id: row for state in states.values() for row in state.values()}
        happenings: list[Happening] = []
        for one in happened:
            states[one.shopper], completed = advance(self._ruleset, states.get(one.shopper, {}), one)
            happenings += [one, *completed]
        after = {row.id: row for state in states.values() for row in state.values()}
        changed = {name: row for name, row in after.items() if before.get(name) is not row}
        return happenings, changed, before.keys() - after.keys()

    def _remembering(self, happened: Sequence[Happening]) -> set[str]:
        """Shoppers of whom some rule remembers something that this may change."""
        ruleset = self._ruleset
        return {one.shopper for one in happened if ruleset.steps(one) or (one.kind == "exit" and ruleset.absences(one))}

    def _ripe(self, now: float) -> list[Row]:
        """Rows whose time has come."""
        if self._next_due is None:
            self._next_due = rule_state.next_due(self._store)
        return rule_state.due(self._store, now) if self._next_due <= now else []

    def _arm(self, now: float) -> list[Row]:
        """The waits for those who had left before an absence was looked for. Who has been away for longer than a new
        rule asks is not surprised with it."""
        new = [
            (rule, rule.trigger)
            for rule in self._ruleset.by_id.values()
            if isinstance(rule.trigger, Absence) and rule.trigger.key not in self._armed
        ]
        if not new:
            return []
        seen = rule_state.last_seen(self._store, now - max(trigger.after for _, trigger in new))
        latest: dict[tuple[str, str], float] = {}
        for (shopper, site, zone), at in seen.items():
            for rule, trigger in new:
                if trigger.area.covers(site, zone, self._ruleset.tags(site, zone)):
                    latest[rule.id, shopper] = max(at, latest.get((rule.id, shopper), at))
        known = rule_state.rows(self._store, {shopper for _, shopper in latest})
        rows = []
        for rule, trigger in new:
            self._armed.add(trigger.key)
            for (name, shopper), at in latest.items():
                row = absent_since(rule, trigger, shopper, at)
                if name == rule.id and row.due > now and row.id not in known.get(shopper, {}):
                    rows.append(row)
        return rows

    # -- schedules ----------------------------------------------------------------------------------------------------

    def _scheduled(
        self, ticks: Sequence[Tick], inside: Callable[[str], _Places]
    ) -> tuple[list[Occurrence], list[Tick]]:
        """The next piece of those whom schedules are for, and the ticks that are through. A tick is taken up once."""
        for tick in ticks:
            if self._came.get((tick.rule, tick.clock), -math.inf) < tick.planned:
                self._came[tick.rule, tick.clock] = tick.planned
                people = {name: self._registry.shoppers[name] for name in self._registry.agreed}
                here = {name: frozenset(places) for name in people if (places := tuple(inside(name)))}
                self._waiting.append((tick, audience(self._ruleset, tick, people, here)))
        found: list[Occurrence] = []
        done: list[Tick] = []
        while self._waiting and len(found) < PIECE:
            tick, rest = self._waiting[0]
            wanted = PIECE - len(found)
            some = list(islice(rest, wanted))
            found += some
            if len(some) < wanted:
                done.append(tick)
                self._waiting.pop(0)
        return found, done


def _by_shopper(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.shopper, []).append(row)
    return found


def _in_order(transitions: Sequence[Transition], others: Sequence[Occurrence]) -> list[Happening]:
    """By event time; presence's own order stays as it is."""
    if not others:
        return list(transitions)
    rest: list[Happening] = sorted(others, key=lambda one: (one.at, one.id))
    return list(heapq.merge(transitions, rest, key=lambda one: one.at))


def _held(happenings: Sequence[Happening], verdicts: Sequence[Verdict]) -> list[Row]:
    """What quiet hours hold."""
    waiting: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.held_until is not None:
            waiting.setdefault(verdict.decision.transition, []).append(verdict)
    if not waiting:
        return []
    return [row for one in happenings if one.id in waiting for row in hold(one, waiting[one.id])]
