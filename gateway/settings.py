"""Everything a technician can set, in one table, from command line, environment and a TOML file.

What is said on the command line wins over the environment (`PROXIMITY_GATEWAY_<NAME>`), that over the file, that over
the default. All mistakes are told at once.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from proximity.errors import ProximityError
from proximity.wire import SLUG

PREFIX = "PROXIMITY_GATEWAY_"
STATE = Path("~/.local/state/proximity-gateway")

Source = Literal["ble", "replay", "simulated"]


class SettingsError(ProximityError):
    """Settings that may not start. Carries every problem, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class BrokerAddress:
    """Where and as whom to connect."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ca_file: Path | None = None  # None: the certificates that the system trusts


@dataclass(frozen=True)
class GatewaySettings:
    """One gateway. Only `site` and `gateway` have no default; a simulation leaves the rest as it is."""

    site: str
    gateway: str
    broker: str = "mqtt://127.0.0.1:1883"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    source: Source = "ble"
    file: Path | None = None  # recording to replay
    speed: float = 1.0  # how many times faster than it was recorded, or than life
    spool: Path | None = None  # None: in memory
    spool_mb: int = 64
    sample_every: float = 1.0  # seconds; the service's configuration replaces it
    keep: tuple[str, ...] | None = (
        None  # ids, or beginnings that end in ":" or "-"; None: every beacon format, no address
    )
    adapter: str | None = None  # hci1, or the adapter's address; None: the first
    scan: Literal["active", "passive"] = "active"
    quiet_after: float = 90.0  # seconds without a packet
    power_on: bool = True
    trust_clock: bool = False
    led: Path | None = None
    beacons: int = 5  # simulated ones
    seed: int = 1
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    json_log: bool = False

    def address(self) -> BrokerAddress:
        """The broker with credentials. SettingsError when the URL is none or the password cannot be read."""
        host, port, tls = parse_broker(self.broker)
        password = None
        if self.password_file is not None:
            try:
                password = self.password_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError([f"password_file: {self.password_file} cannot be read ({error})"]) from None
        return BrokerAddress(host, port, tls, self.username, password, self.ca_file)

    def spool_directory(self) -> Path | None:
        """Each gateway has its own below `spool`, because one process may run several."""
        return None if self.spool is None else self.spool.expanduser() / self.site / self.gateway


class Setting(NamedTuple):
    """How one setting is read, and what the command line says of it."""

    name: str
    parse: Callable[[Any], Any]  # raises ValueError with what is expected
    help: str


def parse_broker(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is used. SettingsError for anything but `mqtt://` and `mqtts://`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.path.strip("/"):
        raise SettingsError(
            [f"broker: {url!r} is no broker address; write mqtt://host:1883, or mqtts://host:8883 for TLS"]
        )
    if parts.password is not None or parts.username is not None:
        raise SettingsError(["broker: name and password do not belong in the address; use username and password_file"])
    tls = parts.scheme == "mqtts"
    return host, port or (8883 if tls else 1883), tls


def load(
    options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None, *, state: Path = STATE
) -> GatewaySettings:
    """Settings from `options` (command line; None: not given), `environment` and a TOML `file`.

    Raises SettingsError with every problem. A radio's spool is kept below `state` when no place is named.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    known = {setting.name: setting for setting in SETTINGS}
    for where, given in _layers(options, environment, file, problems):
        for name, raw in given.items():
            if name not in known:
                problems.append(f"{where(name)}: there is no such setting{_near(name, known)}")
                continue
            try:
                values[name] = known[name].parse(raw)
            except ValueError as error:
                problems.append(f"{where(name)}: {raw!r} is {error}")
            except SettingsError as error:  # says it all, and may not repeat what was given
                problems += [f"{where(name)}: {problem.removeprefix(f'{name}: ')}" for problem in error.problems]
    _complete(values, problems, state)
    if not problems:
        settings = GatewaySettings(**values)
        try:
            settings.address()
        except SettingsError as error:
            problems += error.problems
        else:
            return settings
    raise SettingsError(problems)


def _layers(
    options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None, problems: list[str]
) -> list[tuple[Callable[[str], str], dict[str, Any]]]:
    """Weakest first, each with how to name a setting in it."""
    content: dict[str, Any] = {}
    if file is not None:
        try:
            content = tomllib.loads(file.read_text())
        except OSError as error:
            problems.append(f"{file}: cannot be read ({error.strerror or error})")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(f"{file}: not TOML: {error}")
    variables = {n.removeprefix(PREFIX).lower(): v for n, v in environment.items() if n.startswith(PREFIX)}
    given = {name: value for name, value in options.items() if value is not None}
    return [
        (lambda name: f"{file}: {name}", content),
        (lambda name: f"{PREFIX}{name.upper()}", variables),
        (lambda name: f"--{name.replace('_', '-')}", given),
    ]


def _complete(values: dict[str, Any], problems: list[str], state: Path) -> None:
    """What one setting demands of another."""
    source = values.get("source", "ble")
    if "site" not in values and not any("site:" in p for p in problems):
        problems.append("site: missing; say which shop this gateway stands in (--site)")
    if source == "replay":
        values.setdefault("gateway", ANY_RECEIVER)
        values.setdefault("keep", ("",))  # a recording was made to be seen
        if "file" not in values:
            problems.append("file: missing; --source replay needs the recording to replay")
    elif "gateway" not in values and not any("gateway:" in p for p in problems):
        problems.append("gateway: missing; give this gateway a name within the shop (--gateway)")
    if source == "ble":
        values.setdefault("spool", state)
        if values.get("speed", 1.0) != 1.0:
            problems.append("speed: a radio has only its own speed; leave it out, or use --source replay or simulated")
    if "password_file" in values and "username" not in values:
        problems.append("password_file: a password needs a username")


def _near(name: str, known: Mapping[str, Setting]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not SLUG.match(value):
        raise ValueError("no slug: lower-case letters, digits and hyphens, 64 at most, a letter or digit at both ends")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


def _path(value: Any) -> Path:
    return Path(_text(str(value) if isinstance(value, Path) else value)).expanduser()


def _number(least: float, most: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        try:
            number = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            number = None
        if number is None or not least <= number <= most:
            raise ValueError(f"no number from {least:g} to {most:g}")
        return number

    return parse


def _whole(least: int, most: int) -> Callable[[Any], int]:
    number = _number(least, most)

    def parse(value: Any) -> int:
        try:
            found = number(value)
        except ValueError:
            found = 0.5
        if found != int(found):
            raise ValueError(f"no whole number from {least} to {most}")
        return int(found)

    return parse


def _switch(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError("neither true nor false")
    return words[value.lower()]


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"none of {', '.join(choices)}")
        return str(value)

    return parse


def _prefixes(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("no list of prefixes such as ibeacon:, mac:")
    return tuple(item.strip().lower() for item in items if item.strip())


def _broker(value: Any) -> str:
    url = _text(value)
    parse_broker(url)
    return url


ANY_RECEIVER = "every-receiver"  # stands for the gateway's name when a recording names the gateways

SETTINGS: tuple[Setting, ...] = (
    Setting("site", _slug, "which shop this gateway stands in"),
    Setting("gateway", _slug, "its name within the shop; with a recording: only this receiver"),
    Setting("broker", _broker, "mqtt://host:1883, or mqtts://host:8883 for TLS"),
    Setting("username", _text, "user name for the broker"),
    Setting("password_file", _path, "file that holds the password for the broker"),
    Setting("ca_file", _path, "certificate authority of the broker, for mqtts"),
    Setting("source", _one_of("ble", "replay", "simulated"), "where packets come from: ble, replay or simulated"),
    Setting("file", _path, "recording to replay"),
    Setting("speed", _number(0.01, 1000), "times as fast as recorded, for replay and simulated"),
    Setting("spool", _path, "directory for messages that wait; replay and simulated keep them in memory without it"),
    Setting("spool_mb", _whole(1, 100_000), "megabytes that may wait before the oldest is given up"),
    Setting("sample_every", _number(0.2, 60), "seconds of one sample, until the service says otherwise"),
    Setting(
        "keep", _prefixes, "device ids to report, or beginnings that end in : or -, until the service says otherwise"
    ),
    Setting("adapter", _text, "Bluetooth adapter: hci1, or its address, which stays when adapters are renumbered"),
    Setting("scan", _one_of("active", "passive"), "active, or passive with fall-back to active"),
    Setting("quiet_after", _number(1, 86_400), "seconds without a packet until the radio counts as quiet"),
    Setting("power_on", _switch, "switch the adapter on when it is off"),
    Setting("trust_clock", _switch, "the machine's clock is right without time synchronisation"),
    Setting("led", _path, "brightness file of the LED to blink for identify"),
    Setting("beacons", _whole(1, 10_000), "how many beacons to simulate"),
    Setting("seed", _whole(0, 2**31), "seed of the simulation"),
    Setting("log_level", _one_of("debug", "info", "warning", "error"), "debug, info, warning or error"),
    Setting("json_log", _switch, "one JSON object a line, for log collectors"),
)
