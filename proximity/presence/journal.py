"""What an engine was told since its last checkpoint, so that a successor can be told the same and stand where it stood.

The same observations give the same state. So a checkpoint need not be written with every batch: the batch itself is
kept, which is small, and replayed on top of the last checkpoint. Names are written once, and are numbers from then on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from proximity.errors import BadMessage
from proximity.model import Visit
from proximity.observations import Batch, Fixes, Sightings
from proximity.presence import checkpoint
from proximity.presence.dictionaries import Translation
from proximity.presence.engine import Engine, Step
from proximity.presence.state import Numbers
from proximity.presence.visits import Event
from proximity.site.model import Site

VERSION = 2
_METHODS = {"gateway": "gateway_state", "region": "region_state", "sites": "set_sites"}
_SIGHTINGS = ("at", "device", "anchor", "rssi")
_FIXES = ("at", "device", "lat", "lon", "accuracy")


class Names:
    """Names of one kind, as numbers. Both sides count alike; only new names are written."""

    def __init__(self) -> None:
        self._numbers, self._told = Numbers(), 0
        self._translation = Translation(self._numbers.of)

    def write(self, names: Sequence[str], used: NDArray[np.intp]) -> NDArray[Any]:
        """The numbers of `names[used]`."""
        return _small(self._translation.of(names, used))

    def fresh(self) -> list[str]:
        """What is new since the last call."""
        new = self._numbers.names[self._told :]
        self._told = len(self._numbers)
        return new

    def learn(self, names: Iterable[str]) -> None:
        """What the other side wrote as new."""
        for name in names:
            self._numbers.number(name)

    def read(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """The names of `numbers`."""
        return tuple([self._numbers.names[number] for number in numbers])


class Recorded(Engine):
    """An engine that notes what it is told. Not for several threads at once."""

    _notes: list[list[Any]]
    _names: tuple[Names, Names, Names]  # of devices, shoppers, anchors
    _first: bool  # the next entry is the first since a checkpoint: its names count from 0

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._begin()

    def _begin(self) -> None:
        self._notes, self._names, self._first = [], (Names(), Names(), Names()), True

    def step(self, batch: Batch, watermark: float) -> Step:
        """As `Engine.step`, noted."""
        step = super().step(batch, watermark)
        if len(batch.sightings) or len(batch.fixes):
            self._notes.append(["batch", watermark, *self._columns(batch)])
        elif self._notes and self._notes[-1][0] == "time":
            # Time that goes on in two strides or in one comes to the same: an idle shop's notes do not grow.
            self._notes[-1][1] = max(watermark, self._notes[-1][1])
        else:
            self._notes.append(["time", watermark])
        return step

    def gateway_state(self, anchor: str, online: bool, at: float) -> None:
        """As `Engine.gateway_state`, noted."""
        self._notes.append(["gateway", anchor, online, at])
        super().gateway_state(anchor, online, at)

    def region_state(self, device: str, shopper: str, zone: str, inside: bool, at: float) -> None:
        """As `Engine.region_state`, noted."""
        self._notes.append(["region", device, shopper, zone, inside, at])
        super().region_state(device, shopper, zone, inside, at)

    def set_sites(self, sites: Sequence[Site], at: float) -> Step:
        """As `Engine.set_sites`. Noted is only that time went on to `at`: a replay is on the sites in force by then."""
        self._notes.append(["sites", at])
        return super().set_sites(sites, at)

    def forget(self, shopper: str, at: float, event: Event = Event.ERASED) -> Step:
        """As `Engine.forget`, noted: the name is gone for good with the next snapshot."""
        self._notes.append(["forget", shopper, at, int(event)])
        return super().forget(shopper, at, event)

    def entry(self) -> bytes | None:
        """What was noted since the last call, for the journal; None: nothing."""
        if not self._notes:
            return None
        data = checkpoint.encode([VERSION, self._first, [names.fresh() for names in self._names], self._notes])
        self._notes, self._first = [], False
        return data

    def snapshot(self) -> dict[str, Any]:
        """As `Engine.snapshot`. What is noted from now on stands on it; what was noted and not yet taken is in it."""
        self._begin()
        return super().snapshot()

    @property
    def ahead_of_journal(self) -> bool:
        """Whether observations were taken that no entry holds yet."""
        return any(note[0] == "batch" for note in self._notes)

    def open_visits(self) -> list[Visit]:
        """Every visit that has not ended."""
        return self._ledger.visits()

    def _columns(self, batch: Batch) -> list[Any]:
        devices, shoppers, anchors = self._names
        device = _Used(batch.used(), len(batch.devices))
        anchor = _Used(np.unique(batch.sightings.anchor), len(batch.anchors))
        return [
            devices.write(batch.devices, device.names),
            shoppers.write(batch.shoppers, device.names),
            anchors.write(batch.anchors, anchor.names),
            _write(batch.sightings, _SIGHTINGS, {"device": device.place, "anchor": anchor.place}),
            _write(batch.fixes, _FIXES, {"device": device.place}),
        ]


class Reader:
    """Reads a journal, entry by entry from the first after a checkpoint on."""

    def __init__(self) -> None:
        self._names = (Names(), Names(), Names())

    def read(self, entry: bytes) -> list[tuple[str, tuple[Any, ...]]]:
        """What an engine was told, in order: the name of the method, and its arguments; of `set_sites` only `at`.
        BadMessage("checkpoint"): no entry, of another version, or out of turn."""
        try:
            version, first, new, notes = checkpoint.decode(entry)
            if version != VERSION:
                raise BadMessage("checkpoint", f"a journal of version {version}; this release reads {VERSION}")
            if first:
                self._names = (Names(), Names(), Names())
            for names, told in zip(self._names, new, strict=True):
                names.learn(told)
            return [self._one(kind, note) for kind, *note in notes]
        except (msgspec.MsgspecError, ValueError, TypeError, IndexError, KeyError) as error:
            raise BadMessage("checkpoint", f"the journal is damaged: {error!r}") from error

    def _one(self, kind: str, note: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        if kind == "time":
            return "step", (Batch(), *note)
        if kind == "forget":
            shopper, at, event = note
            return "forget", (shopper, at, Event(event))
        if kind != "batch":
            return _METHODS[kind], tuple(note)
        watermark, devices, shoppers, anchors, sightings, fixes = note
        batch = Batch(
            devices=self._names[0].read(devices.tolist()),
            shoppers=self._names[1].read(shoppers.tolist()),
            anchors=self._names[2].read(anchors.tolist()),
            sightings=Sightings(**_read(sightings, _SIGHTINGS)),
            fixes=Fixes(**_read(fixes, _FIXES)),
        )
        return "step", (batch, watermark)


class Replay:
    """Tells an engine again what its forerunner was told."""

    def __init__(self, engine: Engine, sites: Sequence[Site]) -> None:
        self._engine, self._sites, self._reader = engine, sites, Reader()

    def tell(self, entry: bytes) -> list[Step]:
        """One entry, and what it came to. BadMessage as `Reader.read`."""
        steps = []
        for method, arguments in self._reader.read(entry):
            # The engine's own methods: what is replayed is in the journal already.
            before = (self._sites,) if method == "set_sites" else ()
            step = getattr(Engine, method)(self._engine, *before, *arguments)
            if step is not None:
                steps.append(step)
        return steps


class _Used:
    """Which of a batch's names its columns use, and the place of each among those."""

    def __init__(self, names: NDArray[Any], count: int) -> None:
        self.names = names.astype(np.intp)
        self.place: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.place[self.names] = np.arange(len(names))


def _write(columns: Sightings | Fixes, names: Iterable[str], places: Mapping[str, NDArray[np.int64]]) -> list[Any]:
    """Columns in as few bytes as hold them exactly; [] for none."""
    if not len(columns):
        return []
    written: list[Any] = []
    for name in names:
        values = getattr(columns, name)
        if name in places:
            written.append(_small(places[name][values]))
        elif name == "at":
            written.append(_times(values))
        else:
            written.append(_floats(values))
    return written


def _read(written: Sequence[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    if not written:
        return {}
    at, device, *rest = written
    times = at if isinstance(at, np.ndarray) else (at[0] + at[1].astype(np.int64)) / 1000.0
    columns = {"at": times, "device": device.astype(np.int32)}
    for name, values in zip(names[2:], rest, strict=True):
        if name == "anchor":
            columns[name] = values.astype(np.int32)
        else:
            columns[name] = _plain(values, len(times))
    return columns


def _times(at: NDArray[np.float64]) -> Any:
    """Whole milliseconds since the first of them, as gateways tell them; else as they are."""
    first = round(float(at.min()) * 1000.0) if np.isfinite(at).all() else 0
    since = np.rint(at * 1000.0) - first
    if ((since + first) / 1000.0 == at).all() and since.max() < 1 << 32 and since.min() >= 0:
        return [first, _small(since.astype(np.int64))]
    return np.ascontiguousarray(at)


def _small(values: NDArray[np.int64]) -> NDArray[Any]:
    top = int(values.max(initial=0))
    return values.astype("u1" if top < 1 << 8 else "u2" if top < 1 << 16 else "u4")


def _floats(values: NDArray[np.float64]) -> Any:
    """None for nothing but NaN; whole tenths, as gateways round dBm; else as they are."""
    if np.isnan(values).all():
        return None
    tenths = np.rint(values * 10.0)
    if (np.abs(tenths) < 1 << 15).all() and (tenths / 10.0 == values).all():
        return [10, tenths.astype(np.int16)]
    return np.ascontiguousarray(values)


def _plain(written: Any, count: int) -> NDArray[np.float64]:
    if written is None:
        return np.full(count, np.nan)
    return written if isinstance(written, np.ndarray) else written[1] / float(written[0])
