"""The uplink against a broker that no real one would be: connected, and taking nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway import uplink
from gateway.node import Gateway
from gateway.settings import GatewaySettings

CONNACK, PINGRESP = b"\x20\x02\x00\x00", b"\xd0\x00"
CONNECT, SUBSCRIBE, PINGREQ = 1, 8, 12
PATIENCE = 60.0  # s


class DeafBroker:
    """Answers CONNECT, SUBSCRIBE and PINGREQ, and never a PUBLISH."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connects = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as incoming:
                while head := incoming.read(1):
                    self._answer(connection, head[0] >> 4, incoming.read(self._length(incoming.read)))

    @staticmethod
    def _length(read: Callable[[int], bytes]) -> int:
        size = shift = 0
        while True:
            byte = read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return size

    def _answer(self, connection: socket.socket, kind: int, body: bytes) -> None:
        if kind == CONNECT:
            self.connects += 1
            connection.sendall(CONNACK)
        elif kind == SUBSCRIBE:
            connection.sendall(b"\x90\x05" + body[:2] + b"\x01\x01\x01")
        elif kind == PINGREQ:
            connection.sendall(PINGRESP)


@pytest.fixture
def broker() -> Iterator[DeafBroker]:
    running = DeafBroker()
    yield running
    running.close()


def test_a_broker_that_takes_nothing_is_left(broker: DeafBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "RESEND_AFTER", 0.2)
    monkeypatch.setattr(uplink, "IN_FLIGHT", 5)
    gateway = Gateway(GatewaySettings("shop", "g1", f"mqtt://127.0.0.1:{broker.port}"))
    for n in range(20):
        gateway.hear("eid:00", -60, 1_764_000_000 + n)
    gateway.start()
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while broker.connects < 2 and time.monotonic() < end:
        gateway.tick()
        pause.wait(0.01)
    assert broker.connects >= 2
    assert gateway.spool.pending == 1  # twenty rows in one message, and nothing was freed
    gateway.uplink.stop(wait=0)
    gateway.spool.close()
