"""The shopper's own page: only one's own, in one's language, and with a way out."""

import json

import pytest
from fastapi import FastAPI

from proximity.api.me import Mine, page_language
from proximity.feed import Event
from proximity.model import Shopper, Whereabouts
from proximity.phones.app import read as read_app
from proximity.store import offers, people
from tests.api_house import NOON, House, call


def path(house: House, shopper: str, rest: str = "") -> str:
    return f"/api/v1/me/{house.tokens[shopper]}{rest}"


LANGUAGES = [
    (("fr", "en"), None, "fr"),
    (("fr-CA",), "en", "fr"),
    (("de", "fr"), "en", "fr"),
    (("de",), "fr-FR,fr;q=0.9,en;q=0.8", "fr"),
    ((), "en;q=0.3, fr;q=0.7", "fr"),
    ((), "de-DE, fr;q=0", "en"),
    ((), "fr;q=banana, en;q=0.1", "en"),
    ((), ",;;q=,", "en"),
    ((), None, "en"),
]


@pytest.mark.parametrize(("reads", "accept", "language"), LANGUAGES)
def test_the_language_of_the_page(reads: tuple[str, ...], accept: str | None, language: str) -> None:
    assert page_language(Shopper("ada", reads), accept) == language


def test_me(house: House, app: FastAPI) -> None:
    house.place("deniz", "tills", 15.0, 3.0)
    house.place("ada", "coffee-aisle")
    me = call(app, "GET", path(house, "deniz"), headers={"accept-language": "fr"}).json()
    assert (me["name"], me["language"], me["at"], me["sharing"]) == ("Deniz", "fr", NOON, True)
    assert me["whereabouts"] == [
        {"site": "marais", "site_name": "Maison Kona, Le Marais", "zones": ["Tills"], "at": NOON}
    ]
    assert [(one["purpose"], one["granted"]) for one in me["consents"]] == [
        ("in-store-offers", False),
        ("order-updates", True),
    ]


def test_a_shelf_says_more_than_the_car_park_around_it(house: House, app: FastAPI) -> None:
    for zones, shown in [(("car-park", "tills"), ["Tills"]), (("car-park",), ["Car park"]), ((), [])]:
        house.live.places["app:ada"] = Whereabouts("app:ada", "ada", "marais", zones, 0.9, NOON)
        (place,) = call(app, "GET", path(house, "ada")).json()["whereabouts"]
        assert place["zones"] == shown


def test_my_offers_and_nobody_elses(house: House, app: FastAPI) -> None:
    mine = house.send(house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
    other = house.send(house.hear("brice", "entrance"), "welcome", "Welcome", "Coffee is on us")
    (shown,) = call(app, "GET", path(house, "ada", "/offers")).json()["items"]
    assert (shown["id"], shown["site_name"], shown["zone_name"]) == (mine.id, "Maison Kona, Le Marais", "Coffee")
    assert not {"rule", "visit", "shopper"} & set(shown)

    assert call(app, "POST", path(house, "ada", f"/offers/{mine.id}/seen")).status_code == 204
    stored = offers.offer(house.store, mine.id)
    assert stored is not None
    assert stored.seen == NOON
    assert call(app, "POST", path(house, "ada", f"/offers/{other.id}/seen")).status_code == 404
    unseen = offers.offer(house.store, other.id)
    assert unseen is not None
    assert unseen.seen is None


def test_i_change_my_mind(house: House, app: FastAPI) -> None:
    answer = call(app, "PUT", path(house, "ada", "/consents/in-store-offers"), json={"granted": False})
    assert answer.json() == {"purpose": "in-store-offers", "granted": False, "at": NOON, "source": "shopper"}
    assert house.live.changed == ["ada"]
    assert call(app, "GET", path(house, "ada")).json()["sharing"] is False
    assert call(app, "PUT", path(house, "ada", "/consents/anything"), json={"granted": True}).status_code == 404


FIX = {"lat": 48.8568, "lon": 2.3563, "accuracy": 8.5, "speed": None, "course": 120.0}


def test_my_position_goes_through_the_one_door(house: House, app: FastAPI) -> None:
    people.remove_device(house.store, "app:ada")
    assert call(app, "POST", path(house, "ada", "/position"), json=FIX).json() == {"accepted": True}
    ((topic, payload),) = house.live.submitted
    (fix,) = read_app(topic, payload, NOON).fixes
    assert (fix.device, fix.lat, fix.accuracy, fix.speed, fix.course, fix.at) == (
        "app:ada", 48.8568, 8.5, None, 120.0, NOON,
    )  # fmt: skip
    assert json.loads(payload)["lat"] == 48.8568
    device = people.device(house.store, "app:ada")
    assert device is not None
    assert device.shopper == "ada"


def test_no_position_without_consent(house: House, app: FastAPI) -> None:
    people.set_consent(house.store, "ada", "in-store-offers", False, NOON, "shopper")
    answer = call(app, "POST", path(house, "ada", "/position"), json=FIX)
    assert answer.status_code == 403
    assert house.live.submitted == []


@pytest.mark.parametrize(
    "change", [{"lat": 91}, {"lon": "2.3"}, {"lat": None}, {"accuracy": -1}, {"at": 1764155040000}, {"who": "ada"}]
)
def test_positions_that_cannot_be(house: House, app: FastAPI, change: dict[str, object]) -> None:
    assert call(app, "POST", path(house, "ada", "/position"), json={**FIX, **change}).status_code == 422


SHELF = {"uuid": "7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90", "major": 2, "minor": 1, "rssi": -61.5}


def test_the_shelf_beacons_that_i_hear_go_through_the_one_door(house: House, app: FastAPI) -> None:
    people.remove_device(house.store, "app:ada")
    body = {"beacons": [SHELF, {**SHELF, "minor": 2}], "at": NOON - 1}
    assert call(app, "POST", path(house, "ada", "/beacons"), json=body).json() == {"accepted": True}
    ((topic, payload),) = house.live.submitted
    report = read_app(topic, payload, NOON)
    assert [(one.beacon, one.rssi, one.at) for one in report.sightings] == [
        (f"ibeacon:{SHELF['uuid']}:2:1", -61.5, NOON - 1),
        (f"ibeacon:{SHELF['uuid']}:2:2", -61.5, NOON - 1),
    ]
    assert people.device(house.store, "app:ada") is not None


@pytest.mark.parametrize(
    "beacon", [{"rssi": 0}, {"rssi": 5}, {"major": 70000}, {"uuid": "none"}, {"minor": "1"}, {"who": "ada"}]
)
def test_beacons_that_cannot_be(house: House, app: FastAPI, beacon: dict[str, object]) -> None:
    body = {"beacons": [{**SHELF, **beacon}]}
    assert call(app, "POST", path(house, "ada", "/beacons"), json=body).status_code == 422
    people.set_consent(house.store, "ada", "in-store-offers", False, NOON, "shopper")
    assert call(app, "POST", path(house, "ada", "/beacons"), json={"beacons": [SHELF]}).status_code == 403


def test_i_am_forgotten(house: House, app: FastAPI) -> None:
    house.send(house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
    house.place("ada", "coffee-aisle")
    assert call(app, "DELETE", path(house, "ada")).status_code == 204
    assert call(app, "GET", path(house, "ada")).status_code == 404
    assert people.shopper(house.store, "ada") is None
    assert house.live.whereabouts("ada") == []


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "/offers"), ("PUT", "/consents/in-store-offers"), ("POST", "/position"), ("DELETE", ""),
     ("GET", "/events"), ("POST", "/offers/x/seen")],
)  # fmt: skip
@pytest.mark.parametrize("token", ["nobody", "ada", "a%00b", "x" * 129])
def test_a_token_that_nobody_has(app: FastAPI, method: str, rest: str, token: str) -> None:
    body = {"granted": True} if method == "PUT" else FIX if rest == "/position" else None
    answer = call(app, method, f"/api/v1/me/{token}{rest}", json=body, operator=True)
    assert answer.status_code in {404, 422}
    assert token not in answer.text


def test_the_page_and_its_manifest(house: House, app: FastAPI) -> None:
    token = house.tokens["ada"]
    page = call(app, "GET", f"/me/{token}")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert token not in page.text  # one file for everybody: a cache of it tells nothing
    assert call(app, "GET", "/me/nobody").status_code == 404
    manifest = call(app, "GET", f"/me/{token}/app.webmanifest")
    assert manifest.headers["content-type"] == "application/manifest+json"
    assert manifest.json()["start_url"] == f"/me/{token}"
    assert call(app, "GET", "/me/nobody/app.webmanifest").status_code == 404
    assert call(app, "GET", "/sw.js").headers["service-worker-allowed"] == "/me/"


NUDGES = [
    (Event("offer", {"shopper": "ada", "title": "secret"}), Event("offers", {})),
    (Event("offer", {"shopper": "brice"}), None),
    (Event("withdrawn", {"shopper": "ada"}), Event("offers", {})),
    (Event("decision", {"shopper": "ada", "outcome": "sent", "rule": "x"}), Event("offers", {})),
    (Event("decision", {"shopper": "ada", "outcome": "withheld"}), None),
    (Event("transition", {"shopper": "ada", "zone": "tills"}), Event("moved", {})),
    (Event("transition", {"shopper": "brice"}), None),
]


@pytest.mark.parametrize(("event", "nudge"), NUDGES)
def test_i_hear_of_myself_alone(event: Event, nudge: Event | None) -> None:
    assert Mine("ada")(event) == nudge


def test_i_hear_of_a_place_once() -> None:
    mine = Mine("ada")

    def at(*zones: str) -> Event:
        rows = [
            {"device": "app:ada", "shopper": "ada", "site": "marais", "zones": list(zones)},
            {"device": "app:brice", "shopper": "brice", "site": "marais", "zones": ["tills"]},
        ]
        return Event("whereabouts", {"devices": rows})

    heard = [mine(at("coffee-aisle")), mine(at("coffee-aisle")), mine(at("tills")), mine(at())]
    assert heard == [Event("moved", {}), None, Event("moved", {}), Event("moved", {})]
