"""Keeps presence over a stop: a journal entry with each commit, a checkpoint now and then, and the way back.

A checkpoint holds everything and takes its time, so it is written beside the pipeline, and only as often as a small
share of the time allows. What the journal says since makes up for that: a successor stands exactly where the last
commit left presence, and whatever was acknowledged is in it.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

import msgspec
import structlog

from proximity.errors import BadMessage
from proximity.model import Transition, Visit, child_id
from proximity.presence import checkpoint as states
from proximity.presence.engine import Step
from proximity.presence.journal import Recorded, Replay
from proximity.site.model import Site
from proximity.store import checkpoints, history
from proximity.store.checkpoints import DEFAULT, Checkpoint, Entry
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError

log = structlog.get_logger(__name__)

EVERY = 1.0  # s between checkpoints while they cost little …
SHARE = 20.0  # … and at least so many times what the last one took: five per cent of a core
MOST_JOURNAL = 64 << 20  # bytes of journal that hurry the next checkpoint: some ten seconds of replay
MANY = 5_000  # transitions that are compared with the store at once


class Keeper:
    """Belongs to one pipeline; every call is made under its lock."""

    def __init__(self, store: Store, partition: str = DEFAULT) -> None:
        self._store, self._partition = store, partition
        self.every, self.share = EVERY, SHARE
        self._number = 0  # of the last entry or checkpoint that is committed
        self._open: Entry | None = None  # on its way into a commit
        self._digests: dict[str, bytes] = {}  # of the parts that the store has
        self._noted = 0  # bytes of journal since the last checkpoint
        self._due = 0.0  # monotonic
        self._hurried = False
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[bool] | None = None

    # -- the way back ---------------------------------------------------------------------------------------------

    def restore(self, make: Callable[[], Recorded], sites: Sequence[Site]) -> tuple[Recorded, bool]:
        """An engine that stands where the last commit left it, and whether there was one. `make` gives a new engine.

        A state that cannot be read (another version's, or damaged) is given up: presence begins anew, and the visits
        that it knows nothing of are ended. StoreError when the store cannot be read or written.
        """
        engine, saved = make(), checkpoints.load_checkpoint(self._store, self._partition)
        told: list[Step] = []
        whole = saved is not None
        if saved is not None:
            self._number = saved.number
            try:
                engine.resume(states.join({part: states.unpack(data) for part, data in saved.parts.items()}))
            except BadMessage as error:
                log.error("the state of presence cannot be read; it begins anew", reason=str(error))
                engine, whole = make(), False
        replay = Replay(engine, sites)
        for entry in checkpoints.load_journal(self._store, self._number, self._partition):
            self._number = entry.number
            if whole:
                try:
                    told += replay.tell(entry.state)
                except BadMessage as error:
                    log.error("the journal of presence cannot be read", entry=entry.number, reason=str(error))
                    engine, told, whole = make(), [], False
        self._agree(engine, told, sites, engine.watermark)
        if not whole:  # the first start, or what cannot be read must not be read again
            self._write(self._number, engine.watermark, states.split(engine.snapshot()))
        return engine, saved is not None

    def anew(self, engine: Recorded, sites: Sequence[Site], at: float) -> None:
        """Go on with a new engine; what the one before knew of is ended at `at`."""
        self._drain()
        self._open, self._digests = None, {}
        self._agree(engine, (), sites, at)
        self._number += 1
        self._write(self._number, at, states.split(engine.snapshot()))

    def _agree(self, engine: Recorded, told: Iterable[Step], sites: Iterable[Site], at: float) -> None:
        """Make the store say what presence says; what it says too much ends at `at`.

        After a start they differ only when the sites were edited, or the program was, between a kill and the start:
        then what was replayed was judged anew.
        """
        transitions = [one for step in told for one in step.transitions]
        visits = [one for step in told for one in step.visits]
        for first in range(0, max(len(transitions), len(visits)), MANY):
            part = slice(first, first + MANY)
            commit(self._store, Outcome(transitions=transitions[part], visits=visits[part], at=at))
        known = {visit.id for visit in engine.open_visits()}
        zones = {(site.id, zone.id) for site in sites for zone in site.zones}
        orphans = [
            visit
            for site in sorted({site for site, _ in zones})
            for visit in history.visits(self._store, site=site, open_only=True, limit=1 << 31)
            if visit.id not in known
        ]
        for first in range(0, len(orphans), MANY):
            ends = [_ended(visit, zones, at) for visit in orphans[first : first + MANY]]
            commit(self._store, Outcome([left for left, _ in ends], [visit for _, visit in ends], at=at))
        if orphans:
            log.warning("visits ended that presence knows nothing of", number=len(orphans))

    # -- with each commit -------------------------------------------------------------------------------------------

    def note(self, engine: Recorded) -> Entry | None:
        """What the next commit has to store; `settled` says that it did."""
        data = engine.entry()
        self._open = None if data is None else Entry(self._number + 1, data, self._partition)
        return self._open

    def settled(self, engine: Recorded, at: float) -> None:
        """The commit happened. Begins a checkpoint when it is time for one."""
        if self._open is not None:
            self._number = self._open.number
            self._noted += len(self._open.state)
            self._open = None
        busy = self._writing is not None and not self._writing.done()
        due = self._hurried or self._noted >= MOST_JOURNAL or time.monotonic() >= self._due
        if self._noted and due and not busy:
            self._begin(engine, at)

    def hurry(self) -> None:
        """Presence was told what a replay can only come near to, as other sites: a checkpoint with the next commit."""
        self._hurried = True

    def renew(self, engine: Recorded, at: float) -> Callable[[], None]:
        """Begin a checkpoint now, just after a commit: what presence has forgotten is gone from the store when the
        returned call returns. It may take a while, and needs no lock. StoreError: it is not gone."""
        written = self._begin(engine, at)

        def wait() -> None:
            if not written.result():
                raise StoreError("the state of presence could not be written", temporary=True)

        return wait

    def _begin(self, engine: Recorded, at: float) -> "Future[bool]":
        started = time.monotonic()
        parts = states.split(engine.snapshot())
        pause = time.monotonic() - started
        self._noted, self._hurried = 0, False
        if self._writer is None:
            done: Future[bool] = Future()
            done.set_result(self._beside(pause, self._number, at, parts))
            return done
        self._writing = self._writer.submit(self._beside, pause, self._number, at, parts)
        return self._writing

    def _beside(self, pause: float, number: int, at: float, parts: dict[str, dict[str, Any]]) -> bool:
        """What is done beside the pipeline; whether it was. A store that refuses is asked again next time: the journal
        has it all."""
        started, written = time.monotonic(), True
        try:
            self._write(number, at, parts)
        except StoreError as error:
            log.warning("no checkpoint this time", error=str(error))
            written = False
        finished = time.monotonic()
        self._due = finished + max(self.every, self.share * (pause + finished - started))
        return written

    def _write(self, number: int, at: float, parts: dict[str, dict[str, Any]]) -> None:
        """Only what is not as the store has it already."""
        digests: dict[str, bytes] = {}
        changed: dict[str, bytes] = {}
        for part, state in parts.items():
            raw = states.encode(state)
            digests[part] = blake2b(raw, digest_size=16).digest()
            # The house goes along each time: its row carries the number and the moment.
            if part == states.HOUSE or self._digests.get(part) != digests[part]:
                changed[part] = states.seal(raw)
        kept = digests.keys() - changed.keys()
        checkpoints.save(self._store, Checkpoint(number, at, changed, kept, self._partition))
        self._digests = digests

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """From now on checkpoints are written in a thread of their own."""
        self._writer = ThreadPoolExecutor(1, "checkpoint")

    def close(self, engine: Recorded, at: float, orderly: bool = True) -> None:
        """A last checkpoint, so that the next start has nothing to replay. Not after a turn that did not come to its
        end: presence knows then what nobody committed, and what will come again."""
        self._drain()
        if self._writer is not None:
            self._writer.shutdown()
            self._writer = None
        if orderly and self._open is None and not engine.ahead_of_journal:
            self._begin(engine, at)

    def _drain(self) -> None:
        """Wait for the checkpoint that is being written."""
        if self._writing is not None:
            with contextlib.suppress(StoreError):
                self._writing.result()
            self._writing = None


def _ended(visit: Visit, zones: set[tuple[str, str]], now: float) -> tuple[Transition, Visit]:
    """The end of a visit that presence does not know."""
    cause = "zone_changed" if (visit.site, visit.zone) in zones else "zone_removed"
    at = max(now, visit.last_seen)
    left = Transition(
        id=child_id(visit.id, "exit", ""),
        kind="exit",
        cause=cause,
        site=visit.site,
        zone=visit.zone,
        shopper=visit.shopper,
        device=visit.device,
        visit=visit.id,
        at=at,
        observed=visit.last_seen,
        started=visit.started,
        confidence=visit.confidence,
        initial=visit.initial,
    )
    return left, msgspec.structs.replace(visit, ended=at, cause=cause)
