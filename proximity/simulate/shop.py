"""A store full of people, on air: everything its gateways hear and its shoppers' phones report.

Time moves in ticks of fixed length, each with a generator of its own made from the seed and the tick's number. What
is heard is therefore the same however a caller cuts the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from proximity.model import Device, Fix, Shopper
from proximity.observations import Batch, Sightings
from proximity.simulate.layout import Layout
from proximity.simulate.people import BRISK, CALM, MOVING, Habits, Visit, interests_of, open_tills, plan_visit
from proximity.simulate.phones import trail
from proximity.simulate.propagation import DEFAULT_PHYSICS, Floats, Physics, wall_columns
from proximity.simulate.radio import MEASURED_POWER, Advertisers, Ints, Packets, Radio, usual_intervals
from proximity.site.model import Site

TICK = 0.25  # s; shorter than most advertising intervals, long enough for columns
ON_AIR = ("ibeacon", "eddystone", "altbeacon", "mac", "eid")  # kinds that gateways hear by the id they have
REMEMBER = 7200.0  # s for which truth can be asked back
FROM_CAR_PARK = 0.7  # share of people who come by car, where there is a car park
GUEST_EVERY = 8.0  # s between two guests: about ten of them are there at a time

Carriers = Sequence[tuple[Shopper, Sequence[Device]]]


@dataclass(frozen=True, slots=True)
class Options:
    """How a simulated shop behaves. `brisk`: people begin at the door and hurry, so that a demo shows something soon.

    `habits` overrules `brisk`. The last `guests` of the people come one by one, and again when all have been there.
    """

    brisk: bool = False
    guests: int = 0
    physics: Physics = DEFAULT_PHYSICS
    habits: Habits | None = None


@dataclass(frozen=True, slots=True)
class Advertisements(Sightings):
    """Sightings with what packets say of their own power."""

    power: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float64))  # at 1 m, dBm; NaN: not said


@dataclass(frozen=True, slots=True)
class Heard:
    """One step. `device` and `anchor` of the columns index the shop's `devices` and `anchors`; in order of time."""

    advertisements: Advertisements
    fixes: tuple[Fix, ...]


class Truth(NamedTuple):
    """Where one shopper truly is, in local metres."""

    shopper: str
    x: float
    y: float
    zone: str | None  # the smallest zone around; None: in no zone


@dataclass(slots=True)
class _Person:
    shopper: Shopper
    devices: Ints  # indices of those on air
    phones: tuple[str, ...]  # ids of those that report fixes
    number: int
    visits: list[Visit] = field(default_factory=list)
    next_visit: float = 0.0

    def visit_at(self, at: float) -> Visit | None:
        return next((v for v in reversed(self.visits) if v.begin <= at <= v.end), None)


class SimulatedShop:
    """`people` in `site` from `now` on (seconds since the epoch). The same arguments always give the same day.

    `devices`: canonical ids on air; `anchors`: "<site>/<gateway>"; both are what the columns of `Heard` index.
    ProximityError when the site cannot be walked in.
    """

    def __init__(self, site: Site, people: Carriers, seed: int, now: float, options: Options | None = None) -> None:
        self.site, self.now = site, now
        options = options or Options()
        self._habits = options.habits or (BRISK if options.brisk else CALM)
        self._seed = seed
        self._guests = options.guests
        self.layout = Layout(site)
        self.anchors = self.layout.anchors
        self.devices = tuple(d.id for _, carried in people for d in carried if d.kind in ON_AIR)
        self.phones = tuple(d.id for _, carried in people for d in carried if d.kind == "owntracks")
        self.phone_secrets = {
            d.id: d.secret for _, carried in people for d in carried if d.kind == "owntracks" and d.secret
        }
        self._people = self._gather(people, now)
        self._owner = np.full(len(self.devices), -1)
        for person in self._people:
            self._owner[person.devices] = person.number
        rng = np.random.default_rng((seed, 0x5E7))
        self._tills = open_tills(self.layout, rng)
        self._advertisers = Advertisers(usual_intervals(len(self.devices), rng), now, rng)
        self._radio = Radio(
            self.layout.anchor_xyz,
            self.layout.anchor_floors,
            wall_columns(site.walls),
            len(self.devices),
            options.physics,
            seed,
        )
        self._ticks = 0  # done
        self._fixes: list[Fix] = []  # planned, in order of time
        self._rest = Advertisements()  # heard in the last tick, after the last `until`

    def step(self, until: float) -> Heard:
        """What was heard and reported after the last step and up to `until`."""
        parts = [self._rest]
        while self._edge(self._ticks) <= until:
            parts.append(self._tick())
        columns = Advertisements(
            at=np.concatenate([p.at for p in parts]),
            device=np.concatenate([p.device for p in parts]),
            anchor=np.concatenate([p.anchor for p in parts]),
            rssi=np.concatenate([p.rssi for p in parts]),
            power=np.concatenate([p.power for p in parts]),
        )
        cut = int(np.searchsorted(columns.at, until, side="right"))
        self._rest = _rows(columns, slice(cut, None))
        ready = [f for f in self._fixes if f.at <= until]
        del self._fixes[: len(ready)]
        return Heard(_rows(columns, slice(0, cut)), tuple(ready))

    def truth(self, at: float) -> list[Truth]:
        """Everybody in the scene at `at`, at most two hours before the last step and not after it."""
        present = [(p, v) for p in self._people if (v := p.visit_at(at)) is not None]
        if not present:
            return []
        xy = np.vstack([v.place(np.array([at])) for _, v in present])
        zones = self.layout.zones_at(xy)
        return [
            Truth(p.shopper.id, float(x), float(y), zone)
            for (p, _), (x, y), zone in zip(present, xy, zones, strict=True)
        ]

    def surveyed(self, xy: Floats) -> Floats:
        """(n, m) dBm: what a survey without end would find at places (n, 2), but for bodies and fading; see `Radio`."""
        return self._radio.surveyed(xy)

    def batch(self, heard: Heard) -> Batch:
        """A step as presence takes it, without gateways in between: one row for every packet, or for every sample when
        its columns went through `Samplers`."""
        fixes = Batch.of(fixes=heard.fixes)
        owners = {d: p.shopper.id for p in self._people for d in chain((self.devices[i] for i in p.devices), p.phones)}
        shifted = fixes.fixes.device + np.int32(len(self.devices))
        devices = (*self.devices, *fixes.devices)
        return Batch(
            devices=devices,
            shoppers=tuple(owners[d] for d in devices),
            anchors=self.anchors,
            sightings=heard.advertisements,
            fixes=type(fixes.fixes)(
                at=fixes.fixes.at,
                device=shifted,
                lat=fixes.fixes.lat,
                lon=fixes.fixes.lon,
                accuracy=fixes.fixes.accuracy,
            ),
        )

    def _gather(self, people: Carriers, now: float) -> list[_Person]:
        index = {d: i for i, d in enumerate(self.devices)}
        gathered = []
        for number, (shopper, carried) in enumerate(people):
            on_air = np.array([index[d.id] for d in carried if d.kind in ON_AIR], dtype=np.int64)
            phones = tuple(d.id for d in carried if d.kind == "owntracks")
            rng = np.random.default_rng((self._seed, 0xA11, number))
            arrives = now + rng.uniform(0.0, self._habits.arrivals) * (number > 0)  # the first comes at once
            if number >= len(people) - self._guests:
                arrives = now + GUEST_EVERY * (number - len(people) + self._guests + 1)
            gathered.append(_Person(shopper, on_air, phones, number, next_visit=arrives))
        return gathered

    def _edge(self, tick: int) -> float:
        return self.now + tick * TICK

    def _tick(self) -> Advertisements:
        start, end = self._edge(self._ticks), self._edge(self._ticks + 1)
        rng = np.random.default_rng((self._seed, 0x71C, self._ticks))
        self._ticks += 1
        for person in self._people:
            if person.next_visit < end:
                self._plan(person)
        self._radio.pass_time(end - start, rng)
        at, device = self._advertisers.due(end, rng)
        return self._hear(at, device, rng)

    def _hear(self, at: Floats, device: Ints, rng: np.random.Generator) -> Advertisements:
        owner = self._owner[device]
        xy, heading, speed = np.zeros((len(at), 2)), np.zeros(len(at)), np.zeros(len(at))
        there = np.zeros(len(at), dtype=np.bool_)
        for number in np.unique(owner):
            mine = np.flatnonzero(owner == number)
            visit = self._people[number].visit_at(float(at[mine[-1]]))
            if visit is None:
                continue
            mine = mine[at[mine] >= visit.begin]
            xy[mine], heading[mine], speed[mine] = visit.pose(at[mine])
            there[mine] = True
        packets = Packets(device[there], xy[there], heading[there], speed[there] > MOVING)
        received = self._radio.receive(packets, np.count_nonzero(there) / TICK, rng)
        return Advertisements(
            at=at[there][received.packet],
            device=packets.device[received.packet].astype(np.int32),
            anchor=received.anchor.astype(np.int32),
            rssi=received.rssi,
            power=np.full(len(received.rssi), MEASURED_POWER),
        )

    def _plan(self, person: _Person) -> None:
        rng = np.random.default_rng((self._seed, 0xB1B, person.number, round(person.next_visit * 1000)))
        by_car = bool(person.phones) or rng.random() < FROM_CAR_PARK * self._habits.from_street
        wanted = interests_of(person.shopper)
        visit = plan_visit(self.layout, self._habits, self._tills, person.next_visit, by_car, wanted, rng)
        person.visits = [v for v in person.visits if v.end > visit.begin - REMEMBER] + [visit]
        person.next_visit = visit.end + rng.uniform(*self._habits.away)
        if person.number >= len(self._people) - self._guests:
            person.next_visit = max(person.next_visit, visit.begin + GUEST_EVERY * self._guests)
        for phone in person.phones:
            self._fixes += trail(visit, phone, self.layout, rng)
        self._fixes.sort(key=lambda f: (f.at, f.device))
        if self._tills is not None:
            self._tills.forget(visit.begin)


def _rows(columns: Advertisements, rows: slice) -> Advertisements:
    return Advertisements(
        at=columns.at[rows],
        device=columns.device[rows],
        anchor=columns.anchor[rows],
        rssi=columns.rssi[rows],
        power=columns.power[rows],
    )
