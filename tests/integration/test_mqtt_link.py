"""What only the MQTT link has: connections, publishing, addresses. Reading is in test_readers.py."""

import json
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity.errors import BrokerError
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.mqtt import BrokerAddress, MqttLink
from tests.conftest import wait_until

pytestmark = pytest.mark.integration
TOPIC = "proximity/v1/lyon/shelf-1/sightings"


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest) -> str:
    value = request.getfixturevalue(request.param)
    return value if isinstance(value, str) else value.url


@pytest.fixture
def sender(broker: str) -> Iterator[paho.Client]:
    address = BrokerAddress.parse(broker)
    client = paho.Client(CallbackAPIVersion.VERSION2, "sender")
    client.connect(address.host, address.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def link(broker: str, inbox: Inbox) -> MqttLink:
    made = MqttLink(BrokerAddress.parse(broker), inbox, lambda: 0.0)
    made.start()
    return made


def numbers(messages: list[Inbound]) -> list[int]:
    return [json.loads(message.payload) for message in messages]


def take(inbox: Inbox, count: int) -> list[Inbound]:
    taken: list[Inbound] = []

    def enough() -> bool:
        taken.extend(inbox.take(0.05).messages)
        return len(taken) >= count

    wait_until(enough, what=f"{count} messages")
    return taken


def test_an_acknowledgement_from_an_earlier_connection_confirms_nothing(broker: str, sender: paho.Client) -> None:
    inbox = Inbox()
    one = link(broker, inbox)
    sender.publish(TOPIC, "1", qos=1).wait_for_publish(5)
    early = take(inbox, 1)[0]
    one._client.reconnect()
    wait_until(lambda: one._connection == 2 and one.connected, what="the second connection")
    early.done(None)
    assert numbers(take(inbox, 1)) == [1]
    one.stop()


def test_publish_waits_for_the_broker(broker: str) -> None:
    inbox = Inbox()
    one = link(broker, inbox)
    one.publish("proximity/v1/lyon/shelf-1/status", b'{"state":"online"}', retain=True)
    (message,) = take(inbox, 1)
    assert message.payload == b'{"state":"online"}'
    one.stop()


def test_no_broker_is_a_sentence() -> None:
    with pytest.raises(BrokerError, match=r"no MQTT broker at 127\.0\.0\.1:1: "):
        MqttLink(BrokerAddress.parse("mqtt://127.0.0.1:1"), Inbox(), lambda: 0.0).start()
    with pytest.raises(BrokerError, match="write mqtt://host:port"):
        BrokerAddress.parse("http://example.org")


def test_addresses() -> None:
    assert BrokerAddress.parse("mqtts://ada:p%40ss@shop.example") == BrokerAddress(
        "shop.example", 8883, "ada", "p@ss", tls=True
    )
    assert BrokerAddress.parse("nats://shop.example") == BrokerAddress("shop.example", 4222, nats=True)
    assert BrokerAddress.parse("tls://shop.example:4443") == BrokerAddress("shop.example", 4443, tls=True, nats=True)
    assert BrokerAddress.parse("mqtt://[::1]:1900").host == "::1"
