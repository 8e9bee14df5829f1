"""What a demo or a replay comes to, from the store and the pipeline's counters."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from proximity.runtime import Running
from proximity.store import history, offers


def figures(running: Running, speed: float = 1.0) -> dict[str, Any]:
    """The one JSON line: `sightings`, `fixes`, `transitions`, `decisions`, `sent`, `withheld`, `latency_ms`.

    `speed` of the service's clock: latencies are told in milliseconds of the wall.
    """
    vitals = running.service.vitals
    totals = history.totals(running.store)
    return {
        "sightings": vitals.taken("sightings"),
        "fixes": vitals.taken("fixes"),
        "transitions": totals["transitions"],
        "decisions": totals["decisions"],
        "sent": totals["sent"],
        "withheld": dict(sorted(history.reasons(running.store).items())),
        "latency_ms": percentiles([seconds / speed for seconds in offers.latencies(running.store)]),
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """p50 and p99 in milliseconds; None of nothing."""
    if not seconds:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}
