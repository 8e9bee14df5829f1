"""Loading: good files load without a word, each bad file gives exactly the text beside it."""

import re
from pathlib import Path
from typing import Any

import pytest

from proximity.document import parse
from proximity.model import DwellThreshold
from rules.attributes import Attributes, load_attributes
from rules.catalog import Catalog, Store, Zone
from rules.decide import decide
from rules.explain import REASONS
from rules.expressions import Compiler
from rules.json_schema import rules_schema
from rules.load import load_rules, read_rules
from rules.templates import _FILTERS, _TAGS
from tests.guide import blocks
from tests.rules.support import CATALOG, facts, happening, load, outcomes, rule, ruleset

ROOT = Path(__file__).parent.parent
HERE = ROOT / "tests" / "rules"
GOOD = sorted((HERE / "good").glob("*.rules.yaml"))
BAD = sorted(path for path in (HERE / "bad").iterdir() if path.suffix == ".yaml" or path.is_dir())


def _messages(path: Path) -> str:
    if path.name.endswith(".attributes.yaml"):
        _, diagnostics = load_attributes(path.read_text(), path.name)
    elif path.is_dir():
        diagnostics = read_rules(path, CATALOG).diagnostics
    else:
        diagnostics = load_rules({path.name: path.read_text()}, CATALOG).diagnostics
    return "\n".join(one.render() for one in diagnostics) + "\n"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_file_loads_without_a_word(path: Path) -> None:
    loaded = load_rules({path.name: path.read_text()}, CATALOG)
    assert [one.render() for one in loaded.diagnostics] == []
    assert loaded.ruleset is not None


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_file_gives_exactly_its_message(path: Path) -> None:
    expected = path.parent / (path.name.removesuffix(".yaml") + ".txt")
    assert _messages(path) == expected.read_text()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_an_error_prevents_the_load_and_a_warning_does_not(path: Path) -> None:
    if path.suffix == ".yaml" and path.name.endswith(".rules.yaml"):
        loaded = load_rules({path.name: path.read_text()}, CATALOG)
        assert (loaded.ruleset is None) == bool(loaded.errors) == (not path.name.startswith("warn-"))


def test_there_are_enough_bad_files_and_no_orphaned_message() -> None:
    assert len(BAD) >= 100
    names = {path.name.removesuffix(".yaml") for path in BAD}
    assert {path.stem for path in (HERE / "bad").glob("*.txt")} == names


def test_the_example_shop_loads() -> None:
    declared, wrong = load_attributes((ROOT / "config/attributes.yaml").read_text(), "attributes.yaml")
    assert declared is not None, wrong
    names = ("entrance", "coffee-aisle", "bakery", "shoe-fitting", "tills", "collect-desk", "car-park")
    shop = Store("demo-store", "Europe/Paris", country="FR", zones=tuple(Zone(name) for name in names))
    loaded = read_rules(ROOT / "config/rules", Catalog((shop,), declared))
    assert loaded.diagnostics == []
    assert loaded.ruleset is not None
    assert len(loaded.ruleset.rules) >= 4
    for (_, _), dwells in loaded.ruleset.thresholds().items():
        assert max(dwell.seconds for dwell in dwells) <= 20  # the demo shows something within a minute


def _blocks() -> list[str]:
    return [block for block, answer in blocks((ROOT / "docs/rules.md").read_text()) if answer is None]


def test_every_yaml_block_of_the_guide_loads() -> None:
    declared: Attributes | None = None
    blocks = _blocks()
    for block in blocks:
        if re.search(r"^attributes:", block, re.MULTILINE):
            declared, wrong = load_attributes(block, "attributes.yaml")
            assert declared is not None, wrong
    assert declared is not None
    names = ["entrance", "coffee-aisle", "tea-aisle", "bakery", "tills", "car-park"]
    zones = tuple(Zone(name, tags=frozenset({name.partition("-")[0]})) for name in names)
    catalog = Catalog((Store("demo-store", "Europe/Paris", "Demo", "FR", "Mo-Su 09:00-20:00", zones),), declared)
    checked = 0
    for block in blocks:
        if re.search(r"^rules:", block, re.MULTILINE):
            loaded = load_rules({"guide.rules.yaml": block}, catalog)
            assert [one.render() for one in loaded.diagnostics] == []
            checked += 1
    assert checked >= 10


def _reasons(text: str) -> str:
    return text[text.index("| reason | means |") :].split("\n\n", maxsplit=1)[0]


def test_the_tables_of_the_guide_are_true() -> None:
    text = (ROOT / "docs/rules.md").read_text()
    table = text[text.index("| to ask | write |") : text.index("A condition that contains `: `")]
    examples = re.findall(r"\| `([^`]+)` \|$", table, re.MULTILINE)
    assert len(examples) >= 8
    for example in examples:
        assert Compiler(CATALOG.attributes).compile(example)[1] == (), example
    reasons = set(re.findall(r"^\| `([a-z]+_?[a-z]*)` \| ", _reasons(text), re.MULTILINE))
    assert reasons == set(REASONS)
    filters = re.search(r"- Filters: `([^`]+)`", text)
    tags = re.search(r"- Tags: `([^`]+)`", text)
    assert filters is not None
    assert tags is not None
    assert set(filters[1].split()) == _FILTERS
    assert set(tags[1].split()) == _TAGS - {"content", "illegal", "output", "#"}


# Files and folders


def test_a_folder_is_read_with_its_sub_folders(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    (tmp_path / "a.rules.yaml").write_text(rule(name="one"))
    (tmp_path / "fr" / "b.rules.yaml").write_text(rule(name="two"))
    (tmp_path / "fr" / "b.test.yaml").write_text("tests: []")
    (tmp_path / "c.rule.yaml").write_text(rule(name="three"))
    loaded = read_rules(tmp_path, CATALOG)
    assert loaded.ruleset is not None
    assert [one.id for one in loaded.ruleset.rules] == ["one", "two"]
    assert loaded.ruleset.rules[1].where == "fr/b.rules.yaml:3"
    assert [one.render() for one in loaded.diagnostics] == [
        "c.rule.yaml:1:1: warning[W001]: not read: the name of a rule file ends in `.rules.yaml`"
    ]


def test_a_missing_file_and_bad_bytes_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.rules.yaml").write_bytes(b"rules: \xe9")
    loaded = read_rules([tmp_path / "none.rules.yaml", tmp_path / "latin.rules.yaml"], CATALOG)
    assert loaded.ruleset is None
    assert [one.message for one in loaded.diagnostics] == ["not UTF-8 at byte 7; save it as UTF-8", "no such file"]


def test_all_errors_of_all_files_come_at_once() -> None:
    files = {
        "a.rules.yaml": rule("    sttus: live", name="a"),
        "b.rules.yaml": rule(when="{enter: {zone: entrace}}", name="b"),
        "c.rules.yaml": "rules: [",
    }
    found = load_rules(files, CATALOG).diagnostics
    assert [(one.mark.file, one.code) for one in found] == [
        ("a.rules.yaml", "E101"),
        ("b.rules.yaml", "E201"),
        ("c.rules.yaml", "E001"),
    ]


def test_a_window_of_a_file_that_cannot_be_read_is_not_called_unknown() -> None:
    files = {"a.rules.yaml": rule("    where: {during: midday}"), "b.rules.yaml": 'windows: {midday: {from: "11:00"}'}
    assert [one.code for one in load_rules(files, CATALOG).diagnostics] == ["E001"]


def test_windows_segments_and_defaults_hold_in_every_file() -> None:
    header = 'defaults: {timezone: Europe/Paris}\nwindows: {midday: {from: "11:30", to: "14:00"}}\n'
    files = {"a.rules.yaml": header, "b.rules.yaml": rule("    where: {during: midday}")}
    loaded = load_rules(files, CATALOG)
    assert loaded.ruleset is not None
    assert loaded.diagnostics == []
    assert loaded.ruleset.by_id["one"].during[0].clock == "Europe/Paris"


def test_the_same_header_may_be_repeated() -> None:
    header = 'defaults: {timezone: store}\nwindows: {midday: {from: "11:30", to: "14:00"}}\n'
    files = {f"{name}.rules.yaml": rule("    where: {during: midday}", header=header, name=name) for name in "ab"}
    assert load_rules(files, CATALOG).diagnostics == []


# What the rest of the service asks of a rule set


def test_thresholds_by_site_and_zone() -> None:
    text = (
        rule(when="{dwell: {zone: coffee-aisle, for: 60s}}", name="a")
        + rule(when="{dwell: {tag: food, for: 2m}}", name="b").replace("\nrules:\n", "")
        + rule(when="{dwell: {zone: coffee-aisle, for: 1m, stores: [paris]}}", name="c").replace("\nrules:\n", "")
        + rule(when="{dwell: {zone: garden, for: 1h}}", name="d").replace("\nrules:\n", "")
    )
    assert ruleset(text).thresholds() == {
        ("paris", "coffee-aisle"): frozenset({DwellThreshold(60.0), DwellThreshold(120.0)}),
        ("paris", "bakery"): frozenset({DwellThreshold(120.0)}),
        ("berlin", "coffee-aisle"): frozenset({DwellThreshold(60.0), DwellThreshold(120.0)}),
        ("berlin", "garden"): frozenset({DwellThreshold(3600.0)}),
    }


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ("", 0.0),
        ("    limits: [{scope: rule, max: 1, every: 30m}]", 1800.0),
        ("    limits: [{scope: rule, max: 1, every: 30m}, {scope: all, max: 2, every: 7d}]", 604800.0),
        ("    limits: [{scope: rule, max: 1, every: 24h, window: calendar}]", 93600.0),
    ],
)
def test_history_window(limits: str, seconds: float) -> None:
    assert ruleset(rule(limits)).history_window() == seconds


def test_summaries_and_version() -> None:
    one = ruleset(rule("    title: One\n    owner: me\n    status: draft", when="{dwell: {tag: food, for: 90s}}"))
    (summary,) = one.rules
    assert (summary.id, summary.title, summary.owner, summary.status) == ("one", "One", "me", "draft")
    assert (summary.trigger, summary.where) == ("dwell 90s in zones tagged food", "test.rules.yaml:3")
    assert one.version == ruleset(one.files["test.rules.yaml"]).version
    assert one.version != ruleset(rule()).version


def test_a_limit_may_be_tightened_in_every_direction() -> None:
    header = "defaults:\n  limits: [{scope: all, max: 2, every: 24h}]\n"
    for limit in (
        "{scope: all, max: 1, every: 24h}",
        "{scope: all, max: 2, every: 2d}",
        "{scope: rule, max: 1, every: 1h}",
        "{scope: store, max: 2, every: 7d, window: calendar}",
    ):
        assert load(rule(f"    limits: [{limit}]", header=header)).errors == [], limit


def test_a_tag_and_a_zone_name_lead_to_the_same_rule_once() -> None:
    verdicts = decide(ruleset(rule(when="{enter: {tag: [coffee, food]}}")), happening(), facts())
    assert outcomes(verdicts) == {"one": None}


def test_a_site_or_zone_that_the_catalog_does_not_hold_has_no_rules() -> None:
    rules = ruleset(rule())
    assert decide(rules, happening(site="rome"), facts()) == []
    assert decide(rules, happening(zone="cellar"), facts()) == []
    assert decide(rules, happening(kind="exit"), facts()) == []


def test_the_catalog_must_be_readable() -> None:
    for store in (Store("x", "Europe/Nowhere"), Store("x", "Europe/Paris", opening_hours="nine to five")):
        with pytest.raises(ValueError, match='store "x"'):
            load_rules({}, Catalog((store,)))


# -- the whole language -----------------------------------------------------------------------------------------------

WHOLE = HERE / "whole"
INDOORS = ("entrance", "chocolate-aisle", "fitting-room", "tills")


def _whole_catalog() -> Catalog:
    declared, wrong = load_attributes((WHOLE / "attributes.yaml").read_text(), "attributes.yaml")
    assert declared is not None, wrong
    zones = (*(Zone(name, outdoor=False) for name in INDOORS), Zone("car-park", tags=frozenset({"parking"})))
    return Catalog((Store("lyon", "Europe/Paris", "Lyon", "FR", "Mo-Sa 09:00-20:00", zones),), declared)


def test_every_word_of_the_language_at_once() -> None:
    loaded = read_rules([WHOLE / "chocolate.rules.yaml"], _whole_catalog())
    assert [one.render() for one in loaded.diagnostics] == []
    assert loaded.ruleset is not None
    assert {rule.trigger.kind for rule in loaded.ruleset.by_id.values()} == {
        "enter", "exit", "dwell", "approach", "cross", "event", "sequence", "absence", "schedule",
    }  # fmt: skip


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {key for key in node if isinstance(key, str)} | {key for one in node.values() for key in _keys(one)}
    return {key for one in node for key in _keys(one)} if isinstance(node, list) else set()


def test_the_file_with_every_word_has_every_word() -> None:
    words = {key for part in rules_schema()["$defs"].values() for key in part.get("properties", {})}
    words |= set(rules_schema()["properties"])
    written = _keys(parse((WHOLE / "chocolate.rules.yaml").read_text(), "chocolate.rules.yaml").data)
    # Other worths of a coupon than the one that it has, and the other ways to say until when it is valid.
    assert words - written == {"amount_off", "basket", "category", "free", "text", "valid_in", "valid_until"} - written
