"""`proximity rules backtest`: what rules would have sent in a time that is recorded, beside what was sent."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proximity.commands.rules_versions import Config, Data, Database, Json
from proximity.errors import ProximityError

if TYPE_CHECKING:
    from proximity.delivery.routes import RouteSettings
    from proximity.store.database import Store
    from proximity.store.recorded import Decided
    from rules.backtest import Outcome
    from rules.occurrence import Happening
    from rules.ruleset import RuleSet

LATE = 3600.0  # s after the end in which decisions are looked for about what happened before it
SHOWN = 10  # sends that are told one by one


def backtest(
    rules: Annotated[str, typer.Argument(help="Folder, file, or version.")],
    begin: Annotated[
        str | None, typer.Option("--from", help="As 2026-11-24 or 2026-11-24T12:00, on the shop's clock.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same; a day alone is the whole of it.")] = None,
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Play recorded transitions and events through rules: sends, reasons, coupons, and the difference to live."""
    from proximity.commands.rules_desk import open_house, read_either
    from proximity.delivery.routes import RouteSettings
    from proximity.settings import read_settings

    settings = read_settings(data=data, config=config, database=database)
    ruleset, asked = read_either(rules, settings, config)
    clock = ruleset.nowhere.zone if ruleset.catalog.stores else UTC
    with open_house(settings) as store:
        routes = RouteSettings(webhook_url=settings.webhook_url)
        found = _play(store, ruleset, asked, routes, *_span(store, begin, end, clock))
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, indent=2))
    else:
        print("\n".join(found.lines(clock)))


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. Times in epoch seconds."""

    begin: float
    end: float
    transitions: int
    events: int
    asked: tuple[str, ...]  # rules
    outcome: "Outcome"
    live: "Decided"

    @property
    def more(self) -> list[tuple[str, str, float, str]]:
        """Rule, shopper, time, and what became of it live: would be sent, and was not."""
        return [
            (one.rule, one.shopper, one.at, self.live.withheld.get(name, "not decided"))
            for name, one in self.outcome.sent.items()
            if name not in self.live.sent and one.rule in self.asked
        ]

    @property
    def less(self) -> list[tuple[str, str, float]]:
        """Was sent by a rule that is among these, or by one that is not there any more, and would not be."""
        return [one for name, one in self.live.sent.items() if name not in self.outcome.sent and self._compared(one[0])]

    def _compared(self, rule: str) -> bool:
        return rule in self.asked or rule not in self.outcome.rules

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        live = Counter(rule for rule, _, _ in self.live.sent.values())
        tallies = {name: self.outcome.rules[name] for name in self.asked}
        return {
            "from": self.begin,
            "to": self.end,
            "transitions": self.transitions,
            "events": self.events,
            "sent": sum(one.sent for one in tallies.values()),
            "shoppers": len({who for one in tallies.values() for who in one.shoppers}),
            "live": sum(number for rule, number in live.items() if self._compared(rule)),
            "rules": [
                {
                    "rule": name,
                    "sent": one.sent,
                    "live": live[name],
                    "shoppers": len(one.shoppers),
                    "withheld": dict(sorted(one.withheld.items())),
                    "coupons": one.coupons,
                    "cost": {unit: hundredths / 100 for unit, hundredths in sorted(one.worth.items())},
                    "coupons_of_unknown_cost": one.unknown_worth,
                }
                for name, one in tallies.items()
            ],
            "more": [{"rule": a, "shopper": b, "at": c, "live": d} for a, b, c, d in self.more],
            "less": [{"rule": a, "shopper": b, "at": c} for a, b, c in self.less],
            "values": {
                name: {"recorded": self.outcome.seen[name], "missing": self.outcome.missing[name]}
                for name in sorted({*self.outcome.seen, *self.outcome.missing})
            },
        }

    def lines(self, clock: tzinfo) -> Iterator[str]:
        """For people."""
        plain = self.plain()
        yield (f"{_when(self.begin, clock)} to {_when(self.end, clock)}: {self.transitions} transitions and "
               f"{self.events} events")  # fmt: skip
        yield ""
        rows = [("rule", "sent", "live", "shoppers", "withheld")]
        for one in plain["rules"]:
            reasons = sorted(one["withheld"].items(), key=lambda pair: (-pair[1], pair[0]))
            words = ", ".join(f"{reason} {number}" for reason, number in reasons)
            rows.append((one["rule"], str(one["sent"]), str(one["live"]), str(one["shoppers"]), words))
        rows.append(("all", str(plain["sent"]), str(plain["live"]), str(plain["shoppers"]), ""))
        yield from _columns(rows)
        yield ""
        yield from self._difference(clock)
        yield from _costs(plain["rules"])
        for name, looks in plain["values"].items():
            if looks["missing"]:
                whole = looks["missing"] + looks["recorded"]
                yield f"{name} was not recorded in {looks['missing']} of {whole} looks; it counts as missing there"

    def _difference(self, clock: tzinfo) -> Iterator[str]:
        more, less = self.more, self.less
        yield f"would be sent, and was not: {len(more)}; was sent, and would not be: {len(less)}"
        for rule, shopper, at, live in more[:SHOWN]:
            yield f"  + {rule} to {shopper}, {_when(at, clock)} (live: {live})"
        for rule, shopper, at in less[:SHOWN]:
            yield f"  - {rule} to {shopper}, {_when(at, clock)}"
        if max(len(more), len(less)) > SHOWN:
            yield "  … all of them with --json"


def _play(
    store: "Store",
    ruleset: "RuleSet",
    asked: frozenset[str] | None,
    routes: "RouteSettings",
    begin: float,
    end: float,
) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    from proximity.delivery.routes import reachable
    from proximity.registry import Registry
    from proximity.shop_events import occurrence
    from proximity.store import recorded
    from proximity.store.rule_state import ShopEvent
    from rules.backtest import Outcome, Recording
    from rules.backtest import backtest as play

    transitions, events = recorded.count(store, begin, end)
    live, registry = recorded.decided(store, begin, end + LATE), Registry(store)

    def values(one: "Happening") -> Mapping[str, Any]:
        return live.values.get(one.id, {})

    recording = Recording(
        begin, end, registry.shoppers, lambda name: reachable(registry.carried_by(name), routes), values,
        recorded.inside(store, begin),
    )  # fmt: skip
    found = (occurrence(one) if isinstance(one, ShopEvent) else one for one in recorded.happened(store, begin, end))
    outcome = Outcome()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("backtest", total=transitions + events)
        for outcome in play(ruleset, recording, found):
            progress.update(bar, completed=outcome.happened)
    rules = tuple(name for name in outcome.rules if asked is None or name in asked)
    live.sent = {name: one for name, one in live.sent.items() if one[2] < end or name in outcome.decided}
    return Report(begin, end, transitions, events, rules, outcome, live)


def _span(store: "Store", begin: str | None, end: str | None, clock: tzinfo) -> tuple[float, float]:
    """The time to play. ProximityError when nothing is recorded in it."""
    from proximity.store import recorded
    from rules.values import last_moment, moment

    whole = recorded.span(store)
    if whole is None:
        raise ProximityError("the database holds no transitions and no events: nothing was recorded there yet")
    try:
        since = whole[0] if begin is None else _epoch(moment(begin), clock)
        until = whole[1] + 1.0 if end is None else _epoch(last_moment(end), clock)
    except ValueError as error:
        raise ProximityError(f"--from, --to: {error}") from None
    if since >= until:
        raise ProximityError("--from is not before --to")
    if not any(recorded.count(store, since, until)):
        raise ProximityError(
            f"nothing is recorded from {_when(since, clock)} to {_when(until, clock)}; the database holds "
            f"{_when(whole[0], clock)} to {_when(whole[1], clock)}"
        )
    return since, until


def _costs(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    given = sum(one["coupons"] for one in rules)
    if not given:
        return
    worth: Counter[str] = Counter()
    for one in rules:
        worth.update(one["cost"])
    words = [f"{amount:.2f} {unit} at most" for unit, amount in sorted(worth.items())]
    unknown = sum(one["coupons_of_unknown_cost"] for one in rules)
    words += [f"{unknown} of them do not say what they cost; `at_most` would"] if unknown else []
    yield f"coupons: {given}; {'; '.join(words)}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, words in rows:
        middle = "  ".join(text.rjust(width) for text, width in zip(numbers, widths[1:-1], strict=True))
        yield f"{name.ljust(widths[0])}  {middle}  {words}".rstrip()


def _epoch(at: datetime, clock: tzinfo) -> float:
    return (at if at.tzinfo else at.replace(tzinfo=clock)).timestamp()


def _when(at: float, clock: tzinfo) -> str:
    return datetime.fromtimestamp(at, clock).strftime("%Y-%m-%d %H:%M")
