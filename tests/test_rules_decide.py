"""Deciding: each reason, the order of the stages, competition, limits over a timeline, and what an offer holds."""

from typing import Any

import pytest

from proximity.model import Sent, Shopper, child_id
from rules.decide import BEFORE, decide
from rules.explain import REASONS, explain
from tests.rules.support import NOON, ada, epoch, facts, happening, only, outcomes, rule, ruleset, sent

NIGHT = 'windows: {night: {from: "21:00", to: "08:30"}, midday: {from: "11:30", to: "14:00"}}\n'


def test_three_lines_are_enough() -> None:
    text = """
rules:
  - id: welcome
    when: {enter: {zone: entrance}}
    say: {en: {title: "Welcome", body: "Coffee is on us until eleven"}}
"""
    now = epoch(NOON)
    verdict = only(text, happening(zone="entrance"), facts())
    decision, offer = verdict.decision, verdict.offer
    assert (decision.outcome, decision.reason, decision.at) == ("sent", None, now)
    assert decision.id == child_id(happening(zone="entrance").id, "welcome")
    assert offer is not None
    assert offer.id == decision.id
    assert (offer.title, offer.body, offer.language) == ("Welcome", "Coffee is on us until eleven", "en")
    assert (offer.created, offer.expires, offer.channels) == (now, now + 300, ("push", "inbox"))
    assert (offer.only_while, offer.on_exit, offer.purpose) == ("inside", "withdraw", "in-store-offers")
    assert [stage.name for stage in decision.trace] == [
        "status", "consent", "trigger", "conditions", "windows", "quiet", "experiment", "competition",
        "limits", "budget", "render", "send",
    ]  # fmt: skip


# Each row: keys of the rule, its trigger, header, changes of the transition, changes of the facts, reason, the stage.
REFUSALS: list[tuple[str, str, str, dict[str, Any], dict[str, Any], str, str]] = [
    ("    status: draft", "enter", "", {}, {}, "not_live", "status"),
    ("    status: paused", "enter", "", {}, {}, "not_live", "status"),
    ('    runs: {from: "2026-11-25"}', "enter", "", {}, {}, "not_live", "status"),
    ('    runs: {until: "2026-11-23"}', "enter", "", {}, {}, "not_live", "status"),
    ("", "enter", "", {}, {"shopper": None}, "no_consent", "consent"),
    ("", "enter", "", {}, {"shopper": ada(consents={})}, "no_consent", "consent"),
    ("", "enter", "", {}, {"shopper": ada(consents={"in-store-offers": False})}, "no_consent", "consent"),
    ("    consent: {purpose: orders}", "enter", "", {}, {}, "no_consent", "consent"),
    ("", "enter", "", {}, {"reachable": frozenset()}, "no_channel", "consent"),
    ("    deliver: {channels: [webhook]}", "enter", "", {}, {}, "no_channel", "consent"),
    ("", "enter", "", {"at": "2026-11-24T11:54:00+01:00"}, {}, "expired", "trigger"),
    ("", "enter", "", {}, {"live": False}, "expired", "trigger"),
    ("    where: {all: [shopper.visits_30d >= 9]}", "enter", "", {}, {}, "condition_false", "conditions"),
    ("    where: {all: [weather.temp_c < 9.0]}", "enter", "", {}, {}, "attribute_missing", "conditions"),
    ("    where: {during: night}", "enter", NIGHT, {}, {}, "outside_window", "windows"),
    ("    where: {store: closed}", "enter", "", {}, {}, "outside_window", "windows"),
    ("    quiet: {window: midday}", "enter", NIGHT, {}, {}, "quiet_hours", "quiet"),
    ("    limits: [{scope: rule, max: 1, every: 1h}]", "enter", "", {},
     {"history": [sent("one", epoch(NOON) - 60)]}, "limit_reached", "limits"),
    ('    say: {en: {title: "{{ weather.temp_c }}", body: B}}', "enter", "", {}, {}, "render_failed", "render"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "kind", "header", "changes", "known", "reason", "stage"), REFUSALS)
def test_every_no_has_its_reason(
    keys: str, kind: str, header: str, changes: dict[str, Any], known: dict[str, Any], reason: str, stage: str
) -> None:
    text = rule(keys, when=f"{{{kind}: {{zone: coffee-aisle}}}}", header=header)
    verdict = only(text, happening(kind, **changes), facts(**known))
    assert verdict.offer is None
    assert (verdict.decision.outcome, verdict.decision.reason) == ("withheld", reason)
    assert verdict.decision.trace[-1].name == stage
    assert not verdict.decision.trace[-1].passed
    assert all(one.passed for one in verdict.decision.trace[:-1])
    assert verdict.decision.detail == verdict.decision.trace[-1].detail != ""
    assert (verdict.decision.trace[-1].where or "").startswith("test.rules.yaml:")
    assert reason in REASONS


def test_store_hours() -> None:
    text = rule("    where: {store: open}", when="{enter: {zone: coffee-aisle}}")
    rules = ruleset(text)
    for at, reason in [
        ("2026-11-24T08:59:00+01:00", "store_closed"),
        ("2026-11-24T09:00:00+01:00", None),
        ("2026-11-24T19:59:59+01:00", None),
        ("2026-11-24T20:00:00+01:00", "store_closed"),
        ("2026-11-29T12:00:00+01:00", "store_closed"),  # a Sunday
        ("2026-11-11T12:00:00+01:00", "store_closed"),  # Armistice
    ]:
        assert outcomes(decide(rules, happening(at=at), facts(at))) == {"one": reason}, at
    (verdict,) = decide(rules, happening(site="berlin"), facts())
    assert verdict.decision.reason == "store_closed"
    assert verdict.decision.detail == "the store's opening hours are not known"


def test_the_stages_come_in_the_order_of_the_reference() -> None:
    """Everything is wrong at once; repairing one thing after the other meets the reasons in order."""
    keys = """    where: {all: [shopper.visits_30d >= 9], during: night}
    limits: [{scope: rule, max: 1, every: 1h}]
    quiet: {window: midday}"""
    header = NIGHT + "defaults: {quiet: {window: midday}}\n"
    text = rule(keys, header=header)
    history = [sent("one", epoch(NOON) - 60)]
    seen = []
    steps: list[tuple[str, str]] = [
        ("status: draft", "status: live"),
        ("[shopper.visits_30d >= 9]", "[shopper.visits_30d >= 1]"),
        ("during: night", "during: midday"),
    ]
    text = text.replace("    where:", "    status: draft\n    where:")
    shopper = ada(consents={})
    for old, new in [("", ""), steps[0]]:
        text = text.replace(old, new) if old else text
        seen.append(only(text, happening(), facts(shopper=shopper, history=history)).decision.reason)
    for old, new in [("", ""), *steps[1:], ("window: midday}", "window: night}"), ("max: 1", "max: 2")]:
        text = text.replace(old, new) if old else text
        seen.append(only(text, happening(), facts(history=history)).decision.reason)
    assert seen == [
        "not_live", "no_consent", "condition_false", "outside_window", "quiet_hours", "limit_reached", None,
    ]  # fmt: skip
    assert [stage.__name__ for stage in BEFORE] == [
        "_status", "_consent", "_trigger", "_conditions", "_windows", "_quiet", "_experiment",
    ]  # fmt: skip


# Trigger


@pytest.mark.parametrize(
    ("when", "initial", "reason"),
    [
        ("{enter: {zone: coffee-aisle}}", True, None),
        ("{enter: {zone: coffee-aisle, initial: true}}", True, None),
        ("{enter: {zone: coffee-aisle, initial: false}}", True, "initial_presence"),
        ("{enter: {zone: coffee-aisle, initial: false}}", False, None),
    ],
)
def test_initial_presence(when: str, initial: bool, reason: str | None) -> None:
    assert only(rule(when=when), happening(initial=initial), facts()).decision.reason == reason


def test_a_dwell_fires_at_its_own_threshold_only() -> None:
    rules = ruleset(rule(when="{dwell: {zone: coffee-aisle, for: 60s}}"))
    assert outcomes(decide(rules, happening("dwell", dwell=60.0), facts())) == {"one": None}
    assert decide(rules, happening("dwell", dwell=30.0), facts()) == []


def test_an_exit_lasts_longer_and_waits_for_nobody() -> None:
    rules = ruleset(rule(when="{exit: {zone: coffee-aisle}}"))
    left = epoch(NOON) - 900  # known only after a quarter of an hour of silence
    (verdict,) = decide(rules, happening("exit", at=left), facts())
    assert verdict.offer is not None
    assert (verdict.offer.only_while, verdict.offer.on_exit, verdict.offer.expires) == ("anywhere", "keep", left + 1800)
    (late,) = decide(rules, happening("exit", at=left), facts(left + 1801))
    assert late.decision.reason == "expired"


@pytest.mark.parametrize(("late", "reason"), [(0, None), (180, None), (180.5, "expired"), (-5, None)])
def test_late_is_not_now(late: float, reason: str | None) -> None:
    transition = happening(at=epoch(NOON) - late)
    assert only(rule("    deliver: {expires: 3m}"), transition, facts()).decision.reason == reason


# Competition


def _group(*rules: tuple[str, int, str]) -> str:
    text = "rules:\n"
    for name, priority, extra in rules:
        keys = f"    compete: {{group: best, priority: {priority}}}\n{extra}"
        text += rule(keys, name=name).replace("\nrules:\n", "")
    return text


def test_one_best_offer() -> None:
    rules = ruleset(_group(("b", 10, ""), ("a", 20, ""), ("c", 20, "")))
    verdicts = decide(rules, happening(), facts())
    assert outcomes(verdicts) == {"a": None, "b": "outranked", "c": "outranked"}
    assert verdicts[1].decision.detail == "a was sent for best"


def test_when_the_best_cannot_be_sent_the_next_one_is() -> None:
    rules = ruleset(
        _group(
            ("a", 30, "    limits: [{scope: rule, max: 1, every: 7d}]"),
            ("b", 20, '    say: {en: {title: "{{ weather.temp_c }}", body: B}}'),
            ("c", 10, ""),
            ("d", 5, ""),
        )
    )
    history = [sent("a", epoch(NOON) - 60)]
    assert outcomes(decide(rules, happening(), facts(history=history))) == {
        "a": "limit_reached", "b": "render_failed", "c": None, "d": "outranked",
    }  # fmt: skip


def test_a_rule_that_does_not_pass_does_not_compete() -> None:
    rules = ruleset(_group(("a", 30, "    where: {all: [shopper.visits_30d > 99]}"), ("b", 20, "")))
    assert outcomes(decide(rules, happening(), facts())) == {"a": "condition_false", "b": None}


def test_an_earlier_send_counts_for_the_next_rule() -> None:
    header = "defaults: {limits: [{scope: all, max: 1, every: 24h}]}"
    text = rule(header=header, name="b") + rule("    compete: {group: g, priority: 5}", name="c").replace(
        "\nrules:\n", ""
    )
    verdicts = decide(ruleset(text), happening(), facts())
    assert outcomes(verdicts) == {"b": "limit_reached", "c": None}  # by priority, then by id


# Limits over a timeline: minutes from the start -> sent?

TIMELINES: list[tuple[str, str, list[tuple[float, bool]]]] = [
    ("rolling", "{scope: rule, max: 1, every: 30m}", [(0, True), (10, False), (29.9, False), (30, True), (45, False)]),
    ("two an hour", "{scope: all, max: 2, every: 1h}", [(0, True), (20, True), (40, False), (60, True), (70, False)]),
    # NOON is in Paris; the calendar day ends 720 minutes later
    ("calendar day", "{scope: rule, max: 1, every: 24h, window: calendar}",
     [(0, True), (719.9, False), (720, True), (2159, False), (2160, True)]),
    # NOON is a Tuesday; Monday begins 5.5 days later
    ("calendar week", "{scope: rule, max: 1, every: 7d, window: calendar}",
     [(0, True), (7919, False), (7920, True)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "limit", "steps"), TIMELINES)
def test_limits_over_time(name: str, limit: str, steps: list[tuple[float, bool]]) -> None:
    rules = ruleset(rule(f"    limits: [{limit}]"))
    history: list[Sent] = []
    for minutes, wanted in steps:
        at = epoch(NOON) + minutes * 60
        (verdict,) = decide(rules, happening(at=at), facts(at, history=history))
        assert (verdict.offer is not None) is wanted, (name, minutes)
        if verdict.offer is not None:
            history.insert(0, sent("one", at))  # in any order


@pytest.mark.parametrize(
    ("scope", "other", "reason"),
    [
        ("rule", sent("one", 0), "limit_reached"),
        ("rule", sent("one", 0, "berlin"), "limit_reached"),
        ("rule", sent("two", 0), None),
        ("store", sent("two", 0), "limit_reached"),
        ("store", sent("one", 0, "berlin"), None),
        ("all", sent("two", 0, "berlin"), "limit_reached"),
        ("all", sent("two", 0, service=True), None),
    ],
)
def test_what_a_scope_counts(scope: str, other: Sent, reason: str | None) -> None:
    earlier = Sent(other.shopper, other.rule, other.site, epoch(NOON) - 60, other.service)
    text = rule(f"    limits: [{{scope: {scope}, max: 1, every: 1h}}]")
    assert only(text, happening(), facts(history=[earlier])).decision.reason == reason


def test_defaults_hold_for_every_rule_and_service_stands_outside() -> None:
    header = NIGHT + "defaults:\n  limits: [{scope: all, max: 1, every: 24h}]\n  quiet: {window: midday}\n"
    text = rule(header=header, name="advert")
    text += rule("    class: service", name="order").replace("\nrules:\n", "")
    history = [sent("x", epoch(NOON) - 60)]
    verdicts = decide(ruleset(text), happening(), facts(history=history))
    assert outcomes(verdicts) == {"advert": "quiet_hours", "order": None}
    assert verdicts[1].offer is not None
    assert verdicts[1].offer.service
    refused = decide(ruleset(text), happening(), facts(shopper=ada(consents={})))
    assert outcomes(refused) == {"advert": "no_consent", "order": "no_consent"}


# What the offer says


@pytest.mark.parametrize(
    ("reads", "language"),
    [
        (("en",), "en"),
        (("de", "en"), "en"),
        (("en", "fr"), "en"),  # the most wanted that the rule speaks
        (("fr-CA",), "fr"),
        (("pt",), "pt-BR"),
        (("de",), "fr"),  # else the first of the defaults
        ((), "fr"),
    ],
)
def test_language(reads: tuple[str, ...], language: str) -> None:
    header = "defaults: {languages: [fr, en]}"
    say = "    say: {pt-BR: {title: T, body: B}, en: {title: T, body: B}, fr: {title: T, body: B}}"
    verdict = only(rule(say, header=header), happening(), facts(shopper=ada(languages=reads)))
    assert verdict.offer is not None
    assert verdict.offer.language == language


def test_channels_in_the_order_of_the_rule() -> None:
    text = rule("    deliver: {channels: [webhook, inbox, push]}")
    verdict = only(text, happening(), facts(reachable=frozenset({"push", "webhook"})))
    assert verdict.offer is not None
    assert verdict.offer.channels == ("webhook", "push")


def test_values_of_the_moment_can_be_asked_and_said() -> None:
    keys = """    where:
      all:
        - zone.id == "coffee-aisle" && "food" in zone.tags
        - visit.minutes >= 2 && visit.confidence > 0.5 && !visit.initial
        - store.id == "paris"
        - '"en" in shopper.languages'
    say:
      en:
        title: "{{ zone.name }} at {{ store.name }}"
        body: "{{ visit.minutes }} minutes, {{ stock['KONA-250'] | default: 0 }} left, {{ weather.temp_c | round }} °C"
        url: "https://shop.example/{{ store.id }}?who={{ shopper.first_name | url_encode }}" """
    transition = happening(started=epoch(NOON) - 150)
    known = facts(
        attributes={"stock": {"KONA-250": 4}, "weather": {"temp_c": 7.2}},
        shopper=ada(attributes={"first_name": "Ada L"}),
    )
    offer = only(rule(keys), transition, known).offer
    assert offer is not None
    assert (offer.title, offer.body) == ("Coffee at Paris", "2 minutes, 4 left, 7 °C")
    assert offer.url == "https://shop.example/paris?who=Ada+L"


# Traces


def test_a_trace_names_the_values_and_the_line() -> None:
    keys = """    where:
      all:
        - shopper.visits_30d >= 3
        - weather.temp_c < 12.0"""
    verdict = only(rule(keys), happening(), facts(attributes={"weather": {"temp_c": 20.0}}))
    stage = verdict.decision.trace[-1]
    assert stage.values == {"shopper.visits_30d": 5, "weather.temp_c": 20.0}
    assert stage.where == "test.rules.yaml:8"
    assert stage.detail == "`weather.temp_c < 12.0` is false"


def test_explain() -> None:
    text = rule("    limits: [{scope: rule, max: 1, every: 30m}]")
    no = only(text, happening(), facts(history=[sent("one", epoch(NOON) - 60)]))
    assert (
        explain(no.decision)
        == """\
one for ada at paris/coffee-aisle, 2026-11-24 11:00:00 UTC
withheld (limit_reached): the shopper has had enough offers
  yes  status       live
  yes  consent      consented to in-store-offers
  yes  trigger      enter coffee-aisle  [test.rules.yaml:4]
  yes  conditions
  yes  windows
  yes  quiet
  yes  experiment
  yes  competition
  NO   limits       at most 1 of this rule every 30m; 1 sent  [test.rules.yaml:5]
                    1 of this rule every 30m = 1"""
    )
    yes = explain(only(text, happening(), facts()).decision)
    assert yes.splitlines()[1] == "sent"
    assert yes.splitlines()[-1] == "  yes  send         push, inbox"


def test_somebody_without_attributes_is_no_special_case() -> None:
    keys = "    where: {none: [shopper.visits_30d > 3], missing: {shopper.visits_30d: pass}}"
    plain = Shopper("ada", consents={"in-store-offers": True})
    verdict = only(rule(keys), happening(), facts(shopper=plain))
    assert verdict.offer is not None
    assert verdict.offer.title == "T"
