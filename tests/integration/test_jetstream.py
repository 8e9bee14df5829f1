"""What only the JetStream reader has: a consumer to lose, a place to go on from, and live messages before backlog."""

import socket
import threading
from collections.abc import Iterator

import pytest

from proximity.broker import EmbeddedBroker
from proximity.clock import system_clock
from proximity.errors import BrokerError
from proximity.ingest import jetstream, lanes
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.jetstream import LIVE, MAIN, STREAM, JetStreamReader
from proximity.ingest.mqtt import BrokerAddress
from proximity.ingest.nats import NatsConnection
from tests.conftest import wait_until
from tests.integration.reader_house import House, count, numbers, take

pytestmark = pytest.mark.integration


@pytest.fixture
def house(nats: EmbeddedBroker) -> Iterator[House]:
    made = House(nats.url, nats)
    yield made
    made.close()


def consumer(house: House, name: str) -> dict[str, int]:
    assert house.nats is not None
    with NatsConnection(house.nats.nats_address) as nats:
        return nats.api(f"CONSUMER.INFO.{STREAM}.{name}")


def test_a_consumer_that_was_lost_is_made_again(house: House) -> None:
    inbox = Inbox()
    link = house.link(inbox)
    assert house.nats is not None
    with NatsConnection(house.nats.nats_address) as nats:
        nats.api(f"CONSUMER.DELETE.{STREAM}.{MAIN}")
    wait_until(lambda: not link.connected, what="the reader's notice")
    wait_until(lambda: link.connected, what="the reader's return")
    house.publish(1)
    assert numbers(take(inbox, count(1))) == [1]


def test_a_stream_that_begins_anew_is_read_from_its_first_message(house: House) -> None:
    """As after a broker whose files were lost: its numbers mean other messages."""
    inbox = Inbox()
    link = house.link(inbox)
    house.publish(1, 2)
    early = take(inbox, count(2))
    assert house.nats is not None
    with NatsConnection(house.nats.nats_address) as nats:
        config = nats.api(f"STREAM.INFO.{STREAM}")["config"]
        nats.api(f"STREAM.DELETE.{STREAM}")
        wait_until(lambda: not link.connected, what="the reader's notice")
        nats.api(f"STREAM.CREATE.{STREAM}", config)
    wait_until(lambda: link.connected, what="the reader's return")
    for message in early:
        message.done(None)
    house.publish(3, 4)
    assert numbers(take(inbox, count(2))) == [3, 4]


def test_what_is_acknowledged_leaves_the_stream(house: House) -> None:
    inbox = Inbox()
    house.link(inbox)
    house.publish(*range(30), topic="owntracks/ada/phone")
    house.publish(*range(5), topic="elsewhere/entirely")
    take(inbox, count(30), done=True)
    assert house.nats is not None
    with NatsConnection(house.nats.nats_address) as nats:
        state = f"STREAM.INFO.{STREAM}"
        wait_until(lambda: nats.api(state)["state"]["messages"] == 0, what="an empty stream")


def test_a_message_in_work_that_is_delivered_again_is_taken_once(house: House) -> None:
    """As when a commit takes longer than the server waits for an acknowledgement."""
    inbox = Inbox()
    link = house.link(inbox)
    house.publish(1)
    (message,) = take(inbox, count(1))
    assert house.nats is not None
    with NatsConnection(house.nats.nats_address) as nats:
        nats.api(f"CONSUMER.RESET.{STREAM}.{MAIN}")  # all that is not acknowledged is delivered once more
    house.publish(2)
    assert numbers(take(inbox, count(1))) == [2]
    message.done(None)
    wait_until(lambda: consumer(house, MAIN)["num_ack_pending"] == 1, what="the acknowledgement")
    assert link.connected


def test_after_an_outage_live_messages_go_first_and_nothing_is_lost_or_doubled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "CATCH_UP", 0.0)
    monkeypatch.setattr(jetstream, "FAR_BEHIND", 0.0)
    monkeypatch.setattr(lanes, "PULL", 8)  # so that the backlog does not sit in the inbox as one piece
    house.link(Inbox()).stop()
    house.publish(*range(300))
    inbox = Inbox(messages=16)
    house.link(inbox)
    taken: list[Inbound] = []

    def work(most: int) -> None:
        for message in inbox.take(0.05, most=most).messages:
            taken.append(message)
            message.done(None)

    def split() -> bool:
        work(2)
        return "error" not in consumer(house, LIVE)

    wait_until(split, what="the live lane")
    house.publish(1000, 1001, 1002)

    def live() -> bool:
        work(2)
        return {1000, 1001, 1002} <= set(numbers(taken))

    wait_until(live, what="the live messages")
    assert len(taken) < 300, "live messages came before the end of the backlog"

    def all_of_it() -> bool:
        work(50)
        return len(taken) >= 303

    wait_until(all_of_it, what="the backlog")
    house.publish(2000)

    def what_came_after() -> bool:
        work(50)
        return 2000 in numbers(taken)

    wait_until(what_came_after, what="what came after")
    wait_until(lambda: "error" in consumer(house, LIVE), what="the end of the live lane")
    wait_until(lambda: consumer(house, MAIN)["num_ack_pending"] == 0, what="the last acknowledgement")
    assert sorted(numbers(taken)) == [*range(300), 1000, 1001, 1002, 2000]


def test_a_server_that_cannot_serve_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = BrokerAddress("127.0.0.1", listener.getsockname()[1], nats=True)

        def greet() -> None:
            with listener.accept()[0] as caller:
                caller.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        server = threading.Thread(target=greet, daemon=True)
        server.start()
        with pytest.raises(BrokerError, match=r"what listens at 127\.0\.0\.1:\d+ is no NATS server"):
            NatsConnection(address)
        server.join()
    reader = JetStreamReader(lambda: address, Inbox(), system_clock)
    with pytest.raises(BrokerError, match="no JetStream to read: "):
        reader.start(0.0)
