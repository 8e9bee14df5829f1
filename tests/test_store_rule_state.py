"""What rules remember, in the store: written with a batch, found by shopper and by time, on both databases."""

import pytest

from proximity.model import Shopper
from proximity.store import context, people, rule_state
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from proximity.store.rule_state import MOST_DUE, Memory, ShopEvent
from rules.audience import Tick
from rules.occurrence import event_occurrence
from rules.stateful import Begun, Row
from tests.store_house import NOW

pytest_plugins = ["tests.store_fixtures"]
DAY = 86_400.0


def row(name: str, shopper: str = "ada", due: float = NOW + DAY, sort: str = "absence", **more: object) -> Row:
    return Row(name, sort, "away", "key", shopper, due, **more)  # type: ignore[arg-type] # as the tests write them


@pytest.fixture
def house(store: Store) -> Store:
    for name in ("ada", "ben"):
        people.put_shopper(store, Shopper(name, consents={"in-store-offers": True}), at=NOW)
    return store


def keep(house: Store, **parts: object) -> None:
    commit(house, Outcome(memory=Memory(**parts), at=NOW))  # type: ignore[arg-type] # as the tests name them


def test_rows_are_replaced_and_removed(house: Store) -> None:
    begun = row("b", sort="sequence", begun=(None, Begun("x", 1.5, 2.5, {"sku": "é"})), seen={"x": 1.5})
    keep(house, rows=[row("a", since=NOW), begun, row("c", "ben")])
    assert rule_state.rows(house, ["ada"]) == {"ada": {"a": row("a", since=NOW), "b": begun}}
    later = row("a", due=NOW + 2 * DAY)
    keep(house, rows=[later], gone=["b", "nothing"])
    assert rule_state.rows(house, ["ada", "ben", "eve"]) == {"ada": {"a": later}, "ben": {"c": row("c", "ben")}}


def test_what_is_held_waits_for_its_time_alone(house: Store) -> None:
    held = row("h", sort="hold", happening=event_occurrence("1", "scan", "ada", NOW, "paris", {"code": "A"}))
    keep(house, rows=[held])
    assert rule_state.rows(house, ["ada"]) == {}
    assert rule_state.due(house, NOW + DAY) == [held]


def test_what_is_due(house: Store) -> None:
    assert rule_state.next_due(house) == float("inf")
    keep(house, rows=[row(f"r{i}", due=NOW + i) for i in range(3)])
    assert rule_state.next_due(house) == NOW
    assert [one.id for one in rule_state.due(house, NOW + 1)] == ["r0", "r1"]


def test_a_turn_takes_no_more_than_it_can(house: Store) -> None:
    keep(house, rows=[row(f"r{i}", due=NOW - i) for i in range(MOST_DUE + 3)])
    assert len(rule_state.due(house, NOW)) == MOST_DUE


def test_rows_and_events_of_strangers_are_dropped(house: Store) -> None:
    keep(house, rows=[row("a"), row("z", "zoe")], events=[ShopEvent("e", "scan", "zoe", None, NOW, {})])
    assert rule_state.rows(house, ["ada", "zoe"]).keys() == {"ada"}
    assert rule_state.told(house, ["e"]) == set()


def test_events_are_known_again(house: Store) -> None:
    one = ShopEvent("e1", "scan", "ada", "paris", NOW, {"code": "A", "price": 4.5, "tags": ["x"]})
    keep(house, events=[one, one])
    keep(house, events=[ShopEvent("e1", "other", "ada", None, NOW + 5, {})])
    assert rule_state.told(house, ["e1", "e2"]) == {"e1"}


def test_ticks_never_go_back(house: Store) -> None:
    keep(house, ticks=[Tick("a", "Europe/Paris", NOW), Tick("b", "UTC", NOW)])
    keep(house, ticks=[Tick("a", "Europe/Paris", NOW - 60), Tick("b", "UTC", NOW + 60)])
    assert rule_state.ticks(house) == {("a", "Europe/Paris"): NOW, ("b", "UTC"): NOW + 60}


def test_whose_order_it_is(house: Store) -> None:
    context.put(house, [context.Value("order", "id", "A1", shopper="ada")], NOW, "api")
    context.put(house, [context.Value("order", "id", "A1", shopper="ben")], NOW + 1, "api")
    assert context.shopper_of(house, "order", "id", "A1") == "ben"
    assert context.shopper_of(house, "order", "id", "A2") is None
    assert context.shopper_of(house, "order", "status", "A1") is None
