"""What rules remember: sequences, absences and what is held, as timelines and as laws."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.model import Transition
from rules.decide import decide
from rules.load import load_rules
from rules.occurrence import Happening, Occurrence, event_occurrence
from rules.ruleset import RuleSet
from rules.stateful import MOST_SEEN, Row, State, absent_since, advance, hold, ripen
from rules.triggers import Absence
from tests.rules.support import CATALOG, NOON, epoch, facts, happening, outcomes, rule, ruleset

T0 = epoch(NOON)
SOCKS = """{sequence: {within: 10m, steps: [{dwell: {zone: coffee-aisle, for: 2m}}, {enter: {zone: tills}}],
      without: {event: {name: basket_add, match: 'event.category == "socks"'}}}}"""
THREE = "{sequence: {within: 10m, steps: [{enter: {zone: entrance}}, {enter: {zone: bakery}}, {enter: {zone: tills}}]}}"
TWICE = "{sequence: {within: 10m, steps: [{enter: {zone: tills}}, {enter: {zone: tills}}]}}"


def what(word: str, number: int = 0) -> Happening:
    """`enter tills 60`, `dwell 70`, `socks 90`: what happens so many seconds after the start."""
    kind, *zone, seconds = word.split()
    at = T0 + float(seconds)
    name = f"{word} #{number}"
    if kind in ("socks", "ties"):
        return event_occurrence(name, "basket_add", "ada", at, "paris", {"category": kind})
    if kind == "dwell":
        return happening("dwell", "coffee-aisle", at, dwell=120.0, id=name)
    initial = kind == "initial"
    return happening("enter" if initial else kind, zone[0], at, id=name, initial=initial, visit=name)


def play(rules: RuleSet, happenings: Sequence[Happening], state: State | None = None) -> tuple[State, list[Occurrence]]:
    """The state at the end, and what was completed."""
    state, fired = state or {}, []
    for one in happenings:
        state, completed = advance(rules, state, one)
        fired += completed
    return state, fired


# (sequence, what happens, the seconds at which it is completed)
TIMELINES: list[tuple[str, str, list[float]]] = [
    (SOCKS, "dwell 0; enter tills 60", [60]),
    (SOCKS, "enter tills 60", []),
    (SOCKS, "enter tills 0; dwell 60", []),
    (SOCKS, "dwell 0; socks 30; enter tills 60", []),
    (SOCKS, "dwell 0; ties 30; enter tills 60", [60]),
    (SOCKS, "socks 0; dwell 30; enter tills 60", [60]),  # before the first step it does not matter
    (SOCKS, "dwell 0; enter tills 60; socks 90", [60]),
    (SOCKS, "dwell 0; socks 30; dwell 40; enter tills 60", [60]),  # and it may begin anew
    (SOCKS, "dwell 0; enter tills 600", [600]),  # within is to the second
    (SOCKS, "dwell 0; enter tills 601", []),
    (SOCKS, "dwell 0; dwell 300; enter tills 700", [700]),  # the latest beginning counts
    (SOCKS, "dwell 0; enter tills 60; enter tills 70", [60]),  # once for each beginning
    (SOCKS, "dwell 0; enter tills 60; dwell 200; enter tills 300", [60, 300]),
    (SOCKS, "dwell 0; exit tills 60", []),
    (SOCKS, "dwell 100; enter tills 60", []),  # told later, happened earlier
    (SOCKS, "dwell 0; initial tills 60", [60]),
    (SOCKS.replace("zone: tills", "zone: tills, initial: false"), "dwell 0; initial tills 60", []),
    (THREE, "enter entrance 0; enter bakery 10; enter tills 20", [20]),
    (THREE, "enter entrance 0; enter tills 20", []),
    (THREE, "enter entrance 0; enter tills 10; enter bakery 20; enter tills 30", [30]),  # others may come between
    (THREE, "enter bakery 0; enter entrance 10; enter tills 20", []),
    (THREE, "enter entrance 0; enter bakery 500; enter tills 700", []),  # from the first to the last
    (THREE, "enter entrance 0; enter bakery 10; enter entrance 550; enter tills 620", []),
    (THREE, "enter entrance 0; enter bakery 10; enter entrance 550; enter bakery 560; enter tills 620", [620]),
    (TWICE, "enter tills 0; enter tills 10", [10]),
    (TWICE, "enter tills 0; enter tills 10; enter tills 20", [10]),  # each takes part once
    (TWICE, "enter tills 0; enter tills 10; enter tills 20; enter tills 30", [10, 30]),
]


@pytest.mark.parametrize(("when", "story", "expected"), TIMELINES)
def test_sequences(when: str, story: str, expected: list[float]) -> None:
    _, fired = play(ruleset(rule(when=when)), [what(word.strip()) for word in story.split(";")])
    assert [one.at - T0 for one in fired] == expected


def test_a_completed_sequence_is_decided_about_where_it_ended() -> None:
    rules = ruleset(rule(when=SOCKS))
    _, (done,) = play(rules, [what("dwell 0"), what("enter tills 60")])
    assert (done.kind, done.site, done.zone, done.visit, done.only) == (
        "sequence", "paris", "tills", "enter tills 60 #0", ("one",),
    )  # fmt: skip
    (verdict,) = decide(rules, done, facts(T0 + 60))
    assert verdict.offer is not None
    assert (verdict.offer.zone, verdict.offer.visit) == ("tills", "enter tills 60 #0")
    assert verdict.decision.trace[2].detail == "sequence tills"


def test_what_the_events_of_a_sequence_brought_can_be_said() -> None:
    when = "{sequence: {within: 10m, steps: [{event: {name: basket_add}}, {enter: {zone: tills}}]}}"
    say = '    say: {en: {title: "{{ event.category | default: \'?\' }}", body: "B"}}'
    rules = ruleset(rule(say, when=when))
    _, (done,) = play(rules, [what("socks 0"), what("enter tills 60")])
    assert decide(rules, done, facts(T0 + 60))[0].offer.title == "socks"  # type: ignore[union-attr] # it was sent


def test_one_thing_can_be_a_step_of_several_rules() -> None:
    text = rule(when=SOCKS) + rule(when=THREE, name="two").replace("\nrules:", "")
    story = ["enter entrance 0", "dwell 5", "enter bakery 10", "enter tills 20"]
    _, fired = play(ruleset(text), [what(word) for word in story])
    assert [one.only for one in fired] == [("one",), ("two",)]
    assert len({one.id for one in fired}) == 2


def test_a_row_is_void_when_nothing_of_it_can_be_completed_any_more() -> None:
    rules = ruleset(rule(when=SOCKS))
    state, _ = play(rules, [what("dwell 0")])
    (row,) = state.values()
    assert row.due == T0 + 600
    assert ripen(rules, [row], frozenset()) == []


def test_the_state_of_a_shopper_is_bounded() -> None:
    rules = ruleset(rule(when=TWICE) + rule(when=THREE, name="two").replace("\nrules:", ""))
    state, fired = play(rules, [what(f"enter tills {i * 0.1}", i) for i in range(1000)])
    assert len(state) == 1  # no beginning of the other
    (row,) = state.values()
    assert len(row.seen) == MOST_SEEN
    assert len(fired) == 500


# -- absence ------------------------------------------------------------------------------------------------------

AWAY = "{absence: {for: 30d}}"
DAY = 86400.0


def test_absence_is_counted_from_the_last_exit() -> None:
    rules = ruleset(rule(when=AWAY))
    state, _ = play(rules, [what("exit tills 0"), what("exit bakery 60"), what("enter tills 90")])
    (row,) = state.values()
    assert row.due == T0 + 60 + 30 * DAY
    (gone,) = ripen(rules, [row], frozenset())
    assert (gone.kind, gone.at, gone.started, gone.site, gone.only) == ("absence", row.due, T0 + 60, "", ("one",))
    assert decide(rules, gone, facts(row.due + 3600))[0].decision.reason is None
    assert decide(rules, gone, facts(row.due + DAY + 1))[0].decision.reason == "expired"


def test_an_exit_that_is_told_late_does_not_shorten_it() -> None:
    rules = ruleset(rule(when=AWAY))
    state, _ = play(rules, [what("exit tills 60"), what("exit bakery 0")])
    assert [row.since for row in state.values()] == [T0 + 60]


@pytest.mark.parametrize(
    ("when", "inside", "absent"),
    [
        (AWAY, {("paris", "tills")}, False),
        (AWAY, {("berlin", "garden")}, False),
        ("{absence: {zone: tills, for: 30d}}", {("paris", "tills")}, False),
        ("{absence: {zone: tills, for: 30d}}", {("paris", "bakery")}, True),  # there, but not where it counts
        ("{absence: {stores: paris, for: 30d}}", {("berlin", "garden")}, True),
        ("{absence: {stores: paris, for: 30d}}", {("paris", "bakery")}, False),
        ("{absence: {tag: food, for: 30d}}", {("paris", "bakery")}, False),
        ("{absence: {tag: food, for: 30d}}", {("paris", "tills")}, True),
        (AWAY, set(), True),
    ],
)
def test_who_is_there_is_not_absent(when: str, inside: set[tuple[str, str]], absent: bool) -> None:
    rules = ruleset(rule(when=when))
    trigger = rules.by_id["one"].trigger
    assert isinstance(trigger, Absence)
    row = absent_since(rules.by_id["one"], trigger, "ada", T0)
    assert bool(ripen(rules, [row], frozenset(inside))) is absent


@pytest.mark.parametrize(
    ("when", "zone", "counts"),
    [
        (AWAY, "tills", True),
        ("{absence: {zone: tills, for: 30d}}", "bakery", False),
        ("{absence: {tag: food, for: 30d}}", "bakery", True),
        ("{absence: {stores: berlin, for: 30d}}", "bakery", False),
    ],
)
def test_only_where_it_counts(when: str, zone: str, counts: bool) -> None:
    state, _ = play(ruleset(rule(when=when)), [what(f"exit {zone} 0")])
    assert bool(state) is counts


# -- other rules --------------------------------------------------------------------------------------------------


def test_a_rule_that_stays_as_it_was_goes_on_and_one_that_changed_begins_anew() -> None:
    before = ruleset(rule(when=SOCKS) + rule(when=AWAY, name="two").replace("\nrules:", ""))
    state, _ = play(before, [what("dwell 0"), what("exit bakery 10")])
    say = '    title: New\n    say: {en: {title: "New words", body: "B"}}'
    same = ruleset(rule(say, when=SOCKS) + rule(when=AWAY, name="two").replace("\nrules:", ""))
    _, fired = play(same, [what("enter tills 60")], state)
    assert len(fired) == 1
    assert len(ripen(same, state.values(), frozenset())) == 1
    other = ruleset(
        rule(when=SOCKS.replace("10m", "9m")) + rule(when="{absence: {for: 20d}}", name="two").replace("\nrules:", "")
    )
    _, fired = play(other, [what("enter tills 60")], state)
    assert fired == []
    assert ripen(other, state.values(), frozenset()) == []
    assert ripen(ruleset(rule(name="three")), state.values(), frozenset()) == []


def test_of_a_rule_and_a_shopper_the_latest_is_held() -> None:
    header = 'windows: {night: {from: "21:00", to: "08:30"}}\ndefaults: {quiet: {window: night, then: hold}}'
    rules = ruleset(rule(when="{event: {name: basket_add}}", header=header))
    rows: dict[str, Row] = {}
    for number in (1, 2):
        at = epoch("2026-11-24T22:00:00+01:00") + number
        one = event_occurrence(str(number), "basket_add", "ada", at, "paris", {})
        rows |= {row.id: row for row in hold(one, decide(rules, one, facts(at)))}
    (again,) = ripen(rules, rows.values(), frozenset())
    assert again.at == epoch("2026-11-24T22:00:02+01:00")
    assert outcomes(decide(rules, again, facts(again.released or 0.0))) == {"one": None}


# -- laws ---------------------------------------------------------------------------------------------------------

WORDS = ("enter tills", "enter bakery", "enter entrance", "exit tills", "exit bakery", "dwell", "socks", "ties")
SEQUENCES = (SOCKS, THREE, TWICE, AWAY, "{absence: {tag: food, for: 1h}}", "{enter: {zone: tills}}")


@st.composite
def stories(draw: st.DrawFn) -> list[Happening]:
    """In the order of event time, as presence tells it."""
    words = draw(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 400)), max_size=14))
    at, found = 0, []
    for number, (word, wait) in enumerate(words):
        at += wait
        found.append(what(f"{word} {at}", number))
    return found


chosen = st.lists(st.sampled_from(SEQUENCES), min_size=1, max_size=5)


def _rules(triggers: Sequence[str]) -> list[str]:
    say = '    say: {en: {title: "T", body: "B"}}\n'
    return [f"  - id: rule-{i}\n    when: {when}\n{say}" for i, when in enumerate(triggers)]


def _loaded(parts: Sequence[str]) -> RuleSet:
    found = load_rules({"a.rules.yaml": "rules:\n" + "".join(parts)}, CATALOG).ruleset
    assert found is not None
    return found


def _stored(state: State) -> State:
    """Through the database and back."""
    return {name: msgspec.json.decode(msgspec.json.encode(row), type=Row) for name, row in state.items()}


def _result(state: State, fired: Sequence[Occurrence]) -> Any:
    return sorted(state.items()), sorted((one.id, one.only) for one in fired)


@settings(deadline=None, max_examples=80)
@given(chosen, stories(), st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_nothing(triggers: list[str], story: list[Happening], random: Any) -> None:
    parts = _rules(triggers)
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert _result(*play(_loaded(parts), story)) == _result(*play(_loaded(shuffled), story))


@settings(deadline=None, max_examples=80)
@given(chosen, stories(), st.lists(st.integers(0, 14), max_size=3))
def test_a_restart_anywhere_changes_nothing(triggers: list[str], story: list[Happening], cuts: list[int]) -> None:
    parts = _rules(triggers)
    whole = _result(*play(_loaded(parts), story))
    state: State = {}
    fired: list[Occurrence] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(story)], strict=True):
        state, completed = play(_loaded(parts), story[begin:end], _stored(state))
        fired += completed
    assert _result(state, fired) == whole


@settings(deadline=None, max_examples=80)
@given(chosen, stories(), st.lists(st.tuples(st.integers(0, 13), st.integers(0, 3)), max_size=4))
def test_the_same_thing_twice_changes_nothing(
    triggers: list[str], story: list[Happening], again: list[tuple[int, int]]
) -> None:
    rules = _loaded(_rules(triggers))
    repeated = list(story)
    for index, later in again:
        if index < len(story):
            place = repeated.index(story[index]) + 1 + later
            repeated.insert(place, story[index])
    _, fired = play(rules, story)
    _, more = play(rules, repeated)
    assert sorted(one.id for one in fired) == sorted(one.id for one in more)


@settings(deadline=None, max_examples=80)
@given(chosen, stories())
def test_other_shoppers_change_nothing_and_state_stays_small(triggers: list[str], story: list[Happening]) -> None:
    rules = _loaded(_rules(triggers))
    state, fired = play(rules, story)
    assert len(state) <= len(triggers)
    assert {row.shopper for row in state.values()} <= {"ada"}
    for one in fired:
        assert one.only is not None
        (name,) = one.only
        assert rules.by_id[name].trigger.kind == "sequence"
    others = [msgspec.structs.replace(one, shopper="ben") for one in story if isinstance(one, Transition)]
    ben, _ = play(rules, others)
    assert not state.keys() & ben.keys()
