"""From the shape of `limits` to those that hold for a rule, with every one that cannot be named in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rules.header import limits_of
from rules.limits import Limit

if TYPE_CHECKING:
    from rules.build import Builder


def build_limits(builder: Builder, *, service: bool) -> tuple[Limit, ...]:
    """The limits of the house and those of the rule; a service rule has only its own, which count only itself."""
    if not builder.sure("limits"):
        return ()
    alone = service or not builder.sure("class")  # what may be a service rule is not held against the house
    house = () if alone else builder.shared.limits
    own = list(enumerate(limits_of(builder.document, (*builder.loc, "limits"), builder.rule.limits)))
    if service:
        _refuse_others(builder, own)
    if alone:
        own = [(number, limit) for number, limit in own if limit.scope == "rule"]
    stated = (*house, *(limit for _, limit in own))
    for i, (number, limit) in enumerate(own, start=len(house)):
        for j, other in enumerate(stated):
            # Of two that are equal, the later one is the one too many.
            if j != i and other.implies(limit) and (j < i or not limit.implies(other)):
                tail = "a rule may only tighten it" if other in house else "remove one of the two"
                hint = f"at most {other} already holds ({other.where}); {tail}"
                builder.say_at(("limits", number), "E109", f"the limit of {limit} has no effect", hint)
                break
    return stated


def _refuse_others(builder: Builder, own: Sequence[tuple[int, Limit]]) -> None:
    """Refuse what other rules could use up."""
    for number, limit in own:
        if limit.scope != "rule":
            message = (
                f"`scope: {limit.scope}` counts what other rules send, and that must not hold back a service message"
            )
            hint = "write `scope: rule`, or remove `class: service`"
            builder.say_at(("limits", number, "scope"), "E104", message, hint)
