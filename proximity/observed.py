"""What was observed in the last seconds, gathered before it goes into the store in a few rows, beside the pipeline."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple
from zlib import crc32

import numpy as np
import structlog
from numpy.typing import NDArray

from proximity.collecting import give_back
from proximity.ingest.regions import Word
from proximity.observations import Batch
from proximity.presence.dictionaries import Translation
from proximity.presence.engine import Engine
from proximity.presence.intake import FUTURE, LATE_FIX, LATE_SIGHTING
from proximity.presence.probe import Said, State, chosen, within
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError
from proximity.store.packing import Kept, joined, lump_of, pack

log = structlog.get_logger(__name__)

EVERY = 10.0  # s between writes: a row with ten seconds costs little more than a row with one
MOST_ROWS = 500_000  # observations that wait at the most: 20 MB
MOST_DEVICES = 20_000  # that are kept at a time: some µs and 150 bytes each to pack and store, so 1 % of a core

SHARES = 8  # of the lumps; one is packed at a time, and is one transaction of some ms for which nobody else can commit
RETRY = 1.0  # s between attempts while the database cannot be written


class Gathered(NamedTuple):
    """What was observed for some seconds."""

    batches: Sequence[Batch] = ()
    said: Sequence[Said] = ()
    states: Sequence[State] = ()

    def packed(self) -> Iterator[list[Kept]]:
        """In lumps, a share of them after the other: all at once would take 30 MB for a moment."""
        batches = joined(self.batches)
        shares = [_shares(batch) for batch in batches]
        for share in range(SHARES):
            mine = [chosen(batch, of == share) for batch, of in zip(batches, shares, strict=True)]
            yield pack(mine, [word for word in self.said if lump_of(word.shopper) % SHARES == share])


class Observed:
    """Belongs to one pipeline; every call is made under its lock. With `keep` 0 it keeps nothing.

    With more than MOST_DEVICES at a time a share of them is kept, a half, a quarter, …, by a checksum of their ids:
    always the same ones, so that what is kept of a device is whole.
    """

    def __init__(self, keep: float, most: int = MOST_DEVICES) -> None:
        """`keep`: seconds for which observations stay in the store. `most`: devices at a time."""
        self.on, self._most = keep > 0.0, most
        self._batches: list[Batch] = []
        self._said: list[Said] = []
        self._states: list[State] = []
        self._rows, self._since = 0, 0.0
        self._bits = 0  # one of 2 ** bits devices is kept
        self._marks = Translation(_marks)
        self._crowd = _Crowd()

    def take(self, batch: Batch, words: Sequence[Word], states: Sequence[State], engine: Engine, now: float) -> None:
        """What presence is about to be told. What it would call late is left out, as it will leave it out."""
        if not self.on:
            return
        self._crowd.add(batch)
        self._bits = max(self._bits, self._needed(len(batch.used())))
        past = engine.watermark
        batch = self._share(within(batch, past - LATE_SIGHTING, past - LATE_FIX, now + FUTURE))
        rows = len(batch.sightings) + len(batch.fixes) + len(words) + len(states)
        if not rows:
            return
        if not self._rows:
            self._since = now
        self._rows += rows
        self._batches.append(batch)
        self._said += [Said(*word) for word in words]
        self._states += states

    def due(self, now: float) -> bool:
        """Whether it is time to write. Time that stepped back counts as over."""
        return bool(self._rows) and (self._rows >= MOST_ROWS or not 0.0 <= now - self._since < EVERY)

    def flush(self) -> Gathered:
        """Everything that waits."""
        bits, self._bits = self._bits, self._needed(self._crowd.leave())
        if self._bits > bits:
            self._batches = [self._share(batch) for batch in self._batches]
            log.warning("too many devices to keep what was observed of all", kept=f"one of {1 << self._bits}")
        gathered = Gathered(self._batches, self._said, self._states)
        self._batches, self._said, self._states, self._rows = [], [], [], 0
        return gathered

    def forget(self, shopper: str) -> None:
        """Drop what waits of a shopper."""
        others: dict[int, NDArray[np.bool_]] = {}  # by dictionary, which most batches share
        for i, batch in enumerate(self._batches):
            kept = others.get(id(batch.shoppers))
            if kept is None or len(kept) < len(batch.shoppers):
                kept = others[id(batch.shoppers)] = np.array([name != shopper for name in batch.shoppers], np.bool_)
            self._batches[i] = chosen(batch, kept)
        self._said = [word for word in self._said if word.shopper != shopper]

    def _needed(self, devices: int) -> int:
        """How often that number has to be halved."""
        return max(0, -(-devices // self._most) - 1).bit_length()

    def _share(self, batch: Batch) -> Batch:
        """The rows of the devices that are kept."""
        if not self._bits:
            return batch
        used = batch.used()
        kept = np.zeros(len(batch.devices), dtype=np.bool_)
        kept[used] = self._marks.of(batch.devices, used) & ((1 << self._bits) - 1) == 0
        return chosen(batch, kept)


class ObservedWriter:
    """Packs and writes what was gathered, one lot at a time. Until `start` in the caller's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None

    def start(self) -> None:
        """From now on in a thread of its own."""
        self._pool = ThreadPoolExecutor(1, "observed")

    @property
    def idle(self) -> bool:
        """Whether the last lot is written."""
        return self._writing is None or self._writing.done()

    def write(self, gathered: Gathered, at: float) -> None:
        """A lot. A kill before it is written loses it: of what was observed, not of what came of it."""
        if self._pool is None:
            self._write(gathered, at)
        else:
            self._writing = self._pool.submit(self._write, gathered, at)

    def settle(self) -> None:
        """Wait until the last lot is written."""
        if self._writing is not None:
            self._writing.result()

    def close(self) -> None:
        """Write what was begun; nothing is tried again."""
        self._stopping.set()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _write(self, gathered: Gathered, at: float) -> None:
        for kept in gathered.packed():
            if kept and not self._insist(Outcome(observations=kept, at=at)):
                return
        if gathered.states:
            self._insist(Outcome(states=gathered.states, at=at))
        give_back()  # what packing took

    def _insist(self, outcome: Outcome) -> bool:
        """Whether it is in the store, or never will be."""
        while not self._committed(outcome):
            if self._stopping.wait(RETRY):
                return False
        return True

    def _committed(self, piece: Outcome) -> bool:
        try:
            commit(self._store, piece)
        except StoreError as error:
            log.warning("what was observed cannot be written", error=str(error))
            return not error.temporary
        return True


def _shares(batch: Batch) -> NDArray[np.int8]:
    """In which share each device of a batch's dictionary is; -1: none of its rows is about it."""
    used = batch.used()
    found = np.full(len(batch.devices), -1, dtype=np.int8)
    found[used] = [lump_of(batch.shoppers[i]) % SHARES for i in used.tolist()]
    return found


def _marks(names: list[str]) -> NDArray[np.int64]:
    return np.array([crc32(name.encode()) for name in names], dtype=np.int64)


class _Crowd:
    """Who was observed, to be counted."""

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._mask = np.zeros(0, dtype=np.bool_)
        self._others: set[str] = set()  # of dictionaries before

    def add(self, batch: Batch) -> None:
        """These, too."""
        if batch.devices is not self._names:
            self._fold()
            self._names, self._mask = batch.devices, np.zeros(len(batch.devices), dtype=np.bool_)
        elif len(batch.devices) > len(self._mask):
            more = np.zeros(len(batch.devices) - len(self._mask), dtype=np.bool_)
            self._mask = np.concatenate([self._mask, more])
        self._mask[batch.used()] = True

    def leave(self) -> int:
        """How many they were; from now on others are counted."""
        self._fold()
        count = len(self._others)
        self._others = set()
        return count

    def _fold(self) -> None:
        self._others.update([self._names[i] for i in np.flatnonzero(self._mask).tolist()])
        self._mask[:] = False
