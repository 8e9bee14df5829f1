"""How right zones are in a simulated store, by how many gateways hang there: the figures a technician buys by.

Everything is seeded. All methods hear the same packets.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import numpy as np

from proximity.evaluate.methods import method_named
from proximity.evaluate.metrics import Labels
from proximity.observations import Batch, Floats
from proximity.presence.engine import Engine
from proximity.presence.locator import Locator
from proximity.simulate.crowd import crowd
from proximity.simulate.density import shop_with_density
from proximity.simulate.shop import SimulatedShop
from proximity.site.model import Site

AREAS = (10.0, 30.0, 100.0)  # m² a gateway
METHODS = ("strongest", "zones", "grid")
START = 1_767_225_600.0  # s, the beginning of 2026: any time will do, but the same one always
LOOK = 0.5  # s between two looks at where everybody is and is reported
NEAR = 3.0  # s before or after which a reported zone may be the true one and still be no false switch
STAY = 5.0  # s; who is in a zone for less walks through it


class Density(msgspec.Struct, frozen=True):
    """One method at one density. Time counts while the shopper is in a zone; None: nothing to count."""

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
    false_switches: float | None  # an hour: enters into zones in which the shopper was not within `NEAR` seconds


def density(
    seed: int,
    areas: Sequence[float] = AREAS,
    methods: Sequence[str] = METHODS,
    people: int = 12,
    seconds: float = 1800.0,
    zone_side: float = 5.0,
) -> Iterator[Density]:
    """Each method at each density, over a store of 30 m × 20 m with walls, shelves and bodies. `zone_side`: m.
    ProximityError: a store that cannot be; UnknownMethodError."""
    factories = {name: method_named(name) for name in methods}
    for area in areas:
        site = shop_with_density(area, zone_side=zone_side)
        batches, at, truth = _heard(site, seed, people, seconds)
        for name, factory in factories.items():
            locator = factory(site, None, None)
            engine = Engine([site], locator=partial(_given, locator), now=START)
            yield _judge(area, name, site, at, truth, _reported(engine, site, batches, at, people))


def _given(locator: Locator, site: Site) -> Locator:  # noqa: ARG001 (the engine asks by site; there is one)
    return locator


def _heard(site: Site, seed: int, people: int, seconds: float) -> tuple[list[Batch], Floats, Labels]:
    """What was heard between one look and the next, the times of the looks (N,), and who was where (N, people)."""
    shop = SimulatedShop(site, crowd(people, seed, phones=0.0), seed, START)
    column = {zone.id: number for number, zone in enumerate(site.zones)}
    at = START + np.arange(LOOK, seconds, LOOK)
    truth = np.full((len(at), people), len(column))
    batches = []
    for row, now in enumerate(at.tolist()):
        batches.append(shop.batch(shop.step(now)))
        for one in shop.truth(now):
            truth[row, _number(one.shopper)] = column.get(one.zone or "", len(column))
    return batches, at, truth


def _reported(engine: Engine, site: Site, batches: Sequence[Batch], at: Floats, people: int) -> Labels:
    """(N, people) the zone entered last of those not left; the number of zones: none."""
    column = {zone.id: number for number, zone in enumerate(site.zones)}
    open_: list[list[int]] = [[] for _ in range(people)]
    reported = np.full((len(at), people), len(column))
    for row, (batch, now) in enumerate(zip(batches, at.tolist(), strict=True)):
        for change in engine.step(batch, now).transitions:
            inside = open_[_number(change.shopper)]
            if change.kind == "enter":
                inside.append(column[change.zone])
            elif change.kind == "exit":
                inside.remove(column[change.zone])
        reported[row] = [inside[-1] if inside else len(column) for inside in open_]
    return reported


def _judge(area: float, method: str, site: Site, at: Floats, truth: Labels, reported: Labels) -> Density:
    none = len(site.zones)
    there = truth != none
    hours = float(there.sum()) * LOOK / 3600.0
    delays, stays, wrong = [], 0, 0
    near = round(NEAR / LOOK)
    for true, said in zip(truth.T, reported.T, strict=True):
        enters = np.flatnonzero((said[1:] != said[:-1]) & (said[1:] != none)) + 1
        wrong += sum(said[row] not in true[max(row - near, 0) : row + near + 1] for row in enters.tolist())
        edges = np.concatenate([[0], np.flatnonzero(true[1:] != true[:-1]) + 1, [len(true)]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if true[begin] == none or begin == 0 or (end - begin) * LOOK < STAY:
                continue
            stays += 1
            first = max(begin - near, 0)
            inside = np.flatnonzero(said[first:end] == true[begin])
            if len(inside):
                delays.append(float(at[first + int(inside[0])] - at[begin]))
    return Density(
        area=area,
        gateways=len(site.anchors),
        method=method,
        hours=hours,
        right=float((reported == truth)[there].mean()) if there.any() else None,
        none=float((reported == none)[there].mean()) if there.any() else None,
        stays=stays,
        found=len(delays) / stays if stays else None,
        delay_median=float(np.median(delays)) if delays else None,
        delay_p95=float(np.percentile(delays, 95)) if delays else None,
        false_switches=wrong / hours if hours else None,
    )


def _number(shopper: str) -> int:
    """Of a shopper of `crowd`, from zero."""
    return int(shopper.rpartition("-")[2]) - 1
