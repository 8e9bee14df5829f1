"""The guide for marketers and its cookbook: every campaign is there, its tests pass, and every block says the truth."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from proximity.commands import rules as rules_commands
from proximity.commands.rule_files import read_catalog, read_rule_files
from proximity.commands.rule_tests import find_tests, read_suites
from proximity.configuration import check_configuration
from proximity.context_files import ContextFile
from proximity.document import parse
from proximity.shape import check_shape
from rules.attributes import load_attributes
from rules.explain import REASONS
from rules.json_schema import rules_schema, schema_of_tests
from rules.load import load_rules
from rules.testing import shape
from rules.testing.judge import judge
from rules.testing.read import Suite
from tests.guide import GUIDE, blocks, catalog, diagnostics

ROOT = Path(__file__).parent.parent
COOKBOOK = ROOT / "config" / "cookbook"
RULES = COOKBOOK / "rules"
CAMPAIGNS = (
    "welcome", "linger", "abandoned-aisle", "lapsed-customer", "rainy-day", "happy-hour", "queue-at-the-till",
    "cross-sell", "click-and-collect", "return-desk", "appointment-arrival", "loyalty-tier", "stock-clearance",
    "wish-list", "parking", "birthday", "out-of-stock", "staff-alert", "survey", "competitor-free-zone",
)  # fmt: skip
TEXT = GUIDE.read_text(encoding="utf-8")
SHOP = catalog(TEXT)
BLOCKS = blocks(TEXT)


# The cookbook


def test_there_are_twenty_campaigns_and_no_stray_file() -> None:
    assert len(CAMPAIGNS) == 20
    named = {f"{name}.{sort}.yaml" for name in CAMPAIGNS for sort in ("rules", "test")}
    assert {path.name for path in RULES.iterdir()} == named | {"house.rules.yaml"}


def test_the_shop_of_the_cookbook_is_right_to_the_last_warning() -> None:
    configuration, found = check_configuration(COOKBOOK)
    assert [one.render() for one in found] == []
    assert configuration is not None
    assert len(configuration.ruleset.rules) >= len(CAMPAIGNS)


@pytest.fixture(scope="module")
def suites() -> dict[str, Suite]:
    found = read_suites(find_tests([COOKBOOK]), None)
    return {Path(suite.file).name.removesuffix(".test.yaml"): suite for suite in found}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_does_what_its_tests_say(name: str, suites: dict[str, Suite]) -> None:
    suite = suites[name]
    assert [one.render() for one in suite.diagnostics] == []
    assert [(result.name, failure.what, failure.diff) for result in judge(suite) for failure in result.failures] == []


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_shows_what_comes_what_does_not_and_the_moment_between(name: str, suites: dict[str, Suite]) -> None:
    cases = [test.shape for test in suites[name].tests]
    expected = [one for case in cases for one in case.expect]
    assert any(one.sent or one.told or one.offers_sent for one in expected), "nothing comes"
    assert any(one.not_sent or one.not_sent_because for one in expected), "nothing is withheld"
    assert any(map(_boundary, cases)), "no boundary"


def _boundary(case: shape.Case) -> bool:
    """Two moments with different answers."""
    counts = {len(one.sent or one.told or ()) for one in case.expect if one.sent is not None or one.told is not None}
    return len(counts) > 1


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_says_why_and_can_be_copied(name: str) -> None:
    text = (RULES / f"{name}.rules.yaml").read_text(encoding="utf-8")
    assert re.match(r"# Why: .{30,}\n", text)
    alone = load_rules({"alone.rules.yaml": text}, read_catalog(COOKBOOK))
    assert [one.render() for one in alone.diagnostics] == []


def test_the_editor_agrees_with_every_file() -> None:
    for schema, suffix in ((rules_schema(), "rules"), (schema_of_tests(), "test")):
        validator = Draft202012Validator(schema)
        for path in RULES.glob(f"*.{suffix}.yaml"):
            problems = [error.message for error in validator.iter_errors(parse(path.read_text(), path.name).data)]
            assert problems == [], path.name


def test_the_cookbook_uses_every_trigger() -> None:
    kinds = {rule.trigger.kind for rule in read_rule_files([COOKBOOK], None).ruleset().by_id.values()}
    assert kinds == {"enter", "exit", "dwell", "approach", "event", "sequence", "absence", "schedule"}


def test_the_command_plays_them_all() -> None:
    result = CliRunner().invoke(rules_commands.app, ["test", str(COOKBOOK)])
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.output
    for name in CAMPAIGNS:
        assert f"{name}.test.yaml" in result.output


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_is_in_the_guide(name: str) -> None:
    for sort in ("rules", "test"):
        assert f"(../config/cookbook/rules/{name}.{sort}.yaml)" in TEXT


# What the staff was told, in tests


FILES = {
    "bell.rules.yaml": """
rules:
  - id: bell
    when: {enter: {zone: entrance}}
    do:
      - {staff: {desk: door, text: "Somebody is here"}}
      - {staff: {desk: back, text: "{{ zone.name }}"}}
""",
}
BELL = """
rules: bell.rules.yaml
clock: "2026-11-24T11:58:00+00:00"
fixtures: {stores: [{id: paris, timezone: Europe/Paris, zones: [{id: entrance, name: Entrance}]}]}
tests:
  - name: one
    events: [{at: 5s, enter: entrance}]
    expect: [EXPECT]
"""


@pytest.mark.parametrize(
    ("expect", "diffs"),
    [
        ("{at: 4s, told: []}", []),
        ("{at: 5s, told: [{desk: back, text: Entrance}, {desk: door, rule: bell, at: 5s}]}", []),
        ("{at: 5s, told: [{desk: door}]}", [("  {desk: door}", '+ {rule: bell, desk: back, text: "Entrance"}')]),
        (
            "{at: 5s, told: [{desk: back}, {desk: door, text: Bell}]}",
            [("  {desk: back}", '- {desk: door, text: "Bell"}',
              '+ {rule: bell, desk: door, text: "Somebody is here"}')],
        ),
        ("{at: 5s, not_sent: [{rule: bell, because: no_consent}]}", [("- bell not sent: no_consent", "+ bell sent")]),
    ],
)  # fmt: skip
def test_what_the_staff_was_told(expect: str, diffs: list[tuple[str, ...]], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "bell.test.yaml"
    path.write_text(BELL.replace("EXPECT", expect))
    (suite,) = read_suites([path], None)
    assert [one.render() for one in suite.diagnostics] == []
    (result,) = judge(suite)
    assert [failure.diff for failure in result.failures] == diffs


# The guide


@pytest.mark.parametrize(("block", "answer"), BLOCKS, ids=[str(i) for i in range(len(BLOCKS))])
def test_a_block_of_the_guide_is_right_or_is_answered_as_it_says(block: str, answer: str | None) -> None:
    sort = re.search(r"^(attributes|rules|segments|clock|events|values):", block, re.MULTILINE)
    assert sort is not None, "of what kind is this block?"
    if answer is not None:
        assert diagnostics(block, answer.split(":")[0], SHOP) == answer
    elif re.search(r"^rules:", block, re.MULTILINE):
        assert diagnostics(block, "guide.rules.yaml", SHOP) == ""
    elif sort[1] == "attributes":
        assert load_attributes(block, "attributes.yaml")[1] == []
    elif sort[1] == "events":
        assert load_attributes(f"attributes: {{}}\n{block}", "attributes.yaml")[1] == []
    elif sort[1] == "values":
        assert check_shape(parse(block, "context.yaml"), ContextFile)[1] == []
    else:
        model = shape.CaseFile if sort[1] == "clock" else None
        assert model is not None, f"nothing checks a block of {sort[1]}"
        assert check_shape(parse(block, "guide.test.yaml"), model)[1] == []


def test_the_guide_shows_the_mistakes_that_people_make() -> None:
    answers = "".join(answer for _, answer in BLOCKS if answer)
    for said in (
        "the line is indented by", "a tab stands", "is not a time of day", "no store has a zone", "is not a clock",
        "write it without quotes", "write `12.0`", "is not a language code", "the arms add to 90", "can never send",
        "did you mean `limits`?", "put the text in quotes",
    ):  # fmt: skip
        assert said in answers


def test_every_reason_says_what_to_do() -> None:
    table = TEXT[TEXT.index("| reason | means | what to do |") :].split("\n\n", maxsplit=1)[0]
    rows = [re.split(r" *(?<!\\)\| *", line.strip("| ")) for line in table.splitlines()[2:]]
    assert {row[0].strip("`") for row in rows} == set(REASONS)
    assert all(len(row) == 3 and len(row[2]) > 8 for row in rows)
