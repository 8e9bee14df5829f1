"""The outbox against real brokers: an app and two OwnTracks phones hear of an offer, and of its end."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity import wire
from proximity.delivery.inbox import InboxChannel
from proximity.delivery.mqtt import MqttChannel
from proximity.delivery.owntracks import OwnTracksChannel
from proximity.delivery.routes import RouteSettings, routes
from proximity.delivery.worker import OutboxWorker, RetryPolicy
from proximity.feed import Feed
from proximity.ingest.inbound import Inbox
from proximity.ingest.mqtt import BrokerAddress, MqttLink
from proximity.model import Device
from proximity.phones.sealed import unseal
from proximity.store import offers, outbox, people
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from tests.conftest import wait_until
from tests.store_house import NOW, ending, story

pytest_plugins = ["tests.store_fixtures"]
pytestmark = pytest.mark.integration

PHONE = Device("owntracks:ada/phone", "ada", "owntracks")
TABLET = Device("owntracks:ada/tablet", "ada", "owntracks", secret="s3cret")
APP, PLAIN, SEALED = wire.offers_topic("ada"), "owntracks/ada/phone/cmd", "owntracks/ada/tablet/cmd"


class Inside:
    """Ada is among the coffees."""

    def zones_of(self, shoppers: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        return {shopper: {("lyon", "coffee")} for shopper in shoppers}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/proximity.db"


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest) -> str:
    value = request.getfixturevalue(request.param)
    return value if isinstance(value, str) else value.url


@pytest.fixture
def heard(broker: str) -> Iterator[list[tuple[str, bytes]]]:
    """What arrives at an app and at phones."""
    messages: list[tuple[str, bytes]] = []
    granted: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "phones")
    client.on_message = lambda _client, _data, message: messages.append((message.topic, message.payload))
    client.on_subscribe = lambda _client, _data, mid, _codes, _properties: granted.append(mid)
    address = BrokerAddress.parse(broker)
    client.connect(address.host, address.port)
    client.loop_start()
    client.subscribe([(APP, 1), ("owntracks/ada/+/cmd", 1)])
    wait_until(lambda: granted, what="the subscription")
    yield messages
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def link(broker: str) -> Iterator[MqttLink]:
    """Not connected yet."""
    made = MqttLink(BrokerAddress.parse(broker), Inbox(), lambda: NOW)
    yield made
    made.stop()


@pytest.fixture
def worker(store: Store, link: MqttLink) -> Iterator[OutboxWorker]:
    for device in (PHONE, TABLET):
        people.put_device(store, device)
    channels = [
        MqttChannel(link.publish),
        OwnTracksChannel(link.publish, lambda one: people.device(store, one)),
        InboxChannel(Feed()),
    ]
    made = OutboxWorker(store, channels, Inside(), lambda: NOW + 5, policy=RetryPolicy(10_000, 0.0, 0.0))
    made.start()
    yield made
    made.stop()


def offered() -> Outcome:
    outcome = story()
    (offer,) = outcome.offers
    found = routes(offer, [PHONE, TABLET], RouteSettings())
    return Outcome(
        transitions=outcome.transitions,
        visits=outcome.visits,
        decisions=outcome.decisions,
        offers=outcome.offers,
        deliveries=found,
        at=outcome.at,
    )


def test_an_offer_reaches_app_and_phones_and_is_taken_back(
    store: Store, worker: OutboxWorker, link: MqttLink, heard: list[tuple[str, bytes]]
) -> None:
    link.start()
    outcome = offered()
    (offer,) = outcome.offers
    commit(store, outcome)
    worker.wake()
    wait_until(lambda: outbox.counts(store)["sent"] == 4, what="four hand-overs")
    wait_until(lambda: len(heard) == 3, what="three messages")
    messages = dict(heard)
    assert wire.decode(wire.OfferMessage, messages[APP]).id == offer.id
    assert json.loads(messages[PLAIN])["notification"] == "Welcome\nCoffee is on us until eleven"
    opened = json.loads(unseal(json.loads(messages[SEALED])["data"], "s3cret"))
    assert opened["action"] == "action"
    assert 0 < offers.latencies(store)[0] < 5

    commit(store, ending(outcome, NOW + 4))
    worker.wake()
    wait_until(lambda: len(heard) == 4, what="the withdrawal")
    topic, payload = heard[-1]
    withdrawn = wire.decode(wire.OfferMessage, payload)
    assert (topic, withdrawn.id, withdrawn.withdrawn) == (APP, offer.id, True)


def test_an_offer_waits_for_a_broker_that_is_away(
    store: Store, worker: OutboxWorker, link: MqttLink, heard: list[tuple[str, bytes]]
) -> None:
    commit(store, offered())
    worker.wake()
    wait_until(lambda: [one.attempts > 0 for one in outbox.due(store, NOW + 1e6)] == [True] * 3, what="failed attempts")
    assert {one.error for one in outbox.due(store, NOW + 1e6)} == {"the broker is away"}
    assert heard == []
    link.start()
    wait_until(lambda: outbox.counts(store)["sent"] == 4, what="the hand-overs")
    wait_until(lambda: {topic for topic, _ in heard} == {APP, PLAIN, SEALED}, what="the messages")
