"""What came of a rule: people by arm, goals within their time, values, and the lift over those who were held out."""

from typing import Any

import pytest
from fastapi import FastAPI

from proximity.model import Exposure
from proximity.store import results, tables
from proximity.store.bulk import insert_new
from proximity.store.commit import commit
from proximity.store.database import Store
from proximity.store.offers import mark_seen
from proximity.store.results import ArmResult
from tests.api_house import NOON, TOKEN, House, call
from tests.store_house import NOW, story

pytest_plugins = ["tests.store_fixtures"]
DAY = 86_400.0


def meet(store: Store, shopper: str, at: float = NOW, **more: Any) -> None:
    values: dict[str, Any] = {"held": False, "goal": "purchase", "until": at + DAY, "value": "basket.total"}
    one = Exposure(f"{shopper} {at}", "kona", shopper, "lyon", at, **{**values, **more})
    with store.begin() as connection:
        insert_new(connection, tables.exposures, [{name: getattr(one, name) for name in Exposure.__struct_fields__}])


def buy(store: Store, shopper: str, at: float, total: Any = 20.0, name: str = "purchase", **data: Any) -> None:
    event = {"id": f"{shopper} {at} {name}", "name": name, "shopper": shopper, "site": "lyon", "at": at,
             "data": {"basket": {"total": total}, **data}}  # fmt: skip
    with store.begin() as connection:
        insert_new(connection, tables.shop_events, [event])


def of(store: Store, rule: str = "kona", since: float = NOW - DAY, until: float = NOW + DAY) -> dict[str, ArmResult]:
    return {one.arm: one for one in results.results(store, rule, since, until)}


def test_people_count_and_not_meetings(store: Store) -> None:
    meet(store, "ada")
    meet(store, "ada", NOW + 10)
    meet(store, "ben")
    buy(store, "ada", NOW + 20)
    buy(store, "ada", NOW + 30, total=5.0)
    arm = of(store)["everybody"]
    assert (arm.shoppers, arm.met, arm.reached, arm.value) == (2, 3, 1, 25.0)


TIMES: list[tuple[float, int]] = [(NOW - 1, 0), (NOW, 1), (NOW + DAY - 1, 1), (NOW + DAY, 0)]


@pytest.mark.parametrize(("at", "reached"), TIMES)
def test_a_goal_has_its_time(store: Store, at: float, reached: int) -> None:
    meet(store, "ada")
    buy(store, "ada", at)
    assert of(store)["everybody"].reached == reached


def test_an_event_of_another_name_or_person_is_no_goal(store: Store) -> None:
    meet(store, "ada")
    buy(store, "ada", NOW + 1, name="qr_scanned")
    buy(store, "ben", NOW + 1)
    assert of(store)["everybody"].reached == 0


@pytest.mark.parametrize("total", ["a lot", None, True, {"x": 1}])
def test_a_value_that_is_no_number_is_worth_nothing(store: Store, total: Any) -> None:
    meet(store, "ada")
    buy(store, "ada", NOW + 1, total=total)
    assert (of(store)["everybody"].reached, of(store)["everybody"].value) == (1, 0.0)


def test_a_redeemed_coupon_counts_for_its_own_rule(store: Store) -> None:
    meet(store, "ada", goal="redeemed")
    buy(store, "ada", NOW + 1, name="redeemed", rule="another")
    assert of(store)["everybody"].reached == 0
    buy(store, "ada", NOW + 2, name="redeemed", rule="kona")
    assert of(store)["everybody"].reached == 1


def test_arms_and_those_held_out(store: Store) -> None:
    meet(store, "ada", experiment="copy", arm="plain", holdout="all")
    meet(store, "ben", experiment="copy", arm="urgent", holdout="all")
    meet(store, "eve", experiment="copy", holdout="all", held=True)
    meet(store, "joe", experiment="copy", arm="control", held=True)
    assert {name: (one.held, one.shoppers) for name, one in of(store).items()} == {
        "plain": (False, 1), "urgent": (False, 1), "holdout": (True, 1), "control": (True, 1),
    }  # fmt: skip
    rows = [(row["kind"], row["name"], row["arm"], row["shoppers"]) for row in results.membership(store, 0, NOW + 1)]
    assert rows == [
        ("experiment", "copy", "control", 1),
        ("experiment", "copy", "plain", 1),
        ("experiment", "copy", "urgent", 1),
        ("holdout", "all", "everybody", 2),
        ("holdout", "all", "holdout", 1),
    ]


def test_offers_of_a_rule_that_is_not_measured(store: Store) -> None:
    made = story("ada")
    commit(store, made)
    with store.begin() as connection:
        connection.execute(tables.exposures.delete())
    mark_seen(store, made.offers[0].id, NOW + 5)
    arm = of(store, "welcome")["everybody"]
    assert (arm.shoppers, arm.sent, arm.seen, arm.redeemed) == (0, 1, 1, 0)
    assert results.measured(store, NOW - DAY, NOW + DAY) == ["welcome"]


# Over HTTP


def test_lift_over_the_holdout(house: House, app: FastAPI) -> None:
    for number in range(200):
        held = number < 100
        meet(house.store, f"s{number}", NOON - 3600, held=held, holdout="global")
        if number % 10 < (1 if held else 3):
            buy(house.store, f"s{number}", NOON - 60)
    operator = {"authorization": f"Bearer {TOKEN}"}
    (rule,) = call(app, "GET", "/api/v1/results?rule=kona", headers=operator).json()["items"]
    assert rule["control"] == "holdout"
    everybody, holdout = rule["arms"]
    assert (everybody["reached"], holdout["reached"], holdout["held"]) == (30, 10, True)
    assert everybody["share"]["value"] == pytest.approx(0.3)
    assert everybody["difference"]["value"] == pytest.approx(0.2)
    assert everybody["difference"]["low"] > 0.08
    assert everybody["lift"]["value"] == pytest.approx(2.0)
    assert (holdout["lift"], holdout["difference"]) == (None, None)
    got = call(app, "GET", "/api/v1/experiments", headers=operator).json()
    (split,) = got["splits"]  # one half is held out, and the rules say a tenth
    assert (split["name"], split["suspicious"]) == ("global", True)
    assert [(one["arm"], one["shoppers"]) for one in got["items"]] == [("everybody", 100), ("holdout", 100)]
