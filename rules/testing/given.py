"""`given` of a test: the values that hold, checked like the conditions that read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proximity.document import Diagnostic, Document, Loc, did_you_mean
from proximity.shape import check_shape
from rules.attributes import BUILT_IN, Attributes, Type
from rules.offer_schema import Budget as BudgetShape
from rules.offers import Budget
from rules.ruleset import RuleSet
from rules.say_schema import CHANNELS
from rules.testing import shape
from rules.values import show

WORDS = ("arm", "budget", "channels", "consents", "holdout", "sent")
_PYTHON: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@dataclass(slots=True)
class Facts:
    """What a test says about its shopper and the store's data."""

    attributes: dict[str, Any] = field(default_factory=dict)  # by namespace
    shopper: dict[str, Any] = field(default_factory=dict)
    consents: dict[str, bool] = field(default_factory=dict)
    channels: frozenset[str] = frozenset({"push", "inbox"})
    sent: tuple[shape.Before, ...] = ()
    arms: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, BudgetShape] = field(default_factory=dict)  # by rule, in place of the rule's own
    holdouts: dict[str, bool] = field(default_factory=dict)  # all of the rules; nobody is held out unawares


def read_given(
    document: Document, loc: Loc, given: Mapping[str, Any], ruleset: RuleSet
) -> tuple[Facts, list[Diagnostic]]:
    """The facts, and what is wrong with them."""
    facts = Facts()
    words = {key: value for key, value in given.items() if key in WORDS}
    said, found = check_shape(document, shape.Words, loc, data=words) if words else (shape.Words(), [])
    if said is not None:
        for i, name in enumerate(said.channels or ()):
            if name not in CHANNELS:
                hint = did_you_mean(name, CHANNELS)
                found.append(document.diagnostic((*loc, "channels", i), "E103", f"there is no channel `{name}`", hint))
        facts.channels = facts.channels if said.channels is None else frozenset(said.channels)
        facts.consents, facts.sent, facts.arms = said.consents, tuple(said.sent), said.arm
        facts.holdouts = {rule.holdout.name: False for rule in ruleset.by_id.values() if rule.holdout}
        facts.budgets = said.budget
        found += _compared(document, loc, said, ruleset, facts)
        found += _budgets(document, loc, said, ruleset)
    attributes = ruleset.catalog.attributes
    for namespace, content in given.items():
        if namespace not in WORDS:
            found += _namespace(document, (*loc, namespace), namespace, content, attributes, facts)
    return facts, found


def _compared(document: Document, loc: Loc, said: shape.Words, ruleset: RuleSet, facts: Facts) -> list[Diagnostic]:
    """Experiments and holdouts by names that the rules know."""
    found: list[Diagnostic] = []
    arms = {rule.experiment.name: dict(rule.experiment.arms) for rule in ruleset.by_id.values() if rule.experiment}
    for name, arm in said.arm.items():
        if name not in arms:
            hint = did_you_mean(name, arms)
            found.append(document.diagnostic((*loc, "arm", name), "E501", f"no experiment `{name}`", hint, key=True))
        elif arm not in arms[name]:
            hint = did_you_mean(arm, arms[name])
            found.append(document.diagnostic((*loc, "arm", name), "E501", f"{name} has no arm `{arm}`", hint))
    for i, name in enumerate(said.holdout):
        if name not in facts.holdouts:
            hint = did_you_mean(name, facts.holdouts)
            found.append(document.diagnostic((*loc, "holdout", i), "E501", f"no holdout `{name}`", hint))
        facts.holdouts[name] = True
    return found


def _budgets(document: Document, loc: Loc, said: shape.Words, ruleset: RuleSet) -> list[Diagnostic]:
    """Budgets of rules that give coupons."""
    giving = {rule.id for rule in ruleset.by_id.values() if rule.offer is not None and rule.offer.coupon is not None}
    return [
        document.diagnostic(
            (*loc, "budget", name), "E501", f"no rule `{name}` gives coupons", did_you_mean(name, giving), key=True
        )
        for name in said.budget
        if name not in giving
    ]


def with_budgets(ruleset: RuleSet, budgets: Mapping[str, BudgetShape]) -> RuleSet:
    """The same rules, with other bounds of what they may give away. What a test does not name stays as it is."""
    if not budgets:
        return ruleset
    by_id = dict(ruleset.by_id)
    for name, given in budgets.items():
        offer = by_id[name].offer
        assert offer is not None
        budget = offer.budget or Budget(None, None, None, without=False)
        if given.coupons is not None:
            budget = replace(budget, coupons=given.coupons)
        if given.spend is not None:
            budget = replace(budget, spend=given.spend)
        by_id[name] = replace(by_id[name], offer=replace(offer, budget=budget))
    return ruleset.having(by_id)


def _namespace(
    document: Document, loc: Loc, namespace: str, content: Any, attributes: Attributes, facts: Facts
) -> list[Diagnostic]:
    whole = attributes.types.get(namespace)
    if whole is not None:
        facts.attributes[namespace] = content
        return _misfit(document, loc, namespace, content, whole)
    own = {name: kind for name, kind in attributes.types.items() if name.startswith(f"{namespace}.")}
    if not own:
        known = {*WORDS, *(name for name in attributes.namespaces if name not in ("zone", "store", "visit"))}
        return [
            document.diagnostic(loc, "E204", f"unknown name `{namespace}`", did_you_mean(namespace, known), key=True)
        ]
    if not isinstance(content, dict):
        return [document.diagnostic(loc, "E103", f"`{namespace}` must be a mapping (`key: value`)")]
    found: list[Diagnostic] = []
    for key, value in content.items():
        name = f"{namespace}.{key}"
        if name in BUILT_IN:
            found.append(document.diagnostic((*loc, key), "E109", f"`{name}` is filled in by the engine", key=True))
        elif name not in own:
            hint = did_you_mean(name, own)
            found.append(document.diagnostic((*loc, key), "E204", f"unknown attribute `{name}`", hint, key=True))
        else:
            found += _misfit(document, (*loc, key), name, value, own[name])
    (facts.shopper if namespace == "shopper" else facts.attributes.setdefault(namespace, {})).update(content)
    return found


def _misfit(document: Document, loc: Loc, name: str, value: Any, kind: Type) -> list[Diagnostic]:
    """A value that is not of its declared type would count as missing. Nothing (`null`) is missing on purpose."""
    inner = Type("scalar", kind.of)
    if value is None:
        return []
    if kind.shape == "list" and isinstance(value, list):
        parts = [((*loc, i), one) for i, one in enumerate(value)]
    elif kind.shape == "map" and isinstance(value, dict):
        parts = [((*loc, key), one) for key, one in value.items()]
    else:
        parts, inner = [(loc, value)], kind
    return [
        document.diagnostic(place, "E207", f"`{name}` is declared as {kind}; {show(one)} is not {inner}")
        for place, one in parts
        if inner.shape != "scalar" or not _is(one, inner.of)
    ]


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _PYTHON[kind]) and (kind == "bool" or not isinstance(value, bool))
