"""`proximity rules explain`: why a shopper got an offer, or did not, with the rules as they were at that time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proximity.commands.rules_versions import Config, Data, Database
from proximity.errors import ProximityError

if TYPE_CHECKING:
    from proximity.model import Decision
    from proximity.store.database import Store
    from rules.ruleset import RuleSet

MOST = 10  # things that happened, told where nothing was decided


def explain(
    shopper: Annotated[str, typer.Argument(help="Id of the shopper.")],
    at: Annotated[
        str | None, typer.Option("--at", help="When, as 2026-11-24T12:04 on the shop's clock; without it, the latest.")
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Only decisions of this rule.")] = None,
    around: Annotated[str, typer.Option("--around", help="How far from --at to look.")] = "5m",
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Why a shopper got an offer, or did not: the stored decisions with what each stage saw, and the lines of YAML."""
    from proximity.commands.rules_desk import open_house
    from proximity.settings import read_settings
    from proximity.store import history
    from rules.values import duration

    settings = read_settings(data=data, config=config, database=database)
    clock = _shop_clock(settings.config)
    moment = since = until = None
    if at is not None:
        moment = _moment(at, clock)
        try:
            since, until = moment - duration(around), moment + duration(around)
        except ValueError as error:
            raise ProximityError(f"--around: {error}") from None
    with open_house(settings) as store:
        limit = 10 if at is None else 1000
        found = history.decisions(store, shopper=shopper, rule=rule, since=since, until=until, limit=limit)
        parts = list(_told(store, found, clock))
        if since is not None and until is not None:
            ruleset = _in_force(store, settings.config, until)
            parts += _silent(store, ruleset, shopper, rule, found, (since, until), clock)
    if not parts:
        whom = f"{shopper} by {rule}" if rule else shopper
        raise ProximityError(f"nothing was decided for {whom}{f' within {around} of {at}' if at else ''}")
    print("\n\n".join(parts))


def _told(store: "Store", found: Sequence["Decision"], clock: tzinfo) -> Iterator[str]:
    """The decisions, the oldest first, each beside the rules that were in force when it was taken."""
    from proximity.store import rulesets
    from rules.explain import explain as words

    texts: dict[str, dict[str, str]] = {}
    for one in reversed(found):
        version = rulesets.standing(store, one.at).version or ""
        if version not in texts:
            texts[version] = rulesets.files(store, version)
        yield words(one, clock, texts[version])


def _in_force(store: "Store", config: Path, at: float) -> "RuleSet | None":
    """The rules that were in force at a moment; None when that is not known, or when they do not fit the shop of
    today."""
    from proximity.clock import system_clock
    from proximity.commands.rules_desk import shop
    from proximity.errors import ConfigurationError
    from proximity.rulebook import RuleBook
    from proximity.store import rulesets

    version = rulesets.standing(store, at).version
    if version is None or not config.is_dir():
        return None
    try:
        return RuleBook(store, system_clock, shop(config)).read(version)
    except ConfigurationError:
        return None


def _silent(
    store: "Store",
    ruleset: "RuleSet | None",
    shopper: str,
    rule: str | None,
    found: Sequence["Decision"],
    span: tuple[float, float],
    clock: tzinfo,
) -> list[str]:
    """The rules that decided nothing in that time, what they wait for, and what happened instead."""
    from proximity.store import history

    if ruleset is None:
        return []
    if rule is not None and rule not in ruleset.by_id:
        raise ProximityError(f"there was no rule `{rule}` in force then; version {ruleset.version[:8]} was")
    spoke = {one.rule for one in found}
    silent = [one for one in ruleset.rules if one.id not in spoke and rule in (None, one.id)]
    if not silent:
        return []
    lines = [f"not considered for {shopper}, for no trigger matched:"]
    width = max(len(one.id) for one in silent)
    lines += [f"  {one.id:<{width}}  waits for {one.trigger}  [{one.where}]" for one in silent]
    rows = history.transitions(store, shopper=shopper, since=span[0], until=span[1], limit=MOST)
    lines.append("what happened then:" if rows else f"{shopper} was seen to come and go nowhere then")
    lines += [f"  {datetime.fromtimestamp(row.at, clock):%H:%M:%S}  {row.kind} {row.zone}  ({row.site})"
              for row in reversed(rows)]  # fmt: skip
    return ["\n".join(lines)]


def _shop_clock(config: Path) -> tzinfo:
    """The clock of the first shop, else UTC: explaining needs no configuration."""
    from proximity.site.load import load_sites
    from rules.schedule import zone_info

    sites = load_sites(config).sites if config.is_dir() else ()
    return (zone_info(sites[0].timezone) if sites else None) or UTC


def _moment(text: str, clock: tzinfo) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ProximityError(f"--at {text}: write a time as 2026-11-24T12:04") from None
    return (found if found.tzinfo else found.replace(tzinfo=clock)).timestamp()
