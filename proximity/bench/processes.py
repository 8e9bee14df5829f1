"""The processes of a benchmark, as the one that measures sees them."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from proximity.bench.house import Counts, Opened, Plan
from proximity.bench.sender import Load, Sent
from proximity.errors import ProximityError

STUCK = 30.0  # s without progress
LOOK = 0.1  # s between looks

_T = TypeVar("_T", bound=msgspec.Struct)


class House:
    """A service under load; see house.py."""

    def __init__(self, process: "subprocess.Popen[bytes]", opened: Opened) -> None:
        self._process, self.opened = process, opened

    def counts(self, since: float = 0.0) -> Counts:
        """What is committed by now; `since`: with the hand-overs of offers made from then on."""
        if self._process.stdin is None or self._process.poll() is not None:
            raise ProximityError("the service under load has ended")
        self._process.stdin.write(b"%f\n" % since)
        self._process.stdin.flush()
        return _line(self._process, Counts)


@contextlib.contextmanager
def house(plan: Plan) -> Iterator[House]:
    """One from start to stop. ProximityError when it does not start."""
    process = _start("house")
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        process.stdin.flush()
        yield House(process, _line(process, Opened))
    finally:
        _end(process, patience=60.0)


class Sending:
    """A load generator at work."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._sent: Sent | None = None

    def sent(self) -> Sent:
        """Wait for its end."""
        if self._sent is None:
            self._sent = _line(self._process, Sent)
        return self._sent

    def taken(self, rows: int) -> int:
        """Tell it that so many rows were taken; returns them."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has sent everything
                self._process.stdin.write(b"%d\n" % rows)
                self._process.stdin.flush()
        return rows

    def rows(self) -> int | None:
        """What it sent; None while it is at work."""
        return self.sent().rows if self._process.poll() is not None else None


@contextlib.contextmanager
def sending(load: Load) -> Iterator[Sending]:
    """A load generator from start to end."""
    process = _start("sender")

    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(load) + b"\n")
        process.stdin.flush()
        yield Sending(process)
    finally:
        process.kill()
        _end(process)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a while."""
    with tempfile.TemporaryDirectory(prefix="proximity-bench-") as folder:
        yield Path(folder)


def until(progress: Callable[[], int], goal: Callable[[], int | None]) -> list[tuple[float, int]]:
    """(seconds, progress) at each look, until it reaches the goal; None: not known yet. ProximityError when nothing
    moves any more."""
    seen = [(time.perf_counter(), progress())]
    moved = seen[0][0]
    while (wanted := goal()) is None or seen[-1][1] < wanted:
        time.sleep(LOOK)
        now, count = time.perf_counter(), progress()
        if count > seen[-1][1]:
            moved = now
        elif now - moved > STUCK:
            raise ProximityError(f"nothing moved for {STUCK:.0f} s: {count:,} of {wanted or 0:,} came through")
        seen.append((now, count))
    return seen


def rate(seen: list[tuple[float, int]], warm_up: float = 0.2) -> float:
    """A second, without the first part: until then queues fill, and everybody enters."""
    goal = seen[-1][1]
    start = next(one for one in seen if one[1] >= warm_up * goal)
    if start[1] == goal:  # all of it came between two looks
        start = (seen[0][0], 0)
    return (goal - start[1]) / max(seen[-1][0] - start[0], 1e-9)


def _start(module: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", f"proximity.bench.{module}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ourselves


def _end(process: "subprocess.Popen[bytes]", patience: float | None = None) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _line(process: "subprocess.Popen[bytes]", kind: type[_T]) -> _T:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise ProximityError(f"a process of the benchmark ended with status {process.wait()}")
    return msgspec.json.decode(line, type=kind)
