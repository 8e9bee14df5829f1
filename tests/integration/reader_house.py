"""What the tests of both readers share: a broker, a phone that publishes, and links that read it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from proximity.broker import EmbeddedBroker
from proximity.clock import system_clock
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.jetstream import JetStreamReader
from proximity.ingest.link import BrokerLink
from proximity.ingest.mqtt import BrokerAddress, MqttLink
from tests.conftest import wait_until

TOPIC = "proximity/v1/lyon/shelf-1/sightings"


@dataclass
class House:
    """One broker, and whoever reads it: `jetstream` or an MQTT session."""

    url: str
    nats: EmbeddedBroker | None = None  # read by JetStream
    links: list[BrokerLink] = field(default_factory=list)

    def link(self, inbox: Inbox) -> BrokerLink:
        """A reader that is connected."""
        address = BrokerAddress.parse(self.url)
        if self.nats is None:
            made = BrokerLink(MqttLink(address, inbox, system_clock))
        else:
            broker = self.nats
            reader = JetStreamReader(lambda: broker.nats_address, inbox, system_clock)
            made = BrokerLink(MqttLink(address, None, system_clock), reader)
        made.start(60)
        self.links.append(made)
        return made

    def publish(self, *numbers: int, topic: str = TOPIC, **options: object) -> None:
        """Confirmed messages whose payloads are numbers."""
        phone = self.phone()
        for number in numbers:
            phone.publish(topic, str(number), **{"qos": 1, **options}).wait_for_publish(60)  # type: ignore[arg-type]
        phone.disconnect()
        phone.loop_stop()

    def phone(self, inflight: int = 20) -> paho.Client:
        """Connected, its loop running."""
        address = BrokerAddress.parse(self.url)
        client = paho.Client(CallbackAPIVersion.VERSION2, "phone")
        client.max_inflight_messages_set(inflight)
        client.reconnect_delay_set(1, 1)
        client.connect(address.host, address.port)
        client.loop_start()
        return client

    def close(self) -> None:
        for one in self.links:
            one.stop()


def numbers(messages: list[Inbound]) -> list[int]:
    return [json.loads(message.payload) for message in messages]


def take(inbox: Inbox, enough: Callable[[list[Inbound]], bool], *, done: bool = False) -> list[Inbound]:
    """All that comes until there is enough; acknowledged when `done`."""
    taken: list[Inbound] = []

    def look() -> bool:
        for message in inbox.take(0.05).messages:
            taken.append(message)
            if done:
                message.done(None)
        return enough(taken)

    wait_until(look, what="the messages")
    return taken


def count(wanted: int) -> Callable[[list[Inbound]], bool]:
    return lambda taken: len(taken) >= wanted
