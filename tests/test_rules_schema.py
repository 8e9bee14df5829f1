"""The JSON Schema for editors: current, and of one opinion with the loader as far as a schema can be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proximity.document import parse
from rules.catalog import Catalog
from rules.json_schema import DIALECT, rules_schema, rules_schema_text, schema_of_tests, schema_of_tests_text
from rules.load import load_rules
from rules.testing.read import read_suite
from tests.rules.support import CATALOG

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for path in sorted((ROOT / "tests/rules").rglob("*.rules.yaml"))
    if not parse(path.read_text(), path.name).diagnostics  # what is not YAML has no form
]
SHIPPED = ROOT / "config/schema/rules-v1.json"
SCHEMA = Draft202012Validator(rules_schema())
# What the loader says about the form of a file; all other codes are about meaning, which a schema cannot know.
FORM = {"E101", "E102", "E103", "E104", "E105", "E106"}
# Mistakes of form that a schema cannot see, because two values have to be compared.
BEYOND = {
    "approach-minutes.rules.yaml": "`5m` is a distance, and too short for one",
    "approach-too-far.rules.yaml": "a distance that nobody approaches from",
    "approach-too-soon.rules.yaml": "a time too short to tell",
    "schedule-cron-backwards.rules.yaml": "a span that ends before it begins",
    "schedule-cron-day.rules.yaml": "the name of a day in another language",
    "schedule-cron-never.rules.yaml": "the 31st of February",
    "arms-90.rules.yaml": "the arms do not add to 100",
    "arms-110.rules.yaml": "the arms do not add to 100",
    "holdout-decimals.rules.yaml": "a percentage with three decimals; multiples of 0.01 are not exact in binary",
    "limit-calendar.rules.yaml": "a calendar window takes two durations only",
    "runs-order.rules.yaml": "one date is not after the other",
    "window-no-length.rules.yaml": "`from` and `to` are the same",
}


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(rules_schema())
    assert rules_schema()["$schema"] == DIALECT


def test_the_shipped_schema_is_current() -> None:
    assert SHIPPED.read_text() == rules_schema_text(), "run: proximity rules schema > config/schema/rules-v1.json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_schema_and_loader_agree(path: Path) -> None:
    document = parse(path.read_text(), path.name)
    codes = {one.code for one in load_rules({path.name: document.text}, CATALOG).diagnostics}
    problems = [error.message for error in SCHEMA.iter_errors(document.data)]
    if path.name in BEYOND:
        assert codes & FORM, f"{path.name} has no mistake of form any more"
        assert problems == []
    else:
        assert bool(problems) == bool(codes & FORM), (codes, problems)


def test_the_exceptions_exist() -> None:
    assert set(BEYOND) <= {path.name for path in FILES}


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.rules.yaml")), ids=lambda path: path.name)
def test_shipped_rules_fit_and_name_the_schema_where_editors_look(path: Path) -> None:
    assert [error.message for error in SCHEMA.iter_errors(parse(path.read_text(), path.name).data)] == []
    first = path.read_text().splitlines()[0]
    if first.startswith("# yaml-language-server:"):
        named = path.parent / first.partition("$schema=")[2]
        assert named.resolve() == SHIPPED.resolve()


def _properties(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        yield from node.get("properties", {}).items()
        for value in node.values():
            yield from _properties(value)
    elif isinstance(node, list):
        for value in node:
            yield from _properties(value)


def test_the_schema_explains_what_a_name_does_not() -> None:
    found = dict(_properties(rules_schema()))
    for key in ("zone", "tag", "initial", "for", "during", "missing", "scope", "only_while", "on_exit", "group", "say"):
        assert "description" in found[key], key
    assert "null" not in json.dumps(found["say"])


# -- test files -------------------------------------------------------------------------------------------------------

SHIPPED_TESTS = ROOT / "config/schema/rule-tests-v1.json"
TESTS_SCHEMA = Draft202012Validator(schema_of_tests())
TEST_FILES = [
    path
    for folder in ("tests/rules/bad_tests", "config/rules")
    for path in sorted((ROOT / folder).rglob("*.test.yaml"))
    if not parse(path.read_text(), path.name).diagnostics
]
# Mistakes of form in test files that a schema cannot see.
TESTS_BEYOND = {"no-clock.test.yaml": "the clock of the file, or of every test"}


def test_the_schema_of_tests_is_a_schema_and_current() -> None:
    Draft202012Validator.check_schema(schema_of_tests())
    command = "proximity rules schema --tests > config/schema/rule-tests-v1.json"
    assert SHIPPED_TESTS.read_text() == schema_of_tests_text(), f"run: {command}"


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_schema_of_tests_and_their_reader_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    found = read_suite(Path(path.name), Catalog(), {}).diagnostics
    codes = {one.code for one in found if one.mark.file == path.name and ": `given`" not in one.message}
    problems = [error.message for error in TESTS_SCHEMA.iter_errors(parse(path.read_text(), path.name).data)]
    assert bool(problems) == (bool(codes & FORM) and path.name not in TESTS_BEYOND), (codes, problems)
