"""The load generator, in a process of its own: publishes ready-made MQTT messages, as fast as the broker takes them or
at a rate. A client of its own, because a client for everyday use cannot keep up with the broker.

`python -m proximity.bench.sender` reads a `Load` as JSON from its first line, and prints a `Sent` as JSON at the end.
Further lines tell how many rows were taken so far, for a load that may run ahead by so many rows only.
"""

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from itertools import count, islice

import msgspec
import numpy as np

from proximity import wire
from proximity.simulate.load import EARTH, observations

WINDOW = 4_000  # messages without a PUBACK; packet ids go to 65,535
WINDOW_BYTES = 16 << 20
BURST = 200  # messages of one system call
VARIANTS = 8  # seconds of walking that a load of gateways repeats
CONNECT, PUBLISH_QOS1, PUBACK = 0x10, 0x32, 0x40


class Load(msgspec.Struct):
    """What to send."""

    host: str
    port: int
    kind: str  # gateways | phones
    devices: int  # that the gateways hear, or that are phones
    messages: int
    gateways: int = 0
    side: float = 0.0  # m; phones walk in a square of this side
    centre: tuple[float, float] = (0.0, 0.0)  # degrees
    rate: float | None = None  # messages a second; None: as fast as they are taken
    ahead: int | None = None  # rows that may be sent beyond those that were told to be taken; None: any number
    boot: str = "bench"


class Sent(msgspec.Struct):
    """What was sent. All messages carry a PUBACK."""

    messages: int
    rows: int
    bytes: int
    seconds: float


class Publisher:
    """An MQTT 3.1.1 session that only publishes."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = struct.pack(">H4sBBH", 4, b"MQTT", 4, 2, 0) + _text(name.encode())
        self._socket.sendall(bytes([CONNECT]) + _length(len(body)) + body)
        answer = self._socket.recv(4)
        if len(answer) < 4 or answer[3] != 0:
            raise ConnectionError("the broker refused the load generator")
        self._socket.setblocking(False)
        self._packet, self._open, self._open_bytes = 0, 0, 0
        self._sizes: list[int] = []
        self._rest = b""

    def publish(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Returns when there is room for more."""
        packets = []
        for topic, payload in messages:
            self._packet = self._packet % 65_535 + 1
            size = 4 + len(topic) + len(payload)
            packets += [
                bytes([PUBLISH_QOS1]), _length(size), _text(topic), struct.pack(">H", self._packet), payload
            ]  # fmt: skip
            self._sizes.append(size)
            self._open_bytes += size
        self._open += len(messages)
        left = memoryview(b"".join(packets))
        while left:
            readable, writable, _ = select.select([self._socket], [self._socket], [])
            if readable:
                self._read()
            if writable:
                left = left[self._socket.send(left) :]
        while self._open > WINDOW or self._open_bytes > WINDOW_BYTES:
            self._wait()

    def finish(self) -> None:
        """Until everything has its PUBACK."""
        while self._open:
            self._wait()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _wait(self) -> None:
        select.select([self._socket], [], [])
        self._read()

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the broker closed the connection")
        data = self._rest + data
        whole = len(data) // 4
        self._rest = data[4 * whole :]
        self._open -= whole
        self._open_bytes -= sum(self._sizes[:whole])
        del self._sizes[:whole]


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _length(size: int) -> bytes:
    """The remaining length, 7 bits a byte."""
    out = bytearray()
    while True:
        size, seven = divmod(size, 128)
        out.append(seven | (128 if size else 0))
        if not size:
            return bytes(out)


def gateway_messages(load: Load) -> Iterator[tuple[bytes, bytes, int]]:
    """One message a gateway and second: topic, payload and rows."""
    ready = [_second(load, second) for second in range(VARIANTS)]
    for number in count(1):
        for topic, head, tail, rows in ready[number % VARIANTS]:
            yield topic, head + b"%d" % number + tail, rows


def _second(load: Load, number: int) -> list[tuple[bytes, bytes, bytes, int]]:
    """Of each gateway: topic, the payload before and after its sequence number, rows. Times are ages."""
    batch = next(islice(observations(load.devices, load.gateways, number + 1, start=0.0), number, None))
    seen = batch.sightings
    ages = np.clip((number + 1.0 - seen.at) * 1000, 0, 999).astype(np.int64)
    edges = np.searchsorted(seen.anchor, np.arange(load.gateways + 1))
    found = []
    for gateway, anchor in enumerate(batch.anchors):
        part = slice(int(edges[gateway]), int(edges[gateway + 1]))
        columns = (seen.device[part].tolist(), ages[part].tolist(), seen.rssi[part].tolist())
        rows = [wire.Row(batch.devices[d], age, rssi, 5, -59.0) for d, age, rssi in zip(*columns, strict=True)]
        whole = wire.encode(wire.SightingsMessage(load.boot, 0, "unsynced", rows))
        head, tail = whole.split(b'"seq":0', 1)
        site, name = anchor.split("/")
        topic = wire.gateway_topic(site, name, "sightings").encode()
        found.append((topic, head + b'"seq":', tail, len(rows)))
    return found


def phone_messages(load: Load) -> Iterator[tuple[bytes, bytes, int]]:
    """One OwnTracks location a message, of one phone after the other."""
    rng = np.random.default_rng(3)
    metres = rng.uniform(-load.side / 2, load.side / 2, (load.devices, 2))
    lat, lon = load.centre
    shrink = EARTH * np.cos(np.radians(lat))
    while True:
        metres += rng.normal(0.0, 5.0, metres.shape)
        lats, lons = (lat + metres[:, 1] / EARTH).tolist(), (lon + metres[:, 0] / shrink).tolist()
        for phone in range(load.devices):
            place = b'"lat":%.6f,"lon":%.6f' % (lats[phone], lons[phone])
            payload = b'{"_type":"location",%s,"acc":8,"tid":"ld","tst":%d}' % (place, int(time.time()))
            yield b"owntracks/load/%d" % phone, payload, 1


def send(load: Load) -> Sent:
    """Everything, and the time it took up to the last PUBACK."""
    source = gateway_messages(load) if load.kind == "gateways" else phone_messages(load)
    most = BURST if load.rate is None else max(min(int(load.rate / 50), BURST), 1)
    burst = list(islice(source, min(most, load.messages)))  # made before the clock starts
    publisher = Publisher(load.host, load.port, f"bench-{load.boot}")
    sent, rows, size = 0, 0, 0
    began = time.perf_counter()
    taken = 0
    while burst:
        while load.ahead is not None and rows - taken > load.ahead:
            line = sys.stdin.readline()
            if not line:
                raise EOFError("nobody tells what was taken")
            taken = int(line)
        publisher.publish([(topic, payload) for topic, payload, _ in burst])
        sent += len(burst)
        rows += sum(number for _, _, number in burst)
        size += sum(len(payload) for _, payload, _ in burst)
        if load.rate is not None:
            time.sleep(max(sent / load.rate - (time.perf_counter() - began), 0.0))
        burst = list(islice(source, min(most, load.messages - sent)))
    publisher.finish()
    seconds = time.perf_counter() - began
    publisher.close()
    return Sent(sent, rows, size, seconds)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(send(msgspec.json.decode(sys.stdin.readline(), type=Load))))
