"""The till's door, the shopper's coupon, values told by the shop's systems, and results."""

from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi import FastAPI

from proximity.model import Coupon
from proximity.store import context, coupons
from rules.offers_codes import shown
from tests.api_house import NOON, TILL, TOKEN, House, call

API = "/api/v1"


@pytest.fixture
def coupon(house: House) -> Coupon:
    """Ada's: 20 % off Kona."""
    offer = house.send(house.hear("ada", "coffee-aisle"), "coffee-linger", "20% off Kona", "45 min left.")
    return house.grant(offer)


def redeem(app: FastAPI, code: str, key: str | None = "till-2/1", token: str | None = TILL, **body: Any) -> Any:
    headers = {"idempotency-key": key} if key else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return call(app, "POST", f"{API}/coupons/{code}/redeem", json={"site": "marais", **body}, headers=headers)


# The till


def test_a_coupon_is_redeemed(house: House, app: FastAPI, coupon: Coupon) -> None:
    got = redeem(app, shown(coupon.code).lower(), till="till-2", discount=2.4, total=31.9)
    assert got.status_code == 200
    answer = got.json()
    assert (answer["redeemed"], answer["repeated"], answer["reason"]) == (True, False, None)
    assert (answer["coupon"]["percent_off"], answer["coupon"]["sku"]) == (20.0, "KONA-250")
    assert answer["coupon"]["code"] == shown(coupon.code)
    assert "ada" not in got.text
    again = redeem(app, coupon.code, till="till-2", discount=2.4, total=31.9).json()
    assert again == {**answer, "repeated": True}
    assert redeem(app, coupon.code, "till-3/7").json()["reason"] == "redeemed_already"
    looked = call(app, "GET", f"{API}/coupons/{coupon.code}", headers={"authorization": f"Bearer {TILL}"}).json()
    assert (looked["state"], looked["discount"], looked["redeemed"]) == ("redeemed", 2.4, NOON)


def test_the_pages_hear_of_it(house: House, app: FastAPI, coupon: Coupon, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, Any]] = []
    monkeypatch.setattr(house.feed, "publish", lambda kind, data: heard.append((kind, data["shopper"])))
    redeem(app, coupon.code)
    redeem(app, coupon.code)
    assert heard == [("redeemed", "ada")]


@pytest.mark.parametrize(
    ("code", "body", "reason"),
    [
        ("K7QF-3MXA-90TB-W2CDR", {}, "unknown"),
        ("nonsense", {}, "unknown"),
        (None, {"site": "lyon"}, "other_store"),
        (None, {"at": NOON + 60.0}, None),  # a clock that is ahead: it is now at the latest
    ],
)
def test_a_no_has_its_reason(
    app: FastAPI, coupon: Coupon, code: str | None, body: dict[str, Any], reason: str | None
) -> None:
    got = redeem(app, code or coupon.code, **body)
    assert got.status_code == 200
    assert (got.json()["redeemed"], got.json()["reason"]) == (reason is None, reason)


def test_an_expired_coupon(house: House, app: FastAPI, coupon: Coupon) -> None:
    house.now += 2700
    assert redeem(app, coupon.code).json()["reason"] == "expired"
    assert redeem(app, coupon.code, "offline", at=NOON + 600).json()["redeemed"]


def test_who_may_redeem(app: FastAPI, coupon: Coupon) -> None:
    assert redeem(app, coupon.code, token=None).status_code == 401
    assert redeem(app, coupon.code, token="wrong").status_code == 401
    assert redeem(app, coupon.code, token=TOKEN).status_code == 200
    got = call(app, "GET", f"{API}/shoppers", headers={"authorization": f"Bearer {TILL}"})
    assert got.status_code == 401  # the till's token opens no other door


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [(None, {}, 422), ("k" * 201, {}, 422), ("a", {"discount": -1.0}, 422), ("a", {"more": 1}, 422),
     ("a", {"site": "nowhere"}, 404)],
)  # fmt: skip
def test_a_request_that_is_wrong(
    app: FastAPI, coupon: Coupon, key: str | None, body: dict[str, Any], status: int
) -> None:
    got = redeem(app, coupon.code, key, **body)
    assert got.status_code == got.json()["status"] == status


def test_a_key_that_was_used_for_something_else(app: FastAPI, coupon: Coupon) -> None:
    redeem(app, coupon.code)
    assert redeem(app, coupon.code, discount=1.0).status_code == 409


def test_budgets(house: House, app: FastAPI) -> None:
    got = call(app, "GET", f"{API}/budgets", headers={"authorization": f"Bearer {TOKEN}"}).json()["items"]
    assert [(one["rule"], one["coupons"], one["most_coupons"], one["most_spend"]) for one in got] == [
        ("coffee-linger", 0, 5000, 12_000.0),
        ("new", 0, None, None),
    ]


# The shopper's page


def test_the_shopper_sees_the_coupon(house: House, app: FastAPI, coupon: Coupon) -> None:
    mine = f"{API}/me/{house.tokens['ada']}"
    (offer,) = call(app, "GET", f"{mine}/offers").json()["items"]
    got = offer["coupon"]
    assert (got["code"], got["percent_off"], got["site"], got["state"]) == (shown(coupon.code), 20.0, "marais", "valid")
    assert got["expires"] == coupon.expires
    picture = call(app, "GET", got["qr"])
    assert picture.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(picture.content).tag.endswith("svg")
    others = f"{API}/me/{house.tokens['brice']}/offers"
    assert call(app, "GET", f"{others}/{coupon.id}/qr.svg").status_code == 404
    redeem(app, coupon.code)
    (offer,) = call(app, "GET", f"{mine}/offers").json()["items"]
    assert offer["coupon"]["state"] == "redeemed"


def test_an_offer_without_a_coupon(house: House, app: FastAPI) -> None:
    house.send(house.hear("ada", "coffee-aisle"), "welcome", "Welcome", "Hello")
    (offer,) = call(app, "GET", f"{API}/me/{house.tokens['ada']}/offers").json()["items"]
    assert offer["coupon"] is None


# Values


def told(app: FastAPI, *items: dict[str, Any]) -> Any:
    return call(app, "PUT", f"{API}/context", json={"items": list(items)}, headers={"authorization": f"Bearer {TOKEN}"})


def test_values_are_told_and_listed(house: House, app: FastAPI) -> None:
    got = told(
        app,
        {"store": "marais", "values": {"weather": {"temp_c": 7, "rain": True}, "stock": {"KONA-250": 4}}},
        {"shopper": "ada", "values": {"cart": {"total": 12.5}}, "valid_for": 60.0},
        {"product": "KONA-250", "values": {"product": {"name": "Kona"}}},
    )
    assert (got.status_code, got.json()) == (200, {"values": 5})
    assert house.live.context_changes == 1
    reading = context.Context(house.store)
    reading.use((), house.live.attributes())
    reading.prepare(["ada", "brice"], NOON)
    here = {"weather": {"temp_c": 7.0, "rain": True}, "stock": {"KONA-250": 4}}
    product = {"product": {"KONA-250": {"name": "Kona"}}}
    assert reading.of("marais", "ada", NOON) == {**here, **product, "cart": {"total": 12.5}}
    assert reading.of("marais", "brice", NOON) == {**here, **product}
    assert reading.of("lyon", "ada", NOON + 60) == product
    rows = call(app, "GET", f"{API}/context?root=cart", headers={"authorization": f"Bearer {TOKEN}"}).json()["items"]
    assert rows == [
        {"root": "cart", "key": "total", "value": 12.5, "store": None, "shopper": "ada", "product": None, "rule": None,
         "at": NOON, "until": NOON + 60, "source": "api"},
    ]  # fmt: skip


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"store": "marais", "values": {"weather": {"temp_c": "cold"}}},
        '`weather.temp_c` is declared as float; "cold" is',
    ),
    ({"store": "marais", "values": {"weather": {"temp": 7.0}}}, "did you mean `weather.temp_c`?"),
    ({"store": "marais", "values": {"wether": {"temp_c": 7.0}}}, "did you mean `weather`?"),
    ({"values": {"weather": {"temp_c": 7.0}}}, "`weather` is told of a store; say which: `store: …`"),
    ({"store": "marais", "values": {"cart": {"total": 7.0}}}, "`cart` is told of a shopper; say which: `shopper: …`"),
    ({"store": "marais", "shopper": "ada", "values": {"cart": {"total": 7.0}}}, "and not of a store"),
    ({"store": "nowhere", "values": {"stock": {"A": 1}}}, "there is no store `nowhere`"),
    ({"shopper": "zoe", "values": {"cart": {"total": 7.0}}}, "there is no shopper `zoe`"),
    ({"shopper": "ada", "values": {"shopper": {"visits_30d": 7}}}, "stand in the shopper's record"),
    ({"store": "marais", "values": {"stock": {"A": True}}}, "declared as int; true is not int"),
]


@pytest.mark.parametrize(("item", "message"), WRONG)
def test_values_that_are_wrong(house: House, app: FastAPI, item: dict[str, Any], message: str) -> None:
    got = told(app, {"store": "marais", "values": {"stock": {"GOOD": 1}}}, item)
    assert got.status_code == 422
    assert message in got.json()["detail"]
    assert got.json()["detail"].startswith("items.1.")
    assert context.listed(house.store, NOON) == []  # all, or none


def test_a_value_is_taken_back(house: House, app: FastAPI) -> None:
    reading = context.Context(house.store, [context.Value("stock", "A", 9, site="marais")])
    told(app, {"store": "marais", "values": {"stock": {"A": 4}}})
    reading.prepare([], NOON)
    assert reading.of("marais", "ada", NOON) == {"stock": {"A": 4}}
    told(app, {"store": "marais", "values": {"stock": {"A": None}}})
    reading.stale = True
    reading.prepare([], NOON)
    assert reading.of("marais", "ada", NOON) == {"stock": {"A": 9}}  # what the folder says


# Results


def test_results_of_a_rule(house: House, app: FastAPI, coupon: Coupon) -> None:
    operator = {"authorization": f"Bearer {TOKEN}"}
    redeem(app, coupon.code, discount=2.4, total=31.9)
    house.now += 1
    (rule,) = call(app, "GET", f"{API}/results", headers=operator).json()["items"]
    (arm,) = rule["arms"]
    figures = ("arm", "shoppers", "met", "sent", "seen", "redeemed", "discount", "reached", "value")
    assert [arm[name] for name in figures] == ["everybody", 1, 1, 1, 0, 1, 2.4, 1, 31.9]
    assert (rule["rule"], rule["control"], arm["share"]["value"]) == ("coffee-linger", None, 1.0)
    got = call(app, "GET", f"{API}/experiments", headers=operator).json()
    assert got == {
        "items": [],
        "splits": [{"kind": "holdout", "name": "global", "chance": None, "suspicious": False}],
    }
    assert coupons.find(house.store, coupon.code) is not None
