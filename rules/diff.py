"""What a change of rules does, in words: from the rules as they run, so another order or another form says nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rules import diff_what as what
from rules import diff_when as when
from rules.ruleset import Rule, RuleSet

Part = Callable[[Rule, Rule], list[str]]
# Every field of a rule that decides something belongs to one of these; `SILENT` names those that only tell where it
# is written.
PARTS: tuple[tuple[Part, tuple[str, ...]], ...] = (
    (what.status, ("status", "paused")),
    (what.names, ("title", "owner")),
    (what.kind, ("service",)),
    (when.trigger, ("trigger",)),
    (when.conditions, ("conditions",)),
    (when.times, ("store", "during", "quiet", "runs", "clock")),
    (when.consent, ("purpose",)),
    (what.competition, ("group", "priority", "score")),
    (what.limits, ("limits",)),
    (what.comparison, ("holdout", "experiment")),
    (what.offer, ("offer",)),
    (what.copy, ("say",)),
    (what.tasks, ("tasks",)),
    (what.delivery, ("channels", "urgency", "expires", "expires_stated", "only_while", "on_exit")),
    (what.goal, ("goal",)),
)
SILENT = ("id", "places", "where")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is other than it was."""

    rule: str
    sort: Literal["new", "gone", "changed"]
    text: str  # continues the rule's name: "waits 90 s instead of 60 s in coffee-aisle"

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def differences(old: RuleSet, new: RuleSet) -> list[Difference]:
    """By rule, in the order of their ids; within a rule in the order of the file's keys. Empty: they do the same."""
    found: list[Difference] = []
    for name in sorted(old.by_id.keys() | new.by_id.keys()):
        before, after = old.by_id.get(name), new.by_id.get(name)
        if before is None and after is not None:
            found.append(Difference(name, "new", f"is new: {_whole(after)}"))
        elif after is None and before is not None:
            found.append(Difference(name, "gone", f"is gone; it was: {_whole(before)}"))
        elif before is not None and after is not None:
            sentences = [text for part, _ in PARTS for text in part(before, after)]
            found += [Difference(name, "changed", text) for text in sentences]
    return found


def render(found: Sequence[Difference]) -> str:
    """For people: a block a rule."""
    lines: list[str] = []
    for number, one in enumerate(found):
        if number and one.rule != found[number - 1].rule:
            lines.append("")
        lines.append(str(one))
    return "\n".join(lines)


def _whole(rule: Rule) -> str:
    """A rule in a sentence."""
    words = [str(rule.trigger)]
    title = what.first_title(rule)
    if title:
        words.append(f'says "{title}"')
    if rule.offer is not None and rule.offer.coupon is not None:
        words.append(f"gives {what.coupon_words(rule.offer.coupon)}")
    words += [f"tells the desk {task.desk}" for task in rule.tasks]
    if rule.status != "live":
        words.append(f"status {rule.status}")
    return ", ".join(words)
