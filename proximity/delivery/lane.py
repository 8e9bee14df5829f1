"""A lane: rows of one channel on their way. Threads take them and give back what became of each; the lane's own thread
looks for more and records."""

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Literal, NamedTuple

from proximity.delivery.channel import Channel
from proximity.delivery.clearing import Clearing
from proximity.store.database import StoreError
from proximity.store.outbox import StoredDelivery

# Rows that are in the channel's hands or handed over and not recorded yet. A kill repeats so many of a lane at most,
# under the same ids, and one where deliveries come one by one. Half of them are recorded while the other half is
# handed over.
WINDOW = 64
WITHIN = 0.1  # s after which a hand-over is recorded though others are on their way: they may take long


class Attempt(NamedTuple):
    """What became of one delivery whose turn had come."""

    row: StoredDelivery
    result: Literal["sent", "skipped", "retry", "dead", "gone"]  # gone: not this time
    at: float  # of a hand-over: when the channel had taken it; of a retry: when to try again
    why: str = ""  # reason or error


class Turn(NamedTuple):
    """A row and whom to ask whether it may go."""

    row: StoredDelivery
    clearing: Clearing


class Lane:
    """Of one channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._waiting: deque[Turn] = deque()
        self._given: list[Attempt] = []
        self._since = 0.0  # monotonic, of the first of `_given`
        self._open: set[str] = set()  # taken and not recorded
        self._called = False  # a thread is on its way to the rows that wait: one calls the next, or all would come
        self._woken, self._stopping = False, False
        self._failure: StoreError | None = None
        lock = threading.Lock()
        self._work, self._news = threading.Condition(lock), threading.Condition(lock)

    # -- any thread ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something was queued."""
        with self._news:
            self._woken = True
            self._news.notify()

    def stop(self) -> None:
        """Nothing more is taken."""
        with self._news:
            self._stopping = True
            self._waiting.clear()
            self._news.notify()
            self._work.notify_all()

    # -- threads that hand over ---------------------------------------------------------------------------------------

    def take(self) -> Turn | None:
        """The next row; waits for one, and for room in the window. None at the end."""
        with self._work:
            while not self._stopping and not self._ready():
                self._work.wait()
                self._called = False
            self._called = False
            if self._stopping:
                return None
            turn = self._waiting.popleft()
            self._open.add(turn.row.delivery.id)
            if self._ready():
                self._call()
            return turn

    def _ready(self) -> bool:
        return bool(self._waiting) and len(self._open) < WINDOW

    def _call(self) -> None:
        if not self._called:
            self._called = True
            self._work.notify()

    def give(self, attempt: Attempt) -> None:
        """What became of a row that was taken."""
        with self._news:
            self._given.append(attempt)
            if len(self._given) == 1:
                self._since = monotonic()
            if len(self._given) in (1, WINDOW // 2) or self._quiet():
                self._news.notify()

    def fail(self, row: StoredDelivery, error: StoreError) -> None:
        """The store cannot be read: a row that was taken, and those that wait, stay in the outbox as they are."""
        with self._news:
            self._failure = error
            self._open.discard(row.delivery.id)
            self._waiting.clear()
            self._news.notify()

    def _quiet(self) -> bool:
        """Whether nothing waits, and nothing is in the channel's hands."""
        return not self._waiting and len(self._open) == len(self._given)

    # -- the lane's own thread ----------------------------------------------------------------------------------------

    def add(self, rows: Sequence[StoredDelivery], clearing: Clearing) -> None:
        """To be taken."""
        with self._work:
            self._waiting += [Turn(row, clearing) for row in rows]
            self._called = False
            self._call()

    def in_hand(self) -> frozenset[str]:
        """Deliveries that were taken and are not recorded."""
        with self._news:
            return frozenset(self._open)

    def collect(self, look: float) -> list[Attempt]:
        """What shall be recorded now: half a window, what has waited WITHIN, or all when nothing is on its way. Empty
        when it is time to look for more (somebody woke the lane, or it is `look`, monotonic, and nothing waits), and at
        the end. StoreError when the store could not be read."""
        with self._news:
            while not self._due():
                if self._failure is not None:
                    error, self._failure = self._failure, None
                    raise error
                if self._stopping and not self._open:
                    return []
                pause = WITHIN if self._given else None
                if not self._waiting and not self._stopping:
                    if self._woken or monotonic() >= look:
                        self._woken = False
                        return []
                    pause = look - monotonic() if pause is None else min(pause, look - monotonic())
                self._news.wait(None if pause is None else max(pause, 0.0))
            found, self._given = self._given, []
            return found

    def _due(self) -> bool:
        if not self._given:
            return False
        return len(self._given) >= WINDOW // 2 or self._quiet() or monotonic() - self._since >= WITHIN

    def recorded(self, attempts: Sequence[Attempt]) -> bool:
        """They are safe. Whether the lane is empty now."""
        with self._work:
            self._open.difference_update(one.row.delivery.id for one in attempts)
            self._called = False
            self._call()
            return not self._waiting and not self._open
