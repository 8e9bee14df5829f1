"""One connection to a NATS server, read in bulk: what the service needs of the protocol, and no more.

A client library on asyncio takes 28 µs a message; cutting a whole buffer of messages apart in one loop takes 1.2.
https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import json
import os
import socket
import ssl
import threading
from types import TracebackType
from typing import Any, NamedTuple

from proximity.errors import BrokerError
from proximity.ingest.mqtt import BrokerAddress

CHUNK = 1 << 18  # bytes of one read; several hundred phone messages
LINE = 4096  # bytes of a control line, which NATS itself bounds so
CONNECT_TIMEOUT = 5.0  # s
REQUEST_TIMEOUT = 10.0  # s


class Message(NamedTuple):
    """One delivered message. `header` is empty when it has none."""

    subject: bytes
    reply: bytes
    header: bytes
    payload: bytes


class NatsConnection:
    """Opens at once. One thread reads; any may send. OSError when the connection is lost or silent, BrokerError when
    the server says no."""

    def __init__(self, address: BrokerAddress) -> None:
        self.inbox = b"_INBOX.%s" % os.urandom(12).hex().encode()  # where everything for this connection arrives
        self._sending = threading.Lock()
        self._rest = b""
        self._early: list[Message] = []  # came while a request was waited for
        self._socket = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT)
        try:
            self._greet(address)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "NatsConnection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def _greet(self, address: BrokerAddress) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = self._line()
        if not hello.startswith(b"INFO "):
            raise BrokerError(f"what listens at {address.host}:{address.port} is no NATS server")
        if address.tls:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=address.host)
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "protocol": 1,
        }
        options |= {"lang": "python", "version": "1", "name": "proximity"}
        if address.username:
            options |= {"user": address.username, "pass": address.password or ""}
        self.send(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
        while (answer := self._line()) != b"PONG":
            if answer.startswith(b"-ERR"):
                raise BrokerError(f"the NATS server at {address.host}:{address.port} refused us: {answer[5:].decode()}")
        self.send(b"SUB %s.> 1\r\n" % self.inbox)

    def _line(self) -> bytes:
        """One control line of the greeting."""
        while b"\r\n" not in self._rest:
            if len(self._rest) > LINE * 16:
                raise BrokerError("the server's greeting has no end; is it a NATS server?")
            self._rest += self._receive()
        line, self._rest = self._rest.split(b"\r\n", 1)
        return line

    def _receive(self) -> bytes:
        data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def send(self, data: bytes) -> None:
        """Whole protocol lines."""
        with self._sending:
            self._socket.sendall(data)

    def publish(self, subject: bytes, payload: bytes = b"", reply: bytes = b"") -> None:
        """One message."""
        self.send(b"PUB %s %s %d\r\n%s\r\n" % (subject, reply, len(payload), payload))

    def subscribe(self, subject: bytes) -> None:
        """What is published there arrives among the other messages."""
        self.send(b"SUB %s 2\r\n" % subject)

    def api(self, call: str, body: Any = None) -> dict[str, Any]:
        """An answer of the JetStream API, its errors too. OSError when there is none in time. Only for the thread that
        reads."""
        reply = self.inbox + b".api"
        self.publish(b"$JS.API." + call.encode(), b"" if body is None else json.dumps(body).encode(), reply)
        waited = 0.0
        while True:
            found = self._read(REQUEST_TIMEOUT)
            answers = [message for message in found if message.subject == reply]
            self._early += [message for message in found if message.subject != reply]
            if answers:
                if answers[0].header.startswith(b"NATS/1.0 503"):
                    raise BrokerError("the NATS server has no JetStream; start it with -js")
                answer: dict[str, Any] = json.loads(answers[0].payload)
                return answer
            waited += REQUEST_TIMEOUT if not found else 0.0
            if waited >= REQUEST_TIMEOUT:
                raise TimeoutError(f"no answer to {call}")

    def read(self, timeout: float) -> list[Message]:
        """What has come; waits `timeout` seconds for something. Answers pings by itself."""
        if self._early:
            early, self._early = self._early, []
            return early
        return self._read(timeout)

    def _read(self, timeout: float) -> list[Message]:
        self._socket.settimeout(timeout)
        try:
            data = self._rest + self._receive()
        except TimeoutError:
            return []
        found, used, pings = cut(data)
        self._rest = data[used:]
        if pings:
            self.send(b"PONG\r\n")
        return found


def cut(data: bytes) -> tuple[list[Message], int, int]:
    """The whole messages at the start of `data`, how many bytes they and other lines took, and how many were pings.

    BrokerError for an error line, which the server sends before it closes.
    """
    found: list[Message] = []
    find, at, pings = data.find, 0, 0
    while (end := find(b"\r\n", at)) >= 0:
        first = data[at]
        if first in (72, 77):  # HMSG <subject> <sid> [reply] <header> <total>, MSG without <header>
            words = data[at:end].split()
            start = end + 2
            stop = start + int(words[-1])
            if stop + 2 > len(data):
                break
            headed = 1 if first == 72 else 0
            body = start + int(words[-2]) if headed else start
            reply = words[3] if len(words) == 5 + headed else b""
            found.append(Message(words[1], reply, data[start:body], data[body:stop]))
            at = stop + 2
            continue
        line = data[at:end]
        pings += line == b"PING"
        if line.startswith(b"-ERR"):
            raise BrokerError(f"the NATS server says {line[5:].decode(errors='replace')}")
        at = end + 2
    return found, at, pings
