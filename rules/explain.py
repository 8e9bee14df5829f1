"""A decision in words: the stages in order, what each saw, and the line of the rule that asked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from proximity.model import Decision

REASONS = {
    "not_live": "the rule is not live",
    "no_consent": "the shopper has not agreed to this",
    "no_channel": "there is no way to reach the shopper",
    "initial_presence": "the shopper was already inside when first heard of",
    "condition_false": "a condition is not met",
    "attribute_missing": "a value that a condition needs is missing",
    "outside_window": "it is outside the rule's hours",
    "store_closed": "the store is closed, or its hours are not known",
    "quiet_hours": "these are quiet hours",
    "holdout": "the shopper is one of those who get nothing, for comparison",
    "outranked": "a better offer of the same group was sent",
    "limit_reached": "the shopper has had enough offers",
    "budget_spent": "the rule's budget is spent",
    "render_failed": "the text cannot be written in full",
    "expired": "it comes too late",
    "left_zone": "the shopper had left before it could be sent",
    "withdrawn": "the offer was taken back before it could be sent",
}


def explain(decision: Decision, clock: tzinfo = UTC, files: Mapping[str, str] | None = None) -> str:
    """A few lines for a person: the outcome, then one line a stage with the values it saw. With the texts of the rules
    that were in force, by the names of their files, also what is written there; a caret marks what said no."""
    at = datetime.fromtimestamp(decision.at, clock).strftime("%Y-%m-%d %H:%M:%S %Z")
    if decision.outcome == "sent":
        outcome = "sent"
    else:
        outcome = f"withheld ({decision.reason}): {REASONS.get(decision.reason or '', 'no reason is known')}"
    lines = [
        f"{decision.rule} for {decision.shopper} {_place(decision)}, {at}",
        outcome,
    ]
    width = max((len(stage.name) for stage in decision.trace), default=0)
    for stage in decision.trace:
        mark = "yes" if stage.passed else "NO "
        line = f"  {mark}  {stage.name:<{width}}  {stage.detail}".rstrip()
        lines.append(f"{line}  [{stage.where}]" if stage.where else line)
        written = _written(stage.where or "", files or {}, marked=not stage.passed)
        lines.extend(f"       {'':<{width}}  {one}" for one in written)
        lines.extend(f"       {'':<{width}}  {name} = {_value(value)}" for name, value in stage.values.items())
    return "\n".join(lines)


def _written(where: str, files: Mapping[str, str], *, marked: bool) -> list[str]:
    """The line at `file:line`, with a caret below it; nothing when it is not there."""
    name, _, number = where.rpartition(":")
    lines = files.get(name, "").splitlines()
    if not number.isdigit() or not 0 < int(number) <= len(lines):
        return []
    source = lines[int(number) - 1].rstrip()
    head = f"{number} | "
    found = [f"{head}{source.lstrip()}"]
    if marked:
        text = re.sub(r"^- ", "", source.lstrip())
        before = len(source.lstrip()) - len(text)
        found.append(" " * (len(head) - 2) + "| " + " " * before + "^" * max(1, len(text)))
    return found


def _place(decision: Decision) -> str:
    """Where it happened; a schedule or an absence happens in no store."""
    place = "/".join(part for part in (decision.site, decision.zone) if part)
    return f"at {place}" if place else "in no store"


def _value(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
