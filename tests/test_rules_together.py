"""All errors at once: a mistake of form hides no mistake of meaning beside it, and makes none that is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proximity.configuration import load_configuration
from proximity.document import Diagnostic, Document, parse
from rules import schema
from rules.catalog import Catalog
from rules.load import load_documents
from rules.recover import shape
from tests.rules.support import CATALOG

ROOT = Path(__file__).parent.parent
FOLDERS = ("tests/rules/good", "config/rules")


def mutants(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What is written there with one key misspelt, called otherwise, left out, or given a value of another kind."""
    if isinstance(node, list):
        for i, one in enumerate(node):
            for where, changed in mutants(one, (*path, i)):
                yield where, [*node[:i], changed, *node[i + 1 :]]
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        rest = {name: one for name, one in node.items() if name != key}
        odd = 7 if isinstance(value, dict | list | str) else {"odd": 1}
        for other in (rest | {f"{key}x": value}, rest | {"message": value}, rest, {**node, key: odd}):
            yield (*path, key), other
        for where, changed in mutants(value, (*path, key)):
            yield where, {**node, key: changed}


def written(data: dict[str, Any]) -> Document:
    return parse(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), "a.rules.yaml")


def errors(document: Document, catalog: Catalog) -> list[Diagnostic]:
    return [one for one in load_documents([document], catalog).diagnostics if one.severity == "error"]


def read(folder: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The heads of all files of a folder as one, and their rules."""
    head: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    for file in sorted((ROOT / folder).glob("*.rules.yaml")):
        data = parse(file.read_text(), file.name).data
        rules += [one for one in data.get("rules", ()) if isinstance(one, dict)]
        for key in head.keys() | data.keys() - {"rules", "version"}:
            head[key] = {**head.get(key, {}), **data.get(key, {})}
    return head, list({one["id"]: one for one in rules}.values())


def catalog_of(folder: str) -> Catalog:
    return CATALOG if folder.startswith("tests") else load_configuration(ROOT / "config").ruleset.catalog


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_mistake_of_form_makes_no_other(folder: str) -> None:
    """Good rules with one mistake of form have that error and no other, and all that is left of them is looked at."""
    head, rules = read(folder)
    catalog, seen = catalog_of(folder), 0
    assert errors(written({**head, "rules": rules}), catalog) == []
    for rule in rules:
        for where, changed in mutants(rule):
            document = written({**head, "rules": [changed]})
            shaped = shape(document, schema.Rule, ("rules", 0), document.data["rules"][0], stand_ins=True)
            if shaped.found:
                seen += 1
                assert shaped.model is not None, (rule["id"], where)
                known = {(one.mark, one.code) for one in shaped.found}
                more = [one.render() for one in errors(document, catalog) if (one.mark, one.code) not in known]
                assert more == [], (rule["id"], where)
    assert seen > 300


def test_a_mistake_of_form_in_the_head_makes_no_other() -> None:
    head, rules = read("tests/rules/good")
    seen = 0
    for where, changed in mutants(head):
        document = written({**changed, "rules": rules})
        shaped = shape(document, schema.Header, (), {key: one for key, one in document.data.items() if key != "rules"})
        if shaped.found:
            seen += 1
            known = {(one.mark, one.code) for one in shaped.found}
            assert [one.render() for one in errors(document, CATALOG) if (one.mark, one.code) not in known] == [], where
    assert seen > 50


# One mistake of meaning in every part of a rule.
MEANT: dict[str, Any] = {
    "id": "all-wrong",
    "status": "live",
    "when": {"dwell": {"zone": "bakrey", "for": "60s", "forgive": "15s"}},
    "where": {"during": "lunhc", "all": ["shopper.vists_30d > 3"]},
    "compete": {"group": "coffee", "score": "shopper.loyalty_teir"},
    "limits": [{"scope": "rule", "max": 1, "every": "24h"}, {"scope": "rule", "max": 2, "every": "24h"}],
    "quiet": {"window": "nihgt"},
    "do": [{"staff": {"desk": "collect", "text": "{{ order.idd }}"}}],
    "say": {"en": {"title": "{{ shopper.firstname }}", "body": "B"}},
    "deliver": {"channels": ["push"], "urgency": "high"},
}


def test_a_mistake_of_form_hides_no_mistake_of_meaning() -> None:
    def told(rule: dict[str, Any]) -> set[str]:
        return {one.message.split(": ", 1)[-1] for one in errors(written({"rules": [rule]}), CATALOG)}

    alone = {key: told(MEANT) - told({name: MEANT[name] for name in MEANT if name != key}) for key in MEANT}
    wrong = ("when", "where", "compete", "limits", "quiet", "do", "say")
    assert {key for key, found in alone.items() if found} == {*wrong}
    seen = 0
    for where, changed in mutants(MEANT):
        found = told(changed)
        others = {one for key in wrong if key != where[0] for one in alone[key]}
        assert others <= found, where
        seen += 1
    assert seen > 100


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("when", {"dwell": {"zone": "bakrey"}}, ["E102", "E201"]),
        ("when", {"dwell": {"zone": "bakrey", "for": "1 minute"}}, ["E104", "E201"]),
        ("when", {"dwell": {"zone": "bakrey", "fro": "60s"}}, ["E101", "E201"]),
        ("when", {"approach": {"place": "bakery"}}, ["E102", "E213"]),
        ("when", {"absence": {"zone": "bakrey"}}, ["E102", "E201"]),
        ("when", {"schedule": {"to": {"inside": "bakrey"}}}, ["E102", "E201"]),
        (
            "when",
            {"sequence": {"steps": [{"enter": {"zone": "bakrey"}}, {"enter": {"zone": "tills"}}]}},
            ["E102", "E201"],
        ),
        ("when", {"enter": {"zone": "bakrey", "inital": False}}, ["E101", "E201"]),
        ("compete", {"score": "shopper.vists"}, ["E102", "E204"]),
        ("say", {"en": {"title": "{{ shopper.firstname }}"}}, ["E102", "E204"]),
        ("say", {"en": {"title": "{{ shopper.firstname }}", "body": 5}}, ["E103", "E204"]),
        ("say", {"xx": {"title": "T", "body": "B", "link": "x"}}, ["E101", "E104"]),
        ("do", [{"staff": {"text": "{{ order.idd }}"}}], ["E102", "E204"]),
    ],
)
def test_both_in_one_part(key: str, value: Any, wanted: list[str]) -> None:
    rule = {"id": "one", "when": {"enter": {"zone": "bakery"}}, "say": {"en": {"title": "T", "body": "B"}}, key: value}
    assert sorted(one.code for one in errors(written({"rules": [rule]}), CATALOG)) == wanted
