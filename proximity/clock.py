"""The one clock of a process. The core never sees it; the shell asks it and hands `now` on."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch, for replays and simulations faster than life.

    At the moment of making, it shows `origin` (default: the time it is); from then on `speed` seconds pass per second.
    """

    origin: float = field(default_factory=time.time)
    speed: float = 1.0
    _started: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.origin + (time.monotonic() - self._started) * self.speed

    def real(self, seconds: float) -> float:
        """How long `seconds` of this clock take on the wall."""
        return seconds / self.speed


def system_clock() -> float:
    """The machine's own time, with its steps: what a service that runs for months goes by."""
    return time.time()
