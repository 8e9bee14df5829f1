"""The bounded room between the doors and the pipeline."""

import math
import threading

import pytest

from proximity.errors import BadMessage
from proximity.ingest import inbound
from proximity.ingest.inbound import Inbound, Inbox
from tests.conftest import wait_until

NOW = 1_764_155_040.0


def message(number: int, at: float = NOW, size: int = 1) -> Inbound:
    return Inbound(str(number), b"x" * size, at)


def topics(messages: list[Inbound]) -> list[int]:
    return [int(one.topic) for one in messages]


def test_it_is_bounded_in_messages_and_in_bytes() -> None:
    few, small = Inbox(messages=2), Inbox(size=1000)
    assert [few.put(message(n), 0.0) for n in range(3)] == [True, True, False]
    assert [small.put(message(n, size=500), 0.0) for n in range(3)] == [True, True, False]  # 200 more for each
    assert few.room()[0] == 0
    assert small.room()[1] < 0
    assert topics(few.take(0.0).messages) == [0, 1]
    assert few.put(message(3), 0.0)


def test_who_finds_no_room_waits_and_goes_on_when_there_is_some() -> None:
    inbox = Inbox(messages=1)
    inbox.put(message(0))
    producer = threading.Thread(target=lambda: [inbox.put(message(n)) for n in range(1, 50)], daemon=True)
    producer.start()
    taken: list[int] = []

    def look() -> bool:
        assert len(inbox) <= 1
        taken.extend(topics(inbox.take(0.01).messages))
        return len(taken) == 50

    wait_until(look, what="all of them")
    producer.join()
    assert taken == list(range(50))


def test_a_batch_is_bounded_too() -> None:
    inbox = Inbox()
    inbox.put_many([message(n, size=800) for n in range(10)])
    assert topics(inbox.take(0.0, most=3).messages) == [0, 1, 2]
    assert topics(inbox.take(0.0, size=2500).messages) == [3, 4, 5]
    assert topics(inbox.take(0.0).messages) == [6, 7, 8, 9]
    assert inbox.take(0.0).messages == []


def test_live_messages_go_before_backlog_which_always_gets_its_share() -> None:
    inbox = Inbox()
    inbox.put_many([message(n) for n in range(100)], old=True)
    inbox.put_many([message(n) for n in range(1000, 1100)])
    first = topics(inbox.take(0.0, most=20).messages)
    assert first == [*range(1000, 1015), *range(5)]
    inbox.take(0.0, most=200)
    inbox.put_many([message(n) for n in range(100)], old=True)
    assert topics(inbox.take(0.0, most=20).messages) == list(range(20))


UNTIL = [
    # what the reader says, messages that wait, most taken, expected
    (math.inf, [NOW, NOW + 1], 2, math.inf),
    (math.inf, [NOW, NOW + 1], 1, NOW + 1),  # the other one waits here
    (NOW + 5, [NOW, NOW + 1], 2, NOW + 5),
    (NOW + 5, [NOW, NOW + 1, NOW + 5], 1, NOW + 1),
    (-math.inf, [], 1, -math.inf),
    (None, [NOW, NOW + 1], 1, None),
]


@pytest.mark.parametrize(("told", "waiting", "most", "until"), UNTIL)
def test_a_batch_says_up_to_when_everything_was_taken(
    told: float | None, waiting: list[float], most: int, until: float | None
) -> None:
    inbox = Inbox()
    inbox.put_many([message(n, at) for n, at in enumerate(waiting)])
    inbox.behind(told)
    assert inbox.take(0.0, most=most).until == until


def test_backlog_that_was_set_apart_holds_nothing_up() -> None:
    inbox = Inbox()
    inbox.put_many([message(n, NOW - 3600) for n in range(10)], old=True)
    assert inbox.take(0.0, most=1).until == math.inf


def test_the_first_quiet_moment_ends_the_wait_for_what_a_broker_may_still_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = Inbox()
    inbox.put_many([message(0)])
    inbox.behind(None)
    assert inbox.take(0.0).until is None
    assert inbox.take(0.0).until is None  # not quiet for long enough
    monkeypatch.setattr(inbound, "QUIET", -1.0)
    assert inbox.take(0.0).until == math.inf


def test_waiting_for_company_ends_with_a_full_batch() -> None:
    inbox = Inbox()
    inbox.put(message(0))
    threading.Thread(target=lambda: inbox.put_many([message(n) for n in range(1, 10)]), daemon=True).start()
    assert topics(inbox.take(60.0, gather=60.0, most=10).messages) == list(range(10))


def test_a_full_house_is_told_to_who_asks_over_http() -> None:
    inbox = Inbox(messages=1)
    inbox.put(message(0))
    with pytest.raises(BadMessage, match="busy"):
        inbox.submit("app/ada", b"{}", NOW, timeout=0.0).result(60)


def test_who_waits_for_company_keeps_an_appointment() -> None:
    inbox = Inbox()
    inbox.put(Inbound("a", b"1", 0.0))
    assert [one.topic for one in inbox.take(9e9, gather=9e9, within=0.0).messages] == ["a"]
    assert inbox.take(9e9, gather=9e9, within=0.01).messages == []
