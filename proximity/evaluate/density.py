"""How right zones are in a simulated store, by how many gateways hang there: the figures a technician buys by.

Everything is seeded. All methods hear the same samples, one row a second from each gateway, as a store's own send them.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from proximity.evaluate.methods import method_named
from proximity.evaluate.metrics import Labels
from proximity.observations import Batch, Floats
from proximity.presence.engine import Engine
from proximity.presence.locating.grid import grid_for, indoor_zones, membership
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.motion import Walk
from proximity.presence.locating.radiomap import RadioMap
from proximity.presence.locator import Locator
from proximity.presence.ranging import PathLoss
from proximity.simulate.crowd import crowd
from proximity.simulate.density import shop_with_density
from proximity.simulate.propagation import DEFAULT_PHYSICS, body_loss, fading
from proximity.simulate.samples import Samplers
from proximity.simulate.shop import SimulatedShop
from proximity.site.model import Site

AREAS = (10.0, 30.0, 100.0)  # m² a gateway
METHODS = ("strongest", "zones", "grid", "surveyed")
START = 1_767_225_600.0  # s, the beginning of 2026: any time will do, but the same one always
LOOK = 0.5  # s between two looks at where everybody is and is reported
NEAR = 3.0  # s before or after which a reported zone may be the true one and still be no false switch
SURVEYED = "surveyed"
PACKETS = 3  # of a device that one gateway hears in a second, most often
STAY = 5.0  # s; who is in a zone for less walks through it


class Density(msgspec.Struct, frozen=True):
    """One method at one density, over all seeds. Time counts while the shopper is in a zone; None: nothing to count."""

    area: float  # m² a gateway
    gateways: int
    method: str
    hours: float  # shopper-hours in zones
    right: float | None  # share of that time in which the reported zone is the true one
    none: float | None  # share of it in which no zone is reported
    stays: int  # of at least `STAY` seconds in one zone
    found: float | None  # share of them in which the zone was reported entered
    delay_median: float | None  # s from the true enter to the reported one; negative: before it
    delay_p95: float | None
    enters: float | None  # an hour: how often the shopper truly comes into a zone
    false_switches: float | None  # an hour: enters into zones in which the shopper was not within `NEAR` seconds
    false_outside: float | None  # of them, an hour: while the shopper was in no zone, but outside the store


def density(
    seeds: Sequence[int],
    areas: Sequence[float] = AREAS,
    methods: Sequence[str] = METHODS,
    people: int = 12,
    seconds: float = 1800.0,
    zone_side: float = 5.0,
) -> Iterator[Density]:
    """Each method at each density, over a store of 30 m × 20 m with walls, shelves and bodies. `zone_side`: m.
    "surveyed" is the grid filter with a radio map as a survey without end would find it: what no method can do better.
    ProximityError: a store that cannot be; UnknownMethodError."""
    for name in methods:
        if name != SURVEYED:
            method_named(name)
    for area in areas:
        site = shop_with_density(area, zone_side=zone_side)
        days = [_heard(site, seed, people, seconds) for seed in seeds]
        for name in methods:
            counts = []
            for day in days:
                engine = Engine([site], locator=partial(_given, _locator(name, site, day)), now=START)
                counts.append(_count(len(site.zones), day.at, day.truth, _reported(engine, site, day, people)))
            yield _judge(area, name, site, counts)


def _given(locator: Locator, site: Site) -> Locator:  # noqa: ARG001 (the engine asks by site; there is one)
    return locator


class _Day(NamedTuple):
    shop: SimulatedShop
    batches: list[Batch]  # what came between one look and the next
    at: Floats  # (N,) the looks
    truth: Labels  # (N, people) column of the zone; the number of zones: none


class _Counts(NamedTuple):
    """What came of one day."""

    looks: int  # with a shopper in a zone
    right: int
    none: int
    stays: int
    enters: int
    wrong: int
    outside: int
    delays: list[float]


def _locator(name: str, site: Site, day: _Day) -> Locator:
    if name != SURVEYED:
        return method_named(name)(site, None, None)
    grid, zones, physics = grid_for(site), indoor_zones(site), DEFAULT_PHYSICS
    body = body_loss(np.linspace(-np.pi, np.pi, 37), np.zeros((37, 1)), physics.body)
    mean, spread = _faded(body, physics.k_factor)
    own = physics.own_share * physics.shadowing**2
    radio = RadioMap(
        day.shop.surveyed(grid.cells) + mean,
        np.full((len(grid.cells), len(site.anchors)), float(np.sqrt(spread**2 + own + physics.noise**2))),
        PathLoss(freedom=30.0),
    )
    names = [zone.id for zone in zones]
    return GridFilter(names, grid, membership(grid, zones), radio, Walk(), gain_spread=physics.device_spread)


def _faded(body: Floats, k: float) -> tuple[float, float]:
    """Mean and spread in dB of a second's mean, over the ways people turn and how the reflections add up."""
    rng = np.random.default_rng(0)
    shape = (200, len(body), PACKETS)
    scatter = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * np.sqrt(0.5)
    samples = fading(np.full(shape, k), np.broadcast_to(body[None], shape), scatter).mean(axis=2)
    return float(samples.mean()), float(samples.std())


def _heard(site: Site, seed: int, people: int, seconds: float) -> _Day:
    shop = SimulatedShop(site, crowd(people, seed, phones=0.0), seed, START)
    samplers = Samplers(shop)
    column = {zone.id: number for number, zone in enumerate(site.zones)}
    at = START + np.arange(LOOK, seconds, LOOK)
    truth = np.full((len(at), people), len(column))
    batches = []
    for row, now in enumerate(at.tolist()):
        batches.append(shop.batch(samplers.take(shop.step(now), now)))
        for one in shop.truth(now):
            truth[row, _number(one.shopper)] = column.get(one.zone or "", len(column))
    return _Day(shop, batches, at, truth)


def _reported(engine: Engine, site: Site, day: _Day, people: int) -> Labels:
    """(N, people) the zone entered last of those not left; the number of zones: none."""
    column = {zone.id: number for number, zone in enumerate(site.zones)}
    open_: list[list[int]] = [[] for _ in range(people)]
    reported = np.full((len(day.at), people), len(column))
    for row, (batch, now) in enumerate(zip(day.batches, day.at.tolist(), strict=True)):
        for change in engine.step(batch, now).transitions:
            inside = open_[_number(change.shopper)]
            if change.kind == "enter":
                inside.append(column[change.zone])
            elif change.kind == "exit":
                inside.remove(column[change.zone])
        reported[row] = [inside[-1] if inside else len(column) for inside in open_]
    return reported


def _count(none: int, at: Floats, truth: Labels, reported: Labels) -> _Counts:
    """`none`: the column of no zone."""
    there = truth != none
    delays, stays, enters, wrong, outside = [], 0, 0, 0, 0
    near = round(NEAR / LOOK)
    for true, said in zip(truth.T, reported.T, strict=True):
        for row in (np.flatnonzero((said[1:] != said[:-1]) & (said[1:] != none)) + 1).tolist():
            if said[row] not in true[max(row - near, 0) : row + near + 1]:
                wrong += 1
                outside += int(true[row] == none)
        edges = np.concatenate([[0], np.flatnonzero(true[1:] != true[:-1]) + 1, [len(true)]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            enters += int(begin > 0 and true[begin] != none)
            if true[begin] == none or begin == 0 or (end - begin) * LOOK < STAY:
                continue
            stays += 1
            first = max(begin - near, 0)
            inside = np.flatnonzero(said[first:end] == true[begin])
            if len(inside):
                delays.append(float(at[first + int(inside[0])] - at[begin]))
    right, nowhere = (reported == truth)[there], (reported == none)[there]
    return _Counts(int(there.sum()), int(right.sum()), int(nowhere.sum()), stays, enters, wrong, outside, delays)


def _judge(area: float, method: str, site: Site, counts: Sequence[_Counts]) -> Density:
    looks, right, none, stays, enters, wrong, outside = (
        sum(column) for column in zip(*(one[:-1] for one in counts), strict=True)
    )
    delays = [delay for one in counts for delay in one.delays]
    hours = looks * LOOK / 3600.0
    return Density(
        area=area,
        gateways=len(site.anchors),
        method=method,
        hours=hours,
        right=right / looks if looks else None,
        none=none / looks if looks else None,
        stays=stays,
        found=len(delays) / stays if stays else None,
        delay_median=float(np.median(delays)) if delays else None,
        delay_p95=float(np.percentile(delays, 95)) if delays else None,
        enters=enters / hours if hours else None,
        false_switches=wrong / hours if hours else None,
        false_outside=outside / hours if hours else None,
    )


def _number(shopper: str) -> int:
    """Of a shopper of `crowd`, from zero."""
    return int(shopper.rpartition("-")[2]) - 1
