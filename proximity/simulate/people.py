"""What shoppers do: come from outside, visit shelves, queue at the tills, leave. One visit is planned in one go.

A plan is a list of moments and places; between two moments a person walks straight, at constant speed.
"""

from dataclasses import dataclass, field

import numpy as np

from proximity.model import Shopper
from proximity.simulate.layout import Layout, Place
from proximity.simulate.propagation import Floats

WALKING = (1.2, 0.15, 0.8, 1.6)  # m/s: mean, spread, least, most; shoppers walk slower than commuters (1.4)
SHORT_WALK = 40.0  # m from the car park to the door that somebody in a hurry still walks
DRAWN = 4.0  # times likelier that somebody visits a zone for each word of interest
SERVED = 0.25  # of the share of a shelf: most people need no service desk
STEP_UP = 4.0  # s from the queue to the counter
MOVING = 0.2  # m/s; below it somebody shifts from foot to foot


@dataclass(frozen=True, slots=True)
class Habits:
    """Durations in seconds. Log-normal ones are (median, sigma of the logarithm, least, most)."""

    arrivals: float  # within which all have come for the first time
    browse: tuple[float, float, float, float]  # at one shelf
    service: tuple[float, float, float, float]  # at the till
    away: tuple[float, float]  # between two visits of one person
    stops: tuple[int, int]  # shelves in a visit
    buys: float  # share of visits that end at the tills
    pauses: float  # chance to stop a moment at a bend of the way
    from_street: bool  # begins well away from the store; else near the door or on the car park


CALM = Habits(600.0, (45.0, 0.7, 8.0, 300.0), (45.0, 0.5, 15.0, 180.0), (600.0, 2400.0), (2, 5), 0.75, 0.15, True)
BRISK = Habits(6.0, (18.0, 0.3, 12.0, 35.0), (8.0, 0.4, 4.0, 20.0), (15.0, 45.0), (1, 3), 0.6, 0.0, False)


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's way through the scene. Columns of k moments, `at` not falling."""

    at: Floats  # s since the epoch
    xy: Floats  # (k, 2) local metres
    heading: Floats  # (k,) radians from the x axis, held from this moment to the next

    @property
    def begin(self) -> float:
        """When the person comes into the scene."""
        return float(self.at[0])

    @property
    def end(self) -> float:
        """When the person has left it."""
        return float(self.at[-1])

    def place(self, at: Floats) -> Floats:
        """(n,) moments within the visit -> (n, 2) places."""
        return np.column_stack([np.interp(at, self.at, self.xy[:, 0]), np.interp(at, self.at, self.xy[:, 1])])

    def pose(self, at: Floats) -> tuple[Floats, Floats, Floats]:
        """(n,) moments within the visit -> places (n, 2), headings (n,), speeds (n,) in m/s."""
        leg = np.clip(np.searchsorted(self.at, at, side="right") - 1, 0, len(self.at) - 2)
        took = self.at[leg + 1] - self.at[leg]
        went = np.hypot(*(self.xy[leg + 1] - self.xy[leg]).T)
        speed = np.divide(went, took, out=np.zeros_like(went), where=took > 0)
        return self.place(at), self.heading[leg], speed


@dataclass(slots=True)
class Tills:
    """Who is served where and when. A counter serves one at a time, whoever can be first."""

    counters: list[Floats]  # places
    _busy: list[list[tuple[float, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._busy = [[] for _ in self.counters]

    def reserve(self, ready: float, seconds: float) -> tuple[int, float]:
        """The counter that can begin earliest at or after `ready`, and when. It is then taken for `seconds`."""
        best = min(range(len(self.counters)), key=lambda i: self._first_gap(i, ready, seconds))
        begin = self._first_gap(best, ready, seconds)
        self._busy[best] = sorted([*self._busy[best], (begin, begin + seconds)])
        return best, begin

    def forget(self, before: float) -> None:
        """Drop what was over by `before`."""
        self._busy = [[slot for slot in slots if slot[1] > before] for slots in self._busy]

    def _first_gap(self, counter: int, ready: float, seconds: float) -> float:
        begin = ready
        for start, end in self._busy[counter]:
            if begin + seconds <= start:
                break
            begin = max(begin, end)
        return begin


def open_tills(layout: Layout, rng: np.random.Generator) -> Tills | None:
    """Up to three counters in each till zone; None when the store has none."""
    counters = [layout.spot(place, rng) for place in layout.tills for _ in range(max(1, min(3, _lanes(place))))]
    return Tills(counters) if counters else None


def _lanes(place: Place) -> int:
    x1, y1, x2, y2 = place.outline.bounds
    return int(max(x2 - x1, y2 - y1) // 2.0)


class _Way:
    """A visit while it is planned."""

    def __init__(self, layout: Layout, rng: np.random.Generator, habits: Habits, start: Floats, at: float) -> None:
        self.layout, self.rng, self.habits = layout, rng, habits
        mean, spread, least, most = WALKING
        self.speed = float(np.clip(rng.normal(mean, spread), least, most))
        self.at = [at]
        self.xy = [start]
        self.heading = [0.0]

    def walk(self, goal: Floats) -> None:
        """Walk the shortest way to `goal`, sometimes with a pause at a bend."""
        path = self.layout.floor.path(self.xy[-1], goal)
        for i, bend in enumerate(path[1:], start=2):
            leg = bend - self.xy[-1]
            length = float(np.hypot(*leg))
            if length < 1e-6:
                continue
            self.heading[-1] = float(np.arctan2(leg[1], leg[0]))
            self._add(length / (self.speed * self.rng.uniform(0.9, 1.05)), bend)
            if i < len(path) and self.rng.random() < self.habits.pauses:
                self._add(self.rng.uniform(1.0, 3.0), bend)

    def stand(self, until: float) -> None:
        """Stay, looking about."""
        while self.at[-1] < until:
            self.heading[-1] = self.rng.uniform(-np.pi, np.pi)
            self._add(min(self.rng.uniform(3.0, 12.0), until - self.at[-1]), self.xy[-1])

    def browse(self, place: Place, until: float) -> None:
        """Look at a shelf: stand, take a step or two along it, stand again."""
        while self.at[-1] < until:
            self.stand(min(until, self.at[-1] + self.rng.uniform(4.0, 15.0)))
            step = self.layout.spot(place, self.rng)
            reach = np.hypot(*(step - self.xy[-1]))
            near = self.xy[-1] + (step - self.xy[-1]) * min(1.0, 1.0 / max(reach, 1e-9))
            if self.layout.floor.free(near[None])[0] and self.layout.floor.clear(self.xy[-1], near[None])[0]:
                self.walk(near)

    def pay(self, tills: Tills, place: Place) -> None:
        """Queue, be served, and be done."""
        self.walk(self.layout.spot(place, self.rng))
        service = lognormal(self.habits.service, self.rng)
        counter, begin = tills.reserve(self.at[-1] + STEP_UP, service)
        self.stand(begin - STEP_UP)
        self.walk(tills.counters[counter])
        self.stand(begin + service)

    def visit(self) -> Visit:
        """What was planned."""
        return Visit(np.array(self.at), np.array(self.xy), np.array(self.heading))

    def _add(self, seconds: float, xy: Floats) -> None:
        self.at.append(self.at[-1] + seconds)
        self.xy.append(xy)
        self.heading.append(self.heading[-1])


def plan_visit(
    layout: Layout,
    habits: Habits,
    tills: Tills | None,
    at: float,
    from_car_park: bool,
    interests: frozenset[str],
    rng: np.random.Generator,
) -> Visit:
    """One visit that begins at `at`: through the entrance, to some shelves, perhaps to the tills, and out again.

    `interests`: words that draw this person to zones whose id or tags hold them.
    """
    parked = layout.spot(layout.parking, rng) if from_car_park and layout.parking is not None else None
    if habits.from_street:
        start = layout.street(rng)
    elif parked is not None and np.hypot(*(parked - layout.doorstep)) < SHORT_WALK:
        start = parked
    else:
        start = layout.before_door(rng)
    way = _Way(layout, rng, habits, start, at)
    if habits.from_street and parked is not None:
        way.walk(parked)
        way.stand(way.at[-1] + rng.uniform(5.0, 30.0))
    way.walk(layout.spot(layout.entrance, rng))
    way.stand(way.at[-1] + rng.uniform(1.0, 4.0))
    for place in _stops(layout, habits, interests, rng):
        way.walk(layout.spot(place, rng))
        way.browse(place, way.at[-1] + lognormal(habits.browse, rng))
    if tills is not None and rng.random() < habits.buys:
        way.pay(tills, layout.tills[int(rng.integers(len(layout.tills)))])
    way.walk(layout.spot(layout.entrance, rng))
    if parked is not None:
        way.walk(parked)
    way.walk(layout.street(rng))
    return way.visit()


def interests_of(shopper: Shopper) -> frozenset[str]:
    """All words in lists and keys of a shopper's attributes, for instance of a wish list or of what was bought."""
    values = [v for v in shopper.attributes.values() if isinstance(v, list | dict)]
    return frozenset(word for value in values for word in value if isinstance(word, str))


def _stops(layout: Layout, habits: Habits, interests: frozenset[str], rng: np.random.Generator) -> list[Place]:
    """Shelves in the order of the visit; those of interest are likelier, and service desks are for few."""
    least, most = habits.stops
    count = min(int(rng.integers(least, most + 1)), len(layout.shelves))
    if not count:
        return []
    weight = np.array(
        [DRAWN ** len(p.words & interests) * (SERVED if "service" in p.words else 1.0) for p in layout.shelves]
    )
    chosen = rng.choice(len(layout.shelves), count, replace=False, p=weight / weight.sum())
    return [layout.shelves[i] for i in chosen]


def lognormal(spec: tuple[float, float, float, float], rng: np.random.Generator) -> float:
    """One duration from (median, sigma, least, most)."""
    median, sigma, least, most = spec
    return float(np.clip(median * np.exp(sigma * rng.standard_normal()), least, most))
