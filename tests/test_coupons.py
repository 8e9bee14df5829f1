"""Coupons in the store: taken with their decision, redeemed once, expired, released, and gone with their shopper."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from proximity.model import Cap
from proximity.store import budgets, coupons, history, offers, people, tables
from proximity.store.commit import Outcome, commit
from proximity.store.coupons import KeyReused, Till
from proximity.store.database import Store
from tests.outbox_marks import mark_sent
from tests.store_house import NOW, claim, ending, rows, story

pytest_plugins = ["tests.store_fixtures"]


def given(store: Store, shopper: str = "ada", **changes: Any) -> Outcome:
    """A coupon that `shopper` was given, with changes."""
    made = story(shopper)
    made = msgspec.structs.replace(made.coupons[0], **changes), made
    commit(store, told := _with(made[1], coupons=[made[0]]))
    return told


def _with(outcome: Outcome, **changes: Any) -> Outcome:
    names = Outcome.__dataclass_fields__
    return Outcome(**{**{name: getattr(outcome, name) for name in names}, **changes})


def ask(outcome: Outcome, key: str = "till-1/1", **changes: Any) -> Till:
    values: dict[str, Any] = {"key": key, "code": outcome.coupons[0].code, "site": "lyon", "at": NOW + 60}
    return Till(**{**values, **changes})


def state(store: Store, outcome: Outcome) -> str:
    found = coupons.find(store, outcome.coupons[0].code)
    assert found is not None
    return found.state


# Given


def test_a_coupon_comes_with_its_offer_and_takes_its_share(store: Store) -> None:
    made = given(store)
    assert state(store, made) == "reserved"
    assert coupons.of_offers(store, [made.offers[0].id, "x"])[made.offers[0].id].coupon == made.coupons[0]
    assert budgets.used(store) == {"welcome": (1, 250)}
    assert coupons.held(store, ["ada", "ben"]) == {"ada": {"welcome": 1}}


def test_doing_it_again_takes_nothing(store: Store) -> None:
    made = given(store)
    commit(store, made)
    assert budgets.used(store) == {"welcome": (1, 250)}
    assert len(rows(store, tables.coupons)) == len(rows(store, tables.exposures)) == 1


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"most_coupons": 1}, "budget_spent", "all 1 coupons were given meanwhile"),
    ({"most_spend": 400}, "budget_spent", "the budget was spent meanwhile"),
    ({"most_spend": 250, "worth": 0}, "budget_spent", "the budget was spent meanwhile"),
]


@pytest.mark.parametrize(("changes", "reason", "detail"), REFUSED)
def test_what_is_gone_meanwhile_turns_the_decision(
    store: Store, changes: dict[str, Any], reason: str, detail: str
) -> None:
    given(store)
    late = story("ben")
    committed = commit(store, _with(late, claims=[claim(late.decisions[0], **changes)]))
    (decision,) = history.decisions(store, shopper="ben")
    assert (decision.outcome, decision.reason, decision.detail) == ("withheld", reason, detail)
    assert committed.turned == {decision.id: decision}
    assert [stage.name for stage in decision.trace] == ["consent", "limits", "reserve"]
    assert offers.offers(store, "ben") == []
    assert committed.offers == committed.deliveries == frozenset()
    assert coupons.held(store, ["ben"]) == {}
    assert {row["shopper"] for table in (tables.exposures, tables.staff_messages) for row in rows(store, table)} == {
        "ada"
    }
    assert budgets.used(store) == {"welcome": (1, 250)}


def test_a_limit_reached_meanwhile_turns_the_decision(store: Store) -> None:
    given(store)
    for scope, rule, kept in (("all", "another", False), ("rule", "another", True), ("store", "third", False)):
        later = story("ada", zone=f"zone-{rule}-{scope}", started=NOW + 60)
        decided = msgspec.structs.replace(later.decisions[0], rule=rule)
        cap = Cap(scope, 1 if scope != "store" else 2, NOW - 3600.0, "1 in all every 1h", "x.rules.yaml:3")  # type: ignore[arg-type]
        wanted = claim(decided, caps=(cap,), coupon=False)
        offered = msgspec.structs.replace(later.offers[0], rule=rule)
        committed = commit(store, _with(later, decisions=[decided], offers=[offered], claims=[wanted], coupons=[]))
        assert (committed.turned == {}) == kept, scope
        for one in committed.turned.values():
            assert (one.reason, one.trace[-1].where) == ("limit_reached", "x.rules.yaml:3")


def test_the_first_of_two_in_one_commit_wins(store: Store) -> None:
    first, second = story("ada", "coffee"), story("ada", "tea", NOW + 1)
    cap = Cap("all", 1, NOW - 3600.0, "1 in all every 1h")
    both = _with(
        first,
        **{
            name: [*getattr(first, name), *getattr(second, name)]
            for name in ("transitions", "visits", "decisions", "offers", "deliveries", "coupons", "exposures", "staff")
        },
        claims=[
            claim(second.decisions[0], caps=(cap,), order=1),
            claim(first.decisions[0], caps=(cap,), order=0),
        ],
    )
    assert set(commit(store, both).turned) == {second.decisions[0].id}


def test_so_many_a_shopper(store: Store) -> None:
    given(store)
    later = story("ada", "tea", NOW + 60)
    committed = commit(store, _with(later, claims=[claim(later.decisions[0], per_shopper=1)]))
    assert [one.reason for one in committed.turned.values()] == ["limit_reached"]


def test_a_ghost_that_comes_too_late_is_none(store: Store) -> None:
    given(store)
    later = story("ada", "tea", NOW + 60)
    held = msgspec.structs.replace(later.decisions[0], outcome="withheld", reason="holdout", detail="held", ghost=True)
    cap = Cap("all", 1, NOW - 3600.0, "1 in all every 1h")
    wanted = claim(held, caps=(cap,), coupon=False, ghost=True)
    commit(store, _with(later, decisions=[held], offers=[], deliveries=[], coupons=[], staff=[], claims=[wanted]))
    (decision,) = history.decisions(store, shopper="ada", outcome="withheld")
    assert (decision.reason, decision.ghost) == ("holdout", False)
    assert "1 sent meanwhile" in decision.detail


# At the till


def test_redeemed_once(store: Store) -> None:
    made = given(store)
    answer = coupons.redeem(store, ask(made, total=1999))
    assert (answer.redeemed, answer.reason) == (True, None)
    assert answer.coupon is not None
    assert (answer.coupon["amount_off"], answer.coupon["currency"], answer.coupon["rule"]) == (250, "EUR", "welcome")
    assert "ada" not in str(answer)
    again = coupons.redeem(store, ask(made, "till-2/9"))
    assert (again.redeemed, again.reason) == (False, "redeemed_already")
    (event,) = rows(store, tables.shop_events)
    assert (event["name"], event["shopper"], event["data"]["basket"]["total"]) == ("redeemed", "ada", 19.99)


def test_a_till_that_asks_again_gets_the_same_answer(store: Store) -> None:
    made = given(store)
    first = coupons.redeem(store, ask(made))
    again = coupons.redeem(store, ask(made, at=NOW + 61))
    assert again == msgspec.structs.replace(first, repeated=True)
    with pytest.raises(KeyReused):
        coupons.redeem(store, ask(made, site="nice"))


NOES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"code": None}, "unknown"),
    ({}, {"code": "0" * 17}, "unknown"),
    ({}, {"site": "nice"}, "other_store"),
    ({}, {"at": NOW + 3600}, "expired"),
    ({}, {"discount": 251}, "too_much"),
    ({"amount_off": None, "percent_off": 20.0, "at_most": 300}, {"discount": 301}, "too_much"),
]


@pytest.mark.parametrize(("coupon", "asked", "reason"), NOES)
def test_every_no_has_its_reason(store: Store, coupon: dict[str, Any], asked: dict[str, Any], reason: str) -> None:
    made = given(store, **coupon)
    answer = coupons.redeem(store, ask(made, **asked))
    assert (answer.redeemed, answer.reason) == (False, reason)
    assert answer.detail
    assert coupons.redeem(store, ask(made, "till-1/2")).redeemed  # the coupon is as good as before


def test_a_coupon_of_the_chain_is_taken_everywhere(store: Store) -> None:
    assert coupons.redeem(store, ask(given(store, chain=True), site="nice")).redeemed


def test_what_it_came_to_is_what_the_budget_has_spent(store: Store) -> None:
    made = given(store, amount_off=None, percent_off=20.0, at_most=250)
    coupons.redeem(store, ask(made, discount=99))
    assert budgets.used(store) == {"welcome": (1, 99)}


def test_many_tills_at_one_instant(store: Store) -> None:
    made = given(store)
    together = Barrier(8)

    def at_till(number: int) -> bool:
        together.wait()
        return coupons.redeem(store, ask(made, f"till-{number}")).redeemed

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(at_till, range(8))) == 1
    assert len(rows(store, tables.shop_events)) == 1


# As time goes by


def test_a_coupon_follows_its_offer(store: Store) -> None:
    made = given(store)
    assert coupons.settle(store, NOW + 1) == {"issued": 0, "released": 0, "expired": 0}
    mark_sent(store, {one.id: NOW + 1 for one in made.deliveries})
    assert coupons.settle(store, NOW + 1) == {"issued": 1, "released": 0, "expired": 0}
    commit(store, ending(made, NOW + 60))  # the offer is taken back, and the shopper has the coupon
    assert coupons.settle(store, NOW + 60) == {"issued": 0, "released": 0, "expired": 0}
    assert coupons.redeem(store, ask(made, at=NOW + 90)).redeemed


def test_an_offer_that_reached_nobody_gives_its_share_back(store: Store) -> None:
    made = given(store)
    commit(store, ending(made, NOW + 1))
    assert coupons.settle(store, NOW + 2) == {"issued": 0, "released": 1, "expired": 0}
    assert budgets.used(store) == {"welcome": (0, 0)}
    assert coupons.held(store, ["ada"]) == {}
    assert coupons.redeem(store, ask(made)).reason == "withdrawn"


def test_a_coupon_that_nobody_redeemed_gives_its_share_back(store: Store) -> None:
    made = given(store, reserved_until=NOW + 7200)
    late = ask(made, at=NOW + 2600)  # a till that was offline tells it an hour later
    assert coupons.settle(store, NOW + 7199)["expired"] == 0
    assert coupons.redeem(store, late).redeemed
    assert coupons.settle(store, NOW + 7200)["expired"] == 0
    other = given(store, "ben")
    assert budgets.used(store) == {"welcome": (2, 500)}
    assert coupons.settle(store, NOW + 7200)["expired"] == 1
    assert budgets.used(store) == {"welcome": (1, 250)}
    assert coupons.redeem(store, ask(other, "till-3", at=NOW + 10)).reason == "expired"


def test_settling_goes_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupons, "PIECE", 1)
    given(store), given(store, "ben")
    assert coupons.settle(store, NOW + 9999)["expired"] == 2
    assert budgets.used(store) == {"welcome": (0, 0)}


def test_an_erased_shopper_gives_back_what_was_not_redeemed(store: Store) -> None:
    given(store)
    coupons.redeem(store, ask(given(store, "ben")))
    people.erase(store, "ada")
    people.erase(store, "ben")
    assert budgets.used(store) == {"welcome": (1, 250)}
    assert rows(store, tables.coupons) == rows(store, tables.redemptions) == rows(store, tables.shop_events) == []


def test_the_key_is_made_once(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(lambda _: coupons.key(store), range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) == coupons.KEY_BYTES
    with store.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.secrets)).scalar() == 1
