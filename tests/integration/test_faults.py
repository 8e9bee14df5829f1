"""Faults of the world around the service: the stream goes on, nothing acknowledged is lost, and counters name what was
dropped. Kills have their own folder, tests/torture."""

import os
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity import wire
from proximity.broker import EmbeddedBroker
from proximity.configuration import Configuration, load_configuration
from proximity.delivery.worker import OutboxWorker
from proximity.examples import example_config
from proximity.ingest.decode import MOST_TOLD
from proximity.model import Offer
from proximity.store import database, gateways, history
from proximity.store.outbox import Delivery
from tests.conftest import wait_until
from tests.test_service import House

pytestmark = pytest.mark.integration
GARBAGE = int(os.environ.get("PROXIMITY_TORTURE_GARBAGE", "5000"))  # a million by hand: make torture


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(example_config())


@pytest.fixture
def house(tmp_path: Path, configuration: Configuration) -> Iterator[House]:
    made = House(tmp_path, configuration)
    yield made
    made.store.close()


def alternate(house: House) -> None:
    inside: set[tuple[str, str]] = set()
    for one in reversed(history.transitions(house.store, limit=100_000)):
        if one.kind == "enter":
            assert (one.shopper, one.zone) not in inside
            inside.add((one.shopper, one.zone))
        elif one.kind == "exit":
            inside.remove((one.shopper, one.zone))


def covered(house: House) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(one.seq, one.messages, one.ahead) for one in gateways.offsets(house.store)]


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
        wait_until(lambda t=thread: house.service.vitals.commit_error or not t.is_alive(), what="a refusal")
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
    worker = OutboxWorker(house.store, [channel], house.service, lambda: house.now)
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
    house.service.on_failure = ended.set
    monkeypatch.setattr(house.service._decoder, "read", lambda _messages: 1 / 0)
    house.service.start()
    assert ended.wait(60)
    assert "a fault ended the pipeline: ZeroDivisionError" in str(house.service.failure)
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


def test_a_gateway_that_repeats_an_old_sequence_has_no_effect(house: House) -> None:
    house.stand(30)
    before = (house.kinds(), covered(house))
    told = len(house.posted)
    for _ in range(20):
        house.service.turn([house.heard(seq) for seq in (1, 30, 15, 7, 7)])
    assert (house.kinds(), covered(house)) == before
    assert house.service.vitals.counts["proximity", "repeated"] == 100
    assert len(house.posted) > told  # it is told again what is safe: it repeats because it has not heard so


STEPS = [
    ("back a minute", [-60.0]),
    ("back an hour", [-3600.0]),
    ("ahead an hour", [3600.0]),
    ("ahead and back", [3600.0, -3600.0]),
    ("to and fro", [-30.0, 45.0, -600.0, 900.0, -7200.0, 7200.0]),
]


@pytest.mark.parametrize("steps", [steps for _, steps in STEPS], ids=[name for name, _ in STEPS])
def test_a_clock_that_steps_does_not_blind_the_shop(house: House, steps: list[float]) -> None:
    """The clocks of the house step together, as one time server makes them: the shop is seen again in a minute."""
    seq = 0
    for step in [0.0, *steps]:
        house.now += step
        house.stand(25, first=seq + 1)
        seq += 25
    house.stand(60, "bakery")
    assert house.service.inside("ada") == {("demo-store", "bakery")}
    assert sorted(covered(house)) == sorted([(seq, seq, ()), (60, 60, ())])
    house.restart()
    assert house.service.inside("ada") == {("demo-store", "bakery")}


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
    reader.on_message = lambda _client, _data, message: heard.update([message.payload[:4]])
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


def test_garbage_is_counted_and_forgotten(house: House) -> None:
    random = Random(7)
    good = wire.encode(wire.SightingsMessage("b", 1, "synced", [wire.Row(house.beacon("ada"), 1764155040000, -50.0)]))
    topics = ["proximity/v1/demo-store/coffee-1/sightings", "proximity/v1/{}/{}/sightings", "owntracks/{}/{}"]
    topics += ["proximity/v1/demo-store/coffee-1/{}", "proximity/v1/demo-store/coffee-1/fixes", "{}/{}"]
    sent = 0
    while sent < GARBAGE:
        batch = []
        for _ in range(min(1000, GARBAGE - sent)):
            name = f"x{random.getrandbits(64):x}"
            noise = random.randbytes(random.randrange(200))
            at = random.randrange(len(good))
            payload = random.choice((noise, good[:at], good[:at] + noise, b"[" * 5000, b'{"rows":null}', b""))
            batch.append(house.say(random.choice(topics).format(name, name), payload))
        sent += len(batch)
        house.now += 1
        house.service.turn([*batch, house.heard(sent)])
    assert len(house.acknowledged) == GARBAGE + -(-GARBAGE // 1000)  # none is left with the broker
    counts = house.service.vitals.counts
    reasons = {reason for (source, reason), number in counts.items() if source in ("proximity", "owntracks") and number}
    assert {"json", "shape", "topic"} <= reasons
    assert len(house.service._decoder._told) <= MOST_TOLD
    assert len(counts) < 100  # names of counters come from us, not from the sender
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}
