"""The NATS protocol and its names, without a server."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.errors import BrokerError
from proximity.ingest.lanes import Delivery, Lane, delivery
from proximity.ingest.nats import Message, cut
from proximity.ingest.subjects import subject_of, topic_of

STREAM = (
    b"INFO {}\r\nMSG a.b 1 5\r\nhello\r\nPING\r\nHMSG c 2 $JS.ACK.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n+OK\r\n"
    b"MSG d 1 _INBOX.r 2\r\n\r\n\r\nHMSG e 7 12 12\r\nNATS/1.0\r\n\r\n\r\nPONG\r\n"
)
MESSAGES = [
    Message(b"a.b", b"", b"", b"hello"),
    Message(b"c", b"$JS.ACK.x", b"NATS/1.0\r\n\r\n", b"hi"),
    Message(b"d", b"_INBOX.r", b"", b"\r\n"),
    Message(b"e", b"", b"NATS/1.0\r\n\r\n", b""),
]


def test_a_buffer_is_cut_into_messages() -> None:
    assert cut(STREAM) == (MESSAGES, len(STREAM), 1)


@given(st.sets(st.integers(0, len(STREAM)), max_size=12))
def test_wherever_the_network_cuts_the_messages_are_the_same(places: set[int]) -> None:
    rest, found, pings = b"", [], 0
    edges = [0, *sorted(places), len(STREAM)]
    for first, last in itertools.pairwise(edges):
        data = rest + STREAM[first:last]
        some, used, pinged = cut(data)
        found += some
        pings += pinged
        rest = data[used:]
    assert (found, rest, pings) == (MESSAGES, b"", 1)


def test_a_word_of_the_server_that_ends_the_connection_is_an_error() -> None:
    with pytest.raises(BrokerError, match="'Authorization Violation'"):
        cut(b"-ERR 'Authorization Violation'\r\n")


@pytest.mark.parametrize(
    ("subject", "topic"),
    [
        (b"$MQTT.msgs.proximity.v1.lyon.door.sightings", "proximity/v1/lyon/door/sightings"),
        (b"$MQTT.rmsgs.proximity.v1.lyon.door.status", "proximity/v1/lyon/door/status"),
        (b"owntracks.ada.phone", "owntracks/ada/phone"),
        (b"$MQTT.msgs./.owntracks.ada.pho//ne", "/owntracks/ada/pho.ne"),
        (b"owntracks.ada./.x", "owntracks/ada//x"),
        (b"$MQTT.msgs.proximity.v1.lyon.door.acked", None),
        (b"app.ada", None),
        (b"\xff", None),
    ],
)
def test_subjects_are_topics_in_other_words(subject: bytes, topic: str | None) -> None:
    assert topic_of(subject) == topic


def test_filters_are_subjects_too() -> None:
    assert subject_of("proximity/v1/+/+/health") == "proximity.v1.*.*.health"
    assert subject_of("/owntracks/+/+") == "/.owntracks.*.*"


@pytest.mark.parametrize(
    "reply",
    [b"$JS.ACK.S.c.1.320001.7.1795303368763494167.9", b"$JS.ACK.hub.ACC.S.c.1.320001.7.1795303368763494167.9.x"],
)
def test_a_reply_subject_says_where_the_message_stands(reply: bytes) -> None:
    one = delivery(reply)
    assert one._replace(stored=0.0) == Delivery(b"c", 320001, 0.0, 9)
    assert one.stored == pytest.approx(1795303368.763)


def test_a_message_that_came_by_two_lanes_is_acknowledged_on_both_when_it_is_committed() -> None:
    acks: deque[bytes] = deque()
    live = Lane("live", acks)
    live.begin(10)
    live.delivered(10)
    done = live.take(10, b"live-10")
    assert done is not None
    assert live.take(10, b"live-10-again") is None
    assert live.had(10)
    assert not live.had(11)
    live.also(10, b"main-10")
    assert not acks
    done(None)
    assert list(acks) == [b"live-10-again", b"main-10"]
    live.also(10, b"main-10-again")  # it was committed before
    assert acks.pop() == b"main-10-again"
