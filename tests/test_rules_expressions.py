"""Conditions: what is accepted, what a missing value means, and where in the file a mistake stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.document import parse
from rules.decide import decide
from rules.expressions import Compiler
from rules.positions import place
from tests.rules.support import ada, attributes, facts, happening, load, only, outcomes, rule, ruleset

COMPILER = Compiler(attributes())


@pytest.mark.parametrize(
    ("text", "used", "certain"),
    [
        ("shopper.visits_30d >= 3", {"shopper.visits_30d"}, True),
        ('stock["KONA-250"] > 0 && cart.total < 80.0', {"stock", "cart.total"}, True),
        ("stock.KONA > 0", {"stock"}, True),
        (
            'shopper.bought_90d.coffee >= 2 || "coffee" in shopper.wishlist',
            {"shopper.bought_90d", "shopper.wishlist"},
            False,
        ),
        ('shopper.wishlist.exists(item, item.startsWith("c"))', {"shopper.wishlist"}, False),
        ("size(shopper.wishlist) > 2", {"shopper.wishlist"}, True),
        ('"cart.total" == shopper.first_name', {"shopper.first_name"}, True),
        ("has(stock.KONA)", {"stock"}, True),
        ("weather.temp_c < 3.0 // cart.total", {"weather.temp_c"}, True),
    ],
)
def test_attributes_of_an_expression(text: str, used: set[str], certain: bool) -> None:
    expression, faults = COMPILER.compile(text)
    assert faults == ()
    assert expression is not None
    assert set(expression.attributes) == used
    assert bool(expression.certain) is certain


@pytest.mark.parametrize(
    ("text", "code", "marked"),
    [
        ("shopper.vists_30d >= 3", "E204", "shopper.vists_30d"),
        ("'é' == shopper.frst_name", "E204", "shopper.frst_name"),
        ("cart.total\n  < shopper.visits", "E204", "shopper.visits"),
        ("shopper.visits_30d >= 3 or true", "E208", "or"),
        ("cart.total > dyn(3)", "E209", "dyn"),
        ("cart.total < 80", "E207", "<"),
        ("!cart.total", "E207", "!"),
        ("shopper.first_name == 'Ada", "E208", "'"),
        ("[1, 2].all(x, [3].all(y, [4].all(z, z > x)))", "E211", "[1, 2].all(x, [3].all(y, [4].all(z, z > x)))"),
        ("cart.total < 80.0 && " * 60 + "true", "E211", "c"),
        ("  ", "E208", " "),
    ],
)
def test_faults_mark_the_words_they_are_about(text: str, code: str, marked: str) -> None:
    expression, faults = COMPILER.compile(text)
    assert expression is None
    assert [fault.code for fault in faults] == [code]
    assert text[faults[0].start : faults[0].start + faults[0].length] == marked


def test_an_expression_reaches_nothing_but_attributes() -> None:
    for text in ("__import__('os')", "shopper.__class__ == 1", "env.HOME == 'x'", "open('/etc/passwd')"):
        expression, faults = COMPILER.compile(text)
        assert expression is None
        assert faults


# Three values. Each row: where, attributes of the shopper, reason.
MISSING: list[tuple[str, dict[str, object], str | None]] = [
    ("{all: [shopper.visits_30d >= 3]}", {"visits_30d": 3}, None),
    ("{all: [shopper.visits_30d >= 3]}", {"visits_30d": 2}, "condition_false"),
    ("{all: [shopper.visits_30d >= 3]}", {}, "attribute_missing"),
    ("{all: [shopper.visits_30d >= 3]}", {"visits_30d": None}, "attribute_missing"),
    ("{all: [shopper.visits_30d >= 3]}", {"visits_30d": "many"}, "attribute_missing"),  # not of its type
    ("{all: [shopper.visits_30d >= 3], missing: {shopper.visits_30d: pass}}", {}, None),
    ("{all: [shopper.visits_30d >= 3], missing: {shopper.visits_30d: fail}}", {}, "condition_false"),
    ("{none: [shopper.visits_30d >= 3]}", {}, "attribute_missing"),
    ("{none: [shopper.visits_30d >= 3], missing: {shopper.visits_30d: pass}}", {}, None),
    ("{none: [shopper.visits_30d >= 3], missing: {shopper.visits_30d: fail}}", {}, "condition_false"),
    ("{none: [shopper.visits_30d >= 3]}", {"visits_30d": 3}, "condition_false"),
    ("{any: [shopper.visits_30d >= 3, shopper.birthday_today]}", {"birthday_today": True}, None),
    ("{any: [shopper.visits_30d >= 3, shopper.birthday_today]}", {"birthday_today": False}, "attribute_missing"),
    ("{any: [shopper.visits_30d >= 3, shopper.birthday_today]}", {"birthday_today": False, "visits_30d": 1},
     "condition_false"),
    ("{any: [shopper.visits_30d >= 3], missing: {shopper.visits_30d: fail}}", {}, "condition_false"),
    # a definite no goes before an open question, in whatever order they stand
    ("{all: [shopper.visits_30d >= 3, shopper.birthday_today]}", {"birthday_today": False}, "condition_false"),
    ("{all: [shopper.birthday_today, shopper.visits_30d >= 3]}", {"birthday_today": False}, "condition_false"),
    # inside one expression, what cannot matter is not missed
    ("{all: ['shopper.visits_30d >= 3 || shopper.birthday_today']}", {"birthday_today": True}, None),
    ("{all: ['shopper.visits_30d >= 3 && shopper.birthday_today']}", {"birthday_today": False}, "condition_false"),
    # a key of a map
    ("{all: [shopper.bought_90d.coffee >= 2]}", {"bought_90d": {"coffee": 2}}, None),
    ("{all: [shopper.bought_90d.coffee >= 2]}", {"bought_90d": {"tea": 2}}, "attribute_missing"),
    ("{all: [shopper.bought_90d.coffee >= 2], missing: {shopper.bought_90d: fail}}", {"bought_90d": {}},
     "condition_false"),
    ("{all: ['\"coffee\" in shopper.bought_90d']}", {"bought_90d": {}}, "condition_false"),
    # what cannot be worked out at all is not met
    ("{all: ['10 / shopper.visits_30d > 2']}", {"visits_30d": 0}, "condition_false"),
    ("{all: ['shopper.wishlist[0] == \"a\"']}", {"wishlist": []}, "condition_false"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "values", "reason"), MISSING)
def test_missing_values(where: str, values: dict[str, object], reason: str | None) -> None:
    decision = only(rule(f"    where: {where}"), happening(), facts(shopper=ada(attributes=values))).decision
    assert decision.reason == reason, decision.detail


def test_the_default_policy_and_what_the_trace_says() -> None:
    text = rule("    where: {all: [shopper.visits_30d >= 3]}", header="defaults: {missing: pass}")
    assert only(text, happening(), facts(shopper=ada(attributes={}))).decision.reason is None
    text = rule("    where: {all: [shopper.bought_90d.tea >= 3]}")
    detail = only(text, happening(), facts()).decision.detail
    assert detail == '`shopper.bought_90d.tea >= 3`: `shopper.bought_90d` has no "tea"'
    text = rule("    where: {all: [shopper.visits_30d >= 3]}")
    wrong = only(text, happening(), facts(shopper=ada(attributes={"visits_30d": "many"}))).decision.detail
    assert wrong == "`shopper.visits_30d >= 3`: `shopper.visits_30d` is not of its declared type (str was given)"


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ("{any: [fans]}", None),
        ("{any: [fans, rich]}", None),
        ("{any: [rich]}", "condition_false"),
        ("{none: [rich]}", None),
        ("{none: [fans]}", "condition_false"),
        ("{any: [fans], none: [rich]}", None),
        ("{any: [cold]}", "attribute_missing"),
        ("{any: [cold, fans]}", None),
        ("{none: [cold]}", "attribute_missing"),
    ],
)
def test_segments(segments: str, reason: str | None) -> None:
    header = (
        "segments:\n  fans: '\"coffee\" in shopper.wishlist'\n"
        "  rich: shopper.visits_30d > 99\n  cold: weather.temp_c < 3.0\n"
    )
    assert (
        only(rule(f"    where: {{segments: {segments}}}", header=header), happening(), facts()).decision.reason
        == reason
    )


def test_rules_share_what_they_ask() -> None:
    header = "segments: {fans: '\"coffee\" in shopper.wishlist'}\n"
    text = rule("    where: {segments: {any: [fans]}}", header=header, name="a")
    text += rule("    where: {segments: {none: [fans]}}", name="b").replace("\nrules:\n", "")
    assert outcomes(decide(ruleset(text), happening(), facts())) == {"a": None, "b": "condition_false"}


# Where a character of a scalar stands in the file: (YAML, value's key, the text looked for, line, column)
POSITIONS: list[tuple[str, str, int, int]] = [
    ("a: one two", "two", 1, 8),
    ("a: 'it''s two'", "two", 1, 11),
    ('a: "say \\"one\\" two"', "two", 1, 17),
    ('a: "\\u00e9 two"', "two", 1, 12),
    ("a: one\n  two", "two", 2, 3),
    ("a: 'one\n\n  two'", "two", 3, 3),
    ("a: >-\n  one\n  two", "two", 3, 3),
    ("a: |\n  one\n    two", "two", 3, 5),
    ("{a: one two}", "two", 1, 9),
    ("a: 'é 日本 two'", "two", 1, 10),
]


@pytest.mark.parametrize(("text", "word", "line", "column"), POSITIONS)
def test_places_in_scalars_of_every_style(text: str, word: str, line: int, column: int) -> None:
    document = parse(text, "x.yaml")
    value = document.data["a"]
    mark = place(document, document.mark(("a",)), value, value.index(word), len(word))
    assert (mark.line, mark.column, mark.length) == (line, column, len(word))
    assert document.text.splitlines()[line - 1][column - 1 :].startswith(word)


def test_the_caret_stands_under_the_word_of_a_folded_block() -> None:
    text = rule(
        "    where:\n      all:\n        - >-\n          shopper.visits_30d >= 3 &&\n          cart.totl < 80.0"
    )
    (found,) = load(text).diagnostics
    assert found.render().splitlines()[1:] == [
        "    9 |           cart.totl < 80.0",
        "      |           ^^^^^^^^^ did you mean `cart.total`?",
    ]


_FORMS = [
    "shopper.visits_30d >= {}", "stock[{}] > {}", "cart.total < {} || weather.temp_c > {}", "{} in shopper.wishlist",
    "shopper.first_name == {}", "shopper.first_name.startsWith({})", "shopper.first_name.matches({})",
    "shopper.wishlist.exists(item, item == {})", "timestamp({}) < timestamp({})", "size(shopper.wishlist) == {} // {}",
    "[{}, {}].size() > {}", "{{{}: {}}}.size() == {}", "shopper.visits_30d / {} > {}", "shopper.visits_30d + {}",
]  # fmt: skip
_LITERALS = [
    "1", "0", "007", "999999999999999", "99999999999999999999", "2.5", "0.0", "1e3", "0x1F", "3u", "1.", ".5", "-1",
    '"coffee"', "'it is'", '"it\'s"', "'say \"hi\"'", '"["', '"\\d"', "'\\x'", 'r"\\d"', 'b"x"', '"""a"""', '"', "'",
    "true", "null", "1 // 2", '"2026-11-24T00:00:00Z"', "shopper.visits_30d", "x",
]  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(_FORMS),
    st.lists(st.tuples(*[st.sampled_from(_LITERALS)] * 3), min_size=2, max_size=4),
    st.booleans(),
)
def test_an_expression_is_right_by_itself_whatever_was_compiled_before(
    form: str, fillings: list[tuple[str, ...]], number: bool
) -> None:
    """Expressions alike but for their literals are checked once; nobody may notice."""
    shared = Compiler(attributes())
    values = {"shopper.visits_30d": 5, "shopper.first_name": "it is", "shopper.wishlist": ["coffee"], "cart.total": 2.0,
              "weather.temp_c": 1.0, "stock": {"coffee": 2}}  # fmt: skip
    for filling in fillings:
        text = form.format(*filling)
        alone = Compiler(attributes())
        (one, faults), (other, other_faults) = alone.compile(text, number=number), shared.compile(text, number=number)
        assert faults == other_faults
        assert one == other
        if one is not None and other is not None:
            asked = [compiler.activation(values) for compiler in (alone, shared)]
            answers = [
                found.number(at) if number else found.evaluate(at)
                for found, at in zip((one, other), asked, strict=True)
            ]
            assert answers[0] == answers[1]
