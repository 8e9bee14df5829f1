"""Coupons, values and words to the staff through the whole pipeline, with the example shop."""

import shutil
from pathlib import Path

import msgspec
import pytest

from proximity import wire
from proximity.configuration import check_configuration
from proximity.examples import example_config
from proximity.store import budgets, coupons, history, offers, staff, tables
from tests import test_service
from tests.store_house import rows
from tests.test_service import House

configuration, house = test_service.configuration, test_service.house


def tell(house: House, **message: object) -> None:
    payload = msgspec.json.encode(message)
    house.service.turn([house.say(wire.context_topic("demo-store"), payload)])


def reason(house: House, rule: str, shopper: str = "ada") -> str | None:
    decision = history.decisions(house.store, shopper=shopper, rule=rule, limit=1)[0]
    return decision.reason


def test_who_lingers_at_the_coffee_gets_a_coupon(house: House) -> None:
    house.stand(15)
    (offer,) = [one.offer for one in offers.offers(house.store, "ada") if one.offer.rule == "coffee-linger"]
    coupon = coupons.of_offers(house.store, [offer.id])[offer.id].coupon
    assert (coupon.percent_off, coupon.at_most, coupon.sku) == (20.0, 400, "KONA-250")
    assert "Kona, 250 g, encore 45 min" in offer.body  # the article's name is from context.yaml
    assert budgets.used(house.store) == {"coffee-linger": (1, 400)}
    (met,) = [row for row in rows(house.store, tables.exposures) if row["rule"] == "coffee-linger"]
    assert (met["shopper"], met["goal"], met["value"], met["held"]) == ("ada", "redeemed", "basket.total", False)


def test_values_told_by_mqtt_decide(house: House) -> None:
    tell(house, values={"stock": {"KONA-250": 0}})
    house.stand(15)
    assert reason(house, "coffee-linger") == "condition_false"
    tell(house, values={"stock": {"KONA-250": None}}, valid_for=60)  # what context.yaml says holds again
    house.stand(15, first=16, shopper="gaelle")
    assert reason(house, "coffee-linger", "gaelle") is None


WRONG = [
    ({"values": {"stock": {"KONA-250": "many"}}}, "refused"),
    ({"values": {"wether": {"rain": True}}}, "refused"),
    ({"values": {"cart": {"total": 9.0}}, "shopper": "farid"}, "nobody"),  # who agreed to nothing
]


@pytest.mark.parametrize(("message", "what"), WRONG)
def test_values_that_are_refused_are_counted(house: House, message: dict[str, object], what: str) -> None:
    tell(house, **message)
    assert house.service.vitals.counts["context", what] == 1
    assert rows(house.store, tables.context_values) == []
    assert house.acknowledged == [None]


def test_a_message_that_is_no_message(house: House) -> None:
    house.service.turn([house.say(wire.context_topic("demo-store"), b'{"values": 7}')])
    assert house.service.vitals.counts["proximity", "shape"] == 1
    house.service.turn([house.say(wire.context_topic("elsewhere"), b'{"values": {"stock": {"A": 1}}}')])
    assert house.service.vitals.counts["context", "unknown_site"] == 1


def test_the_desk_hears_of_an_order(house: House) -> None:
    house.stand(4, "entrance", "gaelle")
    (word,) = staff.of_site(house.store, "demo-store")
    assert (word.message.desk, word.message.text) == ("collect", "A-1042: the customer has come in")
    assert reason(house, "order-ready", "gaelle") is None


def test_a_restart_makes_no_second_coupon(house: House) -> None:
    house.stand(15)
    house.restart()
    house.stand(5, first=16)
    assert budgets.used(house.store) == {"coffee-linger": (1, 400)}


# context.yaml

FILES: list[tuple[str, str]] = [
    ("values:\n  - {store: demo-store, values: {stock: {A: many}}}\n", "context.yaml:2:45: error[E207]: `stock.A` is"),
    ("values:\n  - {store: demo-stor, values: {stock: {A: 1}}}\n", "did you mean `demo-store`?"),
    ("values:\n  - {shopper: adah, values: {cart: {total: 1.0}}}\n", "there is no shopper `adah`"),
    ("values:\n  - {values: {stock: {A: 1}}}\n", "say which: `store: …`"),
    ("values:\n  - {stores: demo-store, values: {}}\n", "did you mean `store`?"),
    ("- a list\n", "the file must be a mapping with the key `values`"),
    ("version: 2\nvalues: []\n", "context.yaml:1:10"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_mistakes_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    shutil.copytree(example_config(), tmp_path / "config")
    (tmp_path / "config" / "context.yaml").write_text(text)
    found, wrong = check_configuration(tmp_path / "config")
    assert found is None
    assert any(message in one.render() for one in wrong), [one.render() for one in wrong]
