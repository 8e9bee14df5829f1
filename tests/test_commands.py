"""The command line as a person meets it."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from proximity.examples import example_config

ROOT = Path(__file__).resolve().parent.parent


def proximity(*words: str, timeout: float = 100) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "proximity.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("examples", "systemd"))
    return folder


def test_check_of_the_example_shop_finds_nothing() -> None:
    done = proximity("check", str(example_config()))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("0 errors, 0 warnings; 1 site, 7 zones, ")


def test_check_names_five_mistakes_in_five_files_at_once(shop: Path) -> None:
    replace(shop / "site.yaml", "timezone: Europe/Paris", "timezone: Europe/Pariss")
    replace(shop / "zones.geojson", '"id": "bakery"', '"id": "Bakery!"')
    replace(shop / "gateways.yaml", "gateways:", "gatewais:")
    replace(shop / "shoppers.yaml", "consents:", "consens:")
    replace(shop / "rules" / "coffee.rules.yaml", "shopper.", "shoper.")
    done = proximity("check", str(shop))
    assert done.returncode == 1
    heads = [line for line in done.stdout.splitlines() if ": error[" in line]
    assert {head.split(":")[0] for head in heads} >= {
        "site.yaml",
        "zones.geojson",
        "gateways.yaml",
        "shoppers.yaml",
        "rules/coffee.rules.yaml",
    }
    for said in ("did you mean `Europe/Paris`?", "did you mean `gateways`?", "did you mean `consents`?", "`shopper."):
        assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_check_tells_of_rules_also_when_the_attributes_cannot_be_read(shop: Path) -> None:
    replace(shop / "attributes.yaml", "first_name: string", "first_name: strng")
    replace(shop / "rules" / "shop.rules.yaml", "zone: entrance", "zone: entrence")
    (shop / "rules" / "tab.rules.yaml").write_text("rules:\n\t- id: x\n")
    done = proximity("check", str(shop))
    heads = {line.split(":")[0] for line in done.stdout.splitlines() if ": error[" in line}
    assert heads == {"attributes.yaml", "rules/shop.rules.yaml", "rules/tab.rules.yaml"}
    assert "error[E204]" not in done.stdout


def test_check_does_not_echo_zones_that_could_not_be_read(shop: Path) -> None:
    (shop / "zones.geojson").write_text("[" * 100_000)
    done = proximity("check", str(shop))
    assert done.returncode == 1
    assert "zones.geojson:1:1: error[E005]" in done.stdout
    assert "error[E201]" not in done.stdout


def test_check_speaks_json_and_github(shop: Path) -> None:
    replace(shop / "site.yaml", "timezone: Europe/Paris", "timezone: Europe/Pariss")
    (found,) = json.loads(proximity("check", str(shop), "--format", "json").stdout)
    assert (found["file"], found["severity"], found["hint"]) == ("site.yaml", "error", "did you mean `Europe/Paris`?")
    line = proximity("check", str(shop), "--format", "github").stdout.strip()
    assert line.startswith(f"::error file=site.yaml,line={found['line']},col={found['column']},title={found['code']}::")


SENTENCES = [
    (("check", "/nowhere"), "proximity: /nowhere: no such folder"),
    (("check", ".", "--format", "xml"), "proximity: --format xml: write one of text, json, github"),
    (("replay", "/nowhere.mbd"), "proximity: /nowhere.mbd: no such file"),
    (("replay", "README.md"), "proximity: "),
    (("evaluate", "danis", "--data", "/nowhere"), "proximity: /nowhere/tetam.par: missing"),
    (("serve", "--config", "/nowhere"), "proximity: "),
    (("serve", "--broker", "http://x", "--http-port", "0"), "proximity: --broker http://x: write mqtt://host:port"),
]


@pytest.mark.parametrize(("words", "sentence"), SENTENCES)
def test_a_mistake_of_the_user_is_a_sentence_and_status_1(
    words: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    more = ("--data", str(tmp_path / "data"), "--mqtt-port", "0") if words[0] == "serve" else ()
    done = proximity(*words, *more)
    assert done.returncode == 1
    assert any(line.startswith(sentence) for line in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_the_demo_ends_with_offers_and_one_line_of_figures() -> None:
    done = proximity("demo", "--headless", "--seconds", "25", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert set(figures) == {"sightings", "fixes", "transitions", "decisions", "sent", "withheld", "latency_ms"}
    assert figures["sightings"] > 300
    assert figures["fixes"] > 0
    assert figures["sent"] >= 1
    assert figures["sent"] + sum(figures["withheld"].values()) == figures["decisions"]
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]


RECORDINGS = [
    "danis_ble_rpi/tracks/straight_01_all_sensors.mbd",
    "sal_rb_doorway/walk_sensor_1_measurement_1.csv",
]


@pytest.mark.integration
@pytest.mark.parametrize("recording", RECORDINGS)
def test_a_recording_of_real_receivers_ends_with_offers(recordings: Path, recording: str) -> None:
    done = proximity("replay", str(recordings / recording), "--speed", "20", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["complete"]
    assert figures["sightings"] > 400
    assert figures["sent"] >= 1


@pytest.mark.integration
def test_the_wheel_holds_what_runs_and_asks_a_pi_for_little(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    for needed in (
        "proximity/example_config/site.yaml",
        "proximity/example_config/examples/danis/site.yaml",
        "proximity/store/migrations/env.py",
        "proximity/web/console.html",
        "gateway/cli.py",
        "rules/load.py",
    ):
        assert needed in names
    assert "proximity = proximity.cli:main" in entry_points
    assert "proximity-gateway = gateway.cli:main" in entry_points
    required = [line.split(":", 1)[1].strip() for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    plain = {one.split(">")[0] for one in required if "extra ==" not in one}
    on_a_pi = plain | {one.split(">")[0] for one in required if "extra == 'gateway'" in one}
    assert on_a_pi == {"msgspec", "bleak", "paho-mqtt"}
