"""What waited at the broker is not late, what is slow is not fatal: the pipeline behind time and under pressure."""

import math
import threading
from pathlib import Path

import pytest

from proximity.configuration import Configuration
from proximity.ingest.inbound import Inbound
from proximity.store import commit as commits
from proximity.store import history
from proximity.store.database import Store
from tests import test_service
from tests.conftest import wait_until
from tests.test_service import START, House, dump

SECONDS = 40


configuration, house = test_service.configuration, test_service.house


def walk(house: House, second: int) -> Inbound:
    """What a gateway said at `second` of a walk from the coffee to the bakery."""
    house.now = START + second
    there = second > 15
    return house.heard(second - 15 if there else second, "bakery" if there else "coffee-aisle")


def told(house: House) -> list[tuple[str, str, float, str]]:
    return sorted((t.kind, t.zone, t.at, t.id) for t in history.transitions(house.store))


def late(house: House) -> int:
    return sum(row.startswith("late_observations:") for row in dump(house.store))


@pytest.mark.parametrize("batch", [1, 4, 13])
def test_a_backlog_after_a_restart_comes_to_the_same_as_no_restart(
    tmp_path: Path, configuration: Configuration, batch: int
) -> None:
    steady, killed = House(tmp_path / "a", configuration), House(tmp_path / "b", configuration)
    for house in (steady, killed):
        for second in range(1, 10):
            house.service.turn([walk(house, second)])
    for second in range(10, SECONDS):
        steady.service.turn([walk(steady, second)])

    killed.restart()
    waiting = [walk(killed, second) for second in range(7, SECONDS)]  # three of them come again
    killed.now = START + SECONDS
    killed.service.turn([], -math.inf)  # the reader does not know yet what waits
    while waiting:
        some, waiting = waiting[:batch], waiting[batch:]
        killed.service.turn(some, waiting[0].received if waiting else math.inf)
    steady.now = START + SECONDS
    steady.service.turn([])

    assert told(killed) == told(steady)
    assert {("enter", "coffee-aisle"), ("enter", "bakery")} <= {one[:2] for one in told(killed)}
    assert late(killed) == 0
    for house in (steady, killed):
        house.store.close()


def test_what_is_older_than_all_that_waits_is_late(house: House) -> None:
    """The other side: time that did not wait for them."""
    waiting = [walk(house, second) for second in range(1, 15)]
    house.now = START + 15
    house.service.turn([], math.inf)
    house.service.turn(waiting, math.inf)
    assert late(house) > 0


def test_a_reader_that_cannot_tell_lets_time_go_by_what_it_reads(house: House) -> None:
    waiting = [walk(house, second) for second in range(1, 20)]
    house.now = START
    house.restart()
    house.now = START + 600
    for message in waiting[:12]:
        house.service.turn([message], None)
    assert late(house) == 0
    assert ("enter", "coffee-aisle") in house.kinds()
    house.service.turn([], None)  # nothing came: time stands
    assert ("exit", "coffee-aisle") not in house.kinds()
    house.service.turn([], math.inf)
    assert ("exit", "coffee-aisle") in house.kinds()


@pytest.mark.timeout(180)
def test_twice_what_can_be_committed_waits_at_the_door_and_nothing_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every commit waits for two more messages than a batch has room for: the queue stays bounded all the same."""
    room, batch, total = 20, 5, 200
    house.service.inbox._most = room
    sent = threading.Semaphore(0)
    real = commits.commit

    def slow(store: Store, outcome: commits.Outcome) -> commits.Committed:
        for _ in range(batch * 2):  # input comes in at twice the speed
            sent.acquire(timeout=0.01)
        return real(store, outcome)

    monkeypatch.setattr("proximity.service.commits.commit", slow)
    take = house.service.inbox.take
    monkeypatch.setattr(house.service.inbox, "take", lambda *args, **named: take(*args, most=batch, **named))
    longest = 0

    def produce() -> None:
        nonlocal longest
        for seq in range(1, total + 1):
            house.now += 0.1
            assert house.service.inbox.put(house.heard(seq), 120)
            longest = max(longest, len(house.service.inbox))
            sent.release()

    producer = threading.Thread(target=produce, daemon=True)
    house.service.start()
    producer.start()
    wait_until(lambda: len(house.acknowledged) == total, timeout=150, what="the last acknowledgement")
    producer.join()
    house.service.stop()
    assert house.acknowledged == [None] * total
    assert longest <= room
    assert house.service.vitals.counts["proximity", "sightings"] == total
