"""Which messages of which gateway are covered: per boot, all up to one number, and those that came ahead of a gap.

A broker may forget a message that a gateway sent before the next one. What came after the gap is used at once, yet
`…/acked` does not pass the gap, so that the gateway sends the missing message again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_AHEAD = 4_096  # numbers beyond a gap; a gateway sends 256 beyond what it knows to be covered, and no more


class Boot(NamedTuple):
    """One life of one gateway's numbering."""

    site: str
    gateway: str
    boot: str


@dataclass(slots=True)
class Covered:
    """`seq`: everything up to here is covered. `ahead`: covered numbers beyond the first gap."""

    seq: int = 0
    ahead: set[int] = field(default_factory=set)
    messages: int = 0  # new ones since the last commit
    rows: int = 0


class Offsets:
    """The service's memory of what it has; saved with every commit, loaded at the start."""

    def __init__(self, known: Mapping[tuple[str, str, str], tuple[int, Iterable[int]]] | None = None) -> None:
        self._boots = {Boot(*key): Covered(seq, set(ahead)) for key, (seq, ahead) in (known or {}).items()}
        self._changed: set[Boot] = set()

    def take(self, boot: Boot, seq: int, rows: int) -> bool:
        """Note message `seq`. False when it is covered already and must have no effect."""
        covered = self._boots.setdefault(boot, Covered())
        self._changed.add(boot)  # also for a repeat: the gateway has missed our word and wants it again
        if seq <= covered.seq or seq in covered.ahead:
            return False
        covered.messages += 1
        covered.rows += rows
        covered.ahead.add(seq)
        self._close_gap(covered)
        while len(covered.ahead) > MOST_AHEAD:  # nobody keeps what is missing there: no gap may grow without end
            covered.seq = min(covered.ahead) - 1
            self._close_gap(covered)
        return True

    def give_up_below(self, boot: Boot, held: int) -> None:
        """The gateway holds nothing older than `held`: what is missing below it will never come."""
        covered = self._boots.get(boot)
        if covered is not None and held - 1 > covered.seq:
            covered.seq = held - 1
            covered.ahead = {seq for seq in covered.ahead if seq > covered.seq}
            self._close_gap(covered)
            self._changed.add(boot)

    def changed(self) -> dict[Boot, Covered]:
        """What has to be saved and told since the last `settle`."""
        return {boot: self._boots[boot] for boot in self._changed}

    def settle(self) -> None:
        """The commit happened."""
        for boot in self._changed:
            covered = self._boots[boot]
            covered.messages = covered.rows = 0
        self._changed.clear()

    @staticmethod
    def _close_gap(covered: Covered) -> None:
        while covered.seq + 1 in covered.ahead:
            covered.seq += 1
            covered.ahead.discard(covered.seq)
