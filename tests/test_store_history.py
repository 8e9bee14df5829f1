"""What happened, filtered and counted."""

import dataclasses
from typing import Any

import pytest

from proximity.model import Sent
from proximity.store import history, offers, outbox
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from tests.outbox_marks import mark_sent, mark_skipped
from tests.store_house import NOW, decision, ending, story, transition, visit

pytest_plugins = ["tests.store_fixtures"]


def fill(store: Store) -> None:
    """Ada in coffee at 0 s and until 100 s, Ben in tills at 10 s, Ada in tills at 20 s in Nice; two were withheld."""
    commit(store, story("ada", "coffee", NOW))
    commit(store, story("ben", "tills", NOW + 10))
    stay = visit("ada", "tills", NOW + 20, site="nice")
    entered = transition(stay)
    withheld = decision(entered, "tills-offer", outcome="withheld", reason="limit_reached")
    other = decision(entered, "socks", outcome="withheld", reason="no_consent")
    commit(store, Outcome(transitions=[entered], visits=[stay], decisions=[withheld, other]))
    commit(store, ending(story("ada", "coffee", NOW), NOW + 100))


TRANSITIONS: list[tuple[dict[str, Any], list[float]]] = [
    ({}, [100, 20, 10, 0]),
    ({"shopper": "ada"}, [100, 20, 0]),
    ({"site": "nice"}, [20]),
    ({"zone": "tills"}, [20, 10]),
    ({"kind": "exit"}, [100]),
    ({"since": NOW + 10, "until": NOW + 100}, [20, 10]),
    ({"limit": 2}, [100, 20]),
    ({"shopper": "ada", "zone": "tills", "site": "lyon"}, []),
]


@pytest.mark.parametrize(("wanted", "seconds"), TRANSITIONS)
def test_transitions(store: Store, wanted: dict[str, Any], seconds: list[float]) -> None:
    fill(store)
    assert [one.at - NOW for one in history.transitions(store, **wanted)] == seconds


VISITS: list[tuple[dict[str, Any], list[float]]] = [
    ({}, [20, 10, 0]),
    ({"open_only": True}, [20, 10]),
    ({"shopper": "ben"}, [10]),
    ({"zone": "coffee"}, [0]),
    ({"since": NOW + 99}, [20, 10, 0]),  # the one from 0 to 100 overlaps
    ({"since": NOW + 101}, [20, 10]),
    ({"until": NOW + 10}, [0]),
    ({"site": "nice", "limit": 1}, [20]),
]


@pytest.mark.parametrize(("wanted", "seconds"), VISITS)
def test_visits(store: Store, wanted: dict[str, Any], seconds: list[float]) -> None:
    fill(store)
    assert [one.started - NOW for one in history.visits(store, **wanted)] == seconds


DECISIONS: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({}, {("ada", "welcome"), ("ben", "welcome"), ("ada", "tills-offer"), ("ada", "socks")}),
    ({"shopper": "ben"}, {("ben", "welcome")}),
    ({"rule": "welcome", "outcome": "sent"}, {("ada", "welcome"), ("ben", "welcome")}),
    ({"outcome": "withheld"}, {("ada", "tills-offer"), ("ada", "socks")}),
    ({"reason": "no_consent"}, {("ada", "socks")}),
    ({"site": "nice"}, {("ada", "tills-offer"), ("ada", "socks")}),
    ({"since": NOW + 5, "until": NOW + 15}, {("ben", "welcome")}),
]


@pytest.mark.parametrize(("wanted", "found"), DECISIONS)
def test_decisions(store: Store, wanted: dict[str, Any], found: set[tuple[str, str]]) -> None:
    fill(store)
    assert {(one.shopper, one.rule) for one in history.decisions(store, **wanted)} == found


def test_one_of_each(store: Store) -> None:
    fill(store)
    newest = history.decisions(store, limit=1)[0]
    assert history.decision(store, newest.id) == newest
    assert history.decision(store, "none") is None
    assert history.transition(store, newest.transition) is not None
    assert history.transition(store, "none") is None


def test_reasons_and_totals(store: Store) -> None:
    fill(store)
    assert history.reasons(store) == {"limit_reached": 1, "no_consent": 1}
    assert history.reasons(store, since=NOW + 60) == {}
    assert history.totals(store) == {
        "transitions": 4,
        "visits": 3,
        "decisions": 4,
        "sent": 2,
        "withheld": 2,
        "offers": 2,
        "delivered": 0,
        "withdrawn": 1,
        "expired": 0,
        "failed": 0,
        "dead": 0,
        "late": 2,
    }
    (waiting,) = {one.offer.id for one in outbox.due(store, NOW + 60)}
    mark_sent(store, {one.delivery.id: NOW + 11 for one in outbox.due(store, NOW + 60)})
    stored = offers.offer(store, waiting)
    assert stored is not None
    assert stored.state == "sent"
    since = history.totals(store, since=NOW + 10)
    assert (since["transitions"], since["visits"], since["delivered"], since["late"]) == (3, 2, 1, 0)


def test_an_empty_store_counts_nothing(store: Store) -> None:
    assert set(history.totals(store).values()) == {0}
    assert history.sends(store, ["ada"], 0.0) == []


def test_sends_are_what_reached_the_shopper_or_still_may(store: Store) -> None:
    ways = {"waits": None, "sent": "sent", "expired": "expired", "left": "left", "taken-back": "taken back"}
    made = {}
    for number, (zone, fate) in enumerate(ways.items()):
        outcome = story("ada", zone, NOW + number, channels=("mqtt",), service=zone == "sent")
        commit(store, outcome)
        (delivery,) = outcome.deliveries
        made[zone] = outcome.offers[0]
        if fate in {"sent", "taken back"}:
            mark_sent(store, {delivery.id: NOW + number + 1.0})
        if fate == "expired":
            mark_skipped(store, delivery.id, "expired")
        if fate in {"left", "taken back"}:
            commit(store, ending(outcome, NOW + 60))
    commit(store, story("ben", "sent", NOW))
    found = history.sends(store, ["ada", "ada", "nobody"], NOW)
    assert found == [
        Sent("ada", "welcome", "lyon", made[zone].created, service=zone == "sent")
        for zone in ("waits", "sent", "taken-back")
    ]
    assert history.sends(store, ["ada"], made["taken-back"].created) == found[-1:]
    assert len(history.sends(store, ["ada", "ben"], NOW)) == 4


def test_a_trace_is_kept_word_for_word(store: Store) -> None:
    first = story()
    (decided,) = first.decisions
    commit(store, dataclasses.replace(first, decisions=[decided]))
    kept = history.decision(store, decided.id)
    assert kept is not None
    assert kept.trace == decided.trace
    assert kept.trace[1].where == "welcome.rules.yaml:4"


def test_limits_count_ghosts_and_no_other_withheld_decision(store: Store) -> None:
    stay = visit()
    enter = transition(stay)
    held = decision(enter, "held", outcome="withheld", reason="holdout", ghost=True)
    refused = decision(enter, "refused", outcome="withheld", reason="no_consent")
    commit(store, Outcome(transitions=[enter], visits=[stay], decisions=[held, refused]))
    assert history.sends(store, ["ada"], NOW) == [Sent("ada", "held", "lyon", held.at)]
    assert history.decision(store, held.id) == held
