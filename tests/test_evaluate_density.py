"""Zone accuracy in a simulated store, by density of gateways."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from proximity.errors import ProximityError
from proximity.evaluate.cli import app
from proximity.evaluate.density import LOOK, START, SURVEYED, _count, _judge, density
from proximity.observations import Floats
from proximity.simulate.density import shop_with_density

SITE = shop_with_density(100.0)
NONE = len(SITE.zones)


def labels(*parts: tuple[int, float]) -> Any:
    """(N, 1) from (zone, seconds)."""
    return np.concatenate([np.full(round(seconds / LOOK), zone) for zone, seconds in parts])[:, None]


def times(looks: Any) -> Floats:
    return START + np.arange(len(looks), dtype=np.float64) * LOOK


TIMELINES = [
    # truth, reported, share right, none, stays, found, delay, false switches
    ([(NONE, 10), (0, 20)], [(NONE, 10), (0, 20)], 1.0, 0.0, 1, 1.0, 0.0, 0),
    ([(NONE, 10), (0, 20)], [(NONE, 12), (0, 18)], 0.9, 0.1, 1, 1.0, 2.0, 0),
    ([(NONE, 10), (0, 20)], [(NONE, 9), (0, 21)], 1.0, 0.0, 1, 1.0, -1.0, 0),
    ([(NONE, 10), (0, 20)], [(NONE, 30)], 0.0, 1.0, 1, 0.0, None, 0),
    ([(NONE, 10), (0, 20)], [(NONE, 10), (0, 5), (1, 5), (0, 10)], 0.75, 0.0, 1, 1.0, 0.0, 1),
    ([(NONE, 10), (0, 10), (1, 10)], [(NONE, 10), (0, 8), (1, 12)], 0.9, 0.0, 2, 1.0, -1.0, 0),
    ([(NONE, 10), (0, 10), (1, 2), (0, 8)], [(NONE, 10), (0, 20)], 0.9, 0.0, 2, 1.0, -1.5, 0),  # walked through zone 1
]


@pytest.mark.parametrize(("truth", "said", "right", "none", "stays", "found", "delay", "wrong"), TIMELINES)
def test_what_counts(
    truth: Any, said: Any, right: float, none: float, stays: int, found: float, delay: float | None, wrong: int
) -> None:
    true, reported = labels(*truth), labels(*said)
    at = times(true)
    row = _judge(100.0, "strongest", SITE, [_count(NONE, at, true, reported)])
    assert (row.right, row.none, row.stays, row.found) == pytest.approx((right, none, stays, found))
    assert row.delay_median == pytest.approx(delay)
    assert row.hours == pytest.approx(20 / 3600)
    assert row.false_switches == pytest.approx(wrong / row.hours)
    assert row.false_outside == 0.0


def test_a_zone_told_of_somebody_outside_is_false_and_days_are_pooled() -> None:
    true, reported = labels((NONE, 20), (0, 20)), labels((NONE, 5), (1, 5), (NONE, 10), (0, 20))
    day = _count(NONE, times(true), true, reported)
    row = _judge(100.0, "strongest", SITE, [day, day, day])
    assert row.hours == pytest.approx(60 / 3600)
    assert (row.right, row.stays, row.found) == (1.0, 3, 1.0)
    assert row.false_switches == row.false_outside == pytest.approx(3 / row.hours)
    assert row.enters == pytest.approx(3 / row.hours)


def test_the_table_by_command_is_the_same_for_the_same_seed() -> None:
    arguments = ["density", "--seed", "4", "--area", "30", "--method", "strongest", "--people", "2", "--minutes", "2"]
    first, again = (CliRunner().invoke(app, [*arguments, "--json"]) for _ in range(2))
    assert first.exit_code == 0
    (row,) = json.loads(first.stdout)
    assert json.loads(again.stdout) == [row]
    assert (row["area"], row["gateways"], row["method"]) == (30.0, 20, "strongest")
    assert row["right"] > 0.4
    shown = CliRunner().invoke(app, arguments)
    assert "strongest" in shown.stdout


@pytest.mark.parametrize("wrong", [["--area", "0"], ["--method", "oracle"]])
def test_what_cannot_be_measured_is_said(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["density", *wrong])
    assert isinstance(result.exception, ProximityError)
    assert result.stdout == ""


def test_more_gateways_find_more() -> None:
    sparse, dense = density([1], (100.0, 10.0), ("strongest",), people=3, seconds=300.0)
    assert dense.gateways > sparse.gateways
    assert (dense.right or 0) > (sparse.right or 0)


def test_a_survey_without_end_is_right_more_often_than_none() -> None:
    blind, surveyed = density([5], (30.0,), ("strongest", SURVEYED), people=2, seconds=240.0)
    assert (surveyed.right or 0) > (blind.right or 0)
