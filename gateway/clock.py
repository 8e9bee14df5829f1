"""Time on a machine that has no battery clock.

Inside a gateway everything is stamped in seconds of one steady clock. Only when a message leaves is a stamp turned
into time since the epoch, by an offset that is None until the machine's clock has been set. Steady time starts anew
with the machine, so each stamp belongs to an era, and the offset of an era is written down once it is known.
"""

import ctypes
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

Clock = Callable[[], float]  # tells seconds

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_ERAS_KEPT = 8  # starts of the machine; the spool is empty long before


class Timebase(Protocol):
    """What a gateway asks of time."""

    @property
    def era(self) -> str:
        """Which steady clock it is. Stamps of two eras cannot be compared."""
        ...

    def now(self) -> float:
        """Steady seconds."""
        ...

    def offset(self) -> float | None:
        """What to add to steady seconds for seconds since the epoch; None while nobody knows."""
        ...


class EpochClock:
    """A clock that already tells seconds since the epoch: of a simulation, a replay, or a machine that keeps time."""

    era = "epoch"

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock()

    def offset(self) -> float | None:
        return 0.0


class PiClock:
    """Monotonic time, and the system's time once it is synchronised."""

    def __init__(self, *, trust: bool = False) -> None:
        self._trust = trust  # the machine keeps time by itself (battery clock, no NTP)
        self._synced = trust
        self.era = _boot_id()

    def now(self) -> float:
        return time.monotonic()

    def offset(self) -> float | None:
        # Once set, the clock keeps good enough time for days: the kernel's flag falls back when NTP is away for long.
        self._synced = self._synced or synchronised()
        return time.time() - time.monotonic() if self._synced else None


class Eras:
    """The offsets of past eras, kept in `eras.json` of the spool directory. `directory` None: in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "eras.json"
        self._known = _load(self._path)

    def learn(self, era: str, offset: float) -> None:
        """Write the offset of an era down, the first time only: a card wears by writing."""
        if era in self._known:
            return
        self._known[era] = offset
        while len(self._known) > _ERAS_KEPT:
            del self._known[next(iter(self._known))]
        if self._path is not None:
            try:
                write_whole(self._path, json.dumps(self._known).encode())
            except OSError as error:
                log.warning("%s cannot be written (%s): sightings of a restart may stay undated", self._path, error)

    def offset(self, era: str) -> float | None:
        """The offset of a past era; None: its clock was never set, so its stamps cannot be dated."""
        return self._known.get(era)


def synchronised() -> bool:
    """Whether the kernel takes the clock for synchronised: systemd-timesyncd, chrony and ntpd all tell it so."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only reads
    except (OSError, AttributeError):
        return True  # no Linux: desktops keep time
    if int(state) < 0:  # a sandbox forbids the question
        return _TIMESYNC.exists()
    return int(state) != _TIME_ERROR


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file so that a loss of power leaves the old or the new one. Raises OSError."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"process-{os.getpid()}-{time.time_ns()}"


def _load(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {str(era): float(offset) for era, offset in known.items() if isinstance(offset, int | float)}
