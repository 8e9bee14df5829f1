"""The command `proximity-gateway`."""

import argparse
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from gateway.exits import FAILED, OK, RESTART, USAGE
from gateway.settings import SETTINGS, GatewaySettings, SettingsError, load
from gateway.version import VERSION
from proximity.errors import ProximityError

_SWITCHES = {"json_log", "trust_clock"}

log = logging.getLogger("gateway")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, 1 (it failed and says why), 2 (settings) or 75 (systemd should start it anew)."""
    options = parser().parse_args(arguments)
    try:
        settings = _settings(options)
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return USAGE
    _set_up_log(settings)
    try:
        return _check(settings) if options.command == "check" else _run(settings)
    except ProximityError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except Exception:
        log.critical("this should not have happened; please report it\n%s", traceback.format_exc())
        return RESTART


def parser() -> argparse.ArgumentParser:
    """The command line; every setting is an option of `run` and `check`."""
    top = argparse.ArgumentParser(
        prog="proximity-gateway",
        description="Hears Bluetooth beacons and reports them over MQTT.",
        epilog="Each option can also stand in the file of --config, or in the environment as PROXIMITY_GATEWAY_<NAME>.",
    )
    top.add_argument("--version", action="version", version=f"proximity-gateway {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="run | check")
    for name, text in (
        ("run", "hear and report until stopped"),
        ("check", "look whether broker, spool, radio and clock are as this gateway needs them"),
    ):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
        for setting in SETTINGS:
            option = "--" + setting.name.replace("_", "-")
            if setting.name in _SWITCHES:
                command.add_argument(option, action="store_const", const=True, help=setting.help)
            elif setting.name == "source":
                command.add_argument(option, nargs="+", metavar=("SOURCE", "FILE"), help=setting.help)
            else:
                command.add_argument(option, metavar=setting.name.upper(), help=setting.help)
    return top


def _settings(options: argparse.Namespace) -> GatewaySettings:
    given = {setting.name: getattr(options, setting.name) for setting in SETTINGS}
    source = given["source"]
    if source is not None:
        given["source"], *rest = source
        if len(rest) > 1 or (rest and given["source"] != "replay"):
            raise SettingsError([f"--source: {' '.join(source)!r} is too much; only replay takes a FILE, and one"])
        given["file"] = rest[0] if rest else given["file"]
    # systemd's StateDirectory= names the place that this unit may write to.
    state = os.environ.get("STATE_DIRECTORY")
    places = {} if state is None else {"state": Path(state.split(":")[0])}
    return load(given, os.environ, options.config, **places)


def _run(settings: GatewaySettings) -> int:
    from gateway.run import run

    return run(settings)


def _check(settings: GatewaySettings) -> int:
    from gateway.check import check

    found = check(settings)
    for finding in found:
        word = {True: "ok", None: "warning", False: "error"}[finding.good]
        print(f"{word:8}{finding.what:10}{finding.say}")
    return FAILED if any(finding.good is False for finding in found) else OK


class _JsonLines(logging.Formatter):
    """One object a line: time (ISO 8601, UTC), level, where, text."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "where": record.name,
            "text": record.getMessage(),
        }
        return json.dumps(line, ensure_ascii=False)


def _set_up_log(settings: GatewaySettings) -> None:
    handler = logging.StreamHandler()
    if settings.json_log:
        import time

        formatter: logging.Formatter = _JsonLines()
        formatter.converter = time.gmtime
    elif os.environ.get("JOURNAL_STREAM"):
        formatter = logging.Formatter("%(levelname)s %(message)s")  # the journal has the time
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for noisy in ("bleak", "dbus_fast", "gateway.uplink.paho", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
