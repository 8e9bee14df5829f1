"""Recordings with truth to figures, through the command line too."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from proximity.errors import ProximityError
from proximity.evaluate import cli, methods
from proximity.evaluate.cli import app
from proximity.evaluate.compare import cost, yardstick
from proximity.evaluate.danis import DataError, danis_site, danis_survey, danis_walkable, evaluate_danis
from proximity.evaluate.follow import follow
from proximity.evaluate.methods import METHODS, UnknownMethodError
from proximity.evaluate.sal_rb import CAR, evaluate_sal_rb, sal_rb_site
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.neighbours import Neighbours
from proximity.recordings import RecordingError, read
from proximity.site.model import Anchor, Site
from tests.recorded import DANIS, SAL_RB, needs_data, write_danis, write_sal_rb

WALKS = ("walk_sensor_1_measurement_1.csv", "walk_sensor_1_measurement_2.csv", "car_sensor_1_measurement_1.csv")
PNG = b"\x89PNG\r\n"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, and what is wrong: `proximity` turns every ProximityError into a sentence and exit code 1."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, ProximityError | SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr + str(result.exception or "")


def test_a_room_becomes_a_site_of_four_quadrants(tmp_path: Path) -> None:
    site = danis_site(write_danis(tmp_path / "d"))
    assert [z.id for z in site.zones] == ["south-west", "north-west", "north-east", "south-east"]
    assert site.zone("north-east").outline.bounds == (5.0, 4.0, 10.0, 8.0)
    assert {a.id: a.zone for a in site.anchors} == {
        "sensor10": "south-west",
        "sensor20": "north-west",
        "sensor30": "north-east",
        "sensor40": "south-east",
    }
    (tmp_path / "d" / "tetam.dev").write_text('Dongles:{"aa0000000001": [[2.0, 3.0, 2.0], 1, "sensor10"]}\n')
    assert danis_site(tmp_path / "d", "receivers").zone("north-east").outline.bounds == (2.0, 3.0, 10.0, 8.0)
    assert danis_survey(tmp_path / "d", site) is None
    assert danis_walkable(tmp_path / "d") is None


def test_the_command_line_names_the_methods_there_are() -> None:
    assert tuple(METHODS) == cli.METHODS
    assert methods.DEFAULT == cli.DEFAULT


@pytest.mark.parametrize("method", METHODS)
def test_every_method_follows_an_easy_walk(tmp_path: Path, method: str) -> None:
    report, walked = evaluate_danis(write_danis(tmp_path / "d"), method)
    assert report.position.mean < (4.0 if method.startswith("zones") else 3.0)
    assert report.zone_right > 0.6, "in half of the time it walks within two metres of the border"
    assert report.stationary_zone_changes == 0
    assert report.tracks[0].events.true == 1, "it crosses from the south-west to the south-east"
    assert len(walked[0].track.at) == len(walked[0].zone)


def test_only_the_past_is_used(tmp_path: Path) -> None:
    """What is believed at a moment is the same when the recording ends there."""
    folder = write_danis(tmp_path / "d")
    site, readings = danis_site(folder), list(read(folder / "tracks" / "along.mbd"))
    whole = follow(GridFilter.for_site(site), site, readings)
    half = follow(GridFilter.for_site(site), site, readings[: len(readings) // 2])
    n = len(half.at)
    np.testing.assert_array_equal(half.at, whole.at[:n])
    np.testing.assert_allclose(half.belief[:-1], whole.belief[: n - 1], atol=1e-6)
    np.testing.assert_allclose(half.position[:-1], whole.position[: n - 1], atol=1e-5)


def test_a_passage_is_told_on_both_ways(tmp_path: Path) -> None:
    report, _ = evaluate_sal_rb(write_sal_rb(tmp_path / "s"))
    assert report.mode == "untrained"
    assert report.right > 0.9
    assert (report.events.true, report.events.matched, report.events.extra_switches) == (2, 2, 0)


def test_fitting_uses_other_recordings_of_the_same_group_only(tmp_path: Path) -> None:
    folder = write_sal_rb(tmp_path / "s", WALKS)
    shutil.copy(folder / WALKS[0], folder / "walk_sensor_1_measurement_9.csv")
    report, _ = evaluate_sal_rb(folder, folder)
    fitted = {f.file: f.fitted_on for f in report.files}
    assert fitted[WALKS[0]] == [WALKS[1]], "neither itself nor its copy"
    assert fitted[WALKS[2]] == [], "no other car: untrained"
    assert report.groups["walk"].right > 0.95
    assert report.groups["walk"].events.f1 == 1.0


def test_a_doorway_lies_halfway_between_the_nearest_receivers(tmp_path: Path) -> None:
    site = sal_rb_site(write_sal_rb(tmp_path / "s"))
    assert site.zone("inside").outline.bounds[2] == site.zone("outside").outline.bounds[0] == 0.0
    assert [a.zone for a in site.anchors] == ["outside", "outside", "inside", "inside"]


@pytest.mark.parametrize(
    ("behind", "border", "inside"), [(1.0, -1.0, {"i-d", "i-e"}), (4.5, -4.5, {"i-e"}), (99.0, -8.0, {"i-e"})]
)
def test_a_car_is_inside_when_all_of_it_is(tmp_path: Path, behind: float, border: float, inside: set[str]) -> None:
    """The zone begins further in, keeps at least a metre, and receivers before it stand outside."""
    site = sal_rb_site(write_sal_rb(tmp_path / "s"), behind)
    assert site.zone("inside").outline.bounds[2] == site.zone("outside").outline.bounds[0] == border
    assert {a.id for a in site.anchors if a.zone == "inside"} == inside


def test_only_cars_have_the_length_of_a_car(tmp_path: Path) -> None:
    """Driving in at 0.8 m/s, a car is told inside later the longer it is; a walker is not."""
    folder = write_sal_rb(tmp_path / "s", WALKS)
    first = {}
    for length in (0.0, 4.5):
        report, passed = evaluate_sal_rb(folder, car_length=length)
        assert report.car_length == length
        first[length] = {p.file: float(p.track.at[np.argmax(p.track.reported == 0)]) for p in passed}
    assert first[4.5][WALKS[2]] > first[0.0][WALKS[2]] + 2.0
    assert first[4.5][WALKS[0]] == first[0.0][WALKS[0]]


def lacking(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def writing(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacking("tetam.dev"), "neither tetam.dev nor"),
        (lacking("tetam.par"), "tetam.par: missing; it holds the limits of the room"),
        (writing("tetam.par", "{}"), 'expected {"limits"'),
        (lacking("tracks/along.mbd"), "tracks: holds no *.mbd file"),
        (writing("tracks/along.mbd", "hello\n"), "not a recording that is known"),
        (writing("tracks/along.mbd", "1.0,aa0000000001,e78f135624ce,-70\n"), "a track without true positions"),
        (writing("tracks/along.mbd", "1.0,bb0000000001,e78f135624ce,-70,1,1,1\n"), "no reading of a known receiver"),
        (writing("tetam_0.5.occ", "[0, 0]::1\n"), "holds no free cells"),
        (writing("fingerprint_rssi_counts.csv.gz", "not packed"), "cannot be read as set,sensor_alias"),
    ],
)
def test_what_is_missing_or_broken_is_named(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = write_danis(tmp_path / "d")
    spoil(folder)
    code, out, err = run("danis", "--data", str(folder), "--json")
    assert code == 1
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacking("measurement_config.txt"), "neither tetam.dev nor"),
        (lacking(WALKS[0]), "holds no *.csv recording"),
        (writing("measurement_config.txt", "I-D,inside,0,0,0\n"), "inside (I-…) and outside (O-…)"),
        (writing(WALKS[0], "superframe,O-D,I-D\n0,-70,-80\n"), "has no column 'Label'"),
    ],
)
def test_what_a_doorway_lacks_is_named(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = write_sal_rb(tmp_path / "s")
    spoil(folder)
    code, _, err = run("sal-rb", "--data", str(folder))
    assert code == 1
    assert message in err


def test_errors_are_ours_for_callers_too(tmp_path: Path) -> None:
    with pytest.raises(UnknownMethodError, match="no method 'magic'; there are grid"):
        evaluate_danis(write_danis(tmp_path / "d"), "magic")
    with pytest.raises(RecordingError):
        evaluate_sal_rb(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"tetam\.par"):
        evaluate_danis(write_sal_rb(tmp_path / "s"))


def test_the_command_line_says_it_in_a_sentence(tmp_path: Path) -> None:
    """As every other command does: no traceback, exit code 1."""
    command = [sys.executable, "-m", "proximity.cli", "evaluate", "danis", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("proximity: ")
    assert "Traceback" not in done.stderr


def test_cost_is_told_beside_a_yardstick() -> None:
    site = Site(id="s", name="S", timezone="UTC", anchors=(Anchor(id="a", site="s", kind="gateway", x=1.0, y=1.0),))
    assert cost(Neighbours.for_site(site), 1, devices=20, seconds=1) > 0.0
    assert yardstick(1) > 0.0


def test_untrained_and_fit_exclude_each_other(tmp_path: Path) -> None:
    code, _, err = run("sal-rb", "--data", str(tmp_path), "--untrained", "--fit", str(tmp_path))
    assert code == 1
    assert "--untrained and --fit exclude each other" in err


def test_json_holds_every_figure(tmp_path: Path) -> None:
    code, out, _ = run("danis", "--data", str(write_danis(tmp_path / "d")), "--json")
    assert code == 0
    report = json.loads(out)
    assert {"mean", "median", "p90"} <= set(report["position"])
    assert {"zone_right", "stationary_zone_changes", "calibration", "tracks", "stationary"} <= set(report)
    assert {"precision", "recall", "f1", "delay_median", "delay_p95", "extra_switches"} <= set(
        report["tracks"][0]["events"]
    )
    code, out, _ = run("sal-rb", "--data", str(write_sal_rb(tmp_path / "s")), "--json", "--untrained")
    assert code == 0
    assert {"mode", "right", "events", "groups", "files"} <= set(json.loads(out))
    assert json.loads(out)["car_length"] == CAR


def test_tables_are_for_people(tmp_path: Path) -> None:
    code, out, _ = run("danis", "--data", str(write_danis(tmp_path / "d")), "--method", "neighbours")
    assert code == 0
    assert "along" in out
    assert "stationary" in out
    code, out, _ = run("sal-rb", "--data", str(write_sal_rb(tmp_path / "s")))
    assert code == 0
    assert "walk" in out


def test_plots_are_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    code, _, err = run("danis", "--data", str(write_danis(tmp_path / "d")), "--json", "--plot", str(tmp_path / "p"))
    assert code == 0, err
    names = {"along.png", "along-belief.png", "errors.png", "zones.png", "reliability.png"}
    assert {p.name for p in (tmp_path / "p").iterdir()} == names
    code, _, err = run("sal-rb", "--data", str(write_sal_rb(tmp_path / "s")), "--json", "--plot", str(tmp_path / "q"))
    assert code == 0, err
    assert {p.name for p in (tmp_path / "q").iterdir()} == {
        "walk_sensor_1_measurement_1-belief.png",
        "zones.png",
        "reliability.png",
    }
    assert all(p.read_bytes().startswith(PNG) for folder in ("p", "q") for p in (tmp_path / folder).iterdir())


@needs_data
def test_the_room_of_danis_and_others() -> None:
    report, _ = evaluate_danis(DANIS)
    assert report.position.mean <= 1.2
    assert report.position.p90 <= 2.3
    assert report.zone_right >= 0.90
    assert report.zone_right_belief >= 0.90
    assert report.events.reported <= 12, "eight are true"
    assert report.stationary_zone_changes == 0
    assert report.stationary_files == 2
    assert report.calibration.ece <= 0.05
    assert (report.events.enter_delay_median or 0.0) <= 1.0
    assert (report.events.enter_delay_p95 or 0.0) <= 3.0


def of(report: Any, group: str) -> tuple[float, float, int]:
    found = report.groups[group]
    return found.right, found.events.f1, max(f.events.extra_switches for f in report.files if f.group == group)


@needs_data
@pytest.mark.parametrize("method", ["zones", "strongest"])
@pytest.mark.parametrize("car_length", [0.0, 4.5])
def test_no_default_is_restless_at_a_doorway(method: str, car_length: float) -> None:
    report, _ = evaluate_sal_rb(SAL_RB, method=method, car_length=car_length)
    assert max(f.events.extra_switches for f in report.files) <= 1


@needs_data
def test_the_doorway_of_karoliny_and_others() -> None:
    untrained, _ = evaluate_sal_rb(SAL_RB)
    right, f1, extra = of(untrained, "walk")
    assert right >= 0.97
    assert f1 >= 0.95
    assert extra <= 1
    right, _, extra = of(untrained, "car")
    assert right >= 0.8
    assert extra <= 1
    fitted, _ = evaluate_sal_rb(SAL_RB, SAL_RB)
    right, f1, extra = of(fitted, "car")
    assert right >= 0.97
    assert f1 >= 0.96
    assert extra <= 1
