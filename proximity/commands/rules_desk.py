"""Where versions of rules are kept: at a running service, through its API, or in a database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec

from proximity.clock import system_clock
from proximity.commands.rule_files import find_config, read_catalog, read_rule_files
from proximity.configuration import Configuration, check_configuration
from proximity.errors import ProximityError
from proximity.rulebook import Overview, RuleBook
from proximity.settings import Settings, read_settings
from proximity.site.load import load_sites
from proximity.store.database import Store, open_store
from proximity.store.rulesets import Version
from rules.load import SUFFIX, load_rules
from rules.ruleset import RuleSet

PATIENCE = 30.0  # s for an answer: ten thousand rules are checked in three


class Desk(Protocol):
    """What can be done to rules. A RuleBook is one."""

    def overview(self, limit: int = 100) -> Overview: ...
    def publish(self, files: Mapping[str, str], *, author: str, note: str = "") -> Version: ...
    def approve(self, name: str, *, by: str) -> Version: ...
    def roll_back(self, name: str, *, by: str, note: str = "") -> Version: ...
    def follow(self, *, by: str) -> None: ...
    def pause(self, rule: str, *, by: str) -> None: ...
    def resume(self, rule: str, *, by: str) -> None: ...


class RemoteDesk:
    """A running service."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def overview(self, limit: int = 100) -> Overview:
        """What is in force, and the latest changes."""
        return msgspec.convert(self._ask("GET", f"/rulesets?limit={limit}"), Overview)

    def publish(self, files: Mapping[str, str], *, author: str, note: str = "") -> Version:
        """Put rules in force, or let them wait."""
        return self._version("/rulesets", {"author": author, "note": note, "files": dict(files)})

    def approve(self, name: str, *, by: str) -> Version:
        """Agree to a version that waits."""
        return self._version(f"/rulesets/{name}/approve", {"by": by})

    def roll_back(self, name: str, *, by: str, note: str = "") -> Version:
        """Put an earlier version in force again."""
        return self._version(f"/rulesets/{name}/rollback", {"by": by, "note": note})

    def follow(self, *, by: str) -> None:
        """Give the rules back to the folder."""
        self._ask("POST", "/rules/follow", {"by": by})

    def pause(self, rule: str, *, by: str) -> None:
        """Stop a rule."""
        self._ask("POST", f"/rules/{rule}/pause", {"by": by})

    def resume(self, rule: str, *, by: str) -> None:
        """Let a rule go on."""
        self._ask("POST", f"/rules/{rule}/resume", {"by": by})

    def _version(self, path: str, body: Mapping[str, Any]) -> Version:
        return msgspec.convert(self._ask("POST", path, body), Version)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, f"/api/v1{path}", json=body)
        except httpx.HTTPError as error:
            raise ProximityError(f"{self._client.base_url} does not answer: {error}") from None
        try:
            said = answer.json()
        except ValueError:
            raise ProximityError(f"{self._client.base_url} is no Proximity: it answers {answer.status_code}") from None
        if answer.is_success:
            return said
        lines = [said.get("detail") or said.get("title") or str(answer.status_code)]
        lines += [f"  {one['where']}: {one['message']}" for one in said.get("errors") or ()]
        if answer.status_code == 401:
            lines.append("give it with --token; a service keeps it in its data folder, as operator.token")
        raise ProximityError("\n".join(lines))


@contextmanager
def open_desk(
    *, url: str | None, token: str | None, data: Path | None, database: str | None, config: Path | None
) -> Iterator[Desk]:
    """The service at `url`, else the database of `data`, where a running service sees a change within a second."""
    settings = read_settings(data=data, config=config, database=database)
    if url is not None:
        headers = {"authorization": f"Bearer {token or _kept_token(settings)}"}
        with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=PATIENCE) as client:
            yield RemoteDesk(client)
        return
    with open_house(settings) as store:
        yield RuleBook(store, system_clock, shop(settings.config))


@contextmanager
def open_house(settings: Settings) -> Iterator[Store]:
    """The database that is there. ProximityError when there is none."""
    if settings.database is None and not (settings.data / "proximity.db").exists():
        raise ProximityError(f"{settings.data}: no database there; name the folder with --data")
    store = open_store(settings.database_url)
    try:
        yield store
    finally:
        store.close()


def shop(config: Path) -> Configuration:
    """The shop that rules are checked against. Rules in the folder that have errors are as if they were not there:
    an earlier version can be put in force all the same."""
    configuration, _ = check_configuration(config)
    if configuration is not None:
        return configuration
    nothing = load_rules({}, read_catalog(config)).ruleset  # ConfigurationError when the shop's own files are wrong
    assert nothing is not None
    sites = load_sites(config)
    return Configuration(config, sites.sites, sites.people, nothing)


def read_either(name: str, settings: Settings, config: Path | None) -> tuple[RuleSet, frozenset[str] | None]:
    """The rules of a folder, a file or a version, and the ids of those that were asked for; None: all. `config` is for
    paths that lie in no configuration folder."""
    path = Path(name)
    if path.exists():
        files = read_rule_files([path], config_of(path) or config)
        ruleset = files.ruleset()
        return ruleset, frozenset(one.id for one in files.rules) if path.is_file() else None
    if settings.database is None and not (settings.data / "proximity.db").exists():
        raise ProximityError(f"{name}: no such file or folder, and no database with versions in {settings.data}")
    with open_house(settings) as store:
        return RuleBook(store, system_clock, shop(settings.config)).read(name), None


def read_texts(folder: Path) -> dict[str, str]:
    """The rule files of a configuration folder, or of a folder of rules, by the names that a service gives them."""
    if not folder.is_dir():
        raise ProximityError(f"{folder}: no such folder; rules are published as a whole, so name their folder")
    home = folder / "rules" if (folder / "rules").is_dir() else folder
    found: dict[str, str] = {}
    for path in sorted(home.rglob(f"*{SUFFIX}")):
        try:
            found[f"rules/{path.relative_to(home).as_posix()}"] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProximityError(f"{path}: {error}") from None
    if not found:
        raise ProximityError(f"{folder}: no file there ends in {SUFFIX}")
    return found


def config_of(folder: Path) -> Path | None:
    """The configuration folder that a folder of rules lies in, if it does."""
    try:
        return find_config(folder)
    except ProximityError:
        return None


def _kept_token(settings: Settings) -> str:
    """The token of the service whose data folder is here."""
    if settings.operator_token:
        return settings.operator_token
    try:
        return (settings.data / "operator.token").read_text(encoding="utf-8").strip()
    except OSError:
        raise ProximityError("the service wants the operator's token: give it with --token") from None
