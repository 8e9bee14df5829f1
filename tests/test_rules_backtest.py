"""`proximity rules backtest`: what other rules would have made of a day that is recorded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proximity.commands.rules import app
from proximity.configuration import Configuration, load_configuration
from proximity.errors import ProximityError
from proximity.examples import example_config
from proximity.model import Shopper, Transition, TransitionKind
from proximity.store import context, people
from proximity.store.context import Value
from rules.backtest import Outcome, Recording, backtest
from rules.load import load_rules
from rules.occurrence import Happening, event_occurrence
from rules.ruleset import RuleSet
from tests.test_rules_lifecycle import House, rule, texts

NOW = 1_764_155_040.0  # 2025-11-26 12:04 in Paris
HOUR = 3600.0
ADA = Shopper("ada", ("en",), consents={"in-store-offers": True})


@pytest.fixture(scope="module")
def folder() -> Configuration:
    return load_configuration(example_config())


def read(folder: Configuration, *rules: str, header: str = "") -> RuleSet:
    loaded = load_rules({"a.rules.yaml": header + "rules:\n" + "".join(rules)}, folder.ruleset.catalog)
    assert loaded.ruleset is not None, [one.render() for one in loaded.diagnostics]
    return loaded.ruleset


def moved(kind: TransitionKind, zone: str, at: float, shopper: str = "ada") -> Transition:
    one = f"{shopper} {kind} {zone} {at}"
    return Transition(one, kind, "confirmed", "demo-store", zone, shopper, "d", shopper, at, at, at, 1.0)


def play(ruleset: RuleSet, *happened: Happening, end: float = NOW + HOUR, **more: Any) -> Outcome:
    shoppers = more.pop("shoppers", {"ada": ADA})
    return list(backtest(ruleset, Recording(NOW, end, shoppers, **more), happened))[-1]


def basket(at: float, shopper: str = "ada") -> Happening:
    return event_occurrence(f"{shopper} {at}", "basket_add", shopper, at, "demo-store", {"sku": "A"})


BASKET = "{event: {name: basket_add}}"


def test_limits_come_of_the_run_itself(folder: Configuration) -> None:
    ruleset = read(folder, rule("b", BASKET, "    limits: [{scope: rule, max: 2, every: 30m}]\n"))
    found = play(ruleset, *(basket(NOW + minute * 60) for minute in (0, 1, 2, 31, 32, 33)))
    assert found.rules["b"].sent == 4
    assert found.rules["b"].withheld == {"limit_reached": 2}
    assert found.rules["b"].shoppers == {"ada"}


def test_a_service_message_and_the_limits_of_the_house(folder: Configuration) -> None:
    order = rule("order", BASKET, "    class: service\n    limits: [{scope: rule, max: 1, every: 30m}]\n")
    house = "defaults: {limits: [{scope: all, max: 1, every: 24h}]}\n"
    ruleset = read(folder, rule("advert", BASKET), order, header=house)
    found = play(ruleset, *(basket(NOW + minute * 60) for minute in (0, 1, 29, 30, 31)))
    assert (found.rules["order"].sent, found.rules["order"].withheld) == (2, {"limit_reached": 3})
    assert (found.rules["advert"].sent, found.rules["advert"].withheld) == (1, {"limit_reached": 4})


def test_budgets_and_what_coupons_cost(folder: Configuration) -> None:
    offer = "    offer: {coupon: {amount_off: 2.50 EUR, per_shopper: 2}, budget: {coupons: 3}}\n"
    crowd = {name: Shopper(name, consents={"in-store-offers": True}) for name in ("ada", "ben", "cem")}
    happened = [basket(NOW + n, who) for n, who in enumerate(("ada", "ada", "ada", "ben", "cem"))]
    found = play(read(folder, rule("b", BASKET, offer)), *happened, shoppers=crowd)
    tally = found.rules["b"]
    assert (tally.coupons, tally.worth, tally.unknown_worth) == (3, {"EUR": 750}, 0)
    assert tally.withheld == {"limit_reached": 1, "budget_spent": 1}


def test_what_comes_by_itself(folder: Configuration) -> None:
    """A schedule finds who is inside, an absence lasts, and quiet hours end: all between two things that happen."""
    ruleset = read(
        folder,
        rule("noon", '{schedule: {cron: "10 12 * * *", to: {inside: store}}}'),
        rule("away", "{absence: {for: 30m}}"),
        rule("held", "{enter: {zone: bakery}}", "    quiet: {window: lunch, then: hold}\n"
                                                "    deliver: {only_while: anywhere, on_exit: keep}\n"),
        header='windows: {lunch: {from: "12:00", to: "12:30"}}\n',
    )  # fmt: skip
    found = play(ruleset, moved("enter", "bakery", NOW + 60), moved("exit", "bakery", NOW + 600), end=NOW + 2 * HOUR)
    assert {name: (one.sent, dict(one.withheld)) for name, one in found.rules.items()} == {
        "away": (1, {}),
        "held": (1, {"quiet_hours": 1}),
        "noon": (1, {}),
    }
    early = play(ruleset, moved("enter", "bakery", NOW + 60), end=NOW + 120)
    assert early.rules["noon"].sent == 0


def test_a_sequence_and_who_was_inside_before(folder: Configuration) -> None:
    ruleset = read(
        folder,
        rule("pair", "{sequence: {within: 10m, steps: [{event: {name: basket_add}}, {exit: {zone: tills}}]}}"),
        rule("noon", '{schedule: {cron: "10 12 * * *", to: {inside: tills}}}'),
    )
    inside = {"ada": frozenset({("demo-store", "tills")})}
    found = play(ruleset, basket(NOW + 300), moved("exit", "tills", NOW + 420), inside=inside)
    assert {name: one.sent for name, one in found.rules.items()} == {"noon": 1, "pair": 1}
    late = play(ruleset, basket(NOW + 300), moved("exit", "tills", NOW + 301), inside=inside)
    assert late.rules["noon"].sent == 0


def test_values_are_those_that_were_seen(folder: Configuration) -> None:
    where = "    where: {all: [weather.rain, shopper.visits_30d >= 3]}\n"
    ruleset = read(folder, rule("wet", BASKET, where))
    one, other = basket(NOW), basket(NOW + 60)
    seen = {one.id: {"weather.rain": True, "shopper.visits_30d": 5}}
    found = play(ruleset, one, other, values=lambda happening: seen.get(happening.id, {}))
    assert found.rules["wet"].sent == 1
    assert found.rules["wet"].withheld == {"attribute_missing": 1}
    assert (found.seen, found.missing) == ({"weather.rain": 1}, {"weather.rain": 1})


def test_nobody_is_sent_to_who_is_not_known(folder: Configuration) -> None:
    found = play(read(folder, rule("b", BASKET)), basket(NOW, "erased"))
    assert found.rules["b"].withheld == {"no_consent": 1}


# -- the command, on what a service has recorded ------------------------------------------------------------------

LINGER = rule("linger", "{dwell: {zone: coffee-aisle, for: 10s}}")
LIMITED = rule("basket", BASKET, "    limits: [{scope: rule, max: 1, every: 24h}]\n")
FULL = rule("full", BASKET, "    where: {all: [cart.items > 0]}\n")
PAIR = rule("pair", "{sequence: {within: 1h, steps: [{event: {name: qr_scanned}}, {event: {name: purchase}}]}}")


@pytest.fixture
def day(tmp_path: Path, folder: Configuration) -> Iterator[House]:
    """A recorded visit under four rules."""
    house = House(tmp_path, folder, LINGER, LIMITED, FULL, PAIR)
    people.put_shopper(house.store, Shopper("ada", ("en",), consents={"in-store-offers": True}), at=NOW)
    house.service.everybody_changed()
    house.tell("qr_scanned")
    house.stand("coffee-aisle", 14)
    house.tell("basket_add")
    context.put(house.store, [Value("cart", "items", 2, shopper="ada")], house.now, "api")
    house.service.context_changed()
    house.tell("basket_add")
    house.tell("purchase")
    yield house
    house.store.close()


def run(house: House, tmp_path: Path, *words: object) -> Result:
    database = f"sqlite:///{tmp_path / 'p.db'}"
    return CliRunner().invoke(
        app, ["backtest", *map(str, words), "--database", database, "--config", str(example_config())]
    )


def test_the_rules_that_were_live_come_out_as_they_did(day: House, tmp_path: Path) -> None:
    """What was decided is decided again: the same sends, the same reasons."""
    version = day.book.overview().current
    found = json.loads(run(day, tmp_path, version, "--json").stdout)
    assert (found["more"], found["less"]) == ([], [])
    assert (found["sent"], found["live"], found["shoppers"]) == (4, 4, 1)
    by_rule = {one["rule"]: one for one in found["rules"]}
    assert {name: one["sent"] for name, one in by_rule.items()} == {"basket": 1, "full": 1, "linger": 1, "pair": 1}
    for name, one in by_rule.items():
        reasons = [reason for reason in day.outcomes(name) if reason != "sent"]
        assert one["withheld"] == {reason: reasons.count(reason) for reason in set(reasons)}
    assert found["transitions"] == 2
    assert found["events"] == 4


def test_other_rules_are_told_beside_them(day: House, tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    offer = "    offer: {coupon: {percent_off: 20, at_most: 4 EUR}}\n    where: {all: [weather.temp_c < 9.0]}\n"
    files = texts(
        LIMITED.replace("    limits: [{scope: rule, max: 1, every: 24h}]\n", ""),
        FULL.replace("> 0", "> 9"),
        rule("cold", BASKET, offer),
        rule("gift", BASKET, "    offer: {coupon: {amount_off: 2 EUR}}\n"),
        rule("free", BASKET, "    offer: {coupon: {free: a coffee}}\n"),
    )
    (drafts / "a.rules.yaml").write_text(files["rules/a.rules.yaml"])
    told = run(day, tmp_path, drafts, "--from", "2025-11-26", "--to", "2025-11-26")
    assert told.exit_code == 0, getattr(told.exception, "diagnostics", told)
    lines = told.stdout.splitlines()
    assert lines[0] == "2025-11-26 00:00 to 2025-11-27 00:00: 2 transitions and 4 events"
    assert lines[2:9] == [
        "rule    sent  live  shoppers  withheld",
        "basket     2     1         1",
        "cold       0     0         0  attribute_missing 2",
        "free       1     0         1  limit_reached 1",
        "full       0     1         0  attribute_missing 1, condition_false 1",
        "gift       1     0         1  limit_reached 1",
        "all        4     4         1",
    ]
    assert lines[10] == "would be sent, and was not: 3; was sent, and would not be: 3"
    assert "  + basket to ada, 2025-11-26 12:04 (live: limit_reached)" in lines
    assert "  + gift to ada, 2025-11-26 12:04 (live: not decided)" in lines
    assert "  - linger to ada, 2025-11-26 12:04" in lines
    assert "coupons: 2; 2.00 EUR at most; 1 of them do not say what they cost; `at_most` would" in lines
    assert "weather.temp_c was not recorded in 2 of 2 looks; it counts as missing there" in lines
    assert told.stderr == ""  # no bar where nobody looks


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "2025-12-01"), "--from is not before --to"),
        (
            ("--from", "2025-12-01", "--to", "2025-12-02"),
            "nothing is recorded from 2025-12-01 00:00 to 2025-12-03 00:00; the database holds 2025-11-26 12:04 to "
            "2025-11-26 12:04",
        ),
        (("--from", "noon"), '--from, --to: "noon" is not a date'),
    ],
)
def test_a_time_that_is_not_recorded(day: House, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    problem = run(day, tmp_path, example_config(), *words).exception
    assert isinstance(problem, ProximityError)
    assert message in str(problem)


def test_a_database_in_which_nothing_happened(tmp_path: Path, folder: Configuration) -> None:
    house = House(tmp_path, folder, LINGER)
    problem = run(house, tmp_path, example_config()).exception
    assert isinstance(problem, ProximityError)
    assert "the database holds no transitions and no events" in str(problem)
    house.store.close()
