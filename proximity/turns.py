"""The pipeline's thread: one turn after the other, each with what has come meanwhile."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from proximity.errors import ProximityError
from proximity.ingest.inbound import Inbound, Inbox
from proximity.store.database import StoreError

log = structlog.get_logger(__name__)

IDLE_WAIT = 0.05  # s between looks for timers that are due, when nothing comes
LONGEST_GATHER = 0.05  # s an observation may wait for company
PATIENCE = 10.0  # s that the end waits for a turn


class Turns:
    """Until `stop`, or until one fails for good."""

    def __init__(
        self,
        inbox: Inbox,
        turn: Callable[[Sequence[Inbound], float | None], None],
        to_tick: Callable[[], float],
        after: Callable[[], None],
    ) -> None:
        """`to_tick`: seconds until a turn can find something new without a message. `after`: what follows each turn."""
        self.on_failure: Callable[[], None] = lambda: None  # the pipeline has ended and cannot go on
        self.failure: ProximityError | None = None
        self.stopping = threading.Event()
        self._inbox, self._turn, self._to_tick, self._after = inbox, turn, to_tick, after
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """In a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="pipeline", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Finish the turn and end; whether it did. What is not acknowledged comes again."""
        self.stopping.set()
        if self._thread is None:
            return False
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def run(self) -> None:
        """In the caller's thread."""
        gather = 0.0
        while not self.stopping.is_set():
            # While a turn runs, messages gather: batches grow with the load by themselves. When turns are short, the
            # first message waits for others as long as the last turn took, so that half of the time is spent waiting.
            messages, until = self._inbox.take(IDLE_WAIT, gather, within=self._to_tick())
            began = time.monotonic()
            try:
                self._turn(messages, until)
            except StoreError as error:
                self._fail(error)
                return  # nothing of the turn was acknowledged
            except Exception as error:  # a fault of ours: better an end that is seen than a service that is deaf
                log.exception("the pipeline has failed")
                self._fail(ProximityError(f"a fault ended the pipeline: {type(error).__name__}: {error}"))
                return
            gather = min(time.monotonic() - began, LONGEST_GATHER)
            self._after()

    def _fail(self, error: ProximityError) -> None:
        if not self.stopping.is_set():
            self.failure = error
            self.on_failure()
