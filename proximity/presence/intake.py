"""The way in: observations are checked, put on the engine's numbers, and held until their tick is processed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proximity.model import Late
from proximity.observations import Batch, Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.dictionaries import Translation
from proximity.presence.locator import TICK
from proximity.presence.people import Devices, Shoppers
from proximity.presence.state import Bools, Longs

LATE_SIGHTING = 5.0  # s behind; a gateway that reconnects sends the last seconds first, and nobody walks far in them
LATE_FIX = 120.0  # s behind; phones batch fixes for minutes, and the newest is still the best that is known
FUTURE = 10.0  # s ahead of the watermark; more than clocks kept by NTP and a reorder window ever differ
RSSI_HIGHEST = 20.0  # dBm; above it, at 0 and at -127 radios say "not measured"
RSSI_LOWEST = -127.0

NEVER = 1 << 62  # number of a tick that does not come

Columns = Mapping[str, Any]  # arrays of one length by name
SIGHTING = {"tick": "i8", "at": "f8", "device": "i4", "anchor": "i4", "rssi": "f8"}
FIX = {"tick": "i8", "at": "f8", "device": "i4", "lat": "f8", "lon": "f8", "accuracy": "f8"}


class Pending:
    """Columns of observations whose tick is still to come, in any order."""

    def __init__(self, spec: Mapping[str, str]) -> None:
        self._spec = spec
        self._columns: dict[str, Any] = {name: np.empty(0, dtype=dtype) for name, dtype in spec.items()}

    def __len__(self) -> int:
        return len(self._columns["tick"])

    def add(self, columns: Columns) -> None:
        """More of them."""
        if len(columns["tick"]):
            for name, dtype in self._spec.items():
                self._columns[name] = np.concatenate([self._columns[name], columns[name].astype(dtype, copy=False)])

    def pop(self, tick: int) -> dict[str, Any]:
        """Take out all up to and with `tick`."""
        ready = self._columns["tick"] <= tick
        if ready.all():
            taken = self._columns
            # Copies: an empty view would keep the whole column in memory.
            self._columns = {name: column[:0].copy() for name, column in taken.items()}
        else:
            taken = self.keep(~ready)
        return taken

    def keep(self, keep: Bools) -> dict[str, Any]:
        """Take out the others."""
        taken = {name: column[~keep] for name, column in self._columns.items()}
        self._columns = {name: column[keep] for name, column in self._columns.items()}
        return taken

    @property
    def device(self) -> Ints:
        """The column of device rows."""
        column: Ints = self._columns["device"]
        return column

    def first(self) -> int:
        """Number of the earliest tick; NEVER: none."""
        tick: Longs = self._columns["tick"]
        return int(tick.min(initial=NEVER))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return dict(self._columns)

    def restore(self, state: Columns) -> None:
        """The reverse of `state`."""
        self._columns = {name: np.asarray(state[name], dtype=dtype) for name, dtype in self._spec.items()}


def in_order(numbers: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """The stable order of whole numbers; quick where they lie close together, as ticks and sites do."""
    if len(numbers) and int(numbers.max()) - (low := int(numbers.min())) < 1 << 16:
        return np.argsort((numbers - low).astype(np.uint16), kind="stable")  # by radix
    return np.argsort(numbers, kind="stable")


class Ticks:
    """Columns cut by tick, to be taken in order."""

    def __init__(self, columns: Columns) -> None:
        tick: Longs = columns["tick"]
        order = in_order(tick)
        self._columns = {name: column.take(order) for name, column in columns.items()}
        ranked = self._columns["tick"]
        first = np.empty(len(ranked), dtype=np.bool_)
        first[:1] = True
        np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        self._ticks, self._starts = [*ranked[starts].tolist(), NEVER], [*starts.tolist(), len(tick)]
        self._turn = 0

    @property
    def next(self) -> int:
        """Number of the next tick; NEVER: none is left."""
        number: int = self._ticks[self._turn]
        return number

    def devices(self) -> Ints:
        """Device rows of all that is left."""
        rows: Ints = self._columns["device"][self._starts[self._turn] :]
        return rows

    def take(self, tick: int) -> Columns | None:
        """The columns of `tick`, when it is the next one."""
        if self.next != tick:
            return None
        part = slice(self._starts[self._turn], self._starts[self._turn + 1])
        self._turn += 1
        return {name: column[part] for name, column in self._columns.items()}


class Numbered(NamedTuple):
    """A batch's columns of devices as rows of ours."""

    sightings: Longs
    fixes: Longs
    given: Ints  # distinct rows whose shopper is new to them, …
    owners: Ints  # … and the rows of those shoppers


class Intake:
    """Checks and numbers a batch. What is dropped is counted by name; what is too late is told as it was."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers) -> None:
        self._catalogue, self._devices, self._shoppers = catalogue, devices, shoppers
        self.sightings, self.fixes = Pending(SIGHTING), Pending(FIX)
        self._rows, self._owners = Translation(devices.numbers), Translation(shoppers.numbers)
        self._anchors = Translation(self._anchor_numbers)
        self.ahead: dict[str, float] = {}  # anchor -> s by which the last step's sightings of it came from the future

    def number(self, batch: Batch) -> Numbered:
        """Put a batch on the engine's numbers, taken where a device or shopper is new."""
        seen, told = batch.sightings.device, batch.fixes.device
        sightings, fixes = self._rows.of(batch.devices, seen), self._rows.of(batch.devices, told)
        rows = np.concatenate([sightings, fixes])
        owners = np.concatenate([self._owners.of(batch.shoppers, seen), self._owners.of(batch.shoppers, told)])
        other = np.flatnonzero(self._devices.shopper.take(rows) != owners)
        new, first = np.unique(rows[other], return_index=True)
        return Numbered(sightings, fixes, new.astype(np.int32), owners[other][first].astype(np.int32))

    def gave_back(self, devices: Ints | None = None, shoppers: Ints | None = None) -> None:
        """These rows may be others' from now on; None: all of them."""
        self._rows.forget(devices)
        self._owners.forget(shoppers)

    def take(
        self, batch: Batch, numbered: Numbered, clock: int | None, watermark: float
    ) -> tuple[list[Late], Counter[str]]:
        """Hold what is good. `numbered`: from `number`; `clock`: number of the last processed tick."""
        counts: Counter[str] = Counter()
        self.ahead = {}
        late = self._take_sightings(batch, numbered.sightings, clock, watermark, counts)
        late += self._take_fixes(batch, numbered.fixes, clock, watermark, counts)
        return late, counts

    def _anchor_numbers(self, names: list[str]) -> Longs:
        """-1 for anchors that nobody knows; one that is known keeps its number for good."""
        index = self._catalogue.anchor_numbers.index
        return np.array([index.get(name, -1) for name in names], dtype=np.int64)

    def _take_sightings(
        self, batch: Batch, rows: Longs, clock: int | None, watermark: float, counts: Counter[str]
    ) -> list[Late]:
        seen = batch.sightings
        if not len(seen):
            return []
        counts["sightings"] += len(seen)
        anchor = self._anchors.of(batch.anchors, seen.anchor)
        sites = np.append(self._catalogue.anchor_site, -1)  # the last stands for anchors that nobody knows
        good = _count(
            counts,
            {
                "bad_time": ~(seen.at > 0.0),
                "unknown_anchor": sites[anchor] < 0,
                "bad_rssi": ~((seen.rssi > RSSI_LOWEST) & (seen.rssi < RSSI_HIGHEST)) | (seen.rssi == 0.0),
            },
        )
        columns: dict[str, Any] = {"at": seen.at, "device": rows, "anchor": anchor, "rssi": seen.rssi}
        columns = columns if good.all() else {name: column[good] for name, column in columns.items()}
        late = self._hold(self.sightings, columns, clock, watermark, LATE_SIGHTING, counts)
        return self.late_sightings(late)

    def _take_fixes(
        self, batch: Batch, rows: Longs, clock: int | None, watermark: float, counts: Counter[str]
    ) -> list[Late]:
        fixes = batch.fixes
        if not len(fixes):
            return []
        counts["fixes"] += len(fixes)
        good = _count(
            counts,
            {
                "bad_time": ~(fixes.at > 0.0),
                "bad_position": ~((np.abs(fixes.lat) <= 90.0) & (np.abs(fixes.lon) <= 180.0)),
                "null_island": (fixes.lat == 0.0) & (fixes.lon == 0.0),
            },
        )
        # No accuracy, none at all or an endless one: unknown, and never perfect.
        accuracy = np.where((fixes.accuracy > 0.0) & np.isfinite(fixes.accuracy), fixes.accuracy, np.nan)
        columns: dict[str, Any] = {
            "at": fixes.at,
            "device": rows,
            "lat": fixes.lat,
            "lon": fixes.lon,
            "accuracy": accuracy,
        }
        late = self._hold(
            self.fixes, {name: column[good] for name, column in columns.items()}, clock, watermark, LATE_FIX, counts
        )
        return self.late_fixes(late)

    def _hold(
        self,
        pending: Pending,
        columns: dict[str, Any],
        clock: int | None,
        watermark: float,
        bound: float,
        counts: Counter[str],
    ) -> dict[str, Any]:
        """Hold what is not too late; returns what is."""
        at = columns["at"]
        now = watermark if clock is None else max(watermark, clock * TICK)
        ahead = at > now + FUTURE
        if ahead.any():
            counts["clamped"] += int(ahead.sum())
            if "anchor" in columns:
                anchors, which = np.unique(columns["anchor"][ahead], return_inverse=True)
                most = np.zeros(len(anchors))
                np.maximum.at(most, which, at[ahead] - now)
                names = self._catalogue.anchor_numbers.names
                self.ahead = {names[anchor]: by for anchor, by in zip(anchors.tolist(), most.tolist(), strict=True)}
            columns["at"] = at = np.where(ahead, now, at)
        columns["tick"] = tick = np.ceil(at / TICK).astype(np.int64)
        if clock is None:
            pending.add(columns)
            return {name: column[:0] for name, column in columns.items()}
        behind = tick <= clock
        if not behind.any():
            pending.add(columns)
            return {name: column[:0] for name, column in columns.items()}
        columns["tick"] = np.where(behind, clock + 1, tick)
        lost = behind & (at < clock * TICK - bound)
        pending.add({name: column[~lost] for name, column in columns.items()})
        return {name: column[lost] for name, column in columns.items()}

    def late_sightings(self, columns: Columns) -> list[Late]:
        """Rows for history."""
        device, shopper = self._people(columns["device"])
        anchors = self._catalogue.anchor_numbers.names
        rest = (columns[name].tolist() for name in ("at", "anchor", "rssi"))
        return [
            Late(d, s, at, anchor=anchors[anchor], rssi=rssi)
            for d, s, at, anchor, rssi in zip(device, shopper, *rest, strict=True)
        ]

    def late_fixes(self, columns: Columns) -> list[Late]:
        """Rows for history."""
        device, shopper = self._people(columns["device"])
        rest = (columns[name].tolist() for name in ("at", "lat", "lon", "accuracy"))
        return [
            Late(d, s, at, lat=lat, lon=lon, accuracy=None if np.isnan(accuracy) else accuracy)
            for d, s, at, lat, lon, accuracy in zip(device, shopper, *rest, strict=True)
        ]

    def _people(self, rows: Ints) -> tuple[Sequence[str], Sequence[str]]:
        devices, shoppers = self._devices.names, self._shoppers.names
        owners = self._devices.shopper[rows].tolist()
        return [devices[row] for row in rows.tolist()], [shoppers[row] for row in owners]

    def forget(self, rows: Ints) -> None:
        """Drop what is held of these devices."""
        for pending in (self.sightings, self.fixes):
            pending.keep(~np.isin(pending.device, rows))

    def first(self) -> int:
        """Number of the earliest tick that is held; NEVER: none."""
        return min(self.sightings.first(), self.fixes.first())


def _count(counts: Counter[str], faults: Mapping[str, Bools]) -> Bools:
    """Count each row under its first fault; True for rows without any."""
    good = np.ones(len(next(iter(faults.values()))), dtype=np.bool_)
    for name, fault in faults.items():
        found = int((fault & good).sum())
        if found:
            counts[name] += found
            good &= ~fault
    return good
