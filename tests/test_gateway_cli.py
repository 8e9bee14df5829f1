"""The command line: statuses, messages, and what a gateway may import."""

import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import cli, notify
from gateway.exits import FAILED, OK, USAGE
from gateway.version import VERSION

WITHOUT_THE_SERVICE = """
import importlib, pkgutil, sys
REFUSED = {"numpy", "pydantic", "shapely", "fastapi", "sqlalchemy", "typer", "structlog", "rich", "yaml", "scipy"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REFUSED:
            raise ImportError("refused: " + name)
sys.meta_path.insert(0, Refuse())
import gateway
names = [m.name for m in pkgutil.walk_packages(gateway.__path__, "gateway.")]
for name in names:
    importlib.import_module(name)
import proximity.recordings
print(" ".join(names))
"""


def test_a_gateway_needs_nothing_of_the_service() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_THE_SERVICE], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    names = done.stdout.split()
    assert {"gateway.cli", "gateway.scan", "gateway.node", "gateway.uplink"} <= set(names)
    tree = {f"gateway.{path.stem}" for path in Path(cli.__file__).parent.glob("*.py")} - {"gateway.__init__"}
    assert set(names) == tree


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"proximity-gateway {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["run"], "error: site: missing"),
        (["run", "--site", "shop", "--gateway", "g1", "--source", "ble", "file"], "only replay takes a FILE"),
        (["check", "--site", "shop", "--gateway", "g1", "--config", "/nowhere.toml"], "cannot be read"),
    ],
)
def test_bad_settings(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == USAGE
    assert error in capsys.readouterr().err


def test_a_recording_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("nothing\n")
    assert cli.main(["run", "--site", "shop", "--source", "replay", str(file)]) == FAILED
    assert "not a recording that is known" in capsys.readouterr().err


def test_check_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = tmp_path / "file"
    spool.write_text("")
    arguments = ["check", "--site", "shop", "--gateway", "g1", "--broker", "mqtt://127.0.0.1:1"]
    assert cli.main([*arguments, "--source", "simulated", "--spool", str(spool)]) == FAILED
    broker, kept = capsys.readouterr().out.splitlines()
    assert broker.startswith("error   broker    127.0.0.1:1 does not answer")
    assert kept.startswith(f"error   spool     {spool}")


def test_json_log(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("gateway.node", logging.WARNING, "", 0, "%d \u201cleft\u201d", (3,), None)
    line = json.loads(cli._JsonLines().format(record))
    assert line["level"] == "warning"
    assert line["text"] == "3 “left”"
    assert line["where"] == "gateway.node"


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not notify.notify("READY=1")
    assert notify.watchdog_interval() is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify.notify("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    assert not notify.notify("WATCHDOG=1")  # nobody reads: no reason to fall over
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    assert notify.watchdog_interval() == 20.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_interval() is None


def test_statuses_are_distinct() -> None:
    from gateway import exits

    assert len({exits.OK, exits.FAILED, exits.USAGE, exits.RESTART}) == 4
    assert OK == 0
