"""What an offer holds: codes, coupons, budgets, points, goals and words to the staff, up to the verdict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.model import Coupon, Sent
from rules import offers_codes as codes
from rules.attributes import load_attributes
from rules.catalog import Catalog
from rules.decide import Verdict, decide
from rules.offers import Used
from rules.offers_stage import NOTHING
from tests.rules.support import (
    CATALOG,
    NOON,
    PARIS,
    epoch,
    facts,
    happening,
    load,
    only,
    rule,
    ruleset,
    sent,
)

KEY = b"k" * 32
VALUES = """
attributes:
  stock: map<string, int>
  cart: {total: float}
  weather: {rain: bool}
  product: {name: string}
  offer: {margin: float}
scopes: {product: product, offer: rule, cart: shopper}
"""
NOW = epoch(NOON)


def offering(offer: str, more: str = "", say: str = "{en: {title: T, body: B}}") -> str:
    return rule(f"    offer: {offer}\n{more}\n    say: {say}", when="{enter: {zone: coffee-aisle}}")


def verdict(text: str, **known: Any) -> Verdict:
    return only(text, happening(), facts(coupon_key=KEY, **known))


# Codes


def test_a_code_is_repeatable_and_needs_the_key() -> None:
    one = codes.code(KEY, "decision")
    assert one == codes.code(KEY, "decision")
    assert len({one, codes.code(b"another", "decision"), codes.code(KEY, "another")}) == 3
    assert codes.read(one) == codes.read(codes.shown(one)) == codes.read(f" {one.lower()} ") == one
    assert len(codes.shown(one).split("-")) == 4


def test_letters_that_look_alike_are_read_as_digits() -> None:
    plain = next(code for code in (codes.code(KEY, str(n)) for n in range(1000)) if "0" in code and "1" in code)
    assert codes.read(plain.replace("0", "O").replace("1", "l")) == plain


@pytest.mark.parametrize("typed", ["", "K7QF", "?" * 17, "U" * 17, "0" * 18, "é" * 17])
def test_what_is_no_code(typed: str) -> None:
    assert codes.read(typed) is None


@given(st.integers(0, 10**6), st.integers(0, 16), st.sampled_from(codes.ALPHABET))
def test_one_wrong_letter_is_noticed(number: int, place: int, letter: str) -> None:
    right = codes.code(KEY, str(number))
    wrong = right[:place] + letter + right[place + 1 :]
    assert (codes.read(wrong) is None) == (wrong != right)


@given(st.integers(0, 10**6), st.integers(0, 16), st.integers(0, 16))
def test_two_letters_that_changed_places_are_noticed(number: int, one: int, other: int) -> None:
    right = codes.code(KEY, str(number))
    letters = list(right)
    letters[one], letters[other] = letters[other], letters[one]
    wrong = "".join(letters)
    assert (codes.read(wrong) is None) == (wrong != right)


# Coupons


def test_a_coupon_says_what_the_till_has_to_know() -> None:
    made = verdict(offering("{coupon: {percent_off: 20, sku: KONA-250, per_shopper: 1, valid_for: 45m}}"))
    assert made.offer is not None
    assert made.coupon == Coupon(
        id=made.offer.id, code=codes.code(KEY, made.offer.id), rule="one", shopper="ada", site="paris", created=NOW,
        expires=NOW + 2700, reserved_until=NOW + 2700, percent_off=20.0, sku="KONA-250",
    )  # fmt: skip
    assert made.effects.claim is not None
    assert (made.effects.claim.coupon, made.effects.claim.per_shopper) == (True, 1)


@pytest.mark.parametrize(
    ("coupon", "until"),
    [
        ("{free: one coffee}", NOW + 86_400),
        ("{free: one coffee, valid_for: 2h}", NOW + 7_200),
        ('{free: one coffee, valid_until: "2026-11-24"}', epoch("2026-11-25T00:00:00+01:00")),
        ('{free: one coffee, valid_until: "2026-11-24T20:00"}', epoch("2026-11-24T20:00:00+01:00")),
        ('{free: one coffee, valid_until: "2026-11-24T20:00+00:00"}', epoch("2026-11-24T20:00:00+00:00")),
    ],
)
def test_how_long_it_is_valid(coupon: str, until: float) -> None:
    made = verdict(offering(f"{{coupon: {coupon}}}"))
    assert made.coupon is not None
    assert made.coupon.expires == until


def test_a_coupon_that_is_over_is_not_given() -> None:
    made = verdict(offering('{coupon: {free: one coffee, valid_until: "2026-11-23"}}'))
    assert (made.offer, made.coupon, made.decision.reason) == (None, None, "expired")


def test_the_texts_know_the_coupon_the_article_and_its_stock() -> None:
    found, wrong = load_attributes(VALUES, "attributes.yaml")
    assert found is not None, wrong
    say = (
        "{en: {title: \"{{ coupon.percent_off }}% off {{ product.name | default: 'it' }}\", "
        "body: \"{{ coupon.minutes_left }} min, until {{ coupon.until }}, {{ stock_left | default: 'few' }} left: "
        '{{ coupon.code }}"}}'
    )
    text = offering("{coupon: {percent_off: 20, sku: KONA-250, valid_for: 45m}}", say=say)
    (made,) = decide(
        ruleset(text, Catalog((PARIS,), found)),
        happening(),
        facts(
            coupon_key=KEY,
            attributes={"stock": {"KONA-250": 4}, "product": {"KONA-250": {"name": "Kona"}, "X": {"name": "x"}}},
        ),
    )
    assert made.offer is not None
    assert made.coupon is not None
    assert made.offer.title == "20% off Kona"
    assert made.offer.body == f"45 min, until 12:45, 4 left: {codes.shown(made.coupon.code)}"


# Budgets

SPENT: list[tuple[str, Used, str | None]] = [
    ("{coupons: 5}", Used(4, 0), None),
    ("{coupons: 5}", Used(5, 0), "budget_spent"),
    ('{spend: "10 EUR"}', Used(9, 750), None),  # a coupon of 2.50 fits exactly
    ('{spend: "10 EUR"}', Used(9, 751), "budget_spent"),
    ('{coupons: 5, spend: "10 EUR"}', Used(4, 900), "budget_spent"),
    ('{coupons: 5, spend: "10 EUR", when_spent: send_without}', Used(5, 0), None),
]


@pytest.mark.parametrize(("budget", "used", "reason"), SPENT)
def test_a_budget_is_never_passed(budget: str, used: Used, reason: str | None) -> None:
    text = offering(f'{{coupon: {{amount_off: "2.50 EUR"}}, budget: {budget}}}')
    made = verdict(text, spent={"one": used})
    assert made.decision.reason == reason
    assert (made.offer is None) == (reason is not None)
    assert (made.coupon is not None) == (reason is None and "send_without" not in budget)


def test_a_percentage_takes_at_most_out_of_the_budget() -> None:
    text = offering('{coupon: {percent_off: 20, at_most: "5 EUR"}, budget: {spend: "12 EUR"}}')
    made = verdict(text, spent={"one": Used(1, 700)})
    assert made.coupon is not None
    assert (made.coupon.worth, made.coupon.currency) == (500, "EUR")
    assert verdict(text, spent={"one": Used(1, 701)}).decision.reason == "budget_spent"


def test_a_shopper_holds_so_many() -> None:
    text = offering("{coupon: {free: one coffee, per_shopper: 2}}")
    assert verdict(text, held={"one": 1}).coupon is not None
    assert verdict(text, held={"one": 2}).decision.reason == "limit_reached"


def test_without_a_coupon_the_text_says_something_else() -> None:
    say = "{en: {title: T, body: '{% if coupon.code %}{{ coupon.code }}{% else %}Try it{% endif %}'}}"
    text = offering("{coupon: {free: a cup}, budget: {coupons: 1, when_spent: send_without}}", say=say)
    made = verdict(text, spent={"one": Used(1, 0)})
    assert made.offer is not None
    assert made.offer.body == "Try it"
    assert "sent without a coupon" in next(stage.detail for stage in made.decision.trace if stage.name == "budget")


def test_the_next_best_is_tried_when_the_budget_of_the_best_is_spent() -> None:
    text = """
rules:
  - id: best
    when: {enter: {zone: coffee-aisle}}
    compete: {group: g, priority: 9}
    offer: {coupon: {free: one coffee, valid_for: 1h}, budget: {coupons: 1}}
    say: {en: {title: T, body: B}}
  - id: next
    when: {enter: {zone: coffee-aisle}}
    compete: {group: g}
    say: {en: {title: T, body: B}}
"""
    made = decide(ruleset(text), happening(), facts(spent={"best": Used(1, 0)}))
    assert {one.decision.rule: one.decision.reason for one in made} == {"best": "budget_spent", "next": None}


# What the commit has to take


def test_a_claim_says_from_when_on_sends_count() -> None:
    text = rule(
        "    limits: [{scope: rule, max: 1, every: 24h, window: calendar}, {scope: all, max: 3, every: 7d}]",
        when="{enter: {zone: coffee-aisle}}",
    )
    claim = verdict(text).effects.claim
    assert claim is not None
    midnight = epoch("2026-11-24T00:00:00+01:00")
    assert [(cap.scope, cap.max) for cap in claim.caps] == [("rule", 1), ("all", 3)]
    assert midnight - 1e-3 < claim.caps[0].after < midnight
    assert claim.caps[1].after == NOW - 7 * 86_400


def test_a_service_message_uses_nothing_up() -> None:
    assert verdict(rule("    class: service", when="{enter: {zone: coffee-aisle}}")).effects == NOTHING


def test_who_is_held_out_takes_a_place_and_no_coupon() -> None:
    text = offering("{coupon: {free: one coffee}}", "    holdout: {percent: 10, name: all}")
    made = verdict(text, holdouts={"all": True})
    assert (made.ghost, made.coupon) == (True, None)
    assert made.effects.claim is not None
    assert (made.effects.claim.ghost, made.effects.claim.coupon) == (True, False)
    assert made.effects.exposure is not None
    assert (made.effects.exposure.held, made.effects.exposure.holdout) == (True, "all")


def test_exposures_of_all_arms_are_logged() -> None:
    text = rule(
        "    experiment: {name: copy, arms: {control: 20, plain: 80}}\n"
        "    goal: {event: purchase, within: 24h, value: basket.total}\n"
        "    offer: {points: 10}\n"
        "    say: {plain: {en: {title: T, body: B}}}",
        when="{enter: {zone: coffee-aisle}}",
    )
    plain = verdict(text, arms={"copy": "plain"}).effects.exposure
    control = verdict(text, arms={"copy": "control"}).effects.exposure
    assert plain is not None
    assert control is not None
    assert (plain.arm, plain.held, plain.points) == ("plain", False, 10)
    assert (control.arm, control.held, control.points) == ("control", True, 0)
    assert (plain.goal, plain.until, plain.value) == ("purchase", NOW + 86_400, "basket.total")
    assert verdict(rule(when="{enter: {zone: coffee-aisle}}")).effects.exposure is None  # a rule that is not measured


# Words to the staff


def test_the_staff_is_told_and_the_shopper_is_not() -> None:
    text = (
        "rules:\n  - id: collect\n    when: {enter: {zone: coffee-aisle}}\n    consent: {purpose: in-store-offers}\n"
        "    where: {all: ['order.status == \"ready\"']}\n"
        "    do: [{staff: {desk: collect, text: \"{{ order.id | default: 'An order' }} arriving\"}}]\n"
    )
    known = {"order": {"id": "A17", "status": "ready"}}
    made = verdict(text, attributes=known, reachable=frozenset())
    assert (made.decision.outcome, made.offer) == ("sent", None)
    (word,) = made.effects.messages
    assert (word.desk, word.text, word.site, word.zone) == ("collect", "A17 arriving", "paris", "coffee-aisle")
    assert made.decision.trace[-1].detail == "desk collect"
    assert made.counted == Sent("ada", "collect", "paris", NOW, silent=True)


def test_a_word_to_the_staff_counts_for_its_own_rule_alone() -> None:
    told = sent("staff", NOW - 60, silent=True)
    limits = "    limits: [{scope: all, max: 2, every: 1h}, {scope: store, max: 1, every: 1h}]"
    assert verdict(rule(limits, when="{enter: {zone: coffee-aisle}}"), history=[told]).offer is not None
    own = rule("    limits: [{scope: rule, max: 1, every: 1h}]", when="{enter: {zone: coffee-aisle}}", name="staff")
    assert verdict(own, history=[told]).decision.reason == "limit_reached"


# Mistakes: each with what to write instead

WRONG: list[tuple[str, str]] = [
    ("{coupon: {}}", "needs one of `percent_off`, `amount_off`, `free` and `text`"),
    ("{coupon: {percent_off: 20, free: a cup}}", "not `percent_off` and `free`"),
    ("{coupon: {percent_off: 120}}", "less than or equal to 100"),
    ("{coupon: {amount_off: 5}}", 'write it with its currency, as in "12000 EUR"'),
    ('{coupon: {amount_off: "0 EUR"}}', "more than nothing"),
    ('{coupon: {amount_off: "5 EUR", at_most: "3 EUR"}}', "`at_most` has no effect"),
    ("{coupon: {free: a cup, sku: A, category: b}}", "`sku` or `category`, not both"),
    ('{coupon: {free: a cup, valid_for: 1h, valid_until: "2026-12-24"}}', "not both"),
    ("{budget: {coupons: 5}}", "needs a `coupon`, `points` or both"),
    ("{points: 5, budget: {coupons: 5}}", "`budget` has no effect without a `coupon`"),
    ("{coupon: {free: a cup}, budget: {}}", "needs `coupons`, `spend` or both"),
    ('{coupon: {amount_off: "5 EUR"}, budget: {spend: "9 CHF"}}', "write both in one currency"),
    ('{coupon: {amount_off: "5 EUR"}, budget: {spend: "4 EUR"}}', "does not reach for one coupon"),
    ("{coupon: {free: a cup, valid_for: 2h}, budget: {coupons: 5, reserve_for: 1h}}", "must be held while the till"),
]


@pytest.mark.parametrize(("offer", "message"), WRONG)
def test_mistakes(offer: str, message: str) -> None:
    found = load(offering(offer))
    assert found.ruleset is None
    assert any(message in one.render() for one in found.errors), [one.render() for one in found.errors]


WARNED: list[tuple[str, str]] = [
    ('{coupon: {percent_off: 20, valid_for: 1h}, budget: {spend: "9 EUR"}}', "W044"),
    ("{coupon: {free: a cup}, budget: {coupons: 9}}", "W045"),
    ("{coupon: {free: a cup, valid_for: 2m}}", "W043"),
]


@pytest.mark.parametrize(("offer", "code"), WARNED)
def test_warnings(offer: str, code: str) -> None:
    found = load(offering(offer))
    assert [one.code for one in found.diagnostics] == [code]


def test_a_text_cannot_speak_of_what_the_coupon_has_not() -> None:
    say = "{en: {title: T, body: '{{ coupon.amount_off }}'}}"
    (wrong,) = load(offering("{coupon: {percent_off: 20}}", say=say)).errors
    assert "unknown attribute `coupon.amount_off`" in wrong.message
    assert load(offering("{coupon: {amount_off: 2 EUR}}", say=say)).diagnostics == []


def test_a_goal_that_cannot_come() -> None:
    text = rule("    goal: {event: redeemed, within: 24h}", when="{enter: {zone: coffee-aisle}}")
    (wrong,) = load(text).errors
    assert "gives no coupon that could be redeemed" in wrong.message


def test_scopes_are_checked() -> None:
    text = VALUES.replace("cart: shopper", "cart: shoper, shopper: store, wether: chain")
    found, wrong = load_attributes(text, "attributes.yaml")
    assert found is None
    assert [one.message for one in wrong] == [
        '`cart` cannot be of "shoper"',
        "`shopper` is always of the shopper and has no scope",
        "no attribute is declared in `wether`",
    ]
    assert [one.hint for one in wrong[::2]] == ["did you mean `shopper`?", "did you mean `weather`?"]


def test_a_rule_reads_its_own_values() -> None:
    attributes, wrong = load_attributes(VALUES, "attributes.yaml")
    assert attributes is not None, wrong
    text = "rules:\n" + "".join(
        f"  - id: {name}\n    when: {{enter: {{zone: coffee-aisle}}}}\n"
        "    compete: {group: g, score: offer.margin * 2.0}\n    say: {en: {title: T, body: B}}\n"
        for name in ("low", "high")
    )
    known = {"offer": {"low": {"margin": 0.1}, "high": {"margin": 0.4}}}
    made = decide(ruleset(text, Catalog(CATALOG.stores, attributes)), happening(), facts(attributes=known))
    assert {one.decision.rule: one.decision.reason for one in made} == {"low": "outranked", "high": None}
