"""The API: who may see what, what comes out, and that every error is a problem."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from proximity.api import geo
from proximity.api.counts import count
from proximity.api.security import COOKIE
from proximity.model import Device, Fix, Whereabouts
from proximity.observations import Batch
from proximity.store import gateways, observations, outbox, packing, people
from tests.api_house import MARAIS, NOON, TOKEN, House, call, condition
from tests.outbox_marks import mark_dead

API = "/api/v1"


def is_problem(answer: Any, status: int) -> bool:
    body = answer.json()
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and body["status"] == status
        and bool(body["title"])
    )


PROTECTED = [
    ("GET", "/shoppers"), ("POST", "/shoppers"), ("GET", "/shoppers/ada"), ("PUT", "/shoppers/ada"),
    ("DELETE", "/shoppers/ada"), ("POST", "/shoppers/ada/token"), ("GET", "/shoppers/ada/consents"),
    ("PUT", "/shoppers/ada/consents/in-store-offers"), ("GET", "/shoppers/ada/devices"),
    ("POST", "/shoppers/ada/devices"),
    ("DELETE", "/shoppers/ada/devices/app:fay"), ("GET", "/shoppers/ada/offers"),
    ("GET", "/shoppers/ada/explain?rule=x"),
    ("GET", "/fences?site=marais"), ("PUT", "/fences?site=marais"), ("DELETE", "/fences?site=marais&id=x"),
    ("POST", "/positions"),
    ("GET", "/presence/explain?device=app:ada&at=12:04"),
    ("GET", "/visits"), ("GET", "/transitions"), ("GET", "/decisions"), ("GET", "/decisions/x"),
    ("GET", "/decisions/x/explain"), ("GET", "/rules"), ("GET", "/deliveries/dead"), ("POST", "/deliveries/x/requeue"),
    ("POST", "/events"),
    ("GET", "/budgets"), ("GET", "/coupons/x"), ("POST", "/coupons/x/redeem"), ("GET", "/context"), ("PUT", "/context"),
    ("GET", "/results"), ("GET", "/experiments"),
    ("GET", "/rulesets"), ("POST", "/rulesets"), ("GET", "/rulesets/x"), ("POST", "/rulesets/x/approve"),
    ("POST", "/rulesets/x/rollback"), ("POST", "/rules/follow"), ("POST", "/rules/x/pause"),
    ("POST", "/rules/x/resume"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer", "Basic Zm9vOmJhcg==", f"Bearer {TOKEN}x"])
def test_people_are_shown_to_the_operator_only(app: FastAPI, method: str, path: str, authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = call(app, method, API + path, headers=headers)
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert people_are_absent(answer.text)


def people_are_absent(text: str) -> bool:
    return not any(name in text for name in ("Ada", "Brice", "app:ada"))


def test_the_key_in_the_address_becomes_a_cookie_that_is_not_the_token(app: FastAPI) -> None:
    answer = call(app, "GET", f"/?key={TOKEN}")
    cookie = answer.headers["set-cookie"]
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    value = cookie.split(";")[0].partition("=")[2]
    assert call(app, "GET", f"{API}/shoppers", headers={"cookie": f"{COOKIE}={value}"}).status_code == 200
    assert is_problem(call(app, "GET", f"{API}/shoppers", headers={"cookie": f"{COOKIE}={TOKEN}"}), 401)
    assert is_problem(call(app, "GET", f"{API}/shoppers", headers={"authorization": f"Bearer {value}"}), 401)


def test_a_wrong_key_gets_no_cookie(app: FastAPI) -> None:
    answer = call(app, "GET", "/?key=wrong")
    assert answer.headers["location"] == "/#key-refused"
    assert "set-cookie" not in answer.headers


def test_everybody_sees_counts_and_the_operator_people(house: House, app: FastAPI) -> None:
    house.place("ada", "coffee-aisle", 3.0, 7.0)
    house.place("brice", "coffee-aisle", 4.0, 8.0)
    anonymous = call(app, "GET", f"{API}/sites/marais/presence")
    assert (anonymous.json()["total"], anonymous.json()["zones"]["coffee-aisle"]) == (2, 2)
    assert anonymous.json()["zones"]["tills"] == 0
    assert anonymous.json()["people"] is None
    assert people_are_absent(anonymous.text)
    known = call(app, "GET", f"{API}/sites/marais/presence", operator=True).json()["people"]
    assert [(row["name"], row["x"], row["zones"]) for row in known] == [
        ("Ada", 3.0, ["coffee-aisle"]),
        ("Brice", 4.0, ["coffee-aisle"]),
    ]


def test_two_devices_of_one_shopper_count_once() -> None:
    rows = [
        Whereabouts("app:ada", "ada", "marais", ("coffee-aisle", "neighbourhood"), 0.9, NOON),
        Whereabouts("mac:1", "ada", "marais", ("coffee-aisle",), 0.9, NOON),
        Whereabouts("mac:2", "brice", "marais", ("tills",), 0.9, NOON),
        Whereabouts("mac:3", "chloe", None, (), 0.9, NOON),
    ]
    found = count(rows)["marais"]
    assert (found.total, found.zones) == (2, {"coffee-aisle": 1, "neighbourhood": 1, "tills": 1})


def test_counts_are_made_at_most_once_a_second(house: House, app: FastAPI) -> None:
    path = f"{API}/sites/marais/presence"
    assert call(app, "GET", path).json()["total"] == 0
    house.place("ada", "coffee-aisle")
    assert call(app, "GET", path).json()["total"] == 0
    house.now += 1.0
    assert call(app, "GET", path).json()["total"] == 1


def test_a_site_has_all_that_a_floor_plan_needs(house: House, app: FastAPI) -> None:
    gateways.put_health(house.store, "marais", "door", {"boot": "b", "adapter": "quiet"}, NOON)
    site = call(app, "GET", f"{API}/sites/marais").json()
    zones = {zone["id"]: zone for zone in site["zones"]}
    assert zones["entrance"]["local"]["coordinates"][0][0] == [7.0, 0.0]
    assert zones["car-park"]["radius"] == 45.0
    states = {one["id"]: one["state"] for one in site["gateways"]}
    assert (states["door"], states["tea-north"], states["shelf-kona"]) == ("online", "offline", "unknown")
    radios = {one["id"]: one["adapter"] for one in site["gateways"]}
    assert (radios["door"], radios["tea-north"], radios["shelf-kona"]) == ("quiet", None, None)
    assert len(site["walls"]) == 8
    assert site["fences"] == 0


def test_a_hundred_fences_are_drawn_and_all_are_counted(
    house: House, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    car_park = MARAIS.zone("car-park")
    fences = tuple(replace(car_park, id=f"fence-{n:04d}") for n in range(250))
    monkeypatch.setattr(house.live, "sites", lambda: (replace(MARAIS, zones=MARAIS.zones + fences),))
    house.place("ada", "fence-0200")
    site = call(app, "GET", f"{API}/sites/marais").json()
    written = [zone.id for zone in MARAIS.zones]
    assert [zone["id"] for zone in site["zones"]] == [*written, *(f"fence-{n:04d}" for n in range(100))]
    assert site["fences"] == 250
    told = call(app, "GET", f"{API}/sites/marais/presence").json()["zones"]
    assert told == {**dict.fromkeys(written, 0), "fence-0200": 1}


def test_the_apis_own_address_tells_where_to_go_on(app: FastAPI) -> None:
    links = call(app, "GET", API).json()["links"]
    assert {"openapi", "sites", "health", "metrics", "pages"} <= set(links)
    for name, path in links.items():
        if name != "events":  # a stream has no end
            assert call(app, "GET", path).status_code == 200, name


def test_metres_and_degrees_agree() -> None:
    entrance, car_park = MARAIS.zone("entrance"), MARAIS.zone("car-park")
    degrees = geo.outline_degrees(MARAIS, entrance)
    assert degrees is not None
    lon, lat = degrees["coordinates"][0][0]
    # 7 m along x, which points 120° from north: 6.06 m east and 3.5 m south
    assert lat == pytest.approx(48.8568 - 3.5 / 111_200, abs=2e-7)
    assert lon == pytest.approx(2.3563 + 6.062 / 73_300, abs=2e-7)
    metres = geo.outline_metres(MARAIS, car_park)
    assert metres is not None
    x, y = metres["coordinates"]
    assert (x**2 + y**2) ** 0.5 == pytest.approx(36.5, abs=0.2)  # the centre is 36.5 m from the door


def test_a_shopper_from_first_to_last(house: House, app: FastAPI) -> None:
    new = {"id": "fay", "name": "Fay", "languages": ["en"], "consents": {"in-store-offers": True}}
    made = call(app, "POST", f"{API}/shoppers", operator=True, json=new)
    assert made.status_code == 201
    token = made.json()["token"]
    assert made.json()["page"] == f"/me/{token}"
    assert is_problem(call(app, "POST", f"{API}/shoppers", operator=True, json=new), 409)
    assert call(app, "GET", f"{API}/me/{token}").json()["name"] == "Fay"

    attributes = {"visits_30d": 3, "bought_90d": {"coffee": 2}, "wishlist": ["tea"], "vip": True}
    said = {"name": "Fay B.", "languages": ["fr"], "timezone": "Europe/Paris", "attributes": attributes}
    assert call(app, "PUT", f"{API}/shoppers/fay", operator=True, json=said).json()["attributes"] == attributes
    assert call(app, "GET", f"{API}/me/{token}").json()["language"] == "fr"

    path = f"{API}/shoppers/fay/consents/order-updates"
    assert call(app, "PUT", path, operator=True, json={"granted": False}).json()["source"] == "api"
    said = call(app, "GET", f"{API}/shoppers/fay/consents", operator=True).json()["items"]
    assert {one["purpose"]: one["granted"] for one in said} == {"in-store-offers": True, "order-updates": False}

    renewed = call(app, "POST", f"{API}/shoppers/fay/token", operator=True).json()["token"]
    assert is_problem(call(app, "GET", f"{API}/me/{token}"), 404)
    assert call(app, "GET", f"{API}/me/{renewed}").status_code == 200

    assert call(app, "DELETE", f"{API}/shoppers/fay", operator=True).status_code == 204
    assert is_problem(call(app, "GET", f"{API}/shoppers/fay", operator=True), 404)
    assert is_problem(call(app, "GET", f"{API}/me/{renewed}"), 404)
    assert house.live.changed == ["fay", "fay", "fay"]


def test_devices_are_written_and_their_secrets_never_read(house: House, app: FastAPI) -> None:
    path = f"{API}/shoppers/ada/devices"
    device = {"id": "owntracks:Ada/Phone", "secret": "s3cret-key", "password": "pass-word"}
    made = call(app, "POST", path, operator=True, json=device)
    assert (made.status_code, made.json()) == (
        201,
        {"id": "owntracks:ada/phone", "kind": "owntracks", "has_secret": True, "has_password": True},
    )
    shown = call(app, "GET", f"{API}/shoppers/ada", operator=True).text
    assert "s3cret-key" not in shown
    assert "pass-word" not in shown
    assert is_problem(call(app, "POST", f"{API}/shoppers/brice/devices", operator=True, json=device), 409)
    assert is_problem(call(app, "DELETE", f"{API}/shoppers/brice/devices/owntracks:ada/phone", operator=True), 404)
    assert call(app, "DELETE", f"{path}/owntracks:ada%2Fphone", operator=True).status_code == 204
    assert people.device(house.store, "owntracks:ada/phone") is None


def test_shoppers_come_a_page_at_a_time(app: FastAPI) -> None:
    names, after = [], ""
    while True:
        page = call(app, "GET", f"{API}/shoppers?limit=2{after}", operator=True).json()
        names += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert names == ["ada", "brice", "chloe", "deniz", "emeka"]


def test_history_is_filtered_and_bounded(house: House, app: FastAPI) -> None:
    for seconds, zone in enumerate(["entrance", "coffee-aisle", "tills"]):
        house.now = NOON + seconds
        house.enter("ada", zone)
    house.enter("brice", "tills", "exit")

    def zones(query: str) -> list[str]:
        answer = call(app, "GET", f"{API}/transitions?{query}", operator=True)
        return [row["zone"] for row in answer.json()["items"]]

    assert zones("shopper=ada") == ["tills", "coffee-aisle", "entrance"]
    assert zones("shopper=ada&limit=1") == ["tills"]
    assert zones(f"shopper=ada&since={NOON + 1}&until={NOON + 2}") == ["coffee-aisle"]
    assert zones("kind=exit") == ["tills"]
    stays = call(app, "GET", f"{API}/visits?open_only=true", operator=True).json()["items"]
    assert [row["shopper"] for row in stays] == ["ada", "ada", "ada"]


def test_why_did_ada_not_get_it(house: House, app: FastAPI) -> None:
    no = house.withhold(house.hear("ada", "coffee-aisle", "dwell", 60.0), "coffee-linger", "limit_reached", "2 of 2")
    house.now += 3600
    yes = house.send(house.hear("ada", "entrance"), "welcome", "Welcome", "Coffee is on us")

    explained = call(app, "GET", f"{API}/decisions/{no.id}/explain", operator=True).json()
    assert explained["decision"]["trace"][3]["values"] == {"sent_24h": 2, "max": 2}
    assert explained["transition"]["kind"] == "dwell"
    text = call(app, "GET", f"{API}/decisions/{no.id}/explain?format=text", operator=True)
    assert text.headers["content-type"].startswith("text/plain")
    assert "limit_reached" in text.text

    def asked(query: str) -> Any:
        return call(app, "GET", f"{API}/shoppers/ada/explain?{query}", operator=True).json()

    assert asked(f"rule=coffee-linger&at={NOON + 30}")["decision"]["id"] == no.id
    assert asked("rule=welcome")["decision"]["id"] == yes.id
    none = asked("rule=coffee-linger")
    assert none["decision"] is None
    assert "it waits for dwell 60 s in coffee-aisle" in none["text"]
    assert "enter entrance" in none["text"]
    assert "There is no rule 'nope'" in asked("rule=nope")["text"]
    assert "in no zone" in asked(f"rule=welcome&at={NOON - 7200}")["text"]


def test_dead_letters_are_seen_and_tried_again(house: House, app: FastAPI) -> None:
    house.send(house.hear("ada", "entrance"), "welcome", "Welcome", "Coffee is on us")
    (waiting,) = outbox.due(house.store, house.now)
    mark_dead(house.store, waiting.delivery.id, "the till is on fire")
    (dead,) = call(app, "GET", f"{API}/deliveries/dead", operator=True).json()["items"]
    assert (dead["id"], dead["error"], dead["title"]) == (waiting.delivery.id, "the till is on fire", "Welcome")
    path = f"{API}/deliveries/{dead['id']}/requeue"
    assert call(app, "POST", path, operator=True).status_code == 202
    assert [one.delivery.id for one in outbox.due(house.store, house.now)] == [dead["id"]]
    assert is_problem(call(app, "POST", path, operator=True), 404)


@pytest.mark.parametrize(
    ("changes", "status", "problems"),
    [
        ({}, 200, []),
        ({"errors": ["the configuration on disk has errors"]}, 200, ["the configuration on disk has errors"]),
        ({"broker": False}, 503, ["the broker is not connected"]),
        ({"queue": 12, "commit_age": 31.0}, 503, ["nothing was committed for 31 s while 12 messages wait"]),
        ({"queue": 0, "commit_age": 900.0}, 200, []),
        ({"queue": 12, "commit_age": None}, 200, []),
    ],
)
def test_health(house: House, app: FastAPI, changes: dict[str, Any], status: int, problems: list[str]) -> None:
    condition(house.live, **changes)
    answer = call(app, "GET", f"{API}/health", operator=True)
    assert (answer.status_code, answer.json()["errors"]) == (status, problems)
    anonymous = call(app, "GET", f"{API}/health")
    assert (anonymous.status_code, anonymous.json()["problems"]) == (status, len(problems))
    assert anonymous.json()["errors"] is None


def test_figures_rules_and_metrics(house: House, app: FastAPI) -> None:
    house.withhold(house.hear("ada", "coffee-aisle"), "coffee-linger", "limit_reached", "2 of 2")
    house.now += 1
    house.send(house.hear("ada", "entrance"), "welcome", "Welcome", "Coffee")
    figures = call(app, "GET", f"{API}/stats").json()
    assert (figures["sent"], figures["withheld"], figures["reasons"]) == (1, 1, {"limit_reached": 1})
    assert call(app, "GET", f"{API}/stats?since={NOON + 0.5}").json()["withheld"] == 0
    house.live.errors = "coffee.rules.yaml:3:1: error[E102]: unknown key"
    rules = call(app, "GET", f"{API}/rules", operator=True).json()
    assert [one["id"] for one in rules["items"]] == ["welcome", "coffee-linger"]
    assert rules["errors"].startswith("coffee.rules.yaml")
    metrics = call(app, "GET", "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "proximity_phone_posts_total" in metrics.text


HUGE = "9" * 5000
STRANGE_BODIES = {
    "lone surrogate": b'{"id": "fay", "name": "\\ud800"}',
    "NUL": b'{"id": "fay", "name": "a\\u0000b"}',
    "surrogate key": b'{"id": "fay", "attributes": {"\\udfff": 1}}',
    "huge integer": b'{"id": "fay", "attributes": {"n": %s}}' % HUGE.encode(),
    "large integer": b'{"id": "fay", "attributes": {"n": 100000000000000000000}}',
    "NaN": b'{"id": "fay", "attributes": {"n": NaN}}',
    "infinity": b'{"id": "fay", "attributes": {"n": 1e999}}',
    "deep": b'{"id": "fay", "attributes": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_001,
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "array": b"[]",
    "null": b"null",
    "nothing": b"",
    "unknown key": b'{"id": "fay", "nmae": "Fay"}',
    "slug": b'{"id": "Fay/#"}',
    "time zone": b'{"id": "fay", "timezone": "Mars/Olympus"}',
    "language": b'{"id": "fay", "languages": ["english please"]}',
}


@pytest.mark.parametrize("body", STRANGE_BODIES.values(), ids=STRANGE_BODIES.keys())
def test_strange_bodies_are_refused_by_name(app: FastAPI, body: bytes) -> None:
    answer = call(
        app, "POST", f"{API}/shoppers", operator=True, content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    assert is_problem(answer, answer.status_code)
    answer.text.encode()


STRANGE_PATHS = [
    ("/transitions?limit=0", 422), ("/transitions?limit=501", 422), (f"/transitions?limit={HUGE}", 422),
    ("/transitions?since=nan", 422), ("/transitions?since=inf", 422), ("/transitions?since=-1", 422),
    ("/transitions?since=1764155040000", 422), ("/transitions?kind=jump", 422), ("/transitions?shopper=a%00b", 422),
    ("/transitions?shopper=%ED%A0%80", 200), ("/shoppers/a%00b", 422), ("/shoppers/%ED%A0%80", 404),
    ("/shoppers/nobody", 404), ("/sites/nowhere", 404), ("/sites/nowhere/presence", 404), ("/decisions/none", 404),
    ("/nothing", 404), ("/shoppers/", 404), ("/stats?since=1e400", 422), (f"/shoppers/{'x' * 65}", 422),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status"), STRANGE_PATHS)
def test_strange_addresses(app: FastAPI, path: str, status: int) -> None:
    answer = call(app, "GET", API + path, operator=True)
    assert answer.status_code == status
    assert status == 200 or is_problem(answer, status)


def test_refused_fields_are_all_named(app: FastAPI) -> None:
    answer = call(app, "GET", f"{API}/decisions?limit=0&since=nan&outcome=maybe", operator=True)
    assert {one["where"] for one in answer.json()["errors"]} == {"query.limit", "query.since", "query.outcome"}


def test_other_errors_are_problems_too(house: House, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    method = call(app, "PATCH", f"{API}/sites")
    assert is_problem(method, 405)
    assert method.headers["allow"] == "GET"
    several = call(app, "PATCH", f"{API}/shoppers/ada", operator=True)
    assert (several.status_code, several.headers["allow"]) == (405, "DELETE, GET, PUT")
    large = call(app, "POST", f"{API}/shoppers", operator=True, content=b" " * (1 << 20) + b"{}",
                 headers={"content-type": "application/json"})  # fmt: skip
    assert is_problem(large, 413)

    def broken() -> Any:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(house.live, "sites", broken)
    unforeseen = call(app, "GET", f"{API}/sites")
    assert is_problem(unforeseen, 500)
    assert "secret" not in unforeseen.text


def test_problems_do_not_tell_a_shoppers_token(app: FastAPI) -> None:
    answer = call(app, "GET", f"{API}/me/a-token-that-was-once-given")
    assert is_problem(answer, 404)
    assert "once-given" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/static/console.js", f"{API}/sites", f"{API}/nothing", "/me/unknown", "/metrics"]
)
def test_every_answer_is_shielded(app: FastAPI, path: str) -> None:
    headers = call(app, "GET", path).headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/static/__init__.py",
        "/static/console.html",
        "/static/..%2f__init__.py",
        "/static/nothing.js",
        "/static/.hidden",
    ],
)
def test_only_files_of_the_pages_are_served(app: FastAPI, path: str) -> None:
    assert is_problem(call(app, "GET", path), 404)


def test_a_file_that_is_still_the_same_is_not_sent_again(app: FastAPI) -> None:
    first = call(app, "GET", "/static/console.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = call(app, "GET", "/static/console.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pages_load_nothing_from_elsewhere() -> None:
    folder = Path(__file__).parent.parent / "proximity" / "web"
    names = {"http://www.w3.org/2000/svg"}  # the name of a language, never fetched
    found = {
        word.split('"')[0].split("'")[0].split(")")[0]
        for file in folder.iterdir()
        if file.suffix in {".html", ".css", ".js", ".svg"}
        for word in file.read_text().replace("https://", "http://").split("http://")[1:]
    }
    assert {f"http://{word}" for word in found} <= names


def test_a_device_of_a_shopper_is_shown_without_its_owner_elsewhere(house: House, app: FastAPI) -> None:
    people.put_device(house.store, Device("mac:aa:bb:cc:dd:ee:ff", "ada", "mac"))
    assert "aa:bb" not in call(app, "GET", f"{API}/sites/marais").text


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("device=app:ada&at=12:04", 404, "no observations are kept"),
        ("device=app:adda&at=12:04", 404, "did you mean app:ada"),
        ("device=app:ada&at=noon", 404, "write a time of day"),
        ("device=app:ada", 422, ""),
        ("device=app:ada&at=12:04&watch=0", 422, ""),
    ],
)
def test_why_a_device_was_where_it_was_needs_observations(
    house: House, app: FastAPI, query: str, status: int, detail: str
) -> None:
    answer = call(app, "GET", f"{API}/presence/explain?{query}", operator=True)
    assert is_problem(answer, status)
    assert detail in answer.json()["detail"]


def test_why_a_device_was_where_it_was(house: House, app: FastAPI) -> None:
    fixes = [Fix("app:ada", 48.8571, 2.3561, NOON + second, 8.0) for second in range(20)]
    rows = Batch.of(fixes=fixes, owners={"app:ada": "ada"})
    with house.store.begin() as connection:
        observations.put(house.store, connection, packing.pack([rows]))
    answer = call(app, "GET", f"{API}/presence/explain?device=app:ada&at={NOON + 10:.0f}", operator=True).json()
    assert answer["seen"]["shopper"] == "ada"
    assert answer["sentences"][0].startswith("Entered car-park at 12:04:00: a position 45 m inside")
    assert answer["timezone"] == "Europe/Paris"


def test_the_document_is_complete(app: FastAPI) -> None:
    document = json.loads(call(app, "GET", f"{API}/openapi.json").text)
    assert document["openapi"] == "3.1.0"
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation["summary"], name
            assert operation["description"], name
            answers = operation["responses"]
            for status, response in answers.items():
                if int(status) >= 400 and name != f"get {API}/health":
                    assert response["content"] == {"application/problem+json": {"schema": problem}}, name
            if "401" in answers and path.startswith(API):
                assert {"operator": []} in operation["security"], name
    told = {(method.upper(), path) for path, every in document["paths"].items() for method in every}
    promised = {
        (method, path) for method, path in told if "401" in document["paths"][path][method.lower()]["responses"]
    }
    assert len(promised) == len(PROTECTED) + 1  # and the door of OwnTracks
