"""The webhook against a real server: signature, answers, timeouts."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proximity.delivery.channel import RetryLaterError
from proximity.delivery.webhook import WebhookChannel, retry_after, sign, verify
from proximity.errors import BadMessage, DeliveryError
from proximity.store.outbox import Delivery
from tests.store_house import NOW, story

SECRET = b"a key that both sides know"


@dataclass
class Receiver:
    """The shop's own system: answers as told, and keeps what came."""

    url: str
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    silent: threading.Event | None = None  # keeps every answer back until it is set
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            kept.requests.append((self.path, dict(self.headers.items()), self.rfile.read(length)))
            if kept.silent is not None:
                kept.silent.wait(10)
            self.send_response(kept.status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            if kept.status != 204:
                self.send_header("content-length", str(len(kept.body)))
            self.end_headers()
            self.wfile.write(kept.body)

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_args: object) -> None:
            """A client that hangs up is part of these tests."""

    server = Server(("127.0.0.1", 0), Handler)
    kept = Receiver(f"http://127.0.0.1:{server.server_port}/offers?shop=lyon")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield kept
    if kept.silent is not None:
        kept.silent.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def channel() -> Iterator[WebhookChannel]:
    made = WebhookChannel(SECRET, lambda: NOW + 0.4)
    yield made
    made.close()


OFFER = story().offers[0]


def delivery(url: str) -> Delivery:
    return Delivery.of(OFFER, "webhook", url)


def test_an_offer_arrives_signed(receiver: Receiver, channel: WebhookChannel) -> None:
    sent = delivery(receiver.url)
    channel.send(sent, OFFER)
    ((path, headers, body),) = receiver.requests
    assert path == "/offers?shop=lyon"
    verify(SECRET, headers, body, NOW + 30)
    given = {name.lower(): value for name, value in headers.items()}
    assert given["content-type"] == "application/json"
    assert (given["proximity-delivery"], given["proximity-timestamp"]) == (sent.id, f"{NOW:.0f}")
    said = json.loads(body)
    assert (said["type"], said["delivery"]) == ("offer", sent.id)
    assert said["offer"]["title"] == "Welcome"
    assert said["offer"]["channels"] == ["push", "inbox"]


def test_a_withdrawal_says_so(receiver: Receiver, channel: WebhookChannel) -> None:
    channel.withdraw(delivery(receiver.url), OFFER)
    assert json.loads(receiver.requests[0][2])["type"] == "offer.withdrawn"


ANSWERS = [
    # status  retry   what the error says
    (400, False, "answered 400 Bad Request: no such shop"),
    (401, False, "answered 401 Unauthorized"),
    (404, False, "answered 404 Not Found"),
    (410, False, "answered 410 Gone"),
    (408, True, "answered 408"),
    (425, True, "answered 425"),
    (429, True, "answered 429 Too Many Requests"),
    (500, True, "answered 500 Internal Server Error"),
    (503, True, "answered 503 Service Unavailable"),
]


@pytest.mark.parametrize(("status", "retry", "message"), ANSWERS)
def test_what_an_answer_means(
    receiver: Receiver, channel: WebhookChannel, status: int, retry: bool, message: str
) -> None:
    receiver.status, receiver.body = status, b"no such shop"
    with pytest.raises(DeliveryError, match=message) as raised:
        channel.send(delivery(receiver.url), OFFER)
    assert raised.value.retry is retry
    assert not isinstance(raised.value, RetryLaterError)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_takes_it(receiver: Receiver, channel: WebhookChannel, status: int) -> None:
    receiver.status, receiver.body = status, b"" if status == 204 else b"thank you"
    for _ in range(3):
        channel.send(delivery(receiver.url), OFFER)
    assert len({headers["proximity-delivery"] for _, headers, _ in receiver.requests}) == 1


def test_a_redirect_is_not_followed(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.status, receiver.headers = 307, {"location": receiver.url + "&again"}
    with pytest.raises(DeliveryError, match="redirects are not followed") as raised:
        channel.send(delivery(receiver.url), OFFER)
    assert not raised.value.retry
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(receiver: Receiver, channel: WebhookChannel, status: int) -> None:
    receiver.status, receiver.headers = status, {"retry-after": "17"}
    with pytest.raises(RetryLaterError) as raised:
        channel.send(delivery(receiver.url), OFFER)
    assert raised.value.retry
    assert raised.value.after == 17.0


def test_a_huge_answer_is_not_read_to_its_end(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.status, receiver.body = 400, b"no" * 5_000_000
    with pytest.raises(DeliveryError) as raised:
        channel.send(delivery(receiver.url), OFFER)
    assert len(str(raised.value)) < 300


def test_silence_is_a_timeout(receiver: Receiver) -> None:
    receiver.silent = threading.Event()
    channel = WebhookChannel(SECRET, lambda: NOW, timeout=0.1)
    with pytest.raises(DeliveryError, match="Timeout") as raised:
        channel.send(delivery(receiver.url), OFFER)
    assert raised.value.retry
    channel.close()


@pytest.mark.parametrize(
    ("url", "retry"),
    [
        ("http://127.0.0.1:1/offers", True),
        ("ftp://shop.example/offers", False),
        ("http://shop.example:door/offers", False),
    ],
)
def test_an_address_where_nobody_answers(channel: WebhookChannel, url: str, retry: bool) -> None:
    with pytest.raises(DeliveryError) as raised:
        channel.send(delivery(url), OFFER)
    assert raised.value.retry is retry


def test_a_channel_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        WebhookChannel(b"", lambda: NOW)


# -- the receiver's side ----------------------------------------------------------------------------------------------

BODY = b'{"type":"offer"}'
STAMP = f"{NOW:.0f}"
GOOD = {"Proximity-Timestamp": STAMP, "Proximity-Signature": sign(SECRET, STAMP, BODY)}

FORGED = [
    ({}, BODY, NOW, "unsigned"),
    ({"Proximity-Timestamp": STAMP}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Signature": "v1=abc"}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Signature": GOOD["Proximity-Signature"].replace("v1", "v0")}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Timestamp": "now"}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Timestamp": "-5"}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Timestamp": "９" * 10}, BODY, NOW, "unsigned"),
    ({**GOOD, "Proximity-Timestamp": f"{NOW + 1:.0f}"}, BODY, NOW, "signature"),  # replayed under a fresh time
    (GOOD, BODY + b" ", NOW, "signature"),
    ({**GOOD, "Proximity-Signature": sign(b"another key", STAMP, BODY)}, BODY, NOW, "signature"),
    (GOOD, BODY, NOW + 301, "stale"),
    (GOOD, BODY, NOW - 301, "stale"),
]


@pytest.mark.parametrize(("headers", "body", "now", "reason"), FORGED)
def test_a_receiver_refuses(headers: dict[str, str], body: bytes, now: float, reason: str) -> None:
    with pytest.raises(BadMessage) as raised:
        verify(SECRET, headers, body, now)
    assert raised.value.reason == reason


@pytest.mark.parametrize("now", [NOW - 299, NOW, NOW + 299])
def test_a_receiver_believes(now: float) -> None:
    verify(SECRET, GOOD, BODY, now)
    verify(SECRET, {name.upper(): value for name, value in GOOD.items()}, BODY, now)


def test_the_signature_is_what_the_documentation_says() -> None:
    """A golden vector, for receivers in other languages."""
    assert sign(b"key", "1764155040", b'{"type":"offer"}') == (
        "v1=f1ceafd7853e1548fee8d08bebd6735dca32dd3169615940a51c9f65cd1e1522"
    )


AFTER = [
    (None, None),
    ("30", 30.0),
    (" 0 ", 0.0),
    ("999999", 3600.0),
    ("Wed, 26 Nov 2025 12:00:30 GMT", 30.0),
    ("Wed, 26 Nov 2025 11:00:00 GMT", 0.0),
    ("Wed, 26 Nov 2035 11:00:00 GMT", 3600.0),
    ("soon", None),
    ("-5", None),
    ("1.5", None),
]


@pytest.mark.parametrize(("value", "seconds"), AFTER)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2025, 11, 26, 12, tzinfo=UTC)) == seconds
