"""How the pipeline is: what health and metrics show."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from proximity.presence.engine import Step
from rules.decide import Verdict

CLOCK_SHOWN = 300.0  # s for which health shows a gateway whose clock is ahead


@dataclass(slots=True)
class Vitals:
    """Written by the pipeline only; any thread may look."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, what), since the start
    transitions: Counter[str] = field(default_factory=Counter)  # by kind
    decisions: Counter[str] = field(default_factory=Counter)  # "sent" or the reason
    last_commit: float | None = None  # monotonic
    commit_error: str | None = None
    turns: int = 0
    ahead: dict[str, tuple[float, float]] = field(default_factory=dict)  # anchor -> s its clock is ahead, monotonic

    def count(self, counts: Counter[tuple[str, str]], step: Step, verdicts: Sequence[Verdict]) -> None:
        """One turn more."""
        self.counts.update(counts)
        self.counts.update({("presence", name): count for name, count in step.counts.items()})
        self.ahead.update({anchor: (by, time.monotonic()) for anchor, by in step.ahead.items()})
        self.transitions.update(transition.kind for transition in step.transitions)
        self.decisions.update(verdict.decision.reason or "sent" for verdict in verdicts)

    def clocks_ahead(self) -> list[tuple[str, float]]:
        """ "<site>/<anchor>" and seconds, of those whose sightings came from the future lately."""
        since = time.monotonic() - CLOCK_SHOWN
        return sorted((anchor, by) for anchor, (by, at) in dict(self.ahead).items() if at >= since)

    def taken(self, what: str) -> int:
        """Rows of sightings or fixes that came in, of devices known or not."""
        return sum(number for (source, kind), number in self.counts.items() if kind == what and source != "presence")
