"""Sightings through presence: how many a second one core takes in, and what NumPy alone needs for the same columns."""

from dataclasses import replace
from time import process_time

import numpy as np

from proximity.bench.report import Report, Row
from proximity.observations import Batch
from proximity.presence.engine import Engine
from proximity.simulate.load import PER_SITE, observations, sites_for_load
from proximity.site.model import LocatorName, Site

START = 1_764_000_000.0
WARM_UP = 4  # s of event time: everybody has entered


def presence(devices: int, gateways: int, seconds: int, locators: tuple[LocatorName, ...] = ("strongest",)) -> Report:
    """Each device is heard about three times a second. Seconds are those of the processor: what else runs on the
    machine does not count."""
    rows = []
    for locator in locators:
        batches = list(observations(devices, gateways, WARM_UP + seconds, start=START))
        engine = Engine(with_locator(sites_for_load(gateways), locator))
        taken, spent, floor, transitions = 0, 0.0, 0.0, 0
        for second, batch in enumerate(batches):
            began = process_time()
            step = engine.step(batch, START + second + 1.0)
            ended = process_time()
            if second >= WARM_UP:
                taken += len(batch.sightings)
                spent += ended - began
                floor += _numpy_alone(batch, gateways)
                transitions += len(step.transitions)
        note = f"{locator}: {transitions / spent:,.0f} transitions a second came of it"
        rows.append(Row(f"sightings, {locator}", taken / spent, "a second", taken / floor, _LIMIT, note))
    settings = {"devices": devices, "gateways": gateways, "seconds": seconds}
    return Report("presence", f"{devices:,} devices, {gateways:,} gateways, one core", rows, settings)


def with_locator(sites: tuple[Site, ...], locator: LocatorName) -> tuple[Site, ...]:
    """The sites with one locator everywhere."""
    return tuple(replace(site, presence=replace(site.presence, locator=locator)) for site in sites)


_LIMIT = "NumPy alone: the same columns sorted by device and anchor, cut into ticks, and written to where they belong"


def _numpy_alone(batch: Batch, gateways: int) -> float:
    """Seconds of the least that any engine on columns has to do."""
    columns = batch.sightings
    last = np.full((len(batch.devices), PER_SITE), -np.inf)
    level = np.full((len(batch.devices), PER_SITE), np.nan)
    began = process_time()
    tick = np.ceil(columns.at * 4.0).astype(np.int64)
    order = np.lexsort((columns.device.astype(np.int64) * gateways + columns.anchor, tick))
    device, anchor = columns.device[order], columns.anchor[order] % PER_SITE
    weight = -np.expm1(-(columns.at[order] - last[device, anchor]))
    level[device, anchor] = columns.rssi[order] * weight
    last[device, anchor] = columns.at[order]
    level.argmax(axis=1)
    return process_time() - began
