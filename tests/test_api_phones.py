"""Phones over HTTP: who is let in, what is handed on, and what the phone is told."""

import base64
import json
from dataclasses import replace

import pytest
from fastapi import FastAPI

from proximity.api.app import create_app
from proximity.errors import BadMessage
from proximity.model import Device
from proximity.phones.sealed import unseal
from proximity.store import people
from tests.api_house import House, call

FAR = ("203.0.113.9", 40000)
FIX = {"_type": "location", "lat": 48.8568, "lon": 2.3563, "tst": 1764155040, "acc": 8, "topic": "owntracks/ada/phone"}


@pytest.fixture
def house(house: House) -> House:
    for device in (
        Device("owntracks:ada/phone", "ada", "owntracks", password="open sesame"),
        Device("owntracks:brice/phone", "brice", "owntracks"),
        Device("owntracks:chloe/phone", "chloe", "owntracks", secret="winter", password="pa:ss"),
        Device("owntracks:t1/t1", "emeka", "owntracks"),
        Device("traccar:771", "ada", "traccar", password="till seven"),
        Device("traccar:772", "brice", "traccar"),
    ):
        people.put_device(house.store, device)
    return house


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def counted(house: House, protocol: str, result: str) -> float:
    labels = {"protocol": protocol, "result": result}
    return house.context.registry.get_sample_value("proximity_phone_posts_total", labels) or 0.0


ADA = basic("ada", "open sesame")
ADMISSION = [
    # device, headers, from this machine, status
    ("ada", ADA, True, 200),
    ("ada", ADA, False, 200),
    ("ada", basic("someone else", "open sesame"), False, 200),
    ("ada", {}, True, 401),
    ("ada", basic("ada", "wrong"), True, 401),
    ("ada", basic("ada", ""), True, 401),
    ("ada", {"authorization": "Basic %%%"}, True, 401),
    ("ada", {"authorization": "Bearer open sesame"}, True, 401),
    ("brice", {}, True, 200),
    ("brice", {}, False, 401),
    ("brice", basic("brice", ""), False, 401),
    ("chloe", basic("chloe", "pa:ss"), False, 200),
    ("nobody", {}, True, 401),
]


@pytest.mark.parametrize(("user", "headers", "near", "status"), ADMISSION)
def test_who_may_speak_for_a_phone(
    house: House, app: FastAPI, user: str, headers: dict[str, str], near: bool, status: int
) -> None:
    client = ("127.0.0.1", 1) if near else FAR
    answer = call(app, "POST", f"/owntracks?u={user}&d=phone", client=client, headers=headers, json=FIX)
    assert answer.status_code == status
    assert [topic for topic, _ in house.live.submitted] == ([f"owntracks/{user}/phone"] if status == 200 else [])
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert counted(house, "owntracks", "unknown") == 1


@pytest.mark.parametrize("address", ["::1", "127.8.9.1", "::ffff:127.0.0.1"])
def test_this_machine_has_several_names(app: FastAPI, address: str) -> None:
    assert call(app, "POST", "/owntracks?u=brice&d=phone", client=(address, 1), json=FIX).status_code == 200


IDENTITIES = [
    ("?u=brice&d=phone", {"x-limit-u": "ada", "x-limit-d": "phone"}, {**FIX, "tid": "t1"}, "owntracks/brice/phone"),
    ("", {"x-limit-u": "brice", "x-limit-d": "phone"}, {**FIX, "tid": "t1"}, "owntracks/brice/phone"),
    ("?u=brice", {"x-limit-u": "brice", "x-limit-d": "phone"}, FIX, "owntracks/brice/phone"),
    ("", {}, {**FIX, "topic": "owntracks/brice/phone/event", "tid": "t1"}, "owntracks/brice/phone"),
    ("", {}, {**FIX, "topic": "/OwnTracks/Brice/Phone"}, "owntracks/brice/phone"),
    ("", {}, {"_type": "location", "lat": 1, "lon": 2, "tst": 3, "tid": "t1"}, "owntracks/t1/t1"),
]


@pytest.mark.parametrize(("query", "headers", "body", "topic"), IDENTITIES)
def test_identity_comes_from_the_first_place_that_tells_it(
    house: House, app: FastAPI, query: str, headers: dict[str, str], body: dict[str, object], topic: str
) -> None:
    assert call(app, "POST", f"/owntracks{query}", headers=headers, json=body).json() == []
    assert [(one, json.loads(payload)) for one, payload in house.live.submitted] == [(topic, body)]


REFUSED_FOR_GOOD = [
    ("?u=brice&d=phone", b"", "empty"),
    ("?u=brice&d=phone", b"  \n", "empty"),
    ("", b"", "empty"),
    ("", b"no json", "identity"),
    ("", b'{"_type": "location"}', "identity"),
    ("", b"[" * 100_000, "identity"),
    ("?u=%2B&d=%23", b"{}", "topic"),
    ("?u=a%00b&d=phone", b"{}", "topic"),
    ("?u=brice&d=phone", b" " * (1 << 20) + b"{}", "too_large"),
]


@pytest.mark.parametrize(("query", "body", "reason"), REFUSED_FOR_GOOD)
def test_what_is_refused_for_good_is_not_sent_again(
    house: House, app: FastAPI, query: str, body: bytes, reason: str
) -> None:
    answer = call(app, "POST", f"/owntracks{query}", content=body)
    assert (answer.status_code, answer.json()) == (200, [])
    assert house.live.submitted == []
    assert counted(house, "owntracks", reason) == 1


def test_a_message_that_ingest_refuses_is_taken_and_counted(house: House, app: FastAPI) -> None:
    house.live.refuse = BadMessage("position", "latitude 91")
    assert call(app, "POST", "/owntracks?u=brice&d=phone", json=FIX).json() == []
    assert counted(house, "owntracks", "position") == 1


@pytest.mark.parametrize("path", ["/owntracks?u=brice&d=phone", "/traccar?id=772&lat=1&lon=2"])
def test_what_cannot_be_committed_is_sent_again(house: House, path: str) -> None:
    app = create_app(replace(house.context, submit_timeout=0.05))
    house.live.hold = True
    answer = call(app, "POST", path, json=FIX if "own" in path else None)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    house.live.refuse = BadMessage("busy", "no room in the queue")
    assert call(app, "POST", path, json=FIX if "own" in path else None).status_code == 503


def test_a_phone_with_a_key_is_answered_in_its_cipher(app: FastAPI) -> None:
    headers = basic("chloe", "pa:ss")
    first = call(app, "POST", "/owntracks?u=chloe&d=phone", headers=headers, json=FIX).json()
    again = call(app, "POST", "/owntracks?u=chloe&d=phone", headers=headers, json=FIX).json()
    assert first["_type"] == "encrypted"
    assert unseal(first["data"], "winter") == b"[]"
    assert first["data"] != again["data"]  # no nonce is used twice


CLIENT_9 = {
    "device_id": "772",
    "location": {"timestamp": "2025-11-26T11:04:00Z", "coords": {"latitude": 48.85, "longitude": 2.35, "accuracy": 9}},
}


def test_traccar_by_query_form_and_json(house: House, app: FastAPI) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answers = [
        call(app, "GET", "/traccar?id=772&lat=48.85&lon=2.35&timestamp=1764155040"),
        call(app, "POST", "/traccar?deviceid=772&location=48.85,2.35"),
        call(app, "POST", "/traccar?id=772&lat=48.85&lon=2.35", headers={"content-type": "application/json"}),
        call(app, "POST", "/traccar", headers=form, content=b"id=772&lat=48.85&lon=2.35&speed=2"),
        call(app, "POST", "/traccar", json=CLIENT_9),
    ]
    assert [(one.status_code, one.content) for one in answers] == [(200, b"")] * 5
    assert [topic for topic, _ in house.live.submitted] == ["traccar/772"] * 5
    sent = [json.loads(payload) for _, payload in house.live.submitted]
    assert sent[0] == {"id": "772", "lat": "48.85", "lon": "2.35", "timestamp": "1764155040"}
    assert sent[1] == {"deviceid": "772", "location": "48.85,2.35"}
    assert sent[2] == {"id": "772", "lat": "48.85", "lon": "2.35"}
    assert sent[3] == {"id": "772", "lat": "48.85", "lon": "2.35", "speed": "2"}
    assert sent[4] == CLIENT_9


def test_traccar_passwords(house: House, app: FastAPI) -> None:
    place = "id=771&lat=48.85&lon=2.35"
    assert call(app, "GET", f"/traccar?{place}").status_code == 400
    assert call(app, "GET", f"/traccar?{place}&key=wrong").status_code == 400
    assert call(app, "GET", f"/traccar?{place}&key=till%20seven", client=FAR).status_code == 200
    assert call(app, "GET", f"/traccar?{place}", headers=basic("x", "till seven"), client=FAR).status_code == 200
    assert call(app, "GET", "/traccar?id=772&lat=48.85&lon=2.35", client=FAR).status_code == 400
    assert all(b"till seven" not in payload for _, payload in house.live.submitted)


UNKNOWN = [
    ("?id=9999&lat=1&lon=2", None, 400),
    ("?lat=1&lon=2", None, 400),
    ("", None, 400),
    ("", {**CLIENT_9, "device_id": "9999"}, 404),
    ("", {}, 404),
    ("?id=772", {"device_id": "9999", "id": "9999", "lat": 1, "lon": 2}, 404),  # the body counts, not the address
]


@pytest.mark.parametrize(("query", "body", "status"), UNKNOWN)
def test_an_unknown_tracker(
    house: House, app: FastAPI, query: str, body: dict[str, object] | None, status: int
) -> None:
    answer = call(app, "POST", f"/traccar{query}", json=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert house.live.submitted == []


def test_nobody_speaks_for_another_by_saying_two_ids(house: House, app: FastAPI) -> None:
    """The id that is admitted is the id that ingest will read."""
    both = {"device_id": "772", "id": "771", "lat": 48.85, "lon": 2.35}
    assert call(app, "POST", "/traccar", json=both).status_code == 404
    assert house.live.submitted == []
