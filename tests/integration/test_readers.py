"""Both readers, the same tests: at least once, in order, acknowledged by hand, no more than there is room for."""

import os
import signal
from collections.abc import Iterator

import pytest

from proximity.ingest.inbound import Inbound, Inbox
from tests.conftest import wait_until
from tests.integration.reader_house import TOPIC, House, count, numbers, take

pytestmark = pytest.mark.integration


@pytest.fixture(params=["jetstream", "mqtt of NATS", "mqtt of Mosquitto"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "mqtt of Mosquitto":
        made = House(request.getfixturevalue("mosquitto"))
    else:
        broker = request.getfixturevalue("nats")
        made = House(broker.url, broker if request.param == "jetstream" else None)
    yield made
    made.close()


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(house: House) -> None:
    inbox = Inbox()
    first = house.link(inbox)
    house.publish(*range(5))
    for message in take(inbox, count(5))[:3]:
        message.done(None)
    house.publish(100)  # acknowledgements leave in order: when this one came, the others are on their way
    take(inbox, count(1))
    first.stop()
    house.publish(5)  # nobody reads: it is kept

    again = Inbox()
    house.link(again)
    wanted = {3, 4, 5, 100}
    seen = take(again, lambda taken: set(numbers(taken)) >= wanted, done=True)
    house.publish(6)
    seen += take(again, lambda taken: 6 in numbers(taken))
    assert set(numbers(seen)) == wanted | {6}


def test_messages_of_one_sender_come_in_order(house: House) -> None:
    inbox = Inbox()
    house.link(inbox)
    house.publish(*range(200))
    assert numbers(take(inbox, count(200))) == list(range(200))


def test_an_empty_mind_is_told_the_last_status_of_each_gateway(house: House) -> None:
    house.link(Inbox()).stop()
    house.publish(1, 2, topic="proximity/v1/lyon/door/status", retain=True)
    house.publish(3, topic="proximity/v1/lyon/till/status", retain=True)
    first = Inbox()
    house.link(first)
    take(first, lambda taken: {2, 3} <= set(numbers(taken)), done=True)
    house.publish(9)
    take(first, lambda taken: 9 in numbers(taken), done=True)
    house.links.pop().stop()

    inbox = Inbox()
    house.link(inbox)
    retained = take(inbox, lambda taken: {2, 3} <= {*numbers([m for m in taken if m.retained])})
    told = {(m.topic, m.payload) for m in retained if m.retained}
    assert told >= {("proximity/v1/lyon/door/status", b"2"), ("proximity/v1/lyon/till/status", b"3")}


@pytest.mark.parametrize(
    "topic",
    ["owntracks/ada/phone", "/owntracks/ada/phone", "owntracks/ada/pho.ne", "owntracks/a.d.a/x/event", "owntracks/ä/☎"],
)
def test_a_topic_comes_as_it_was_written(house: House, topic: str) -> None:
    inbox = Inbox()
    house.link(inbox)
    house.publish(1, topic="elsewhere/entirely")
    house.publish(2, topic="app/ada/ibeacon")  # the shopper page's own door, which is not on the broker
    house.publish(3, topic=topic)
    house.publish(4)
    taken = take(inbox, count(2))
    assert [(m.topic, m.payload) for m in taken] == [(topic, b"3"), (TOPIC, b"4")]


def test_quality_0_comes_too_while_somebody_listens(house: House) -> None:
    inbox = Inbox()
    house.link(inbox)
    house.publish(1, qos=0)
    house.publish(2)
    taken = take(inbox, count(2))
    assert sorted(numbers(taken)) == [1, 2]


def test_no_more_is_taken_than_there_is_room_for_and_all_of_it_comes(house: House) -> None:
    inbox = Inbox(messages=20)
    house.link(inbox)
    house.publish(*range(300))
    wait_until(lambda: inbox.room()[0] == 0, what="a full inbox")
    taken: list[Inbound] = []

    def look() -> bool:
        assert len(inbox) <= 20
        for message in inbox.take(0.05, most=7).messages:
            taken.append(message)
            message.done(None)
        return len(taken) >= 300

    wait_until(look, what="all of them")
    assert sorted(set(numbers(taken))) == list(range(300))


# What other brokers promise is theirs: Mosquitto keeps messages in memory between its saves.
@pytest.mark.parametrize("house", ["jetstream"], indirect=True)
def test_a_broker_that_dies_comes_back_and_no_confirmed_message_is_lost(house: House) -> None:
    """`kill -9` right after the PUBACKs, in the middle of a flood."""
    assert house.nats is not None
    inbox = Inbox()
    link = house.link(inbox)
    phone = house.phone(inflight=200)
    confirmed: list[int] = []
    phone.on_publish = lambda _client, _data, mid, _code, _properties: confirmed.append(mid)
    sent = {phone.publish(TOPIC, str(number), qos=1).mid: number for number in range(3000)}
    wait_until(lambda: len(confirmed) >= 500, what="confirmations")
    before = house.nats.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    safe = {sent[mid] for mid in list(confirmed)}
    phone.disconnect()
    phone.loop_stop()
    wait_until(lambda: house.nats is not None and house.nats.pid not in (None, before), what="a new broker")
    wait_until(lambda: link.connected, what="the reader's return")
    seen = take(inbox, lambda taken: safe <= set(numbers(taken)), done=True)
    assert len(safe) >= 500
    assert safe <= set(numbers(seen))
    house.publish(5000)
    take(inbox, lambda taken: 5000 in numbers(taken))


def test_who_reads_is_told_when_nothing_more_waits(house: House) -> None:
    """Presence may not run ahead of messages that wait at the broker."""
    first = Inbox()
    house.link(first).stop()
    house.publish(*range(50))
    inbox = Inbox(messages=100)
    house.link(inbox)
    seen: list[float | None] = []
    taken: list[Inbound] = []

    def look() -> bool:
        batch = inbox.take(0.05, most=5)
        taken.extend(batch.messages)
        seen.append(batch.until)
        for message in batch.messages:
            message.done(None)
        return len(taken) >= 50 and batch.until == float("inf")

    wait_until(look, what="the end of the backlog")
    assert seen[0] != float("inf")
    assert sorted(set(numbers(taken))) == list(range(50))
