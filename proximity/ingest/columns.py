"""Rows of messages into columns, without a step of Python for each row.

A row on the wire is an array, and one decoder reads a message's rows as tuples that all have every element: `zip` turns
them into columns at once. Rows that leave out what may be left out take a second, slower look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from proximity import wire
from proximity.errors import BadMessage
from proximity.model import Fix
from proximity.observations import Floats, Ints


class WholeSightings(msgspec.Struct, frozen=True, gc=False):
    """A wire.SightingsMessage whose rows leave nothing out."""

    boot: wire.Boot
    seq: wire.Seq
    clock: Literal["synced", "unsynced"]
    rows: list[tuple[str, wire.Ms, float, int, float | None]]
    v: Literal[1] = 1


class WholeFixes(msgspec.Struct, frozen=True, gc=False):
    """A wire.FixesMessage whose rows leave nothing out."""

    boot: wire.Boot
    seq: wire.Seq
    clock: Literal["synced", "unsynced"]
    rows: list[tuple[str, wire.Ms, float, float, float | None]]
    v: Literal[1] = 1


Whole = TypeVar("Whole", WholeSightings, WholeFixes)
_whole: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind, strict=True) for kind in (WholeSightings, WholeFixes)
}
_loose: dict[type, type[wire.SightingsMessage] | type[wire.FixesMessage]] = {
    WholeSightings: wire.SightingsMessage,
    WholeFixes: wire.FixesMessage,
}


_rows: msgspec.json.Decoder[list[tuple[str, wire.Ms, float, float, float | None]]] = msgspec.json.Decoder(
    list[tuple[str, wire.Ms, float, float, float | None]]
)


def decode_rows(payload: bytes) -> list[tuple[str, int, float, float, float | None]]:
    """Rows of WholeFixes without a message around them. BadMessage("shape"): something else."""
    try:
        return _rows.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage("shape", str(error)) from error


def decode(kind: type[Whole], payload: bytes) -> Whole:
    """A payload as `kind`. BadMessage as of `wire.decode`."""
    if len(payload) <= wire.MAX_PAYLOAD:
        try:
            whole: Whole = _whole[kind].decode(payload)
            return whole
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    loose = wire.decode(_loose[kind], payload)
    rows = list(map(msgspec.structs.astuple, loose.rows))
    return kind(loose.boot, loose.seq, loose.clock, rows)


@dataclass(slots=True)
class _Rows:
    """Columns in the making: one entry a row in `device`, one a message in `counts`, `origins` and `signs`."""

    device: list[str] = field(default_factory=list)  # as on the wire
    _time: list[float] = field(default_factory=list)  # ms
    _counts: list[int] = field(default_factory=list)  # rows of each message
    _origins: list[float] = field(default_factory=list)  # s to which the message's times are added …
    _signs: list[float] = field(default_factory=list)  # … or, where they are ages, from which they are taken

    def __len__(self) -> int:
        return len(self.device)

    def _begin(self, count: int, received: float, clock: str) -> None:
        synced = clock == "synced"
        self._counts.append(count)
        self._origins.append(0.0 if synced else received)
        self._signs.append(1.0 if synced else -1.0)

    def at(self) -> Floats:
        """Seconds since the epoch. Ages are right to within the time the message was under way."""
        seconds = np.array(self._time, dtype=np.float64) / 1000.0
        return np.repeat(self._origins, self._counts) + np.repeat(self._signs, self._counts) * seconds


@dataclass(slots=True)
class SightingRows(_Rows):
    """Sightings of a batch of messages."""

    anchors: list[str] = field(default_factory=list)  # by message: "<site>/<gateway>", or a shelf beacon's id on air
    _rssi: list[float] = field(default_factory=list)

    def add(self, anchor: str, message: WholeSightings, received: float) -> None:
        """All rows of a message."""
        self._begin(len(message.rows), received, message.clock)
        self.anchors.append(anchor)
        if message.rows:
            device, time, rssi, _count, _power = zip(*message.rows, strict=True)
            self.device += device
            self._time += time
            self._rssi += rssi

    def add_one(self, anchor: str, device: str, at: float, rssi: float) -> None:
        """What a phone heard."""
        self._begin(1, at, "unsynced")
        self.anchors.append(anchor)
        self.device.append(device)
        self._time.append(0.0)
        self._rssi.append(rssi)

    def anchor(self, numbers: Sequence[int]) -> Ints:
        """The column of anchors, from a number for each message."""
        return np.repeat(np.array(numbers, dtype=np.int32), self._counts)

    def rssi(self) -> Floats:
        """dBm."""
        return np.array(self._rssi, dtype=np.float64)


@dataclass(slots=True)
class FixRows(_Rows):
    """Fixes of a batch of messages."""

    _lat: list[float] = field(default_factory=list)
    _lon: list[float] = field(default_factory=list)
    _accuracy: list[float | None] = field(default_factory=list)

    def add(self, message: WholeFixes, received: float) -> None:
        """All rows of a message."""
        self._begin(len(message.rows), received, message.clock)
        if message.rows:
            device, time, lat, lon, accuracy = zip(*message.rows, strict=True)
            self.device += device
            self._time += time
            self._lat += lat
            self._lon += lon
            self._accuracy += accuracy

    def add_fixes(self, fixes: Iterable[Fix]) -> None:
        """A phone's own report, of one fix as a rule."""
        for fix in fixes:
            self._begin(1, fix.at, "unsynced")
            self.device.append(fix.device)
            self._time.append(0.0)
            self._lat.append(fix.lat)
            self._lon.append(fix.lon)
            self._accuracy.append(fix.accuracy)

    def places(self) -> tuple[Floats, Floats, Floats]:
        """Latitude and longitude in degrees, accuracy in metres (NaN: unknown)."""
        columns = (self._lat, self._lon, self._accuracy)
        lat, lon, accuracy = (np.array(column, dtype=np.float64) for column in columns)
        return lat, lon, accuracy


def distinct(names: Sequence[str], which: NDArray[np.integer[Any]]) -> list[str]:
    """Each of `names[which]` once, in order."""
    if not len(which):
        return []
    picked: Any = itemgetter(*which.tolist())(names) if len(which) > 1 else (names[int(which[0])],)
    return list(dict.fromkeys(picked))
