"""`proximity rules diff`: a sentence for each thing that is other, and none for what only looks other."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proximity.commands.rules import app
from proximity.configuration import Configuration, load_configuration
from proximity.examples import example_config
from proximity.rulebook import RuleBook
from proximity.store.database import open_store
from rules import diff
from rules.diff import differences
from rules.load import load_rules
from rules.ruleset import Rule, RuleSet
from rules.triggers import Sequence

NOW = 1_764_155_040.0
HEAD = """
defaults: {{languages: [fr, en]{defaults}}}
windows: {{midday: {{from: "11:30", to: "14:00"}}, night: {{from: "21:00", to: "08:30"}}, also: {{days: [sat]}}}}
segments: {{fans: '{fans}', regulars: shopper.visits_30d >= 4}}
"""
RULE = """
rules:
  - id: one
    when: {when}
    {more}
    say: {say}
"""
SAY = '{fr: {title: "Bonjour", body: "B"}, en: {title: "Hello", body: "B"}}'
FANS = '"coffee" in shopper.wishlist'
COUPON = "offer: {{coupon: {{percent_off: {}, at_most: {}, sku: KONA-250, valid_for: 45m}}, budget: {{coupons: {}}}}}"


@pytest.fixture(scope="module")
def folder() -> Configuration:
    return load_configuration(example_config())


def read(folder: Configuration, **given: str) -> RuleSet:
    words = {
        "when": "{enter: {zone: entrance}}",
        "more": "title: One",
        "say": SAY,
        "fans": FANS,
        "defaults": "",
    } | given
    files = {"a.rules.yaml": HEAD.format(**words) + RULE.format(**words)}
    loaded = load_rules(files, folder.ruleset.catalog)
    assert loaded.ruleset is not None, [one.render() for one in loaded.diagnostics]
    return loaded.ruleset


def more(*lines: str) -> str:
    return "\n    ".join(lines)


A, B = "coffee-aisle", "bakery"
CASES: list[tuple[dict[str, str], dict[str, str], list[str]]] = [
    (
        {"when": f"{{dwell: {{zone: {A}, for: 60s}}}}"},
        {"when": f"{{dwell: {{zone: {A}, for: 90s}}}}"},
        ["waits 90 s instead of 60 s in coffee-aisle"],
    ),
    (
        {"when": f"{{dwell: {{zone: {A}, for: 60s}}}}"},
        {"when": f"{{dwell: {{zone: [{A}, {B}], for: 60s, forgive: 15s}}}}"},
        ["listens at coffee-aisle, bakery instead of coffee-aisle", "forgives 15 s away instead of no time"],
    ),
    ({}, {"when": "{dwell: {zone: entrance, for: 5m}}"},
        ["fires on dwell 5m in entrance instead of enter entrance"]),
    (
        {},
        {"when": "{enter: {zone: entrance, initial: false}}"},
        ["no longer fires for shoppers first heard of inside"],
    ),
    (
        {"when": "{approach: {place: store, within: 200m}}"},
        {"when": "{approach: {place: store, within: 400m}}"},
        ["fires within 400m of store instead of 200m"],
    ),
    (
        {"when": "{event: {name: basket_add}}"},
        {"when": "{event: {name: basket_add, match: 'event.sku == \"A\"'}}"},
        ['wants of the event event.sku == "A" instead of nothing'],
    ),
    (
        {"when": f"{{sequence: {{within: 10m, steps: [{{enter: {{zone: {A}}}}}, {{exit: {{zone: tills}}}}]}}}}"},
        {"when": f"{{sequence: {{within: 20m, steps: [{{enter: {{zone: {A}}}}}, {{exit: {{zone: tills}}}}]}}}}"},
        ["fires on enter coffee-aisle, then exit tills within 20m instead of enter coffee-aisle, then exit tills "
         "within 10m"],
    ),
    (
        {"when": f"{{sequence: {{within: 10m, steps: [{{enter: {{zone: {A}}}}}, {{exit: {{zone: tills}}}}]}}}}"},
        {"when": f"{{sequence: {{within: 10m, steps: [{{enter: {{zone: {A}, initial: false}}}}, "
                 "{exit: {zone: tills}}]}}"},
        ["fires on enter coffee-aisle, then exit tills within 10m, with other details: enter not for those first heard "
         "of inside, then exit instead of enter, then exit"],
    ),
    (
        {"when": '{schedule: {cron: "0 9 * * *", to: {segment: fans}}}'},
        {"when": '{schedule: {cron: "0 9 * * *", to: {segment: fans}, clock: shopper}}',
         "fans": "shopper.visits_30d > 1"},
        ["comes by the clock of the shopper instead of the store",
         f"reads the segment fans as shopper.visits_30d > 1 instead of {FANS}"],
    ),
    ({}, {"more": "status: paused"}, ["is paused, and was live", 'is called "one" instead of "One"']),
    ({}, {"more": more("title: One", "owner: ada")}, ["belongs to ada instead of nobody"]),
    (
        {},
        {"more": more("title: One", "where: {all: [shopper.visits_30d >= 3, weather.temp_c < 12.0]}")},
        ["now needs shopper.visits_30d >= 3", "now needs weather.temp_c < 12.0"],
    ),
    (
        {"more": more("title: One", "where: {any: [weather.rain], none: [cart.total > 80.0]}")},
        {"more": more("title: One", "where: {any: [weather.rain, cart.total > 9.0]}")},
        ["no longer leaves out those with cart.total > 80.0",
         "needs one of weather.rain, cart.total > 9.0 instead of one of weather.rain"],
    ),
    (
        {"more": more("title: One", "where: {all: [weather.rain]}")},
        {"more": more("title: One", "where: {all: [weather.rain], missing: {weather.rain: pass}}")},
        ["takes a missing weather.rain as `pass` instead of `skip`"],
    ),
    (
        {"more": more("title: One", "where: {segments: {any: [fans]}}")},
        {"more": more("title: One", "where: {segments: {any: [fans], none: [regulars]}}"),
         "fans": '"tea" in shopper.wishlist'},
        ["leaves out the segment regulars",
         f'reads the segment fans as "tea" in shopper.wishlist instead of {FANS}'],
    ),
    (
        {},
        {"more": more("title: One", "where: {during: midday, store: open}",
                      "runs: {from: '2026-11-20', until: '2026-12-24'}", "quiet: {window: night, then: hold}")},
        ["runs from 2026-11-20 until 2026-12-25 instead of without end",
         "sends only while the store is open instead of whether the store is open or closed",
         "sends in midday (11:30–14:00) instead of at any time",
         "is quiet in night (21:00–08:30) by the clock of the shopper, held until it ends instead of at no time"],
    ),
    ({}, {"defaults": ", timezone: shopper"}, ["goes by the clock of the shopper instead of the store"]),
    (
        {"more": more("title: One", "compete: {group: g, priority: 1}")},
        {"more": more("title: One", "compete: {group: g, priority: 2, score: cart.total * 2.0}")},
        ["has the priority 2 instead of 1", "is scored by cart.total * 2.0 instead of nothing"],
    ),
    (
        {"more": more("title: One", "limits: [{scope: rule, max: 1, every: 7d}, {scope: store, max: 2, every: 24h}]")},
        {"more": more("title: One", "limits: [{scope: rule, max: 2, every: 7d}, {scope: all, max: 3, every: 1h}]")},
        ["is sent at most 2 of this rule every 7 d instead of 1 of this rule every 7 d",
         "is sent at most 3 in all every 1 h, which is new",
         "is no longer limited to 2 of this store every 24 h"],
    ),
    (
        {},
        {"more": more("title: One", "holdout: {percent: 10, name: global}")},
        ["holds out 10 % (global) instead of nobody"],
    ),
    (
        {"more": more("title: One", COUPON.format(20, '"4 EUR"', 500))},
        {"more": more("title: One", COUPON.format(25, '"5 EUR"', "900}, points: 10")[:-1])},
        ["gives 25 % off KONA-250, 5 EUR at most, valid for 45 min instead of 20 % off KONA-250, 4 EUR at most, valid "
         "for 45 min", "has a budget of 900 coupons instead of 500 coupons", "gives 10 points instead of no points"],
    ),
    (
        {},
        {"say": '{fr: {title: "Salut", body: "B"}, de: {title: "Hallo", body: "B"}}'},
        ['now says in de: "Hallo", "B"', "no longer says anything in en",
         'title in fr: "Salut" instead of "Bonjour"'],
    ),
    ({}, {"say": '{fr: {title: "Bonjour", body: "B", url: "https://a.example/"}, en: {title: "Hello", body: "B"}}'},
     ['url in fr: "https://a.example/" instead of nothing']),
    (
        {},
        {"more": more("title: One", "deliver: {channels: [inbox], urgency: high, expires: 3m, only_while: store, "
                                    "on_exit: keep}")},
        ["goes out by inbox instead of push, inbox", "goes out with the urgency high instead of normal",
         "expires after 3 min instead of 5 min",
         "is sent only while the shopper is in the store instead of in the zone",
         "stays when the shopper leaves"],
    ),
    ({}, {"more": more("title: One", "do: [{staff: {desk: collect, text: hello}}]")},
     ['tells the desk collect: "hello"']),
    ({}, {"more": more("title: One", "goal: {event: purchase, within: 24h, value: basket.total}")},
     ["is measured by purchase within 24 h, worth basket.total instead of nothing"]),
    ({}, {"more": more("title: One", "consent: {purpose: order-updates}")},
     ["stands on the consent to order-updates instead of in-store-offers"]),
    ({}, {"more": more("title: One", "class: service")},
     ["is a service message now: no limits, quiet hours or holdouts"]),
    ({}, {"more": more("title: One", "class: service", "limits: [{scope: rule, max: 1, every: 4h}]")},
     ["is a service message now: only its own limits, and no quiet hours or holdouts",
      "is sent at most 1 of this rule every 4 h, which is new"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "wanted"), CASES)
def test_a_sentence_for_each_thing(
    folder: Configuration, old: dict[str, str], new: dict[str, str], wanted: list[str]
) -> None:
    before, after = read(folder, **old), read(folder, **new)
    found = differences(before, after)
    assert [one.text for one in found] == wanted
    assert {(one.rule, one.sort) for one in found} == {("one", "changed")}
    assert differences(before, before) == differences(after, after) == []
    assert len(differences(after, before)) >= 1


def test_arms(folder: Configuration) -> None:
    say = "{{a: {{en: {{title: A, body: B}}}}, b: {{en: {{title: {}, body: B}}}}}}"
    arms = "experiment: {{name: copy, arms: {{a: {}, b: {}}}}}"
    before = read(folder, more=arms.format(50, 50), say=say.format("X"))
    after = read(folder, more=arms.format(70, 30), say=say.format("Y"))
    assert [one.text for one in differences(before, after)] == [
        "tries copy (a 70 %, b 30 %) instead of copy (a 50 %, b 50 %)",
        'title in en (arm b): "Y" instead of "X"',
    ]


def test_new_and_gone(folder: Configuration) -> None:
    one = read(folder, more=COUPON.format(20, '"4 EUR"', 500))
    (gone,) = differences(one, one.having({}))
    (new,) = differences(one.having({}), one)
    whole = 'enter entrance, says "Bonjour", gives 20 % off KONA-250, 4 EUR at most, valid for 45 min'
    assert (str(new), new.sort) == (f"one: is new: {whole}", "new")
    assert (str(gone), gone.sort) == (f"one: is gone; it was: {whole}", "gone")


def test_another_form_says_nothing(folder: Configuration) -> None:
    """The same rules in one file, the other way round, with comments and blanks, in block style."""
    own = folder.ruleset
    header, _, _ = own.files["rules/shop.rules.yaml"].partition("rules:")
    bodies = [text.partition("rules:\n")[2] for _, text in sorted(own.files.items(), reverse=True)]
    text = header + "rules:\n" + "\n# a comment\n".join(bodies)
    text = text.replace("{dwell: {zone: coffee-aisle, for: 12s}}", "\n      dwell:\n        for: 12s\n        zone: "
                        "coffee-aisle")  # fmt: skip
    loaded = load_rules({"all.rules.yaml": text}, own.catalog)
    assert loaded.ruleset is not None
    assert loaded.ruleset.version != own.version
    assert differences(own, loaded.ruleset) == []


def test_every_field_of_a_rule_is_looked_at() -> None:
    told = [name for _, fields in diff.PARTS for name in fields] + list(diff.SILENT)
    assert sorted(told) == sorted(field.name for field in dataclasses.fields(Rule))


def test_a_sequence_is_compared_without_its_place(folder: Configuration) -> None:
    when = "{sequence: {within: 10m, steps: [{enter: {zone: bakery}}, {exit: {zone: tills}}]}}"
    one, other = read(folder, when=when), read(folder, when=when, defaults=",\n  missing: skip")
    assert isinstance(one.by_id["one"].trigger, Sequence)
    assert one.by_id["one"].trigger.where != other.by_id["one"].trigger.where
    assert differences(one, other) == []


# -- the command --------------------------------------------------------------------------------------------------


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["diff", *map(str, words)])


def test_the_command(tmp_path: Path, folder: Configuration) -> None:
    shop, data = tmp_path / "shop", tmp_path / "data"
    shutil.copytree(example_config(), shop, ignore=shutil.ignore_patterns("examples", "systemd"))
    store = open_store(f"sqlite:///{data / 'proximity.db'}")
    store.migrate()
    book = RuleBook(store, lambda: NOW, folder)
    book.in_force(folder)
    file = shop / "rules" / "coffee.rules.yaml"
    file.write_text(file.read_text().replace("for: 12s", "for: 30s").replace("priority: 10", "priority: 20"))
    (shop / "rules" / "fresh.rules.yaml").unlink()
    wanted = [
        "coffee-discover: waits 30 s instead of 12 s in coffee-aisle",
        "coffee-discover: has the priority 20 instead of 10",
        "",
        "coffee-linger: waits 30 s instead of 12 s in coffee-aisle",
    ]
    version = folder.ruleset.version[:8]
    here = ["--data", data, "--config", shop]
    by_file = run(example_config() / "rules" / "coffee.rules.yaml", file)
    assert (by_file.exit_code, by_file.stdout.splitlines()) == (1, wanted)
    assert run(version, file, *here).stdout == by_file.stdout
    whole = run(version, shop, *here)
    assert whole.exit_code == 1
    assert "bakery-birthday: is gone; it was: enter bakery" in whole.stdout
    assert run(version, version, *here).exit_code == run(shop, shop).exit_code == 0
    rows = json.loads(run(version, file, *here, "--json").stdout)
    assert rows[0] == {"rule": "coffee-discover", "sort": "changed", "text": wanted[0].partition(": ")[2]}

    file.write_text("rules: nonsense")
    for words, message in [
        ((version, shop, *here), "error[E103]"),
        (("zzz", shop, *here), "there is no version `zzz`"),
        (("zzz", shop, "--data", shop), "zzz: no such file or folder, and no database with versions"),
    ]:
        trouble = run(*words)
        assert trouble.exit_code == 2
        assert message in trouble.stderr
    store.close()
