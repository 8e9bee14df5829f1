"""One message from outside, whatever door it came by, and the bounded queue between the doors and the pipeline."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

from proximity.errors import BadMessage


def _nobody(error: BadMessage | None) -> None:
    """Nobody waits for the outcome."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A payload under its topic. `done` is called once what the message caused is committed, or with the reason
    why it was dropped for good; after either, the sender need not send it again."""

    topic: str
    payload: bytes
    received: float  # the service's now at the door
    done: Callable[[BadMessage | None], None] = _nobody
    retained: bool = False  # the broker replayed a retained message


class Inbox:
    """A bounded queue. A full one blocks the door, and through it the broker: pressure goes back, not into memory."""

    def __init__(self, size: int = 20_000) -> None:
        self._queue: queue.Queue[Inbound] = queue.Queue(size)

    def put(self, inbound: Inbound, timeout: float | None = None) -> bool:
        """False when there was no room for `timeout` seconds."""
        try:
            self._queue.put(inbound, timeout=timeout)
        except queue.Full:
            return False
        return True

    def take(self, wait: float, most: int = 5_000) -> list[Inbound]:
        """All that is there, `most` at the most; waits up to `wait` seconds for the first."""
        taken: list[Inbound] = []
        try:
            taken.append(self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait())
            while len(taken) < most:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return taken

    def __len__(self) -> int:
        return self._queue.qsize()

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
