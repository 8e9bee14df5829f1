"""The MQTT reader against the embedded broker and against Mosquitto: at least once, acknowledged by hand."""

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
        taken.extend(inbox.take(0.05))
        return len(taken) >= count

    wait_until(enough, what=f"{count} messages")
    return taken


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(broker: str, sender: paho.Client) -> None:
    first_inbox = Inbox()
    first = link(broker, first_inbox)
    for number in range(5):
        sender.publish(TOPIC, str(number), qos=1).wait_for_publish(5)
    for message in take(first_inbox, 5)[:3]:
        message.done(None)
    wait_until(lambda: not first._client.want_write(), what="the acknowledgements to leave")
    first.stop()
    sender.publish(TOPIC, "5", qos=1).wait_for_publish(5)  # nobody listens: the session keeps it

    second_inbox = Inbox()
    second = link(broker, second_inbox)
    seen: set[int] = set()

    def all_back() -> bool:
        messages = second_inbox.take(0.05)
        seen.update(numbers(messages))
        for message in messages:
            message.done(None)
        return seen >= {3, 4, 5}

    wait_until(all_back, what="what was not acknowledged")
    seen.update(numbers(second_inbox.take(0.3)))  # at least once: a repeat may follow, an acknowledged one may not
    assert seen == {3, 4, 5}
    second.stop()


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
        "shop.example", 8883, "ada", "p@ss", True
    )
    assert BrokerAddress.parse("mqtt://[::1]:1900").host == "::1"
