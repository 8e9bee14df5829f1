"""Where packets come from when there is no radio: a recording, or a few simulated beacons.

A source is asked what was heard up to `now`, in seconds of the gateway's clock. Pure but for reading the recording.
"""

import math
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.advertisement import Advertisement, parse


class Heard(NamedTuple):
    """One packet at one receiver."""

    receiver: str | None  # the gateway that heard it; None: there is only one
    what: Advertisement | str  # or a canonical device id
    rssi: float  # dBm
    at: float  # seconds of the gateway's clock


class Source(Protocol):
    """Something that is heard."""

    done: bool  # nothing more will come

    def due(self, now: float) -> Iterator[Heard]:
        """What was heard up to `now` and was not given yet, in order."""
        ...


class Replay:
    """A recording, moved in time so that its first reading is at `start`. RecordingError when it is none."""

    def __init__(self, path: Path, start: float) -> None:
        from proximity import recordings

        self.done = False
        self.receivers: set[str] = set()  # met so far
        self._readings = recordings.read(path)
        self._start = start
        self._shift: float | None = None
        self._ahead: Heard | None = None

    def due(self, now: float) -> Iterator[Heard]:
        while (heard := self._ahead or self._next()) is not None:
            self._ahead = heard
            if heard.at > now:
                return
            self._ahead = None
            yield heard

    def _next(self) -> Heard | None:
        reading = next(self._readings, None)
        if reading is None:
            self.done = True
            return None
        if self._shift is None:
            self._shift = self._start - reading.at
        self.receivers.add(reading.receiver)
        return Heard(reading.receiver, reading.device, reading.rssi, reading.at + self._shift)


class Simulated:
    """Tags of shoppers who walk about a room of 20 m by 15 m, heard by one gateway on its wall.

    Log-distance path loss with an exponent of 2.2 (an open shop floor), shadowing of 4 dB that changes over about
    2 m of walking, and a fifth of the packets lost. The packets are real bytes, so the way through the parser is
    walked too.
    """

    ROOM = (20.0, 15.0)  # metres
    GATEWAY = (10.0, 0.0)
    SPEED = 0.7  # m/s, of people who look at shelves
    INTERVAL = 0.3  # s between packets of one tag
    POWER = -59  # dBm at 1 m
    EXPONENT, SHADOWING, SHADOWING_LENGTH, LOSS = 2.2, 4.0, 2.0, 0.2
    NAMESPACE = uuid.UUID("6c0ee0a6-3d0f-4b5e-8f43-2f5a3f3c9a10")  # the iBeacon UUID of all simulated tags

    def __init__(self, count: int, seed: int, start: float) -> None:
        self.done = False
        self._random = random.Random(seed)
        self._walkers = [self._walker(number, start) for number in range(1, count + 1)]

    def due(self, now: float) -> Iterator[Heard]:
        heard: list[Heard] = []
        for walker in self._walkers:
            while walker.at <= now:
                rssi = self._step(walker)
                if rssi is not None:
                    heard.append(Heard(None, walker.packet, rssi, walker.at))
                walker.at += self.INTERVAL * self._random.uniform(0.97, 1.03)
        yield from sorted(heard, key=lambda one: one.at)

    def _walker(self, number: int, start: float) -> "_Walker":
        payload = (
            b"\x1a\xff\x4c\x00\x02\x15" + self.NAMESPACE.bytes + (1).to_bytes(2, "big") + number.to_bytes(2, "big")
        )
        packet = parse(payload + self.POWER.to_bytes(1, "big", signed=True))
        assert packet is not None
        x, y = self._random.uniform(0, self.ROOM[0]), self._random.uniform(0, self.ROOM[1])
        return _Walker(
            packet, start + self._random.uniform(0, self.INTERVAL), x, y, self._random.gauss(0, self.SHADOWING)
        )

    def _step(self, walker: "_Walker") -> float | None:
        """Walk for one interval; the RSSI heard there, or None when the packet was lost."""
        step = self.SPEED * self.INTERVAL
        walker.heading += self._random.gauss(0, 0.3)
        x, y = walker.x + step * math.cos(walker.heading), walker.y + step * math.sin(walker.heading)
        if not (0 <= x <= self.ROOM[0] and 0 <= y <= self.ROOM[1]):
            walker.heading += math.pi / 2  # at a wall, turn
        else:
            walker.x, walker.y = x, y
        kept = math.exp(-step / self.SHADOWING_LENGTH)
        walker.shadow = kept * walker.shadow + math.sqrt(1 - kept * kept) * self._random.gauss(0, self.SHADOWING)
        distance = max(0.5, math.dist((walker.x, walker.y), self.GATEWAY))
        rssi = self.POWER - 10 * self.EXPONENT * math.log10(distance) + walker.shadow
        return None if self._random.random() < self.LOSS else float(round(rssi))


class _Walker:
    __slots__ = ("at", "heading", "packet", "shadow", "x", "y")

    def __init__(self, packet: Advertisement, at: float, x: float, y: float, shadow: float) -> None:
        self.packet, self.at, self.x, self.y, self.shadow = packet, at, x, y, shadow
        self.heading = 0.0
