"""Figures: errors, events, calibration."""

import numpy as np
import pytest

from proximity.evaluate.follow import arrived
from proximity.evaluate.metrics import (
    Change,
    calibration,
    changes,
    distance_errors,
    events,
    match,
    pooled,
    rounded,
    summarise,
)

INSIDE, OUTSIDE = 0, 1
ENTERS = frozenset({INSIDE})


def enter(at: float) -> Change:
    return Change(at, INSIDE)


def leave(at: float) -> Change:
    return Change(at, OUTSIDE)


def test_errors_are_distances_and_moments_without_an_estimate_do_not_count() -> None:
    found = distance_errors(np.array([[3.0, 4.0], [0.0, 1.0], [np.nan, 0.0]]), np.zeros((3, 2)))
    summary = summarise(found)
    assert (summary.mean, summary.median, summary.moments) == (3.0, 3.0, 2)
    assert summary.p90 == pytest.approx(4.6)


def test_changes_are_told_at_the_first_moment_of_the_new_zone() -> None:
    assert changes(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 0, 1])) == [enter(3.0), leave(4.0)]


@pytest.mark.parametrize(
    ("true", "reported", "pairs"),
    [
        ([enter(10)], [enter(12.9)], [(10, 12.9)]),
        ([enter(10)], [enter(13.0)], [(10, 13.0)]),
        ([enter(10)], [enter(13.1)], []),
        ([enter(10)], [enter(7.0)], [(10, 7.0)]),
        ([enter(10)], [leave(10)], []),
        ([enter(10)], [enter(8), enter(11)], [(10, 11)]),
        ([enter(10), enter(12)], [enter(11.5)], [(12, 11.5)]),
        ([enter(10), leave(11), enter(12)], [enter(10.5), enter(12.5)], [(10, 10.5), (12, 12.5)]),
        ([], [enter(1)], []),
    ],
)
def test_events_match_one_to_one_within_three_seconds(
    true: list[Change], reported: list[Change], pairs: list[tuple[float, float]]
) -> None:
    assert sorted((t.at, r.at) for t, r in match(true, reported)) == pairs


def test_event_figures() -> None:
    true = [enter(10), leave(20), enter(30), leave(40)]
    found = events(true, [enter(11), leave(19.5), enter(25), leave(26), enter(31.5)], ENTERS)
    assert (found.true, found.reported, found.matched) == (4, 5, 3)
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(6 / 9)
    assert found.delay_median == 1.0
    assert found.enter_delay_median == 1.25
    assert found.delay_p95 == pytest.approx(1.45)
    assert found.extra_switches == 1


def test_nothing_to_tell_and_nothing_told_has_no_score() -> None:
    found = events([], [], ENTERS)
    assert (found.precision, found.recall, found.f1, found.delay_median) == (None, None, None, None)
    assert events([enter(1)], [], ENTERS).f1 == 0.0


def test_files_are_pooled_without_matching_across_them_or_hiding_extra_switches() -> None:
    parts = [([enter(10)], [enter(10), leave(12)]), ([leave(12), enter(20)], [enter(20)])]
    found = pooled(parts, ENTERS)
    assert (found.true, found.reported, found.matched) == (3, 3, 2)
    assert found.extra_switches == 1


def test_calibration_compares_claims_with_truth() -> None:
    belief = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    truth = np.array([0] * 9 + [1] + [1] * 6 + [0] * 4)
    found = calibration(belief, truth)
    assert found.ece == pytest.approx(0.0)
    assert (found.claim_90_right, found.claim_90_moments) == (0.9, 10)
    assert [b.moments for b in found.bins] == [0, 0, 0, 0, 0, 0, 10, 0, 0, 10]
    boasting = calibration(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 1, 1]))
    assert boasting.ece == pytest.approx(0.5)
    assert boasting.claim_90_right is None


def test_the_first_zone_reported_is_not_a_change() -> None:
    assert arrived(np.array([2, 2, 0, 1]), 2) == 2
    assert arrived(np.array([2, 2]), 2) == 2


def test_rounding_reaches_everywhere() -> None:
    assert rounded({"a": [0.123456, {"b": 1.99999}], "c": 3, "d": None}) == {
        "a": [0.1235, {"b": 2.0}],
        "c": 3,
        "d": None,
    }
