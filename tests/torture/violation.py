"""What a ledger finds."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

NAMES = frozenset(
    {
        # what was observed, and what came of it
        "row_lost", "row_missing", "row_unknown", "row_twice", "fix_lost", "message_miscounted",
        "acked_too_far", "journal_gap", "entered_twice", "left_unentered", "visit_open", "transition_lost",
        "transition_unknown",
        # what was given away
        "decided_twice", "offer_uncaused", "limit_passed", "budget_passed", "spend_passed", "held_too_many",
        "budget_misread", "budget_differs", "coupon_missing", "coupon_loose", "redeemed_twice",
        "redeemed_lost",
        # what was received
        "received_unknown", "cause_twice", "received_twice", "code_twice", "received_code",
        "received_over_budget", "received_too_many", "received_unsent", "received_unrecorded",
        "received_not_taken_back",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was broken, by one of NAMES."""

    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


def some(name: str, broken: Collection[Any], what: str) -> Iterator[Violation]:
    """One violation for all of `broken`, with examples; none where nothing is broken."""
    if broken:
        yield Violation(name, f"{len(broken)} {what}, as {sorted(broken)[:3]}")
