"""`proximity bench` measures what it says, at sizes that take no time. How fast it is, no test says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from proximity import wire
from proximity.bench.geofence import geofence
from proximity.bench.growth import Sizes, growth
from proximity.bench.memory import memory
from proximity.bench.people import people_come_and_go
from proximity.bench.presence import presence
from proximity.bench.report import Report, Row, number
from proximity.bench.rules import catalog_for, rule_file, rules
from proximity.bench.sender import Load, gateway_messages, phone_messages
from proximity.errors import ProximityError
from proximity.phones.owntracks import device_of
from rules.load import load_rules


def test_presence_takes_in_every_sighting_with_each_locator() -> None:
    report = presence(300, 20, 2, ("strongest", "zones"))
    assert [row.what for row in report.rows] == ["sightings, strongest", "sightings, zones"]
    assert all(row.value > 0 and row.limit and row.limit > 0 for row in report.rows)


def test_fixes_hit_circles_and_polygons() -> None:
    report = geofence(500, 1, (30,))
    assert [row.what for row in report.rows] == ["fixes against 23,000 circles of 5 km", "fixes against 30 polygons"]
    assert all(row.value > 0 and "one more took" in row.note for row in report.rows)


@pytest.mark.parametrize("size", [1, 25, 100])
def test_the_rules_load_and_ten_listen_to_each_zone(size: int) -> None:
    loaded = load_rules({"bench.rules.yaml": rule_file(size)}, catalog_for(size))
    assert loaded.ruleset is not None, loaded.diagnostics
    report = rules((size,), 40)
    assert f"{size:,} rules: " in report.rows[1].note
    assert f"{40:,} decisions" in report.rows[1].note


def test_a_devices_memory_is_measured_in_a_process_of_its_own() -> None:
    (row,) = memory((2_000,), 50).rows
    assert 100 < row.value < 50_000


def test_people_come_and_go_while_others_are_there() -> None:
    rows = people_come_and_go((300,), times=2).rows
    assert [row.what for row in rows] == [f"one of 300 {what}" for what in ("registers", "withdraws", "is erased")]
    assert all(row.value >= 0.0 and row.unit == "ms" for row in rows)
    entered = [int(re.findall(r"after ([\d,]+) had entered", row.note)[0].replace(",", "")) for row in rows]
    assert entered[0] >= 300


def test_what_cannot_be_measured_is_told_with_its_reason() -> None:
    with pytest.raises(ProximityError, match=r"the memory of 5 devices cannot be measured: \w+Error"):
        memory((5,), 0)


def test_growth_is_drawn_and_told(tmp_path: Path) -> None:
    sizes = Sizes((50, 100), (10, 20), (20, 40), (10, 30), (500, 1000), steady=50, phones=50, decisions=40)
    report = growth(tmp_path / "plots", sizes)
    assert (tmp_path / "plots" / "growth.png").read_bytes().startswith(b"\x89PNG")
    told = {row.what: (row.value, row.unit) for row in report.rows}
    assert len(told) == 4 * 2 + 2 * 2 + 2 + 2
    assert {unit for _, unit in told.values()} == {
        "µs a sighting", "µs a fix", "ms an edit", "µs a decision", "bytes a device",
    }  # fmt: skip
    assert all(value > 0 for value, _ in told.values())
    assert "fences: 40, one more" in told


def test_growth_without_what_is_too_large_here() -> None:
    sizes = Sizes().up_to(1_000)
    assert (sizes.devices, sizes.fences, sizes.steady) == ((1_000,), (100, 1_000), 1_000)


def test_a_plot_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProximityError, match=r"growth\.png: cannot be written"):
        growth(tmp_path / "file", Sizes())


def test_gateways_messages_count_up_and_name_devices_that_are_heard() -> None:
    load = Load("", 0, "gateways", devices=60, messages=0, gateways=20)
    source = gateway_messages(load)
    seen: dict[bytes, list[int]] = {}
    for _ in range(60):
        topic, payload, rows = next(source)
        message = wire.decode(wire.SightingsMessage, payload)
        assert len(message.rows) == rows
        assert all(0 <= row.time < 1000 for row in message.rows)  # ages: unsynced
        seen.setdefault(topic, []).append(message.seq)
    assert all(numbers == [1, 2, 3] for numbers in seen.values())


def test_phones_messages_are_locations_of_phones_that_are_known() -> None:
    source = phone_messages(Load("", 0, "phones", devices=3, messages=0, side=1000.0, centre=(48.0, 16.0)))
    topics = []
    for _ in range(4):
        topic, payload, rows = next(source)
        topics.append(topic.decode())
        told = msgspec.json.decode(payload)
        assert (told["_type"], rows) == ("location", 1)
        assert abs(told["lat"] - 48.0) < 0.01
    assert device_of(topics[0]) == "owntracks:load/0"
    assert topics[3] == topics[0]


def test_a_report_is_told_with_its_limit_and_its_machine() -> None:
    told = Report("x", "about", [Row("fast", 12_345.6, "a second", 24_691.2, "the wire alone")]).as_json()
    assert told["rows"][0] == {
        "what": "fast", "value": 12346, "unit": "a second", "limit": 24691, "limit_is": "the wire alone", "share": 0.5,
        "note": None,
    }  # fmt: skip
    assert "Python" in told["machine"]
    assert [number(value) for value in (1234567.8, 0.01234, 12.345)] == ["1,234,568", "0.0123", "12.3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rules", "--sizes", "1,x"], "--sizes 1,x: write whole numbers above 0 with commas between them"),
        (["geofence", "--polygons", "0"], "--polygons 0: write whole numbers above 0"),
        (["presence", "--locator", "best"], "--locator best: there is no such locator here; write strongest, zones"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_sentence(words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proximity.cli", "bench", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_object() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proximity.cli", "bench", "rules", "--sizes", "10", "--decisions", "100", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["bench"] == "rules"
