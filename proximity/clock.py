"""The one clock of a process. The core never sees it; the shell asks it and hands `now` on."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch, for replays and simulations faster than life.

    At the moment of making, it shows `origin` (default: the time it is); from then on `speed` seconds pass per second
    of `steady`.
    """

    def __init__(
        self, origin: float | None = None, speed: float = 1.0, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._origin = time.time() if origin is None else origin
        self._speed, self._steady, self._began = speed, steady, steady()

    def __call__(self) -> float:
        return self._origin + (self._steady() - self._began) * self._speed


def system_clock() -> float:
    """The machine's own time, with its steps: what a service that runs for months goes by."""
    return time.time()
