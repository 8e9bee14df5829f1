"""All methods side by side: accuracy on the recordings, and what each costs per device and second."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from proximity.evaluate.danis import danis_site, danis_survey, danis_walkable, evaluate_danis
from proximity.evaluate.methods import METHODS
from proximity.evaluate.metrics import Errors
from proximity.evaluate.sal_rb import GroupReport, evaluate_sal_rb
from proximity.presence.locator import TICK, Locator

HEARD_BY = 8  # anchors that hear a device each second, of the room's twelve
DEVICES = 2000  # at once, enough that Python's own cost is spread
SECONDS = 5


class Compared(msgspec.Struct, frozen=True):
    """One method. None: the recordings that tell it were not given."""

    method: str
    position: Errors | None  # danis tracks, m
    zone_right: float | None
    zone_right_clear: float | None
    stationary_zone_changes: int | None
    walk: GroupReport | None  # sal-rb untrained
    extra_switches: int | None  # sal-rb untrained, the worst file
    cost: float  # µs of one core per device and second, at one sample a second
    yards: float  # the same in yardsticks, measured just before: for comparing runs on machines that others share


def compare(danis: Path, sal_rb: Path | None) -> Iterator[Compared]:
    """Each method of the table in turn. Errors as of the single evaluations."""
    for method in METHODS:
        room, _ = evaluate_danis(danis, method)
        doorway = None if sal_rb is None else evaluate_sal_rb(sal_rb, None, method)[0]
        site = danis_site(danis)
        yard = yardstick()
        spent = cost(METHODS[method](site, danis_survey(danis, site), danis_walkable(danis)), len(site.anchors))
        yield Compared(
            method=method,
            position=room.position,
            zone_right=room.zone_right,
            zone_right_clear=room.zone_right_clear,
            stationary_zone_changes=room.stationary_zone_changes if room.stationary_files else None,
            walk=None if doorway is None else doorway.groups.get("walk"),
            extra_switches=None if doorway is None else max(f.events.extra_switches for f in doorway.files),
            cost=spent,
            yards=spent / yard,
        )


def yardstick(rounds: int = 5) -> float:
    """µs of processor time to sort 10,000 float32 numbers: the best of some rounds over the same numbers."""
    numbers = np.random.default_rng(1).random((100, 10_000), dtype=np.float32)
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        np.sort(numbers, axis=1)
        best = min(best, time.process_time() - start)
    return best / len(numbers) * 1e6


def cost(locator: Locator, anchors: int, devices: int = DEVICES, seconds: int = SECONDS) -> float:
    """µs of processor time per device and second, when every device is sampled once a second by `HEARD_BY` anchors, a
    quarter of them each tick, and the belief of each is asked for at once. The first second warms up."""
    random = np.random.default_rng(1)
    per_device = min(HEARD_BY, anchors)
    locator.grow(devices)
    hearing = np.argsort(random.random((devices, anchors)), axis=1)[:, :per_device].astype(np.int32)
    level = random.normal(-72.0, 5.0, (devices, per_device))
    quarters = round(1.0 / TICK)
    spent = 0.0
    for tick in range((seconds + 1) * quarters):
        slots = np.arange(tick % quarters, devices, quarters, dtype=np.int32)
        rssi = np.rint(level[slots] + random.normal(0.0, 3.0, (len(slots), per_device)))
        now = 1000.0 + tick * TICK
        start = time.process_time()
        locator.tick(now, np.repeat(slots, per_device), hearing[slots].ravel(), rssi.ravel())
        locator.belief(slots, now)
        if tick >= quarters:
            spent += time.process_time() - start
    return spent / seconds / devices * 1e6
