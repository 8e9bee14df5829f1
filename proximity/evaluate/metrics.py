"""How right an answer is: pure functions from tracks to figures."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from proximity.observations import Floats

MATCH = 3.0  # s between a true and a reported event that are the same event
CLAIM = (0.85, 0.95)  # what counts as claiming 90 %
BINS = 10

Labels = NDArray[np.int64]


class Errors(msgspec.Struct, frozen=True):
    """Distance between estimate and truth, metres."""

    mean: float
    median: float
    p90: float
    moments: int


class Events(msgspec.Struct, frozen=True):
    """Changes of zone against the truth, matched one to one within `MATCH` seconds. Delays in seconds; a negative
    delay leads the truth; None: nothing matched, or nothing to match."""

    true: int
    reported: int
    matched: int
    precision: float | None
    recall: float | None
    f1: float | None
    delay_median: float | None
    delay_p95: float | None
    enter_delay_median: float | None
    enter_delay_p95: float | None
    extra_switches: int  # reported beyond the true number


class Reliability(msgspec.Struct, frozen=True):
    """One bin of claimed confidence."""

    low: float
    high: float
    moments: int
    claimed: float | None  # mean confidence of its moments
    right: float | None  # share of them that were right


class Calibration(msgspec.Struct, frozen=True):
    """Whether confidence means what it says."""

    ece: float  # expected calibration error: mean |claimed − right| over all moments
    claim_90_right: float | None  # share right of the moments that claim 85 to 95 %
    claim_90_moments: int
    bins: list[Reliability]


class Change(msgspec.Struct, frozen=True):
    """Somebody came into zone `zone` (index; the last: none) at `at` seconds."""

    at: float
    zone: int


def distance_errors(estimate: Floats, truth: Floats) -> Floats:
    """(N,) metres between (N, 2) and (N, 2)."""
    return np.asarray(np.hypot(*(estimate - truth).T), dtype=np.float64)


def summarise(errors: Floats) -> Errors:
    """Of at least one moment; NaN (no estimate yet) counts as none."""
    errors = errors[np.isfinite(errors)]
    return Errors(
        mean=float(np.mean(errors)),
        median=float(np.median(errors)),
        p90=float(np.percentile(errors, 90)),
        moments=len(errors),
    )


def changes(at: Floats, zone: Labels) -> list[Change]:
    """Each moment at which a label differs from the one before."""
    rows = np.flatnonzero(zone[1:] != zone[:-1]) + 1
    return [Change(float(at[i]), int(zone[i])) for i in rows]


def match(true: Sequence[Change], reported: Sequence[Change], within: float = MATCH) -> list[tuple[Change, Change]]:
    """Pairs of the same zone, nearest first, each event used once."""
    near = sorted(
        (abs(r.at - t.at), i, j)
        for i, t in enumerate(true)
        for j, r in enumerate(reported)
        if t.zone == r.zone and abs(r.at - t.at) <= within + 1e-9
    )
    used_true: set[int] = set()
    used_reported: set[int] = set()
    pairs = []
    for _, i, j in near:
        if i not in used_true and j not in used_reported:
            used_true.add(i)
            used_reported.add(j)
            pairs.append((true[i], reported[j]))
    return pairs


def events(true: Sequence[Change], reported: Sequence[Change], enters: frozenset[int]) -> Events:
    """`enters`: the zones whose changes are enters; a change to another one is an exit."""
    pairs = match(true, reported)
    delays = [r.at - t.at for t, r in pairs]
    entering = [r.at - t.at for t, r in pairs if t.zone in enters]
    precision = len(pairs) / len(reported) if reported else None
    recall = len(pairs) / len(true) if true else None
    return Events(
        true=len(true),
        reported=len(reported),
        matched=len(pairs),
        precision=precision,
        recall=recall,
        f1=2 * len(pairs) / (len(true) + len(reported)) if true or reported else None,
        delay_median=_percentile(delays, 50),
        delay_p95=_percentile(delays, 95),
        enter_delay_median=_percentile(entering, 50),
        enter_delay_p95=_percentile(entering, 95),
        extra_switches=max(0, len(reported) - len(true)),
    )


def pooled(parts: Sequence[tuple[Sequence[Change], Sequence[Change]]], enters: frozenset[int]) -> Events:
    """Of several files: matched within each, counted together; extra switches are summed, so that a file with one too
    few cannot hide another with one too many."""
    shift, true, reported, extra = 0.0, [], [], 0
    for file_true, file_reported in parts:
        true += [Change(c.at + shift, c.zone) for c in file_true]
        reported += [Change(c.at + shift, c.zone) for c in file_reported]
        extra += max(0, len(file_reported) - len(file_true))
        shift += 1e6 + max((c.at for c in (*file_true, *file_reported)), default=0.0)
    return msgspec.structs.replace(events(true, reported, enters), extra_switches=extra)


def calibration(belief: Floats, truth: Labels) -> Calibration:
    """Of (N, Z + 1) probabilities against the true columns, by the confidence of the likeliest zone."""
    confidence = belief.max(axis=1)
    right = belief.argmax(axis=1) == truth
    index = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins, gap = [], 0.0
    for b in range(BINS):
        rows = index == b
        claimed = float(confidence[rows].mean()) if rows.any() else None
        share = float(right[rows].mean()) if rows.any() else None
        if claimed is not None and share is not None:
            gap += abs(claimed - share) * int(rows.sum())
        bins.append(Reliability(b / BINS, (b + 1) / BINS, int(rows.sum()), claimed, share))
    claim = (confidence >= CLAIM[0]) & (confidence < CLAIM[1])
    return Calibration(
        ece=gap / len(truth),
        claim_90_right=float(right[claim].mean()) if claim.any() else None,
        claim_90_moments=int(claim.sum()),
        bins=bins,
    )


def rounded(value: Any, digits: int = 4) -> Any:
    """Plain data with floats rounded, for JSON that people read."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v, digits) for v in value]
    return value


def _percentile(values: Sequence[float], q: float) -> float | None:
    return float(np.percentile(values, q)) if values else None
