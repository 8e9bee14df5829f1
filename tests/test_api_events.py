"""Server-sent events and the server: what streams tell whom, and that everything ends when it should."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from proximity.api.app import create_app
from proximity.api.counts import Count
from proximity.api.events import counts_data, finite, message
from proximity.api.server import ApiServer
from proximity.errors import ProximityError
from proximity.store import people
from tests.api_house import TOKEN, House
from tests.conftest import wait_until

OPERATOR = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def server(house: House) -> Iterator[ApiServer]:
    server = ApiServer(create_app(house.context), port=0)
    server.start()
    yield server
    server.stop()


@contextmanager
def listening(house: House, url: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[tuple[str, Any]]]:
    """(kind, data) of every event, from when the service knows of the listener."""
    before = len(house.feed._listeners)
    with httpx.Client(timeout=10) as client, client.stream("GET", url, headers=headers or {}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        wait_until(lambda: len(house.feed._listeners) > before, what="the listener")
        yield events(answer)


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def until(stream: Iterator[tuple[str, Any]], kind: str) -> Any:
    return next(data for one, data in stream if one == kind)


def test_an_operator_hears_everything(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/events", OPERATOR) as stream:
        assert until(stream, "presence") == {"sites": {}}
        transition = house.hear("ada", "coffee-aisle", "dwell", 60.0)
        assert until(stream, "transition")["zone"] == "coffee-aisle"
        offer = house.send(transition, "coffee-linger", "20 % off", "Two bags left")
        decision = until(stream, "decision")
        assert (decision["outcome"], "trace" in decision) == ("sent", False)
        assert until(stream, "offer")["id"] == offer.id
        house.withdraw(offer)
        assert until(stream, "withdrawn")["id"] == offer.id


def test_positions_come_as_the_newest_whole(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/events", OPERATOR) as stream:
        until(stream, "presence")
        for x in range(50):
            house.place("ada", "coffee-aisle", float(x), 7.0)
        house.place("brice", "tills", 15.0, 3.0)
        seen = 0
        for kind, data in stream:
            if kind == "whereabouts":
                seen += 1
                if len(data["devices"]) == 2:
                    break
        assert [row["x"] for row in data["devices"]] == [49.0, 15.0]
        assert seen < 5


def test_without_the_token_there_are_counts_alone(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/events") as stream:
        assert next(stream) == ("presence", {"sites": {}})
        house.send(house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
        house.place("ada", "coffee-aisle", 3.0, 7.0)
        house.now += 2
        assert next(stream) == ("presence", {"sites": {"marais": {"total": 1, "zones": {"coffee-aisle": 1}}}})


def test_a_shopper_hears_nudges(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/me/{house.tokens['ada']}/events") as stream:
        house.send(house.hear("brice", "entrance"), "welcome", "Welcome", "Coffee")
        house.send(house.hear("ada", "coffee-aisle"), "coffee-linger", "20 % off", "Two bags left")
        assert [next(stream) for _ in range(3)] == [("moved", {}), ("offers", {}), ("offers", {})]


def test_the_stream_of_somebody_erased_ends(house: House, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proximity.api.events.PING", 0.1)
    with listening(house, f"{server.url}/api/v1/me/{house.tokens['ada']}/events") as stream:
        people.erase(house.store, "ada")
        assert list(stream) == [("bye", {})]


def test_streams_end_with_the_server(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/events", OPERATOR) as stream:
        until(stream, "presence")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert list(stream) == []  # ends by itself, without an error
        stopping.join(60)
        assert not stopping.is_alive()
    assert house.feed._listeners == ()


def test_a_listener_that_goes_is_forgotten(house: House, server: ApiServer) -> None:
    with listening(house, f"{server.url}/api/v1/events", OPERATOR) as stream:
        until(stream, "presence")
    wait_until(lambda: house.feed._listeners == (), what="the end of the subscription")


def test_a_taken_port_is_a_clear_error(house: House, server: ApiServer) -> None:
    app = server._app
    with pytest.raises(ProximityError, match=rf"port {server.port} on 127\.0\.0\.1 is taken: .*--http-port"):
        ApiServer(app, port=server.port)
    with pytest.raises(ProximityError, match=r"cannot listen on 203\.0\.113\.9"):
        ApiServer(app, "203.0.113.9", 0)
    with pytest.raises(ProximityError, match="port 70000 does not exist"):
        ApiServer(app, port=70000)


def test_the_port_is_free_again_after_the_stop(house: House, server: ApiServer) -> None:
    assert httpx.get(f"{server.url}/api/v1/health").status_code == 200
    server.stop()
    server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_events_are_json_whatever_they_hold() -> None:
    strange = {
        "at": float("nan"),
        "far": float("inf"),
        "text": "a\nb\r\u2028\ud800",
        "zones": ("x",),
        "deep": [{"y": -0.0}],
    }
    kind, data, _, _ = message("transition", strange).split(b"\n")
    assert kind == b"event: transition"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "at": None, "far": None, "text": "a\nb\r\u2028\ud800", "zones": ["x"], "deep": [{"y": 0.0}],
    }  # fmt: skip
    assert finite(True) is True
    assert counts_data({"b": Count(1, {"x": 1}), "a": Count()})["sites"]["b"] == {"total": 1, "zones": {"x": 1}}
