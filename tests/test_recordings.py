"""Readings from recordings: two kinds of file, whole, packed and broken."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from proximity.recordings import SAL_RB_DEVICE, Reading, RecordingError, kind, read, receivers
from tests.recorded import BEACON, DANIS, SAL_RB, needs_data, write_danis, write_sal_rb

DEVICE = "mac:e7:8f:13:56:24:ce"
LINE = f"1581252284.779766,B827EB4521B4,{BEACON},-84,11.7,4.2,1.7,0.0,-0.0,-0.9,0.9,0.0,0.0,0.0,-0.9,0.0"
HEADER = "superframe,O-DR,I-T1,Label,raw_photosensor_door"


def test_a_track_names_receiver_sender_strength_and_place(tmp_path: Path) -> None:
    (tmp_path / "tracks").mkdir()
    path = tmp_path / "tracks" / "one.mbd"
    path.write_text(LINE + "\n")
    assert list(read(path)) == [Reading(1581252284.779766, "b827eb4521b4", DEVICE, -84.0, (11.7, 4.2, 1.7))]
    (tmp_path / "tetam.dev").write_text('Dongles:{"b827eb4521b4": [[7.0, 7.09, 1.22], 1, "sensor10"]}\nBeacons:{}\n')
    assert next(read(path)).receiver == "sensor10", "by its alias when tetam.dev lies one folder above"
    (tmp_path / "tracks" / "tetam.dev").write_text('Dongles:{"b827eb4521b4": [[7, 7, 1], 1, "Shelf 3"]}\n')
    assert next(read(path)).receiver == "shelf-3", "the nearer file wins, and names become slugs"


def test_a_stationary_log_has_no_truth_and_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "set_1_1_2.mbd.gz"
    with gzip.open(path, "wt") as file:
        file.write(f"1568049570.205333948,b827eb917e19,{BEACON},-79\n")
    assert kind(path) == "danis"
    assert [(r.receiver, r.rssi, r.truth) for r in read(path)] == [("b827eb917e19", -79.0, None)]


def test_a_table_gives_one_reading_for_each_receiver_that_heard(tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text(f"{HEADER}\n0,-77,-100,2,0\n3,-80,-54,0,1\n")
    assert kind(path) == "sal-rb"
    assert list(read(path)) == [
        Reading(0.0, "o-dr", SAL_RB_DEVICE, -77.0, "2"),
        Reading(pytest.approx(0.3), "o-dr", SAL_RB_DEVICE, -80.0, "0"),  # type: ignore[arg-type]
        Reading(pytest.approx(0.3), "i-t1", SAL_RB_DEVICE, -54.0, "0"),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("nonsense", "one field"),
        (f"soon,b827eb4521b4,{BEACON},-70", "no time"),
        (f"1.0,b827eb4521b4,{BEACON},loud", "no RSSI"),
        (f"nan,b827eb4521b4,{BEACON},-70", "time is not a number"),
        (f"1.0,b827eb4521b4,{BEACON},-inf", "RSSI is not finite"),
        (f"1.0,gateway,{BEACON},-70", "receiver is no MAC"),
        (f"1.0,b827eb4521b4,{BEACON},-70,here,1,1", "no place"),
    ],
)
def test_malformed_lines_of_a_track_are_counted_and_skipped(tmp_path: Path, bad: str, why: str) -> None:
    path = tmp_path / "one.mbd"
    path.write_text(f"{LINE}\n{bad}\n\n{LINE}\n")
    readings = read(path)
    assert len(list(readings)) == 2, why
    assert readings.malformed == 1


@pytest.mark.parametrize("bad", ["1,-70", "x,-70,-70,0,0", "1,-70,loud,0,0", "1,-70,nan,0,0", "1,-70,-70,0,0,0"])
def test_malformed_rows_of_a_table_are_counted_and_skipped(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "walk.csv"
    path.write_text(f"{HEADER}\n0,-77,-90,0,0\n{bad}\n2,-77,-90,0,0\n")
    readings = read(path)
    assert len(list(readings)) == 4
    assert readings.malformed == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"time;receiver\n", b"superframe,a,b\n0,1,2\n", b"\xff\xfe\x00", b"\x1f\x8bnot really packed", b"a,b,c,d\n"],
)
def test_other_files_are_refused_with_what_was_expected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.txt"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="not a recording that is known") as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"gone\.mbd: cannot be read"):
        read(tmp_path / "gone.mbd")


def test_places_of_receivers_are_found_from_the_recording_its_folder_or_their_file(tmp_path: Path) -> None:
    danis, sal = write_danis(tmp_path / "danis"), write_sal_rb(tmp_path / "sal")
    for path in (danis, danis / "tracks", danis / "tracks" / "along.mbd", danis / "tetam.dev"):
        assert receivers(path)["sensor30"][1:] == (9.0, 7.0, 2.0)
    for path in (sal, sal / "walk_sensor_1_measurement_1.csv", sal / "measurement_config.txt"):
        assert receivers(path)["i-d"] == ("I-D", -2.0, 1.0, 1.0)
    with pytest.raises(RecordingError, match=r"neither tetam\.dev nor measurement_config\.txt"):
        receivers(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tetam.dev", "Beacons:{}\n", "no line 'Dongles"),
        ("tetam.dev", 'Dongles:{"b827eb4521b4": 3}\n', "no line 'Dongles"),
        ("measurement_config.txt", "Label,X,Y,Z\nO-D,door,a,b,c\n", "no line 'O-…"),
    ],
)
def test_files_of_places_that_cannot_be_read_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecordingError, match=message):
        receivers(tmp_path)


def test_gateways_can_replay_without_numpy() -> None:
    code = "import sys; sys.modules['numpy'] = None; import proximity.recordings"
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_data
def test_the_campaigns_read_whole() -> None:
    track = list(read(DANIS / "tracks" / "straight_01_all_sensors.mbd"))
    assert len(track) == 1365
    assert {r.receiver for r in track} == set(receivers(DANIS))
    assert {r.device for r in track} == {DEVICE}
    walk = read(SAL_RB / "walk_sensor_1_measurement_1.csv")
    labels = {r.truth for r in walk}
    assert labels <= {"0", "1", "2"}
    assert walk.malformed == 0
    assert len(receivers(SAL_RB)) == 10
