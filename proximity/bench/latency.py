"""From the observation that completes a dwell to the hand-over of its offer, while the service is half loaded."""

import time

import numpy as np

from proximity.bench.house import DWELL, Plan
from proximity.bench.ingest import HEARD, ROWS
from proximity.bench.processes import house, scratch, sending
from proximity.bench.report import Report, Row
from proximity.bench.sender import Load
from proximity.errors import ProximityError

WARM_UP = 20.0  # s: everybody enters in the first seconds, and completes the first dwell at once


def latency(gateways: int, seconds: float, warm_up: float = WARM_UP) -> Report:
    """Gateways at life's speed: one message of about 100 rows a second each."""
    devices = gateways * ROWS // HEARD
    messages = int(gateways * (warm_up + seconds))
    with scratch() as folder, house(Plan(str(folder), gateways=gateways, devices=devices)) as service:
        load = Load(service.opened.host, service.opened.port, "gateways", devices, messages, gateways, rate=gateways)
        began = time.time()
        with sending(load) as sender:
            sent = sender.sent()
        time.sleep(DWELL)
        counts = service.counts(since=began + warm_up)
    found = 1000 * np.array(counts.latencies)
    if not len(found):
        raise ProximityError("no offer was handed over; give the run more --seconds")
    late = sent.seconds - (warm_up + seconds)
    note = (
        f"{len(found):,} offers, {sent.rows / sent.seconds:,.0f} sightings a second; service {counts.cpu:.1f} s of a "
        f"core in {sent.seconds:.0f} s; the load was {late:.1f} s behind its plan at the end; 100 ms are the time in "
        "which observations may still come in order"
    )
    rows = [Row(f"p{part:g}", float(np.percentile(found, part)), "ms", note=note) for part in (50.0, 99.0, 99.9)]
    return Report("latency", f"observation to hand-over, {gateways:,} gateways", rows, {"gateways": gateways})
