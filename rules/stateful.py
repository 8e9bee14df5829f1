"""What rules remember of a shopper between two things that happen: sequences begun, absences, and what is held.

Pure: state in, state out. The state of a shopper is a small number of rows, at most one for each rule and sort, so it
is bounded; each row has a time after which it is void or comes true. Whoever keeps the rows keeps everything: a restart
changes nothing, nor does a new set of rules for a rule whose trigger stayed as it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from proximity.model import derive_id
from rules import triggers
from rules.decide import Verdict
from rules.occurrence import Happening, Occurrence, held
from rules.ruleset import WITHOUT, Rule, RuleSet

MOST_SEEN = 64  # ids of a sequence that are remembered; who scans the same code more often in ten minutes is a machine

Inside = frozenset[tuple[str, str]]  # (site, zone) with an open visit


class Begun(msgspec.Struct, frozen=True):
    """A sequence some of whose steps have happened."""

    first: str  # id of what began it
    started: float  # event time of that
    last: float  # event time of the latest step
    data: dict[str, Any] = msgspec.field(default_factory=dict)  # what its events brought


class Row(msgspec.Struct, frozen=True):
    """What one rule remembers of one shopper. `due` in epoch seconds: then a sequence is void, an absence has lasted
    long enough, and what is held is let go."""

    id: str
    sort: Literal["sequence", "absence", "hold"]
    rule: str
    key: str  # of the trigger that it is for
    shopper: str
    due: float
    since: float = 0.0  # of an absence: event time of the last exit
    begun: tuple[Begun | None, ...] = ()  # by the number of steps that have happened, from 1
    seen: dict[str, float] = msgspec.field(default_factory=dict)  # what has taken part, with its event time
    happening: Occurrence | None = None  # what is held


State = Mapping[str, Row]  # of one shopper, by the row's id


def row_id(sort: str, key: str, shopper: str) -> str:
    """The id of the one row for that."""
    return derive_id(sort, key, shopper)


def advance(ruleset: RuleSet, state: State, happening: Happening) -> tuple[State, list[Occurrence]]:
    """The state after something that happened to the shopper, and the sequences that it completes.

    Each thing takes part once in a sequence, as the furthest step that it can be. Of several beginnings that have come
    equally far the latest counts: it lasts longest. The same thing twice changes nothing.
    """
    if not ruleset.stateful or (isinstance(happening, Occurrence) and happening.only is not None):
        return state, []
    changed: dict[str, Row | None] = {}
    fired: list[Occurrence] = []
    numbers: dict[str, list[int]] = {}
    rules: dict[str, Rule] = {}
    for rule, number in ruleset.steps(happening):
        numbers.setdefault(rule.id, []).append(number)
        rules[rule.id] = rule
    for rule_id, rule in rules.items():
        assert isinstance(rule.trigger, triggers.Sequence)
        one = row_id("sequence", rule.trigger.key, happening.shopper)
        row, came = _sequence(rule, rule.trigger, numbers[rule_id], state.get(one), happening)
        if row is not state.get(one):
            changed[one] = row
        fired += came
    if happening.kind == "exit":
        for rule in ruleset.absences(happening):
            row = _gone(rule, state, happening)
            if row is not None:
                changed[row.id] = row
    if not changed:
        return state, fired
    merged = {**state, **changed}
    return {one: row for one, row in merged.items() if row is not None}, fired


def _sequence(
    rule: Rule, trigger: triggers.Sequence, numbers: Sequence[int], row: Row | None, happening: Happening
) -> tuple[Row | None, list[Occurrence]]:
    if row is not None and happening.id in row.seen:
        return row, []
    at, most = happening.at, len(trigger.steps)
    begun: list[Begun | None] = list(row.begun) if row is not None else [None] * (most - 1)
    begun = [one if one is not None and at - one.started <= trigger.within else None for one in begun]
    took_part = False
    if WITHOUT in numbers:
        took_part = any(one is not None and one.last <= at for one in begun)
        begun = [one if one is None or one.last > at else None for one in begun]
    fired: list[Occurrence] = []
    for number in sorted((number for number in numbers if number != WITHOUT), reverse=True):
        further = _step(begun, number, happening)
        if further is None:
            continue
        took_part = True
        if number == most - 1:
            fired.append(_completed(rule, trigger, further, happening))
        elif (other := begun[number]) is None or other.started <= further.started:
            begun[number] = further
        break
    if not took_part:
        return row, []
    return _row(rule, trigger, row, begun, happening), fired


def _step(begun: list[Begun | None], number: int, happening: Happening) -> Begun | None:
    """What has come further by this step, taken from where it stood; None when there is nothing that it continues."""
    data = happening.data if isinstance(happening, Occurrence) else {}
    if number == 0:
        return Begun(happening.id, happening.at, happening.at, data)
    before = begun[number - 1]
    if before is None or before.last > happening.at:
        return None
    begun[number - 1] = None
    return Begun(before.first, before.started, happening.at, {**before.data, **data})


def _row(
    rule: Rule, trigger: triggers.Sequence, row: Row | None, begun: Sequence[Begun | None], happening: Happening
) -> Row:
    seen = {**(row.seen if row is not None else {}), happening.id: happening.at}
    latest = max(seen.values())
    kept = sorted(seen.items(), key=lambda pair: (pair[1], pair[0]))[-MOST_SEEN:]
    return Row(
        id=row_id("sequence", trigger.key, happening.shopper),
        sort="sequence",
        rule=rule.id,
        key=trigger.key,
        shopper=happening.shopper,
        due=latest + trigger.within,
        begun=tuple(begun),
        seen={one: at for one, at in kept if latest - at <= trigger.within},
    )


def _completed(rule: Rule, trigger: triggers.Sequence, begun: Begun, last: Happening) -> Occurrence:
    return Occurrence(
        id=derive_id("sequence", trigger.key, begun.first, last.id),
        kind="sequence",
        shopper=last.shopper,
        at=last.at,
        observed=last.observed,
        started=last.started,
        site=last.site,
        zone=last.zone,
        visit=last.visit,
        confidence=last.confidence,
        distance=last.distance,
        eta=last.eta,
        data=begun.data,
        only=(rule.id,),
    )


def _gone(rule: Rule, state: State, happening: Happening) -> Row | None:
    """The wait for a shopper who has just left; None when a later exit counts already."""
    assert isinstance(rule.trigger, triggers.Absence)
    row = absent_since(rule, rule.trigger, happening.shopper, happening.at)
    known = state.get(row.id)
    return None if known is not None and known.since >= row.since else row


def absent_since(rule: Rule, trigger: triggers.Absence, shopper: str, since: float) -> Row:
    """The wait for a shopper who was last seen then."""
    one = row_id("absence", trigger.key, shopper)
    return Row(one, "absence", rule.id, trigger.key, shopper, since + trigger.after, since=since)


def hold(happening: Happening, verdicts: Iterable[Verdict]) -> list[Row]:
    """What quiet hours hold of the verdicts on one thing: of a rule and a shopper the latest."""
    rows = []
    for verdict in verdicts:
        until, rule = verdict.held_until, verdict.decision.rule
        if until is not None:
            one = row_id("hold", rule, happening.shopper)
            again = held(happening, (rule,), until)
            rows.append(Row(one, "hold", rule, rule, happening.shopper, until, happening=again))
    return rows


def ripen(ruleset: RuleSet, rows: Iterable[Row], inside: Inside) -> list[Occurrence]:
    """What comes of one shopper's rows whose time has come; the rows themselves are void after it.

    `inside` is where the shopper is: who is there is not absent, and the next exit begins a new wait.
    """
    found: dict[str, Occurrence] = {}
    for row in sorted(rows, key=lambda row: (row.due, row.rule)):
        rule = ruleset.by_id.get(row.rule)
        if rule is None:
            continue
        if row.sort == "absence" and isinstance(rule.trigger, triggers.Absence) and rule.trigger.key == row.key:
            area = rule.trigger.area
            if not any(area.covers(site, zone, ruleset.tags(site, zone)) for site, zone in inside):
                one = _absent(row)
                found[one.id] = one
        elif row.sort == "hold" and row.happening is not None:
            # What was held of one thing is decided together, so that its rules compete.
            before = found.get(row.happening.id)
            only = (*(before.only or ()), row.rule) if before is not None else (row.rule,)
            found[row.happening.id] = msgspec.structs.replace(row.happening, only=only)
    return list(found.values())


def _absent(row: Row) -> Occurrence:
    return Occurrence(
        id=derive_id("absence", row.key, row.shopper, row.since),
        kind="absence",
        shopper=row.shopper,
        at=row.due,
        observed=row.due,
        started=row.since,
        only=(row.rule,),
    )
