"""Events of the shop's systems over HTTP: by the one door, answered after the commit."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from proximity import wire
from proximity.api.app import create_app
from proximity.errors import BadMessage
from tests.api_house import House, call

URL = "/api/v1/events"


def post(app: FastAPI, *events: Any) -> Any:
    return call(app, "POST", URL, operator=True, json={"events": list(events)})


def test_events_enter_by_the_door_of_the_wire(house: House, app: FastAPI) -> None:
    full = {
        "name": "basket_add", "id": "e-1", "shopper": "ada", "site": "marais", "at": 1_764_155_040.25,
        "data": {"sku": "KONA-250", "price": 4.5, "tags": ["a"], "lines": {"a": 1}},
    }  # fmt: skip
    answer = post(app, full, {"name": "qr.scanned", "device": "app:ada"})
    assert (answer.status_code, answer.json()) == (200, {"events": 2})
    ((topic, payload),) = house.live.submitted
    assert topic == "proximity/v1/events"
    first, second = wire.decode_events(payload)
    assert first == wire.EventMessage(
        "basket_add",
        "e-1",
        "ada",
        site="marais",
        at=1_764_155_040_250,
        data=full["data"],  # type: ignore[arg-type] # a dict
    )
    assert second == wire.EventMessage("qr.scanned", device="app:ada")


@pytest.mark.parametrize(
    "event",
    [
        {"shopper": "ada"},
        {"name": "Basket", "shopper": "ada"},
        {"name": "basket_add", "shopper": "ada", "colour": "red"},
        {"name": "basket_add", "shopper": ""},
        {"name": "basket_add", "shopper": "a\n"},
        {"name": "basket_add", "shopper": "ada", "site": "Two Words"},
        {"name": "basket_add", "shopper": "ada", "at": -1},
        {"name": "basket_add", "shopper": "ada", "data": {"Two Words": 1}},
        {"name": "basket_add", "shopper": "ada", "data": {"a": {"b": {"c": 1}}}},
        7,
    ],
)
def test_what_is_no_event_is_a_problem(house: House, app: FastAPI, event: Any) -> None:
    answer = post(app, {"name": "basket_add", "shopper": "ada"}, event)
    assert answer.status_code == 422
    assert house.live.submitted == []


def test_none_and_too_many_are_problems(app: FastAPI) -> None:
    assert post(app).status_code == 422
    assert post(app, *[{"name": "a", "shopper": "ada"}] * 1001).status_code == 422


def test_the_answer_waits_for_the_commit(house: House) -> None:
    house.live.hold = True
    answer = post(create_app(replace(house.context, submit_timeout=0.05)), {"name": "a", "shopper": "ada"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(("reason", "status"), [("busy", 503), ("too_large", 422)])
def test_a_refusal_is_told(house: House, app: FastAPI, reason: str, status: int) -> None:
    house.live.refuse = BadMessage(reason, "")
    answer = post(app, {"name": "a", "shopper": "ada"})
    assert answer.status_code == status
