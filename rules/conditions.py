"""Conditions in three values: yes, no, and not known because an attribute is absent.

What an absent attribute means is the rule's choice: `pass`, the condition counts as met; `fail`, it counts as not met;
`skip`, the question stays open, and a rule that depends on it does not fire.
"""

from enum import Enum

from rules.expressions import problem_text
from rules.moment import Moment
from rules.ruleset import Check, Conditions

No = tuple[str, str, str]  # reason code, detail, file:line


class Met(Enum):
    """Whether a condition is met."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


def judge(conditions: Conditions, moment: Moment) -> No | None:
    """None when the conditions hold. A definite no goes before an open question."""
    open_question: No | None = None
    for checks, wanted, words in (
        (conditions.no_segment, False, "the shopper is in the segment `{}`"),
        (conditions.all, True, "`{}` is false"),
        (conditions.none, False, "`{}` is true"),
    ):
        for check in checks:
            met, why = _met(check, moment, wanted=wanted)
            if met is Met.NO:
                return "condition_false", why or words.format(check.label), check.where
            if met is Met.OPEN and open_question is None:
                open_question = ("attribute_missing", why, check.where)
    for choice, words in (
        (conditions.any_segment, "the shopper is in none of the segments {}"),
        (conditions.any, "none holds of {}"),
    ):
        no = _no_choice(choice, words, moment)
        if no is not None and no[0] == "condition_false":
            return no
        open_question = open_question or no
    return open_question


def _no_choice(choice: tuple[Check, ...], words: str, moment: Moment) -> No | None:
    """Why none of `choice` is met; None when one is, or when there is nothing to choose from."""
    if not choice:
        return None
    open_question: No | None = None
    for check in choice:
        met, why = _met(check, moment, wanted=True)
        if met is Met.YES:
            return None
        if met is Met.OPEN and open_question is None:
            open_question = ("attribute_missing", why, check.where)
    labels = ", ".join(f"`{check.label}`" for check in choice)
    return open_question or ("condition_false", words.format(labels), choice[0].where)


def _met(check: Check, moment: Moment, *, wanted: bool) -> tuple[Met, str]:
    """Whether the expression says `wanted`, and what stood in the way of an answer."""
    expression = check.expression
    if expression.strict and not moment.values.keys() >= set(expression.attributes):
        absent, answer = expression.missing(moment.values), ""
    else:
        told = moment.answer(expression)
        if isinstance(told, bool):
            return (Met.YES if told is wanted else Met.NO), ""
        absent, answer = expression.absent(told, moment.values), told
    why = f"`{check.label}`: {problem_text(answer, absent)}"
    policies = {check.policies[name] for name in absent}
    if not policies or "fail" in policies:
        return Met.NO, why
    return (Met.OPEN, why) if "skip" in policies else (Met.YES, "")
