"""Templates: never half a sentence, nothing outside the context, every variable checked at load."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.templates import _FILTERS, RenderFailed, check_any, check_template
from tests.rules.support import ada, attributes, facts, happening, load, only, rule

ATTRIBUTES = attributes()
VALUES = {
    "shopper": {"first_name": "Ada", "visits_30d": 5, "wishlist": ["coffee", "tea"], "bought_90d": {"coffee": 2}},
    "zone": {"name": "Coffee"},
    "stock": {"KONA-250": 4},
    "cart": {"total": 79.5},
}


def _render(text: str, values: dict[str, object]) -> str:
    template, _ = check_template(text, ATTRIBUTES, frozenset())
    assert template is not None
    return template.render(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20 % off", "20 % off"),
        ("  Hi {{ shopper.first_name }} ", "Hi Ada"),
        ("{{ shopper.first_name | default: 'you' | upcase }}", "ADA"),
        ("{{ shopper.loyalty_tier | default: 'you' }}", "you"),
        ("{% if shopper.loyalty_tier %}{{ shopper.loyalty_tier }}{% else %}no tier{% endif %}", "no tier"),
        ("{% if shopper.visits_30d > 3 %}often{% endif %}", "often"),
        ("{{ stock['KONA-250'] }} left, {{ stock['X'] | default: 0 }} of X", "4 left, 0 of X"),
        ("{{ shopper.wishlist | join: ' and ' }}", "coffee and tea"),
        ("{{ shopper.wishlist.first }}, {{ shopper.wishlist.size }}", "coffee, 2"),
        ("{% for item in shopper.wishlist %}{{ item }} {% endfor %}", "coffee tea"),
        ("{% assign n = shopper.loyalty_tier | default: 'friend' %}Hi {{ n }}", "Hi friend"),
        ("{{ cart.total | round }} euros, {{ shopper.visits_30d | plus: 1 }}", "80 euros, 6"),
        ("{% case shopper.first_name %}{% when 'Ada' %}you{% else %}they{% endcase %}", "you"),
    ],
)
def test_rendering(text: str, said: str) -> None:
    assert _render(text, VALUES) == said


@pytest.mark.parametrize("name", sorted(_FILTERS - {"default"}))
def test_no_filter_turns_an_absent_value_into_something(name: str) -> None:
    arguments = {
        "slice": ": 0",
        "replace": ": 'a', 'b'",
        "replace_first": ": 'a', 'b'",
        "join": "",
        "first": "",
        "last": "",
    }
    one = name in ("append", "prepend", "remove", "remove_first", "split", "at_least", "at_most", "divided_by",
                   "minus", "modulo", "plus", "times", "truncate", "truncatewords")  # fmt: skip
    call = arguments.get(name, ": 2" if one else "")
    with pytest.raises(RenderFailed):
        _render(f"{{{{ shopper.loyalty_tier | {name}{call} }}}}", VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "Only {{ stock['X'] }} left",
        "Only {{ stock['X'] | minus: 1 }} left",
        "Hi {{ shopper.loyalty_tier | upcase | default: 'you' }}",
        "{{ 5 | plus: shopper.birthday_today }}",
        "{{ 'a' | append: shopper.loyalty_tier }}",
        "{% for item in weather.temp_c %}x{% endfor %}",
        "{% assign x = shopper.loyalty_tier %}Hi {{ x }}",
        "{{ shopper.first_name | times: 2 }}",
        "{{ shopper.visits_30d | divided_by: 0 }}",
        "{% for i in (1..100000) %}x{% endfor %}",
        "{% for i in (1..190) %}{{ 'a long text that goes on and on and on' }}{% endfor %}",
    ],
)
def test_never_half_a_sentence(text: str) -> None:
    with pytest.raises(RenderFailed):
        _render(text, VALUES)
    say = (
        f"    say: {{en: {{title: T, body: {text!r}}}}}"
        if "'" not in text
        else f'    say: {{en: {{title: T, body: "{text}"}}}}'
    )
    verdict = only(rule(say), happening(), facts(shopper=ada(attributes={"first_name": "Ada", "visits_30d": 5})))
    assert verdict.offer is None
    assert verdict.decision.reason == "render_failed"


@pytest.mark.parametrize(
    ("say", "detail"),
    [
        ('{title: "{% if shopper.birthday_today %}Hi{% endif %}", body: B}', "the title is empty"),
        ('{title: T, body: "{% if shopper.birthday_today %}Hi{% endif %}"}', "the body is empty"),
        ('{title: T, body: B, url: "{{ shopper.first_name }}"}', "the url is not a web address: Ada"),
    ],
)
def test_an_empty_text_or_a_strange_url_is_not_sent(say: str, detail: str) -> None:
    decision = only(rule(f"    say: {{en: {say}}}"), happening(), facts()).decision
    assert (decision.reason, decision.detail) == ("render_failed", detail)


@pytest.mark.parametrize(
    "text",
    [
        "{{ shopper.__class__ }}",
        "{% include 'secrets' %}",
        "{% render 'secrets' %}",
        "{{ 'now' | date: '%H' }}",
        "{{ settings.password }}",
        "{{ shopper.first_name.__class__.__mro__ }}",
        "{% increment x %}",
    ],
)
def test_nothing_outside_the_context_can_be_reached(text: str) -> None:
    template, faults = check_template(text, ATTRIBUTES, frozenset())
    assert template is None
    assert any(fault.code.startswith("E") for fault in faults)


@pytest.mark.parametrize(
    ("where", "body", "warned"),
    [
        ("", "{{ shopper.first_name }}", True),
        ("", "{{ shopper.first_name | default: 'you' }}", False),
        ("", "{% if shopper.first_name %}{{ shopper.first_name }}{% else %}you{% endif %}", False),
        ("", "{{ zone.name }} {{ visit.minutes }}", False),
        # a condition that needed the value has made sure of it
        ("    where: {all: ['size(shopper.first_name) > 0']}\n", "{{ shopper.first_name }}", False),
        ("    where: {any: ['size(shopper.first_name) > 0']}\n", "{{ shopper.first_name }}", True),
        ("    where: {all: ['size(shopper.first_name) > 0 || zone.id != \"\"']}\n", "{{ shopper.first_name }}", True),
        ("    where: {all: ['size(shopper.first_name) > 0'], missing: {shopper.first_name: pass}}\n",
         "{{ shopper.first_name }}", True),
        ("    where: {all: ['stock.KONA > 0']}\n", "{{ stock.KONA }}", True),
    ],
)  # fmt: skip
def test_values_that_may_be_absent_are_warned_of(where: str, body: str, warned: bool) -> None:
    found = load(rule(f'{where}    say: {{en: {{title: T, body: "{body}"}}}}')).diagnostics
    assert [one.code for one in found] == (["W305"] if warned else [])


_PIECES = [
    "Hi ", " é", "{{ shopper.first_name }}", "{{shopper.visits_30d}}", "{{- zone.name -}}", "{{ zone.name", "}}", "{",
    "}",
    "{{ shopper.first_name | default: 'you' }}", '{{ shopper.loyalty_tier|default: "" }}', "{{ shopper.wishlist }}",
    "{{ shopper.frist_name }}", "{{ stock.KONA }}", "{{ zone.name.size }}", "{{ nobody.knows }}", "{ zone.name }",
    "{% if cart.total %}", "{% endif %}", "{{ shopper.first_name | upcase }}", "{{ visit.minutes | default: 'x }}",
    "{{ cart.total\n}}", "{{ true.x }}", "{{ shopper.first_name | default: shopper.loyalty_tier }}", "%}", "'", "\n",
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(_PIECES), max_size=4).map("".join),
    st.sampled_from([frozenset[str](), frozenset({"shopper.first_name"})]),
)
def test_the_short_way_says_what_the_parser_says(text: str, certain: frozenset[str]) -> None:
    short, long = check_template(text, ATTRIBUTES, certain), check_any(text, ATTRIBUTES, certain)
    assert short == long
    if short[0] is not None:
        outcomes = []
        for template in (short[0], long[0]):
            assert template is not None
            try:
                outcomes.append(template.render(VALUES))
            except RenderFailed as problem:
                outcomes.append(f"! {problem}")
        assert outcomes[0] == outcomes[1]
