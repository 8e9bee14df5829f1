"""One message from outside, whatever door it came by, and the bounded room between the doors and the pipeline."""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from proximity.errors import BadMessage

MOST_MESSAGES = 20_000  # that wait
MOST_BYTES = 32 << 20  # of payloads that wait: a second of 3,000 gateways
BATCH_MESSAGES = 4_000  # of one turn: about a second of one-row messages at full speed, so that a turn stays short
BATCH_BYTES = 8 << 20
OLD_SHARE = 0.25  # of a batch that backlog gets beside live messages, so that it comes to an end
QUIET = 1.0  # s without a message after which a broker has nothing left from before
OVERHEAD = 200  # bytes of a message beside its payload


def _nobody(error: BadMessage | None) -> None:
    """Nobody waits for the outcome."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A payload under its topic. `done` is called once what the message caused is committed, or with the reason
    why it was dropped for good; after either, the sender need not send it again."""

    topic: str
    payload: bytes
    received: float  # the service's time when the message came to the broker, or to our own door
    done: Callable[[BadMessage | None], None] = _nobody
    retained: bool = False  # the broker replayed a retained message


class Taken(NamedTuple):
    """A batch for one turn. Everything that came before `until` has been taken: presence may move on to it.

    `until` is infinite when nothing waits anywhere, None when something does and nobody knows since when.
    """

    messages: list[Inbound]
    until: float | None


class Inbox:
    """Bounded in messages and in bytes. A full one holds up the door, and through it the broker: pressure goes back,
    not into memory. Live messages go before backlog that a reader has set apart."""

    def __init__(self, messages: int = MOST_MESSAGES, size: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = messages, size
        self._live: deque[Inbound] = deque()
        self._old: deque[Inbound] = deque()  # told apart by their reader: worked off beside what is live
        self._bytes = 0
        self._until: float | None = math.inf
        self._touched = 0.0  # monotonic, of the last message
        lock = threading.Lock()
        self._filled, self._emptied = threading.Condition(lock), threading.Condition(lock)

    def __len__(self) -> int:
        return len(self._live) + len(self._old)

    def room(self) -> tuple[int, int]:
        """Messages and bytes for which there is room."""
        with self._filled:
            return self._most - len(self), self._most_bytes - self._bytes

    def put(self, inbound: Inbound, timeout: float | None = None) -> bool:
        """False when there was no room for `timeout` seconds."""
        with self._emptied:
            if not self._emptied.wait_for(lambda: len(self) < self._most and self._bytes < self._most_bytes, timeout):
                return False
            self._add(self._live, [inbound])
        return True

    def put_many(self, inbounds: Sequence[Inbound], *, old: bool = False) -> None:
        """For a reader that has asked for no more than there was room for. `old`: live messages may overtake these."""
        with self._filled:
            self._add(self._old if old else self._live, inbounds)

    def behind(self, until: float | None) -> None:
        """A reader tells how far it has come: messages that came to the broker after `until` are still to be read.
        Infinite: none are; None: some may be, since nobody knows when, until the first quiet moment."""
        with self._filled:
            self._until, self._touched = until, monotonic()

    def _add(self, queue: deque[Inbound], inbounds: Sequence[Inbound]) -> None:
        if not inbounds:
            return
        queue.extend(inbounds)
        self._bytes += sum(map(_size, inbounds))
        self._touched = monotonic()
        self._filled.notify()

    def take(
        self,
        wait: float,
        gather: float = 0.0,
        most: int = BATCH_MESSAGES,
        size: int = BATCH_BYTES,
        within: float = math.inf,
    ) -> Taken:
        """What is there, `most` messages and about `size` bytes at the most. Waits up to `wait` seconds for the first
        message, and up to `gather` for more to come along; up to `within` in all."""
        deadline = monotonic() + within
        with self._filled:
            self._filled.wait_for(lambda: len(self) > 0, min(wait, within))
            gather = min(gather, deadline - monotonic())
            if gather > 0.0 and len(self):
                self._filled.wait_for(lambda: len(self) >= most or self._bytes >= size, gather)
            old = min(len(self._old), max(int(most * OLD_SHARE), most - len(self._live)))
            taken = self._some(self._live, most - old, size) + self._some(self._old, old, size)
            self._bytes -= sum(map(_size, taken))
            self._emptied.notify_all()
            if self._until is None and not taken and monotonic() - self._touched > QUIET:
                self._until = math.inf
            until = self._until
            if self._live and until is not None:
                until = min(until, self._live[0].received)
            return Taken(taken, until)

    @staticmethod
    def _some(queue: deque[Inbound], most: int, size: int) -> list[Inbound]:
        taken: list[Inbound] = []
        while queue and len(taken) < most and size > 0:
            inbound = queue.popleft()
            size -= _size(inbound)
            taken.append(inbound)
        return taken

    def submit(self, topic: str, payload: bytes, received: float, timeout: float = 5.0) -> "Future[None]":
        """The door for callers in this process (HTTP): the future resolves after the commit, or raises BadMessage."""
        future: Future[None] = Future()

        def done(error: BadMessage | None) -> None:
            if not future.cancelled():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

        started = monotonic()
        if not self.put(Inbound(topic, payload, received, done), timeout):
            future.set_exception(BadMessage("busy", f"no room in the queue for {monotonic() - started:.1f} s"))
        return future


def _size(inbound: Inbound) -> int:
    return len(inbound.payload) + OVERHEAD
