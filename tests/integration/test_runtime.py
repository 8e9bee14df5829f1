"""A whole service in this process, with the embedded broker, as phones, receivers of webhooks and marketers meet it."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity.broker import EmbeddedBroker
from proximity.configuration import load_configuration
from proximity.delivery.webhook import verify
from proximity.examples import example_config
from proximity.runtime import Running, running
from proximity.settings import read_settings
from tests.conftest import wait_until

pytestmark = pytest.mark.integration

RULE = """
rules:
  - id: hello-car-park
    when: {enter: {zone: car-park}}
    say: {en: {title: "Hello", body: "Two hours are free"}, fr: {title: "Bonjour", body: "Deux heures gratuites"}}
    deliver: {channels: [push, inbox, webhook], only_while: store}
"""


class Receiver:
    """A shop's own system that takes webhooks."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                taken.append((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/offers"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("examples", "systemd"))
    for path in (folder / "rules").glob("*.rules.yaml"):
        path.unlink()
    (folder / "rules" / "hello.rules.yaml").write_text(RULE)
    return folder


@pytest.fixture
def service(tmp_path: Path, shop: Path, receiver: Receiver) -> Iterator[Running]:
    settings = read_settings(
        config=shop, data=tmp_path / "data", mqtt_port=0, http_port=0, webhook_url=receiver.url, operator_token="op"
    )
    with running(settings, load_configuration(shop)) as made:
        yield made


class App:
    """Everything that is published to shoppers and phones."""

    def __init__(self, service: Running) -> None:
        host, port = service.broker_url.removeprefix("mqtt://").split(":")
        self.heard: Counter[str] = Counter()
        self.last: dict[str, dict[str, object]] = {}
        ready = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, "app")
        client.on_message = self._take
        client.on_subscribe = lambda *_: ready.set()
        client.connect(host, int(port))
        client.loop_start()
        client.subscribe([("proximity/v1/shoppers/+/offers", 1), ("owntracks/+/+/cmd", 1)])
        assert ready.wait(60)
        self.client = client

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard[message.topic] += 1
        self.last[message.topic] = json.loads(message.payload)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def app(service: Running) -> Iterator[App]:
    made = App(service)
    yield made
    made.close()


def arrive(service: Running, times: int = 2) -> None:
    """Ada's OwnTracks reports over HTTP that she is in the car park."""
    site = service.service.configuration.sites[0]
    for _ in range(times):
        body = {"_type": "location", "lat": site.lat, "lon": site.lon, "acc": 6, "tst": int(time.time())}
        answer = httpx.post(f"{service.api.url}/owntracks?u=ada&d=phone", json=body, auth=("ada", "demo-ada"))
        assert (answer.status_code, answer.json()) == (200, [])


def test_a_phone_arrives_and_the_offer_reaches_every_channel(service: Running, app: App, receiver: Receiver) -> None:
    arrive(service)
    wait_until(lambda: app.heard["owntracks/ada/phone/cmd"], what="the notification on OwnTracks")
    wait_until(lambda: app.heard["proximity/v1/shoppers/ada/offers"], what="the offer over MQTT")
    wait_until(lambda: receiver.taken, what="the webhook")

    command = app.last["owntracks/ada/phone/cmd"]
    assert (command["_type"], command["action"]) == ("cmd", "action")
    assert len({"notification", "content", "url"} & set(command)) == 1
    assert app.last["proximity/v1/shoppers/ada/offers"]["title"] in {"Hello", "Bonjour"}
    headers, body = receiver.taken[0]
    verify((service.settings.data / "webhook.secret").read_text().strip().encode(), headers, body, time.time())
    assert json.loads(body)["offer"]["rule"] == "hello-car-park"
    assert (service.settings.data / "webhook.secret").stat().st_mode & 0o777 == 0o600

    operator = {"Authorization": "Bearer op"}
    offers = httpx.get(f"{service.api.url}/api/v1/shoppers/ada/offers", headers=operator).json()["items"]
    assert [(one["rule"], one["state"]) for one in offers] == [("hello-car-park", "sent")]
    metrics = httpx.get(f"{service.api.url}/metrics").text
    assert 'proximity_observations_total{source="owntracks",what="fixes"} 2.0' in metrics
    assert "proximity_broker_connected 1.0" in metrics
    assert httpx.get(f"{service.api.url}/api/v1/health").status_code == 200


def test_rules_are_reloaded_whole_or_not_at_all(service: Running, shop: Path) -> None:
    rules = shop / "rules" / "hello.rules.yaml"
    operator = {"Authorization": "Bearer op"}

    def state() -> tuple[list[str], str | None]:
        answer = httpx.get(f"{service.api.url}/api/v1/rules", headers=operator).json()
        return [one["id"] for one in answer["items"]], answer["errors"]

    rules.write_text(RULE.replace("zone: car-park", "zone: carpark"))
    wait_until(lambda: state()[1], what="the refusal")
    ids, errors = state()
    assert ids == ["hello-car-park"]
    assert errors is not None
    assert "did you mean `car-park`?" in errors

    rules.write_text(RULE.replace("hello-car-park", "welcome-car-park"))
    wait_until(lambda: state() == (["welcome-car-park"], None), what="the new rule")


def test_a_password_is_asked_for_where_there_is_one(service: Running) -> None:
    for query, auth in (("u=nobody&d=phone", None), ("u=ada&d=phone", None), ("u=ada&d=phone", ("ada", "wrong"))):
        answer = httpx.post(f"{service.api.url}/owntracks?{query}", json={"_type": "location"}, auth=auth)
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("other", ["mosquitto", "nats"])
def test_any_other_broker_works_in_its_place(
    tmp_path: Path, shop: Path, other: str, request: pytest.FixtureRequest
) -> None:
    broker = request.getfixturevalue(other)
    given: dict[str, object] = {"broker": broker}
    if isinstance(broker, EmbeddedBroker):
        given = {"broker": f"nats://127.0.0.1:{broker.nats_address.port}", "mqtt_port": broker.port}
    settings = read_settings(config=shop, data=tmp_path / "data", http_port=0, **given)
    with running(settings, load_configuration(shop)) as service:
        app = App(service)
        arrive(service)
        wait_until(lambda: app.heard["owntracks/ada/phone/cmd"], what="the notification on OwnTracks")
        app.close()
    assert not (tmp_path / "data" / "broker").exists()
