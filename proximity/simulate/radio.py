"""Advertisements on air, and which of them each anchor hears.

State moves in ticks of fixed length, and every tick brings its own generator, so that what is heard does not depend
on how a caller cuts the time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proximity.simulate.propagation import (
    Complexes,
    Floats,
    Physics,
    ShadowField,
    body_loss,
    fading,
    floor_loss,
    path_loss,
    wall_loss,
)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CHANNELS = (2402.0, 2426.0, 2480.0)  # MHz, advertising channels 37, 38, 39
MAX_DELAY = 0.010  # s; Bluetooth Core, Vol 6 Part B 4.4.2.2: a random 0 to 10 ms after every interval
MEASURED_POWER = -59.0  # dBm at 1 m: what iBeacons of phones claim


@dataclass(frozen=True, slots=True)
class Packets:
    """Columns of n packets on air."""

    device: Ints  # index of the device
    xy: Floats  # (n, 2) local metres
    heading: Floats  # radians, anticlockwise from the x axis: where the carrier looks
    moving: Bools  # fading is new with every packet

    def __len__(self) -> int:
        return len(self.device)


@dataclass(frozen=True, slots=True)
class Receptions:
    """Columns of the packets that came through; `packet` indexes the Packets asked for."""

    packet: Ints
    anchor: Ints
    rssi: Floats  # whole dBm, as radios report it


class Advertisers:
    """When each device sends: its own interval plus the delay of the specification."""

    def __init__(self, intervals: Floats, start: float, rng: np.random.Generator) -> None:
        self.intervals = intervals  # s, one for each device
        self._next = start + rng.random(len(intervals)) * intervals

    def due(self, end: float, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Times and devices of all packets before `end`, in order of time; moves on to `end`."""
        times: list[Floats] = []
        senders: list[Ints] = []
        while True:
            ready = np.flatnonzero(self._next < end)
            if not len(ready):
                break
            times.append(self._next[ready])
            senders.append(ready)
            self._next[ready] += self.intervals[ready] + rng.uniform(0.0, MAX_DELAY, len(ready))
        if not times:
            return np.empty(0), np.empty(0, dtype=np.int64)
        at, device = np.concatenate(times), np.concatenate(senders)
        order = np.argsort(at, kind="stable")
        return at[order], device[order]


def usual_intervals(devices: int, rng: np.random.Generator) -> Floats:
    """Advertising intervals in seconds: most 0.1 to 0.35, about one device in eight a slow tag of 1 to 2."""
    quick = rng.uniform(0.100, 0.350, devices)
    slow = rng.uniform(1.0, 2.0, devices)
    return np.where(rng.random(devices) < 0.125, slow, quick)


class Radio:
    """The air between `devices` carried devices and the anchors of one floor plan.

    `anchors` (m, 3): x, y, z in metres; `floors` (m,); `walls` (w, 5) from `wall_columns`; `seed` decides shadowing,
    the spread between devices, and where on the body each is carried.
    """

    def __init__(
        self, anchors: Floats, floors: Floats, walls: Floats, devices: int, physics: Physics, seed: int
    ) -> None:
        rng = np.random.default_rng((seed, 0x0A1))
        self.physics = physics
        self._anchors, self._walls = anchors, walls
        self._fields = tuple(ShadowField(len(anchors), physics, rng) for _ in range(2))
        self._elsewhere = rng.uniform(-1e4, 1e4, (devices, 2))  # each device reads its own part of the second field
        self._carried = rng.choice(np.array([0.0, np.pi, np.pi / 2, -np.pi / 2]), devices, p=[0.4, 0.3, 0.15, 0.15])
        self._device_gain = rng.normal(0.0, physics.device_spread, devices)
        self._anchor_gain = rng.normal(0.0, physics.anchor_spread, len(anchors)) - floor_loss(floors, physics)
        lower = 20.0 * np.log10(np.array(CHANNELS) / np.mean(CHANNELS))  # free space takes more at higher frequency
        self._channel_gain = rng.normal(0.0, physics.channel_spread, (len(anchors), 3)) - lower
        self._scatter = _scatter(rng, (devices, len(anchors), 3))

    def pass_time(self, seconds: float, rng: np.random.Generator) -> None:
        """Let the fading of those who stand still drift on."""
        keep = np.exp(-seconds / self.physics.coherence)
        self._scatter *= keep
        self._scatter += np.sqrt(1.0 - keep * keep) * _scatter(rng, self._scatter.shape)

    def mean_rssi(self, packets: Packets) -> Floats:
        """(n, m) dBm before fading and body: distance, walls, floors, shadowing, spread of devices."""
        return self._mean(packets, self._wall_loss(packets))

    def surveyed(self, xy: Floats) -> Floats:
        """(n, m) dBm that a survey without end would find at the places (n, 2): the mean over devices, but for bodies
        and fading."""
        walls = wall_loss(self._walls, xy, self._anchors[:, :2])
        shared = np.sqrt(1.0 - self.physics.own_share) * self._fields[0].at(xy)
        loss = path_loss(self._distance(xy), self.physics.slope) + walls
        mean: Floats = MEASURED_POWER + self._anchor_gain - loss + shared
        return mean

    def receive(self, packets: Packets, rate: float, rng: np.random.Generator) -> Receptions:
        """What comes through of `packets`, when `rate` packets a second of known devices are on air."""
        shape = (len(packets), len(self._anchors))
        columns = np.arange(shape[1])
        channel = rng.integers(0, 3, shape)
        fresh = _scatter(rng, shape)
        held = self._scatter[packets.device[:, None], columns, channel]
        walls = self._wall_loss(packets)
        k = self.physics.k_factor * 10.0 ** (-walls / 10.0)  # behind a wall the scatter is what is left
        faded = fading(k, self._body(packets), np.where(packets.moving[:, None], fresh, held))
        rssi = self._mean(packets, walls) + faded + self._channel_gain[columns, channel]
        rssi = np.rint(rssi + self.physics.noise * rng.standard_normal(shape))
        packet, anchor = np.nonzero(rng.random(shape) < self.chance(rssi, rate))
        return Receptions(packet, anchor, rssi[packet, anchor])

    def chance(self, rssi: Floats, rate: float) -> Floats:
        """Probability that a packet of this strength is received: scanner awake, no collision, strong enough.

        Collisions as in pure ALOHA: no other packet may begin within one airtime before or after.
        """
        physics = self.physics
        alone = np.exp(-2.0 * physics.airtime * (rate + physics.background))
        strong = 1.0 / (1.0 + np.exp(-np.clip((rssi - physics.sensitivity) / physics.softness, -50.0, 50.0)))
        chance: Floats = physics.listening * alone * strong
        return chance

    def _mean(self, packets: Packets, walls: Floats) -> Floats:
        physics = self.physics
        shared = self._fields[0].at(packets.xy)
        own = self._fields[1].at(packets.xy + self._elsewhere[packets.device])
        shadow = np.sqrt(1.0 - physics.own_share) * shared + np.sqrt(physics.own_share) * own
        gain = MEASURED_POWER + self._device_gain[packets.device][:, None] + self._anchor_gain
        mean: Floats = gain - path_loss(self._distance(packets.xy), physics.slope) - walls + shadow
        return mean

    def _distance(self, xy: Floats) -> Floats:
        """(n, m) metres from places to anchors."""
        flat = xy[:, None] - self._anchors[None, :, :2]
        up = self._anchors[:, 2] - self.physics.carried_at
        distance: Floats = np.sqrt((flat**2).sum(axis=2) + up**2)
        return distance

    def _wall_loss(self, packets: Packets) -> Floats:
        return wall_loss(self._walls, packets.xy, self._anchors[:, :2])

    def _body(self, packets: Packets) -> Floats:
        way = self._anchors[None, :, :2] - packets.xy[:, None]
        towards = np.arctan2(way[..., 1], way[..., 0])
        return body_loss(packets.heading + self._carried[packets.device], towards, self.physics.body)


def _scatter(rng: np.random.Generator, shape: tuple[int, ...]) -> Complexes:
    """Complex Gaussian of mean power 1."""
    pair = rng.standard_normal((*shape, 2)) * np.sqrt(0.5)
    scatter: Complexes = pair[..., 0] + 1j * pair[..., 1]
    return scatter
