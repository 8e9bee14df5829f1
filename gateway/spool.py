"""A bounded queue of messages on disk, that survives a kill and a loss of power at any byte.

Append-only segment files and not SQLite: a second's message is written once, as one write at the end of one file,
where SQLite would write it to its log and again to its table, page by page. That is what wears an SD card. The price
is that a message is freed only with its whole segment, so after a restart some messages that were covered already
are sent again; the service knows them by (boot, seq).

Each start is a new boot with its own numbers from 1, and never writes to the files of an earlier one. The kernel is
handed each message at once, so a kill loses none; the disk is made to hold them every few seconds (`sync`), so a loss
of power loses those seconds at most, and only what no broker had taken.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.segment import Segment
from proximity.errors import ProximityError

log = logging.getLogger(__name__)

MEMORY_BYTES = 4 << 20  # what may wait in memory when the disk refuses, or there is none: about ten minutes of a shop
BOOTS_TOLD = 50  # more starts than that with messages left is a gateway that crashes; the rest is told later


class SpoolError(ProximityError):
    """The spool's directory cannot be used."""


class Entry(NamedTuple):
    """A message that waits, and where reading goes on behind it."""

    boot: str
    seq: int
    body: bytes
    number: int  # of its segment
    end: int  # offset of the next record


class Spool:
    """Messages in order, oldest first. Thread-safe. `directory` None: in memory only, for simulations.

    `max_bytes` bounds the disk used: beyond it the oldest segment goes, and what it held is counted as dropped.
    """

    def __init__(self, directory: Path | None, max_bytes: int = 64 << 20, segment_bytes: int = 64 << 10) -> None:
        self.boot = secrets.token_hex(8)
        self.directory = directory
        self.dropped = 0  # messages given up unsent or uncovered
        self.damaged = 0  # segments of earlier starts whose end was torn
        self.failing: str | None = None  # why the disk refuses, while it does
        self._max_bytes = MEMORY_BYTES if directory is None else max_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.RLock()
        self._segments: dict[int, Segment] = {}  # by number, oldest first
        self._covered: dict[str, int] = {}  # boot -> last sequence number known to be covered
        self._last = 0  # sequence number of this boot
        self._open: Segment | None = None  # the one that is written
        self._reading: Segment | None = None  # the one that is read: no more than two files are open at a time
        self._lock_file: BinaryIO | None = None
        self._number = 0
        if directory is not None:
            self._load(directory)

    def append(self, body: bytes) -> int:
        """Add a message; returns its sequence number within `boot`."""
        with self._lock:
            if self._open is None or self._open.size >= self._segment_bytes:
                self._rotate()
            assert self._open is not None
            try:
                self._last = self._open.append(body)
            except OSError as error:
                self._refused(error)
                self._rotate(in_memory=True)
                self._last = self._open.append(body)
            self._trim()
            return self._last

    def acked(self, boot: str, seq: int) -> int:
        """All of `boot` up to and with `seq` is covered. Returns how many messages that freed."""
        with self._lock:
            seq = min(seq, max((s.last for s in self._segments.values() if s.boot == boot), default=0))
            if seq <= self._covered.get(boot, 0):
                return 0  # known already, of a boot that is gone, or claims what was never sent
            before = self.pending
            self._covered[boot] = seq
            for number, segment in list(self._segments.items()):
                if segment is not self._open and self._waiting(segment) == 0:
                    self._remove(number)
            return before - self.pending

    def next(self, after: Entry | None = None) -> Entry | None:
        """The first waiting message behind `after`, or the oldest of all; None: there is none yet."""
        with self._lock:
            for number, segment in self._segments.items():
                if after is not None and number < after.number:
                    continue
                within = after is not None and number == after.number
                entry = self._next_in(number, segment, after if within else None)
                if entry is not None:
                    return entry
            return None

    @property
    def pending(self) -> int:
        """Messages that wait to be covered."""
        with self._lock:
            return sum(self._waiting(segment) for segment in self._segments.values())

    def held(self) -> dict[str, int]:
        """Boot -> its oldest message that waits, or the next number when none does: what is missing below never comes.

        The boots that are sent first, and this one; `BOOTS_TOLD` of them at most.
        """
        with self._lock:
            oldest: dict[str, int] = {}
            for segment in self._segments.values():
                if self._waiting(segment) and segment.boot not in oldest and len(oldest) < BOOTS_TOLD:
                    oldest[segment.boot] = max(segment.first, self._covered.get(segment.boot, 0) + 1)
            oldest.setdefault(self.boot, self._last + 1)
            return oldest

    @property
    def bytes(self) -> int:
        """Bytes held, on disk and in memory."""
        with self._lock:
            return sum(segment.size for segment in self._segments.values())

    def sync(self) -> None:
        """Have the disk hold all that was appended. Call it every few seconds, not every message."""
        with self._lock:
            segment = self._open
        if segment is not None:  # outside the lock: a slow card must not hold up what hears
            try:
                segment.sync()
            except (OSError, ValueError) as error:  # ValueError: closed by a rotation meanwhile, which syncs itself
                if isinstance(error, OSError):
                    self._refused(error)

    def close(self) -> None:
        """Write everything down and let the directory go."""
        self.sync()
        with self._lock:
            for segment in self._segments.values():
                segment.close()
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def _load(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock_file = (directory / "lock").open("wb")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if self._lock_file is not None:
                self._lock_file.close()
            if isinstance(error, BlockingIOError):
                raise SpoolError(f"{directory}: another gateway uses this spool; give each its own directory") from None
            raise SpoolError(
                f"{directory}: {error.strerror or error}; choose a spool directory that can be written"
            ) from None
        for path in sorted(directory.glob("*.seg")):
            self._adopt(path)
        if self.damaged:
            log.warning("%d segments of the spool had a torn end; what was whole is kept", self.damaged)

    def _adopt(self, path: Path) -> None:
        if not path.stem.isdigit():
            return
        self._number = max(self._number, int(path.stem))
        try:
            segment = Segment.load(path)
        except OSError as error:
            self._refused(error)
            return
        self.damaged += segment is None or segment.damaged
        if segment is None or segment.last < segment.first:
            with contextlib.suppress(OSError):
                path.unlink()
            return
        self._segments[int(path.stem)] = segment

    def _rotate(self, *, in_memory: bool = False) -> None:
        """Go on in a new segment; in memory when the disk refuses, and on disk again as soon as it takes one."""
        old = self._open
        if old is not None and old.path is not None:
            try:
                old.sync()
            except OSError as error:
                self._refused(error)
            old.close()
        self._number += 1
        path = None if self.directory is None or in_memory else self.directory / f"{self._number:010d}.seg"
        try:
            self._open = Segment.create(path, self.boot, self._last + 1)
            _sync_directory(None if path is None else self.directory)
            if path is not None and self.failing is not None:
                log.warning("the spool writes to disk again")
                self.failing = None
        except OSError as error:
            self._refused(error)
            self._open = Segment.create(None, self.boot, self._last + 1)
        self._segments[self._number] = self._open
        if old is not None and self._waiting(old) == 0:
            self._remove(next(number for number, segment in self._segments.items() if segment is old))

    def _trim(self) -> None:
        """Keep within the bounds by giving up the oldest, but never what is being written."""
        while self.bytes > self._max_bytes and len(self._segments) > 1:
            self._give_up(next(iter(self._segments)))
        while True:
            held = [(n, s) for n, s in self._segments.items() if s.path is None and s is not self._open]
            if not held or sum(segment.size for _, segment in held) <= MEMORY_BYTES:
                return
            self._give_up(held[0][0])

    def _give_up(self, number: int) -> None:
        lost = self._waiting(self._segments[number])
        if lost and not self.dropped:
            log.warning("the spool is full: the oldest messages are given up")
        self.dropped += lost
        self._remove(number)

    def _remove(self, number: int) -> None:
        segment = self._segments.pop(number)
        try:
            segment.remove()
        except OSError as error:
            self._refused(error)
        if segment.boot != self.boot and all(s.boot != segment.boot for s in self._segments.values()):
            self._covered.pop(segment.boot, None)

    def _waiting(self, segment: Segment) -> int:
        covered = self._covered.get(segment.boot, 0)
        return max(0, segment.last - max(covered, segment.first - 1))

    def _next_in(self, number: int, segment: Segment, after: Entry | None) -> Entry | None:
        covered = self._covered.get(segment.boot, 0)
        seq, offset = (segment.first, segment.start) if after is None else (after.seq + 1, after.end)
        if segment.last <= covered:
            return None
        if self._reading not in (segment, self._open, None):
            self._reading.close()
        self._reading = segment
        while seq <= segment.last:
            record = segment.read(offset, seq)
            if record is None:  # the card lost it after it was written; the rest of the segment cannot be found either
                if segment is not self._open:
                    self._unreadable(segment, max(seq, covered + 1))
                return None
            if seq > covered:
                return Entry(segment.boot, seq, record.body, number, record.end)
            seq, offset = seq + 1, record.end
        return None

    def _unreadable(self, segment: Segment, seq: int) -> None:
        self.dropped += segment.last - seq + 1
        log.error("%s can no longer be read: %d messages are lost", segment.path, segment.last - seq + 1)
        segment.last = seq - 1

    def _refused(self, error: OSError) -> None:
        if self.failing is None:
            log.error("the spool's disk refuses: %s. Messages wait in memory meanwhile", error)
        self.failing = error.strerror or str(error)


def _sync_directory(directory: Path | None) -> None:
    """A new file is found again after a loss of power only when its directory is on disk too."""
    if directory is not None:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
