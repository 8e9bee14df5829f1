"""Faults of the world around the service: the stream goes on, nothing acknowledged is lost, and counters name what was
dropped. Kills have their own folder, tests/torture."""

import os
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity.broker import EmbeddedBroker
from proximity.configuration import Configuration
from proximity.delivery.channel import Channel
from proximity.delivery.clearing import StoredPresence
from proximity.delivery.inbox import InboxChannel
from proximity.delivery.mqtt import MqttChannel
from proximity.delivery.owntracks import OwnTracksChannel
from proximity.delivery.worker import OutboxWorker
from proximity.errors import BrokerError
from proximity.feed import Feed
from proximity.ingest.decode import MOST_TOLD
from proximity.ingest.inbound import Inbox
from proximity.model import Offer
from proximity.store import database, history, offers, tables
from proximity.store.outbox import Delivery
from tests import test_service
from tests.conftest import wait_until
from tests.integration.fault_house import alternate, covered
from tests.integration.reader_house import House as Readers
from tests.integration.reader_house import count, numbers, take
from tests.store_house import rows
from tests.test_service import House
from tests.torture.garbage import noise

pytestmark = pytest.mark.integration
configuration, house = test_service.configuration, test_service.house
GARBAGE = 5_000  # a million, through a broker: make torture-garbage


# -- the database -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk: only root may mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def turned(house: House, seq: int) -> threading.Thread:
    """A turn that cannot commit does not return."""
    house.now += 1
    thread = threading.Thread(target=house.service.turn, args=([house.heard(seq)],), daemon=True)
    thread.start()
    return thread


def refused_or_over(house: House, thread: threading.Thread) -> bool:
    return house.service.vitals.commit_error is not None or not thread.is_alive()


def test_a_full_disk_holds_the_stream_up_and_loses_nothing(small_disk: Path, configuration: Configuration) -> None:
    house = House(small_disk, configuration)
    house.stand(5)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    seq = 5
    while True:  # what SQLite has set aside takes a few more
        seq += 1
        thread = turned(house, seq)
        wait_until(partial(refused_or_over, house, thread), what="a refusal")
        if thread.is_alive():
            break
    taken = len(house.acknowledged)
    assert "is full: free some space on it" in (house.service.vitals.commit_error or "")
    assert taken == seq - 1
    assert len(house.posted) == seq - 1
    filler.unlink()
    thread.join(60)
    assert house.service.vitals.commit_error is None
    assert len(house.acknowledged) == seq
    assert covered(house) == [(seq, seq, ())]
    house.restart()
    house.stand(12, first=seq + 1)
    assert house.kinds().count(("enter", "coffee-aisle")) == 1
    alternate(house)
    house.store.close()


def test_a_database_locked_for_long_is_waited_for(
    tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    house = House(tmp_path, configuration)
    house.stand(3)
    backup = sqlite3.connect(tmp_path / "p.db", isolation_level=None)
    backup.execute("BEGIN IMMEDIATE")
    thread = turned(house, 4)
    wait_until(lambda: house.service.vitals.commit_error, what="a refusal")
    assert "is locked by another program: end what has it open" in (house.service.vitals.commit_error or "")
    assert len(house.acknowledged) == 3
    backup.execute("ROLLBACK")
    backup.close()
    thread.join(60)
    assert (len(house.acknowledged), covered(house)) == (4, [(4, 4, ())])
    house.store.close()


# -- the way out ------------------------------------------------------------------------------------------------------


class Hanging:
    """A push service that takes a call and does not answer."""

    name, parallel = "inbox", 2

    def __init__(self) -> None:
        self.called, self.answer = threading.Event(), threading.Event()

    def send(self, delivery: Delivery, offer: Offer) -> None:
        self.called.set()
        self.answer.wait()

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        self.answer.wait()

    def close(self) -> None:
        pass


def test_a_channel_that_hangs_does_not_delay_presence(house: House) -> None:
    channel = Hanging()
    worker = OutboxWorker(house.store, [channel], StoredPresence(house.store), lambda: house.now)
    house.service.on_offers = worker.wake
    worker.start()
    try:
        house.stand(15)
        wait_until(channel.called.is_set, what="the call")
        house.stand(15, "bakery")  # these turns return while the call hangs
        assert house.service.inside("ada") == {("demo-store", "bakery")}
        assert len(house.acknowledged) == 30
    finally:
        channel.answer.set()
        worker.stop()


def test_a_fault_of_ours_ends_the_service_where_it_is_seen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    house.service.turns.on_failure = ended.set
    monkeypatch.setattr(house.service._decoder, "read", lambda _messages: 1 / 0)
    house.service.start()
    assert ended.wait(60)
    assert "a fault ended the pipeline: ZeroDivisionError" in str(house.service.turns.failure)
    assert house.acknowledged == []
    house.service.stop()


# -- the broker and the gateways --------------------------------------------------------------------------------------


def test_the_broker_is_away_for_an_hour(house: House) -> None:
    """The gateway kept what it heard and sends it when the broker is back: history, no offers for an hour ago."""
    house.stand(20)
    house.connected = False
    kept = []
    for second in range(3600):
        house.now += 1
        kept.append(house.heard(21 + second))
        if second % 10 == 0:
            house.service.turn([])
    house.connected = True
    for first in range(0, len(kept), 256):  # as the gateway's window lets through
        house.service.turn(kept[first : first + 256])
    house.stand(20, first=3621)
    assert covered(house) == [(3640, 3640, ())]
    assert house.acknowledged == [None] * 3640
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}
    for decided in history.decisions(house.store, outcome="sent"):
        caused = history.transition(house.store, decided.transition)
        assert caused is not None
        assert decided.at - caused.observed < 5.0  # none for where she was an hour ago
    alternate(house)


def test_offers_do_not_wait_an_hour_for_the_broker(house: House) -> None:
    """What was decided before it went is given up in time, and shown on the shopper's page; what is new is sent."""
    away, sent = [True], []

    def publish(topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        if away[0]:
            raise BrokerError("the broker is away")
        sent.append((topic, payload))

    channels: list[Channel] = [
        MqttChannel(publish),
        OwnTracksChannel(publish, house.service.device),
        InboxChannel(Feed()),
    ]
    worker = OutboxWorker(house.store, channels, StoredPresence(house.store), lambda: house.now)
    house.stand(20)
    for _ in range(360):
        worker.run_once(house.now)
        house.now += 10
        house.service.turn([])
    told = [(row["kind"], row["channel"], row["state"]) for row in rows(house.store, tables.deliveries)]
    assert told.count(("offer", "inbox", "sent")) == len(offers.offers(house.store, "ada")) > 0
    assert {channel for _, channel, _ in told} == {"inbox", "mqtt", "owntracks"}
    assert {state for _, channel, state in told if channel != "inbox"} <= {"dead", "skipped"}
    away[0] = False
    worker.run_once(house.now)
    assert sent == []
    house.stand(20, shopper="gaelle", first=21)
    worker.run_once(house.now)
    assert {topic for topic, _ in sent} >= {"proximity/v1/shoppers/gaelle/offers", "owntracks/gaelle/phone/cmd"}


def test_a_gateway_that_repeats_an_old_sequence_has_no_effect(house: House) -> None:
    house.stand(30)
    before = (house.kinds(), covered(house))
    told = len(house.posted)
    for _ in range(20):
        house.service.turn([house.heard(seq) for seq in (1, 30, 15, 7, 7)])
    assert (house.kinds(), covered(house)) == before
    assert house.service.vitals.counts["proximity", "repeated"] == 100
    assert len(house.posted) > told  # it is told again what is safe: it repeats because it has not heard so


# -- messages that are none -------------------------------------------------------------------------------------------


def test_ten_megabytes_are_refused_by_name(house: House) -> None:
    row = b'["ibeacon:7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90:1:1",1764155040000,-50.0]'
    body = b'{"boot":"b","seq":1,"clock":"synced","rows":[' + b",".join([row] * 150_000) + b"]}"
    assert len(body) > 10_000_000
    house.service.turn([house.say("proximity/v1/demo-store/coffee-1/sightings", body), house.heard(1)])
    refused, taken = house.acknowledged
    assert refused is not None
    assert refused.reason == "too_large"
    assert taken is None
    assert house.service.vitals.counts["proximity", "too_large"] == 1


def test_ten_megabytes_at_the_broker_disturb_nobody_else(nats: EmbeddedBroker) -> None:
    heard: Counter[bytes] = Counter()
    reader = paho.Client(CallbackAPIVersion.VERSION2, "reader")
    reader.on_connect = lambda client, *_: client.subscribe("proximity/v1/#", 1)
    ready = threading.Event()
    reader.on_subscribe = lambda *_: ready.set()
    reader.on_message = lambda _client, _data, message: heard.update([bytes(message.payload[:4])])
    reader.connect("127.0.0.1", nats.port)
    reader.loop_start()
    assert ready.wait(60)
    clumsy = paho.Client(CallbackAPIVersion.VERSION2, "clumsy", reconnect_on_failure=False)
    cut = threading.Event()
    clumsy.on_disconnect = lambda *_: cut.set()
    clumsy.connect("127.0.0.1", nats.port)
    clumsy.loop_start()
    clumsy.publish("proximity/v1/demo-store/coffee-1/sightings", b"huge" * 2_500_000, qos=1)
    assert cut.wait(60)
    clumsy.loop_stop()
    reader.publish("proximity/v1/demo-store/coffee-1/sightings", b"fine", qos=1)
    wait_until(lambda: heard[b"fine"], what="the next message")
    reader.disconnect()
    reader.loop_stop()
    assert (heard[b"huge"], nats.restarts) == (0, 0)


def test_ten_megabytes_through_a_broker_that_takes_them(house: House, mosquitto: str) -> None:
    readers = Readers(mosquitto)
    inbox = Inbox()
    readers.link(inbox)
    phone = readers.phone()
    topic = "proximity/v1/demo-store/coffee-1/sightings"
    phone.publish(topic, b'{"boot":"b","seq":1,"rows":[' + b"0," * 5_000_000 + b"0]}", qos=1).wait_for_publish(60)
    phone.publish(topic, house.heard(1).payload, qos=1).wait_for_publish(60)
    house.service.turn(take(inbox, count(2)))
    assert house.service.vitals.counts["proximity", "too_large"] == 1
    assert covered(house) == [(1, 1, ())]
    phone.disconnect()
    phone.loop_stop()
    readers.close()
    again = Inbox()  # both were acknowledged: neither comes again
    readers = Readers(mosquitto)
    readers.link(again)
    readers.publish(7)
    assert numbers(take(again, count(1))) == [7]
    readers.close()


def test_garbage_is_counted_and_forgotten(house: House) -> None:
    source, known = noise(7), len(house.service.gateways._online)
    for sent in range(1000, GARBAGE + 1, 1000):
        batch = [house.say(topic, payload) for topic, payload in islice(source, 1000)]
        house.now += 1
        house.service.turn([*batch, house.heard(sent // 1000)])
    good = GARBAGE // 1000
    assert len(house.acknowledged) == GARBAGE + good  # none is left with the broker
    assert house.acknowledged.count(None) >= good
    counts = house.service.vitals.counts
    reasons = {reason for (source, reason), number in counts.items() if source in ("proximity", "owntracks") and number}
    assert {"json", "shape", "topic"} <= reasons
    assert len(house.service._decoder._told) <= MOST_TOLD
    assert len(counts) < 100  # names of counters come from us, not from the sender
    assert len(house.service.gateways._online) == known + 1  # and so do those of gateways
    assert covered(house) == [(good, good, ())]
    house.stand(5, first=good + 1)
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}
