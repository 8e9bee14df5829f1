"""Holdouts, experiments and scores: who is in which group, what ghosts count for, which offer is the best."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.model import Sent
from rules.decide import Verdict, decide
from rules.experiments import BUCKETS, Experiment, Holdout, bucket
from rules.explain import explain
from tests.rules.support import NOON, ada, epoch, facts, happening, only, outcomes, rule, ruleset, sent

ARMS = """    experiment: {name: copy, arms: {plain: 50, urgent: 30, control: 20}}
    say:
      plain: {en: {title: Plain, body: B}}
      urgent: {en: {title: Urgent, body: B}, fr: {title: Vite, body: B}}
"""
HELD = "    holdout: {percent: 10, name: global}\n"


def files(*rules: tuple[str, str]) -> str:
    return "rules:\n" + "".join(rule(keys, name=name).replace("\nrules:\n", "") for name, keys in rules)


def of(verdicts: list[Verdict], name: str) -> Verdict:
    return next(one for one in verdicts if one.decision.rule == name)


# Buckets

# The contract: a change here would move every shopper of every running experiment.
GOLDEN = [("global-2026", "ada", 4107), ("global-2026", "ben", 973), ("coffee", "ada", 7236), ("coffee", "zoé", 536)]


def test_buckets_never_change() -> None:
    assert [(name, who, bucket(name, who)) for name, who, _ in GOLDEN] == GOLDEN


def test_buckets_are_even_and_names_independent() -> None:
    people = [f"shopper-{i}" for i in range(20_000)]
    tenths = Counter(bucket("a", who) // 1000 for who in people)
    # 2,000 expected in each; five standard deviations are 212.
    assert all(abs(count - 2000) < 212 for count in tenths.values())
    both = sum(bucket("a", who) < 5000 and bucket("b", who) < 5000 for who in people)
    assert abs(both - 5000) < 306  # five standard deviations of a quarter


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_bucket_is_one_of_ten_thousand(name: str, who: str) -> None:
    assert 0 <= bucket(name, who) < BUCKETS


@given(st.integers(0, BUCKETS - 1), st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_every_bucket_has_one_arm_and_a_larger_holdout_holds_the_same_people(number: int, cuts: list[int]) -> None:
    shares = [*cuts, BUCKETS * 3 - sum(cuts)]
    arms = tuple((f"arm-{i}", share) for i, share in enumerate(shares))
    arm = Experiment("x", arms).arm(number)
    before = sum(share for name, share in arms[: int(arm.removeprefix("arm-"))])
    assert before <= number < before + dict(arms)[arm]
    assert not Holdout("x", cuts[0]).holds(number) or Holdout("x", cuts[0] + 1).holds(number)


def test_an_arm_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond the last arm of x"):
        Experiment("x", (("a", 10),)).arm(10)


def test_arms_go_by_name_however_they_are_written() -> None:
    one = ruleset(rule(ARMS)).by_id["one"].experiment
    other = ruleset(rule(ARMS.replace("plain: 50, urgent: 30, control: 20", "control: 20, urgent: 30, plain: 50")))
    assert one is not None
    assert one.arms == (("control", 2000), ("plain", 5000), ("urgent", 3000))
    other_experiment = other.by_id["one"].experiment
    assert other_experiment is not None
    assert other_experiment.arms == one.arms


# Deciding


def test_the_share_of_a_holdout_gets_nothing_and_stays_the_same() -> None:
    rules = ruleset(files(("one", HELD), ("two", HELD)))
    held = 0
    for i in range(1000):
        verdicts = decide(rules, happening(shopper=f"s{i}"), facts(shopper=ada(id=f"s{i}")))
        expected = bucket("global", f"s{i}") < 1000
        assert outcomes(verdicts) == dict.fromkeys(("one", "two"), "holdout" if expected else None)
        held += expected
    assert 60 < held < 140


def test_a_ghost_is_told_in_full() -> None:
    verdict = only(rule(HELD), happening(), facts(holdouts={"global": True}))
    assert verdict.offer is None
    assert verdict.ghost
    assert verdict.counted == Sent("ada", "one", "paris", epoch(NOON))
    assert (verdict.decision.outcome, verdict.decision.reason) == ("withheld", "holdout")
    stage = verdict.decision.trace[-1]
    assert (stage.name, stage.passed, stage.where) == ("experiment", False, "test.rules.yaml:5")
    assert stage.detail == "held out by global; it would have been sent"
    assert stage.values == {"holdout": {"name": "global", "bucket": bucket("global", "ada")}, "ghost": True}
    assert "ghost = True" in explain(verdict.decision)


def test_membership_is_in_the_trace_of_those_who_get_it() -> None:
    verdict = only(rule(HELD + ARMS), happening(), facts(holdouts={"global": False}, arms={"copy": "urgent"}))
    assert verdict.offer is not None
    assert (verdict.offer.title, verdict.ghost) == ("Urgent", False)
    assert verdict.counted == Sent("ada", "one", "paris", epoch(NOON))
    stage = next(one for one in verdict.decision.trace if one.name == "experiment")
    assert stage.detail == "in the arm urgent of copy"
    assert set(stage.values) == {"holdout", "experiment"}
    assert stage.values["experiment"] == {"name": "copy", "bucket": bucket("copy", "ada"), "arm": "urgent"}


@pytest.mark.parametrize(
    ("arm", "reads", "title", "reason", "ghost"),
    [
        ("plain", "en", "Plain", None, False),
        ("urgent", "en", "Urgent", None, False),
        ("urgent", "fr", "Vite", None, False),
        ("control", "en", None, "holdout", True),
    ],
)
def test_each_arm_says_its_own(arm: str, reads: str, title: str | None, reason: str | None, ghost: bool) -> None:
    verdict = only(rule(ARMS), happening(), facts(shopper=ada(languages=(reads,)), arms={"copy": arm}))
    assert (verdict.offer.title if verdict.offer else None, verdict.decision.reason, verdict.ghost) == (
        title, reason, ghost,
    )  # fmt: skip


def test_without_being_told_the_hash_says_the_arm() -> None:
    rules = ruleset(rule(ARMS))
    experiment = rules.by_id["one"].experiment
    assert experiment is not None
    for i in range(50):
        (verdict,) = decide(rules, happening(shopper=f"s{i}"), facts(shopper=ada(id=f"s{i}", languages=("en",))))
        arm = experiment.arm(bucket("copy", f"s{i}"))
        assert (verdict.offer.title.lower() if verdict.offer else "control") == arm


# What would have come between a held-out shopper and the offer: then there is no ghost, and the reason stays `holdout`.
@pytest.mark.parametrize(
    ("keys", "known", "detail"),
    [
        ("    limits: [{scope: rule, max: 1, every: 7d}]\n", {"history": [sent("one", epoch(NOON) - 60)]},
         "held out by global; without that: limit_reached, at most 1 of this rule every 7d; 1 sent"),
        ('    say: {en: {title: "{{ weather.temp_c }}", body: B}}\n', {},
         "held out by global; without that: render_failed, 'weather' is undefined"),
    ],
)  # fmt: skip
def test_no_ghost_where_nothing_would_have_been_sent(keys: str, known: dict[str, Any], detail: str) -> None:
    verdict = only(rule(HELD + keys), happening(), facts(holdouts={"global": True}, **known))
    assert (verdict.decision.reason, verdict.ghost, verdict.counted) == ("holdout", False, None)
    assert verdict.decision.detail == detail
    assert verdict.decision.trace[-1].values["ghost"] is False


def test_earlier_stages_come_before_the_holdout() -> None:
    keys = HELD + "    where: {all: [shopper.visits_30d > 99]}\n"
    verdict = only(rule(keys), happening(), facts(holdouts={"global": True}))
    assert (verdict.decision.reason, verdict.ghost) == ("condition_false", False)


def test_a_ghost_wins_its_group() -> None:
    text = files(("a", HELD + "    compete: {group: best, priority: 9}\n"), ("b", "    compete: {group: best}\n"))
    verdicts = decide(ruleset(text), happening(), facts(holdouts={"global": True}))
    assert outcomes(verdicts) == {"a": "holdout", "b": "outranked"}
    assert of(verdicts, "b").decision.detail == "a was held out for best"
    late = [sent("a", epoch(NOON) - 60)]
    limited = text.replace("priority: 9}\n", "priority: 9}\n    limits: [{scope: rule, max: 1, every: 1h}]\n")
    assert outcomes(decide(ruleset(limited), happening(), facts(holdouts={"global": True}, history=late))) == {
        "a": "holdout", "b": None,
    }  # fmt: skip


def test_a_ghost_uses_up_limits_of_later_rules() -> None:
    text = "defaults: {limits: [{scope: all, max: 1, every: 1h}]}\n" + files(("a", HELD), ("b", ""))
    assert outcomes(decide(ruleset(text), happening(), facts(holdouts={"global": True}))) == {
        "a": "holdout", "b": "limit_reached",
    }  # fmt: skip


@given(st.lists(st.integers(1, 120), max_size=12), st.sampled_from(["rule", "store", "all"]), st.integers(1, 3))
def test_those_held_out_meet_a_rule_as_often_as_the_others(gaps: list[int], scope: str, most: int) -> None:
    rules = ruleset(rule(HELD + f"    limits: [{{scope: {scope}, max: {most}, every: 1h}}]\n"))
    moments: dict[bool, list[float]] = {}
    for held in (True, False):
        history: list[Sent] = []
        now = epoch(NOON)
        moments[held] = []
        for gap in gaps:
            now += gap * 60
            (verdict,) = decide(rules, happening(at=now), facts(now, history=history, holdouts={"global": held}))
            assert verdict.ghost is (held and verdict.counted is not None)
            if verdict.counted is not None:
                history.append(verdict.counted)
                moments[held].append(now)
    assert moments[True] == moments[False]


# Scores


def _scored(*rules: tuple[str, str, int]) -> str:
    return files(*((name, f"    compete: {{group: best, score: '{score}', priority: {priority}}}\n")
                   for name, score, priority in rules))  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "winner"),
    [
        ((("a", "1.0", 0), ("b", "2.5", 0), ("c", "2", 0)), "b"),
        ((("a", "shopper.visits_30d", 0), ("b", "4", 0)), "a"),  # 5 visits
        ((("a", "1", 9), ("b", "2", 0)), "b"),  # the score goes before the priority
        ((("a", "1", 0), ("b", "1", 9)), "b"),  # between equals the priority
        ((("b", "1", 0), ("a", "1", 0)), "a"),  # then the id
        ((("a", "weather.temp_c", 99), ("b", "-5", 0)), "b"),  # what is not known goes last
        ((("a", "1 / (shopper.visits_30d - 5)", 0), ("b", "-5", 0)), "b"),
        ((("a", "weather.temp_c", 0), ("b", "cart.total", 1)), "b"),
        ((("a", "1.0 / 0.0", 0), ("b", "1", 0)), "b"),
        ((("a", "shopper.visits_30d > 3 ? 3 : 1", 0), ("b", "2", 0)), "a"),
    ],
)
def test_the_highest_score_is_sent(rules: tuple[tuple[str, str, int], ...], winner: str) -> None:
    verdicts = decide(ruleset(_scored(*rules)), happening(), facts())
    assert [name for name, reason in outcomes(verdicts).items() if reason is None] == [winner]
    assert set(outcomes(verdicts).values()) == {None, "outranked"}


def test_scores_are_in_the_trace() -> None:
    verdicts = decide(ruleset(_scored(("a", "2 * 3", 0), ("b", "weather.temp_c", 0))), happening(), facts())
    stages = {one.decision.rule: one.decision.trace for one in verdicts}
    assert next(one for one in stages["a"] if one.name == "competition").values == {"score": 6.0}
    assert stages["b"][-1].values == {"score": "`weather.temp_c` has no value"}
    assert stages["b"][-1].detail == "a was sent for best"


def test_scores_order_their_group_and_nothing_else() -> None:
    """Under a common limit the rules outside the group keep their place by priority."""
    header = "defaults: {limits: [{scope: all, max: 1, every: 1h}]}\n"
    text = header + files(
        ("a", "    compete: {group: best, score: '1', priority: 1}\n"),
        ("b", "    compete: {group: best, score: '2', priority: 9}\n"),
        ("c", "    compete: {group: other, priority: 5}\n"),
    )
    assert outcomes(decide(ruleset(text), happening(), facts())) == {
        "a": "outranked", "b": None, "c": "limit_reached",
    }  # fmt: skip
