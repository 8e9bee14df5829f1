"""Service messages: what the shopper waits for, outside the limits of the house, and not told again and again."""

from typing import Any

import pytest

from proximity.model import Cap, Sent, Shopper
from proximity.store import history, people
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from rules.decide import decide
from rules.explain import explain
from rules.offers_stage import NOTHING
from tests.rules.support import NOON, ada, epoch, facts, happening, only, rule, ruleset, sent
from tests.store_house import NOW, claim, decision, offer, transition, visit

pytest_plugins = ["tests.store_fixtures"]

HOUSE = "defaults: {limits: [{scope: all, max: 1, every: 24h}]}"
ORDER = "    class: service\n    limits: [{scope: rule, max: 1, every: 4h}]"
FREE = "    class: service"


def walk_ins(text: str, hours: tuple[float, ...], history: tuple[Sent, ...] = ()) -> list[str | None]:
    """What became of each: None when it was sent, else the reason."""
    rules, known, found = ruleset(text), list(history), []
    for hour in hours:
        at = epoch(NOON) + hour * 3600
        (verdict,) = decide(rules, happening(at=at), facts(at, history=known))
        known += [verdict.counted] if verdict.counted is not None else []
        found.append(verdict.decision.reason)
    return found


OVER = "limit_reached"


@pytest.mark.parametrize(
    ("keys", "hours", "wanted"),
    [
        (FREE, (0, 0.1, 0.2), [None, None, None]),
        (ORDER, (0, 0.1, 0.2), [None, OVER, OVER]),
        (ORDER, (0, 3.9, 4, 7.9, 8), [None, OVER, None, OVER, None]),
        (ORDER.replace("max: 1", "max: 2"), (0, 1, 2, 4, 4.5), [None, None, OVER, None, OVER]),
        (ORDER.replace("4h", "24h, window: calendar"), (0, 11.9, 12), [None, OVER, None]),
    ],
)
def test_three_walks_through_the_door(keys: str, hours: tuple[float, ...], wanted: list[str | None]) -> None:
    assert walk_ins(rule(keys, header=HOUSE), hours) == wanted


EARLIER = epoch(NOON) - 60


@pytest.mark.parametrize(
    ("keys", "before", "reason"),
    [
        # Nothing else uses a service message up.
        (ORDER, sent("advert", EARLIER), None),
        (ORDER, sent("return", EARLIER, service=True), None),
        (ORDER, sent("desk", EARLIER, silent=True), None),
        (ORDER, sent("one", EARLIER, service=True), OVER),
        (ORDER, sent("one", EARLIER, "berlin", service=True), OVER),
        (ORDER, sent("one", EARLIER, silent=True), OVER),  # it told the staff, and said nothing
        (ORDER, sent("one", EARLIER), OVER),  # it was marketing then
        # A service message uses up nothing else.
        ("", sent("order", EARLIER, service=True), None),
        ("", sent("advert", EARLIER), OVER),
    ],
)
def test_marketing_and_service_leave_each_other_alone(keys: str, before: Sent, reason: str | None) -> None:
    assert walk_ins(rule(keys, header=HOUSE), (0,), (before,)) == [reason]


def test_what_the_trace_says() -> None:
    def limits(keys: str, *history: Sent) -> list[str]:
        verdict = only(rule(keys, header=HOUSE), happening(), facts(shopper=ada(), history=history))
        lines = explain(verdict.decision).splitlines()
        start = next(i for i, line in enumerate(lines) if line[7:].startswith("limits"))
        return [line.strip() for line in lines[start : start + 2]]

    assert limits(FREE)[0] == "yes  limits       the limits of the house are not for service rules"
    assert limits(ORDER) == ["yes  limits", "1 of this rule every 4h = 0"]
    assert limits(ORDER, sent("one", EARLIER, service=True)) == [
        "NO   limits       at most 1 of this rule every 4h; 1 sent  [test.rules.yaml:6]",
        "1 of this rule every 4h = 1",
    ]


def test_history_is_read_as_far_back_as_its_limits_look() -> None:
    assert ruleset(rule(FREE)).history_window() == 0
    assert ruleset(rule(ORDER)).history_window() == 4 * 3600


# -- the commit counts again, under a lock ----------------------------------------------------------------------------


def test_only_what_a_limit_or_a_coupon_bounds_is_claimed() -> None:
    assert only(rule(FREE), happening(), facts()).effects == NOTHING
    taken = only(rule(ORDER, header=HOUSE), happening(), facts()).effects.claim
    assert taken is not None
    assert taken.service
    assert [(cap.scope, cap.max) for cap in taken.caps] == [("rule", 1)]


OWN = Cap("rule", 1, NOW - 14_400.0, "1 of this rule every 4h")
ALL = Cap("all", 1, NOW - 86_400.0, "1 in all every 24h")


def batch(zone: str, name: str, cap: Cap) -> Outcome:
    """What one process decided of the shopper in one zone, not knowing of the others. `order` is a service rule."""
    service = name == "order"
    entered = transition(visit("ada", zone))
    decided = decision(entered, name)
    return Outcome(
        transitions=[entered],
        decisions=[decided],
        offers=[offer(decided, entered, service=service)],
        claims=[claim(decided, coupon=False, worth=0, caps=(cap,), service=service)],
        at=NOW,
    )


@pytest.mark.parametrize(
    ("made", "turned"),
    [
        ((("order", OWN), ("order", OWN), ("order", OWN)), 2),
        ((("order", OWN), ("advert", ALL)), 0),
        ((("advert", ALL), ("order", OWN)), 0),
        ((("advert", ALL), ("order", OWN), ("advert", ALL)), 1),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["in one commit", "one after the other"])
def test_what_was_decided_at_once(
    store: Store, made: tuple[tuple[str, Cap], ...], turned: int, *, together: bool
) -> None:
    people.put_shopper(store, Shopper("ada"), at=NOW)
    outcomes = [batch(f"zone-{n}", name, cap) for n, (name, cap) in enumerate(made)]
    if together:
        parts: dict[str, Any] = {part: [one for each in outcomes for one in getattr(each, part)] for part in PARTS}
        outcomes = [Outcome(**parts, at=NOW)]
    found = [one for each in outcomes for one in commit(store, each).turned.values()]
    assert [one.reason for one in found] == ["limit_reached"] * turned
    assert len(history.sends(store, ["ada"], NOW - 60)) == len(made) - turned


PARTS = ("transitions", "decisions", "offers", "claims")
