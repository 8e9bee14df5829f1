"""Templates that are filled in without Liquid say what Liquid says."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.attributes import Attributes, Type
from rules.filling import LONGEST, fill
from rules.templates import RenderFailed, Template, check_template

NAMES = {
    "shopper.name": Type("scalar", "string"),
    "shopper.points": Type("scalar", "int"),
    "shopper.share": Type("scalar", "float"),
    "shopper.member": Type("scalar", "bool"),
}
ATTRIBUTES = Attributes(NAMES)

words = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=8)
defaults = st.sampled_from(["", ' | default: "friend"', " | default: 'you'", '|default:""'])
outputs = st.builds(
    lambda name, default, left, right: f"{left}{name}{default}{right}",
    st.sampled_from(sorted(NAMES)),
    defaults,
    st.sampled_from(["{{ ", "{{", "{{- "]),
    st.sampled_from([" }}", "}}", " -}}"]),
)
texts = st.lists(words | outputs, max_size=6).map("".join)
values = st.fixed_dictionaries(
    {},
    optional={
        "name": words | st.none() | st.just("n" * 2000),
        "points": st.integers(-5, 10**9),
        "share": st.floats(allow_nan=False, allow_infinity=False),
        "member": st.booleans(),
    },
)


class Known:
    """Values of a shopper, each asked for by its name or all at once."""

    def __init__(self, own: Mapping[str, Any]) -> None:
        self.own = {name: value for name, value in own.items() if value is not None}

    def value(self, name: str) -> Any:
        return self.own.get(name.removeprefix("shopper."))

    def context(self) -> Mapping[str, Any]:
        return {"shopper": self.own}


def said(template: Template, source: Known, *, simply: bool) -> str:
    try:
        return template.say(source) if simply else template.render(source.context())
    except RenderFailed as problem:
        return f"failed: {problem}"


@settings(max_examples=300, deadline=None)
@given(texts, values)
def test_what_is_filled_in_reads_as_liquid_renders_it(text: str, own: Mapping[str, Any]) -> None:
    template, _ = check_template(text, ATTRIBUTES, frozenset())
    if template is not None:
        source = Known(own)
        assert said(template, source, simply=True) == said(template, source, simply=False)


@pytest.mark.parametrize(
    ("text", "own", "expected"),
    [
        ("Hello {{ shopper.name }}!", {"name": "Ada"}, "Hello Ada!"),
        ("{{ shopper.name | default: 'you' }} and {{shopper.points}}", {"points": 7}, "you and 7"),
        (" {{ shopper.name | default: 'you' }} ", {"name": ""}, "you"),
        ("Hello {{ shopper.name }}", {}, None),  # what is absent, Liquid explains
        ("{{ shopper.share }}", {"share": 0.5}, None),
        ("{{ shopper.member }}", {"member": True}, None),
        ("Hello {{ shopper.name }}", {"name": "A\rda"}, None),
        ("a {{- shopper.name }}", {"name": "Ada"}, None),
        ("{{ shopper.name | default: 'a\\b' }}", {}, None),
        ("{{ shopper.name }}", {"name": "n" * (LONGEST + 1)}, None),
    ],
)
def test_what_is_plain_is_filled_in_and_the_rest_is_left_to_liquid(
    text: str, own: Mapping[str, Any], expected: str | None
) -> None:
    assert fill(text, Known(own).value) == expected


def test_only_the_values_that_a_text_names_are_asked_for() -> None:
    asked: list[str] = []

    class Curious(Known):
        def value(self, name: str) -> Any:
            asked.append(name)
            return super().value(name)

        def context(self) -> Mapping[str, Any]:
            raise AssertionError("not all of them are needed")

    template, faults = check_template("Hello {{ shopper.name }}", ATTRIBUTES, frozenset(NAMES))
    assert not faults
    assert template is not None
    assert template.say(Curious({"name": "Ada"})) == "Hello Ada"
    assert asked == ["shopper.name"]
