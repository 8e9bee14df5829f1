"""Topics and payloads of wire v1."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity import wire
from proximity.errors import BadMessage

REFUSED = [
    (wire.SightingsMessage, b"", "json"),
    (wire.SightingsMessage, b"{", "json"),
    (wire.SightingsMessage, b"[]", "shape"),
    (wire.SightingsMessage, b'{"boot":"a","seq":"1","clock":"synced","rows":[]}', "shape"),
    (wire.SightingsMessage, b'{"boot":"a","seq":1,"clock":"maybe","rows":[]}', "shape"),
    (wire.SightingsMessage, b'{"boot":"a","seq":1,"clock":"synced","rows":[["x"]]}', "shape"),
    (wire.SightingsMessage, b'{"v":2,"boot":"a","seq":1,"clock":"synced","rows":[]}', "shape"),
    (wire.StatusMessage, b'{"state":"asleep"}', "shape"),
    (wire.StatusMessage, b" " * (wire.MAX_PAYLOAD + 1), "too_large"),
    (wire.StatusMessage, b'{"x":' + b"[" * 100_000, "json"),
]


@pytest.mark.parametrize(("kind", "payload", "reason"), REFUSED)
def test_what_is_no_message_is_refused_by_name(kind: type[msgspec.Struct], payload: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as refused:
        wire.decode(kind, payload)
    assert refused.value.reason == reason


def test_a_message_reads_as_it_was_written_and_unknown_keys_are_let_pass() -> None:
    message = wire.SightingsMessage("b1", 7, "synced", [wire.Row("mac:aa", 1_764_000_000_123, -67.5, 3, -59)], sent=5)
    written = wire.encode(message)
    assert b'["mac:aa",1764000000123,-67.5,3,-59' in written
    assert wire.decode(wire.SightingsMessage, written) == message
    later = written[:-1] + b',"from_the_future":1}'
    assert wire.decode(wire.SightingsMessage, later) == message


@given(st.binary(max_size=300), st.sampled_from(list(wire.MESSAGES.values())))
def test_any_bytes_are_a_message_or_refused(payload: bytes, kind: type[msgspec.Struct]) -> None:
    reason = None
    try:
        made = wire.decode(kind, payload)
    except BadMessage as error:
        reason = error.reason
    assert reason in {"json", "shape"} if reason else isinstance(made, kind)


TOPICS = [
    "",
    "proximity/v1",
    "proximity/v2/lyon/g1/sightings",
    "proximity/v1/Lyon/g1/sightings",
    "proximity/v1/lyon/g 1/sightings",
    "proximity/v1/lyon/-g/sightings",
    "proximity/v1/lyon/g1/sightings/more",
]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_that_is_none_is_refused(topic: str) -> None:
    with pytest.raises(BadMessage, match="topic"):
        wire.parse_gateway_topic(topic)


def test_topics_read_as_they_are_written() -> None:
    topic = wire.gateway_topic("lyon", "shelf-1", "sightings")
    assert topic == "proximity/v1/lyon/shelf-1/sightings"
    assert wire.parse_gateway_topic(topic) == ("lyon", "shelf-1", "sightings")
    assert wire.offers_topic("ada") == "proximity/v1/shoppers/ada/offers"
    with pytest.raises(ValueError, match="no slug"):
        wire.gateway_topic("Lyon", "a", "acked")
