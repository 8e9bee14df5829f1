"""YAML 1.2 with a place for every node."""

from typing import Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.document import did_you_mean, load, parse
from proximity.shape import check_shape

MEANINGS = [
    ("22:00", "22:00"),
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("2026-11-20", "2026-11-20"),
    ("2026-11-20T09:00", "2026-11-20T09:00"),
    ("0o17", "0o17"),
    ("012", "012"),
    ("1_000", "1_000"),
    ("true", True),
    ("False", False),
    ("~", None),
    ("null", None),
    ("12", 12),
    ("-3", -3),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    (".inf", float("inf")),
    ('"12"', "12"),
    ("<<", "<<"),
]


@pytest.mark.parametrize(("written", "meant"), MEANINGS)
def test_a_scalar_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    document = parse(f"key: {written}\n", "a.yaml")
    assert document.data == {"key": meant}
    assert type(document.data["key"]) is type(meant)


MISTAKES = [
    (
        "a: 1\na: 2\n",
        "a.yaml:2:1: error[E002]: `a` is written twice\n    2 | a: 2\n      | ^ first on line 1; keep one of them",
    ),
    (
        "a:\n\t- b\n",
        "a.yaml:2:1: error[E001]: a tab stands in the indentation\n    2 | \t- b\n"
        "      | ^ use spaces: YAML does not take tabs there",
    ),
    (
        "a: b: c\n",
        "a.yaml:1:5: error[E001]: a `:` where none can stand\n    1 | a: b: c\n"
        "      |     ^ put the text in quotes: it has a `: ` in it",
    ),
    (
        "? [x]\n: 1\n",
        "a.yaml:1:3: error[E003]: a key must be a plain word, not a list or a mapping\n    1 | ? [x]\n      |   ^^^",
    ),
    (
        "a: !!set x\n",
        "a.yaml:1:4: error[E003]: the tag `tag:yaml.org,2002:set` is not used here; write the plain value\n"
        "    1 | a: !!set x\n      |    ^^^^^^^",
    ),
    (
        "a: &x [*x]\n",
        "a.yaml:1:4: error[E004]: aliases repeat one another without end; write the parts out\n"
        "    1 | a: &x [*x]\n      |    ^^^^^^^",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_of_syntax_says_where_and_what_to_write(text: str, message: str) -> None:
    assert "\n".join(d.render() for d in parse(text, "a.yaml").diagnostics) == message


DEEP = ["[" * 100_000, "[" * 3000 + "]" * 3000, "a: " + "{b: " * 90 + "1" + "}" * 90, "- " * 5000 + "x"]


@pytest.mark.parametrize("text", DEEP)
def test_what_is_too_deep_is_said_and_does_no_harm(text: str) -> None:
    (found,) = parse(text, "deep.yaml").diagnostics
    assert (found.code, found.message) == ("E005", "more than 60 levels, one within another")


def test_brackets_in_texts_are_no_depth() -> None:
    document = parse("a: '" + "[" * 200 + "'\nb: [1]\n", "b.yaml")
    assert document.diagnostics == []
    assert document.data["b"] == [1]


def test_every_node_has_its_place() -> None:
    document = parse("rules:\n  - id: welcome\n    when: {enter: {zone: door}}\n", "r.yaml")
    mark = document.mark(("rules", 0, "when", "enter", "zone"))
    assert (mark.line, mark.column, mark.length) == (3, 26, 4)
    key = document.mark(("rules", 0, "when", "enter"), key=True)
    assert (key.line, key.column) == (3, 12)
    assert document.mark(("rules", 0, "nowhere")).line == 2


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    zone: str
    floor: int = 0
    kind: Literal["shelf", "aisle"] = "shelf"


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    title: str
    inner: list[Inner] = []


def test_every_mistake_of_shape_is_reported_at_once_with_a_suggestion() -> None:
    text = "titel: x\ninner:\n  - {zon: a, floor: up}\n  - {zone: b, kind: aile}\n  - 7\n"
    shaped, found = check_shape(parse(text, "s.yaml"), Outer)
    assert shaped is None
    said = {(d.mark.line, d.code, d.message, d.hint) for d in found}
    assert said == {
        (1, "E102", "`title` is missing", None),
        (1, "E101", "unknown key `titel`", "did you mean `title`?"),
        (3, "E102", "`zone` is missing", None),
        (3, "E101", "unknown key `zon`", "did you mean `zone`?"),
        (3, "E103", "`floor` must be a whole number, not 'up'", None),
        (4, "E103", "`kind` cannot be 'aile'", "did you mean `aisle`?"),
        (5, "E103", "`2` must be a mapping (`key: value`), not 7", "its keys are zone, floor, kind"),
    }


def test_a_right_file_gives_the_model_and_nothing_else() -> None:
    shaped, found = check_shape(parse("title: x\ninner: [{zone: a}]\n", "s.yaml"), Outer)
    assert shaped == Outer(title="x", inner=[Inner(zone="a")])
    assert found == []


def test_files_that_cannot_be_read_are_diagnostics(tmp_path) -> None:  # type: ignore[no-untyped-def]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: Caf\xe9\n")
    assert load(latin).diagnostics[0].render() == "latin.yaml:1:1: error[E000]: not UTF-8 at byte 9; save it as UTF-8"
    assert load(tmp_path / "none.yaml").diagnostics[0].render() == "none.yaml:1:1: error[E000]: no such file"


def test_suggestions() -> None:
    assert did_you_mean("enterance", ["entrance", "tills"]) == "did you mean `entrance`?"
    assert did_you_mean("zzz", ["b", "a"]) == "known here: a, b"
    assert did_you_mean("zzz", []) is None


@given(st.text(max_size=200))
def test_no_text_at_all_raises(text: str) -> None:
    for diagnostic in parse(text, "any.yaml").diagnostics:
        assert diagnostic.render().startswith("any.yaml:")
