"""From the observation that completes a dwell to the hand-over of its offer, while the service is half loaded.

A dwell is completed at a moment of event time. Presence looks at the end of the tick in which that lies, and not before
`reorder` seconds later, in which observations may still come in order: this is the batch interval. What comes after it
is the service's own: the turn under way ends, the next one decides and commits, and the outbox hands over.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proximity.bench.house import Counts, Plan
from proximity.bench.ingest import HEARD, ROWS
from proximity.bench.processes import House, house, scratch, sending
from proximity.bench.report import Report, Row
from proximity.bench.sender import Load
from proximity.errors import ProximityError
from proximity.presence.locator import TICK
from proximity.settings import Settings
from proximity.store.offers import HandOver

SETTLED = 12.0  # s after which everybody has entered and completed the first dwell
CAUGHT_UP = 0.5  # s that a delivery may wait in an outbox that has worked off its burst
MOST_PATIENCE = 180.0  # s
LOOK = 0.5  # s between looks, which cost the service a little
PARTS = (50.0, 99.0, 99.9)
MIDDLE = (10.0, 90.0)  # per cent of the burst's hand-overs, between which its rate is taken

_Seconds = NDArray[np.float64]


def latency(gateways: int, seconds: float, settled: float = SETTLED) -> Report:
    """Gateways at life's speed: one message of about 100 rows a second each."""
    devices = gateways * ROWS // HEARD
    messages = int(gateways * (seconds + MOST_PATIENCE))  # more than are sent
    with scratch() as folder, house(Plan(str(folder), gateways=gateways, devices=devices)) as service:
        load = Load(service.opened.host, service.opened.port, "gateways", devices, messages, gateways, rate=gateways)
        with sending(load):
            began = time.time()
            before = _settled(service, began, settled)
            start = time.time()
            time.sleep(seconds)
            after, end = service.counts(), time.time()
        for _ in range(int(MOST_PATIENCE / LOOK)):
            if not service.counts().unsent:
                break
            time.sleep(LOOK)
        handed = service.counts(since=began).handed
    burst = [one for one in handed if one.created < start]
    measured = [one for one in handed if start <= one.created < end]
    if not burst or not measured:
        raise ProximityError("no offer was handed over; give the run more --seconds")
    rows = [*_rows(measured, _told(before, after, end - start, len(measured))), _burst(burst)]
    return Report("latency", f"observation to hand-over, {gateways:,} gateways", rows, {"gateways": gateways})


def _settled(service: House, began: float, settled: float) -> Counts:
    """When the burst of the start is worked off: everybody enters and completes a dwell at once, which no shop does."""
    while True:
        time.sleep(LOOK)
        spent = time.time() - began
        counts = service.counts(since=began if spent > settled else 0.0)
        if counts.handed and counts.unsent < CAUGHT_UP:
            return counts
        if spent > MOST_PATIENCE:
            raise ProximityError(
                f"after {spent:.0f} s the offers of the start were not handed over; give fewer --gateways"
            )


def _told(before: Counts, after: Counts, spent: float, offers: int) -> str:
    taken = (after.sightings - before.sightings) / spent
    return (
        f"{offers:,} offers, {taken:,.0f} sightings a second; service {(after.cpu - before.cpu) / spent:.2f} cores; "
        f"{after.waiting:,} messages waited at the end; the burst of the start was worked off before"
    )


def _rows(handed: Sequence[HandOver], told: str) -> list[Row]:
    """Percentiles beyond the batch interval, of its parts, and of the whole."""
    observed, created, at = _columns(handed)
    reorder = Settings.model_fields["reorder"].default
    due = np.ceil(observed / TICK) * TICK + reorder
    beyond = (
        f"from the end of the tick ({1000 * TICK:.0f} ms) in which the dwell was completed, and the "
        f"{1000 * reorder:.0f} ms in which observations may still come in order, to the hand-over"
    )
    parts = (
        ("beyond the batch interval", at - due, f"{beyond}; {told}"),
        ("… until the deciding turn began", created - due, "the turn before it, and the wait for company"),
        ("… from then on", at - created, "presence, decision, commit, outbox"),
        ("whole, from the dwell's completion", at - observed, "with tick and reorder"),
    )
    return [
        Row(f"{what}: p{part:g}", float(np.percentile(1000 * spans, part)), "ms", note=note)
        for what, spans, note in parts
        for part in PARTS
    ]


def _burst(handed: Sequence[HandOver]) -> Row:
    """How fast the offers of the start went out."""
    _, created, at = _columns(handed)
    first, last = np.percentile(at, MIDDLE)
    rate = len(handed) * (MIDDLE[1] - MIDDLE[0]) / 100 / max(last - first, 1e-3)
    made = np.percentile(created, MIDDLE)
    note = (
        f"burst of the start: {len(handed):,} offers; eight tenths of them were made within {made[1] - made[0]:.1f} s "
        f"and handed over within {last - first:.1f} s; the longest wait was {np.max(at - created):.1f} s"
    )
    return Row("burst: offers handed over", float(rate), "a second", note=note)


def _columns(handed: Sequence[HandOver]) -> tuple[_Seconds, _Seconds, _Seconds]:
    rows = np.array([(one.observed, one.created, one.handed) for one in handed])
    return rows[:, 0], rows[:, 1], rows[:, 2]
