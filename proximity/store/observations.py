"""What was observed of devices lately, kept for hours and not for good: so that presence can be explained.

A row holds what one device was observed by over some seconds, as packed columns. Times are kept to the millisecond
and signal strengths to a hundredth of a decibel, which is what gateways send.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from proximity.model import derive_id
from proximity.observations import Batch, Fixes, Ints, Sightings
from proximity.presence.probe import Said, State, Story
from proximity.presence.state import Longs, Numbers
from proximity.store import bulk, tables
from proximity.store.database import Store

_observations = tables.observations
_states = tables.gateway_states
HUNDREDTHS = 100.0
LEVELS = (-200.0, 200.0)  # dBm, beyond anything that presence takes for a measurement


class Kept(msgspec.Struct, frozen=True):
    """Observations of one device, from `begins` to `ends` (event times)."""

    device: str
    shopper: str
    begins: float
    ends: float
    data: bytes

    def row(self) -> dict[str, Any]:
        """As the table has it."""
        return {
            "id": derive_id(self.device, self.begins, self.ends, len(self.data)),
            "device": self.device,
            "shopper": self.shopper,
            "begins": self.begins,
            "ends": self.ends,
            "data": self.data,
        }


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of little-endian columns."""

    first: int  # ms since the epoch
    anchors: list[str]
    seen: bytes = b""  # u4, ms after `first`
    anchor: bytes = b""  # u2, index into `anchors`
    rssi: bytes = b""  # i2, hundredths of a dBm
    fixed: bytes = b""  # u4, ms after `first`
    lat: bytes = b""  # f8
    lon: bytes = b""  # f8
    accuracy: bytes = b""  # f4
    said: list[tuple[int, str, bool]] = []  # ms after `first`, zone, inside


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


class _Columns(NamedTuple):
    """All that was seen, or all fixes, of some batches, sorted by device."""

    device: Longs  # (n,) number of the device, ascending
    columns: Mapping[str, NDArray[Any]]  # (n,) each

    def bounds(self, devices: int) -> list[int]:
        """(devices + 1,) where the rows of each device begin and the last one's end."""
        found: list[int] = np.searchsorted(self.device, np.arange(devices + 1)).tolist()
        return found


def pack(batches: Sequence[Batch], said: Iterable[Said] = ()) -> list[Kept]:
    """One row for each device that was observed. Columns are made for all devices at once, and cut as bytes."""
    devices, anchors, owners = Numbers(), Numbers(), dict[str, str]()
    for batch in batches:
        owners.update(zip(batch.devices, batch.shoppers, strict=True))
    words: dict[int, list[Said]] = {}
    for word in said:
        owners[word.device] = word.shopper
        words.setdefault(devices.number(word.device), []).append(word)
    seen = [_renumbered(batch, batch.sightings, ("at", "rssi"), devices, anchors) for batch in batches]
    fixed = [_renumbered(batch, batch.fixes, ("at", "lat", "lon", "accuracy"), devices, None) for batch in batches]
    return _packed(devices.names, owners, _by_device(seen), _by_device(fixed), anchors.names, words)


def _renumbered(
    batch: Batch, rows: Sightings | Fixes, names: Iterable[str], devices: Numbers, anchors: Numbers | None
) -> dict[str, NDArray[Any]]:
    """Columns with numbers that mean the same in every batch."""
    columns = {name: getattr(rows, name) for name in names}
    columns["device"] = _among(batch.devices, rows.device, devices)
    if anchors is not None and isinstance(rows, Sightings):
        columns["anchor"] = _among(batch.anchors, rows.anchor, anchors)
    return columns


def _among(names: Sequence[str], index: Ints, numbers: Numbers) -> Longs:
    used = np.zeros(len(names), dtype=np.bool_)
    used[index] = True
    known = np.full(len(names), -1, dtype=np.int64)
    known[used] = numbers.of([names[i] for i in np.flatnonzero(used).tolist()])
    return known[index]


def _by_device(batches: Sequence[Mapping[str, NDArray[Any]]]) -> _Columns:
    if not batches:
        columns: dict[str, NDArray[Any]] = {n: np.empty(0) for n in ("at", "rssi", "lat", "lon", "accuracy")}
        columns["anchor"] = np.empty(0, dtype=np.int64)
        return _Columns(np.empty(0, dtype=np.int64), columns)
    columns = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
    order = np.argsort(columns["device"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    return _Columns(columns.pop("device"), columns)


def _packed(
    names: Sequence[str],
    owners: Mapping[str, str],
    seen: _Columns,
    fixed: _Columns,
    anchors: Sequence[str],
    words: Mapping[int, Sequence[Said]],
) -> list[Kept]:
    """Rows in order of the devices' numbers."""
    ends, begins = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for device, some in words.items():
        begins[device], ends[device] = min(word.at for word in some), max(word.at for word in some)
    for rows in (seen, fixed):
        np.minimum.at(begins, rows.device, rows.columns["at"])
        np.maximum.at(ends, rows.device, rows.columns["at"])
    known = np.isfinite(begins)  # a name without a row that was kept
    first = np.rint(np.where(known, begins, 0.0) * 1000.0).astype(np.int64)
    among, local, heard_by = _local(seen.device, seen.columns["anchor"], len(names), len(anchors))
    rssi = np.clip(np.nan_to_num(seen.columns["rssi"], posinf=0.0, neginf=0.0), *LEVELS)
    at, level = _since(seen, first), np.rint(rssi * HUNDREDTHS).astype("<i2").tobytes()
    lat, lon = (fixed.columns[name].astype("<f8").tobytes() for name in ("lat", "lon"))
    fixed_at, accuracy = _since(fixed, first), fixed.columns["accuracy"].astype("<f4").tobytes()
    cut, cut_fixed, named = seen.bounds(len(names)), fixed.bounds(len(names)), [anchors[i] for i in among]
    kept, firsts, lasts = [], first.tolist(), ends.tolist()
    for i in np.flatnonzero(known).tolist():
        a, b, c, d, since = cut[i], cut[i + 1], cut_fixed[i], cut_fixed[i + 1], firsts[i]
        data = _Packed(
            since,
            named[heard_by[i] : heard_by[i + 1]],
            at[4 * a : 4 * b],
            local[2 * a : 2 * b],
            level[2 * a : 2 * b],
            fixed_at[4 * c : 4 * d],
            lat[8 * c : 8 * d],
            lon[8 * c : 8 * d],
            accuracy[4 * c : 4 * d],
            [(round(word.at * 1000.0) - since, word.zone, word.inside) for word in words.get(i, ())],
        )
        kept.append(Kept(names[i], owners[names[i]], since / 1000.0, lasts[i], _encoder.encode(data)))
    return kept


def _since(rows: _Columns, first: Longs) -> bytes:
    """Milliseconds after the device's first, as u4."""
    after = np.rint(rows.columns["at"] * 1000.0).astype(np.int64) - first[rows.device]
    return bytes(after.astype("<u4").tobytes())


def _local(device: Longs, anchor: Longs, devices: int, anchors: int) -> tuple[list[int], bytes, list[int]]:
    """Anchors as numbers among those that heard the device: their numbers, ascending, of one device after the other;
    the column as u2; and where those of each device begin."""
    pairs, inverse = np.unique(device * max(anchors, 1) + anchor, return_inverse=True)
    starts = np.searchsorted(pairs, np.arange(devices + 1) * max(anchors, 1))
    local = inverse - starts[device]
    return (pairs % max(anchors, 1)).tolist(), bytes(local.astype("<u2").tobytes()), starts.tolist()


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *parts])


def story(kept: Sequence[Kept], states: Sequence[State] = ()) -> Story:
    """What the rows tell, to be told to presence again."""
    devices = {one.device: one.shopper for one in kept}
    place = {device: number for number, device in enumerate(devices)}
    anchors: dict[str, int] = {}
    seen: list[tuple[NDArray[Any], ...]] = []
    fixed: list[tuple[NDArray[Any], ...]] = []
    said: list[Said] = []
    for one in kept:
        packed = _decoder.decode(one.data)
        numbers = np.array([anchors.setdefault(name, len(anchors)) for name in packed.anchors], dtype=np.int64)
        at, rssi = _times(packed.first, packed.seen), np.frombuffer(packed.rssi, "<i2") / HUNDREDTHS
        anchor = numbers[np.frombuffer(packed.anchor, "<u2")] if len(numbers) else np.empty(0, dtype=np.int64)
        seen.append((at, np.full(len(at), place[one.device]), anchor, rssi))
        fix_at = _times(packed.first, packed.fixed)
        columns = (np.frombuffer(packed.lat, "<f8"), np.frombuffer(packed.lon, "<f8"))
        fixed.append((fix_at, np.full(len(fix_at), place[one.device]), *columns, np.frombuffer(packed.accuracy, "<f4")))
        said += [
            Said(one.device, one.shopper, zone, inside, (packed.first + after) / 1000.0)
            for after, zone, inside in packed.said
        ]
    at, device, anchor, rssi = (_joined(column) for column in zip(*seen, strict=True)) if seen else [np.empty(0)] * 4
    batch = Batch(
        tuple(devices),
        tuple(devices.values()),
        tuple(anchors),
        Sightings(at, device.astype(np.int32), anchor.astype(np.int32), rssi),
        _fixes(fixed),
    )
    return Story(batch, said, states)


def _fixes(parts: Sequence[tuple[NDArray[Any], ...]]) -> Fixes:
    if not parts:
        return Fixes()
    at, device, lat, lon, accuracy = (_joined(column) for column in zip(*parts, strict=True))
    return Fixes(at, device.astype(np.int32), lat, lon, accuracy)


def _times(first: int, after: bytes) -> NDArray[np.float64]:
    return (first + np.frombuffer(after, "<u4").astype(np.int64)) / 1000.0


# -- in the store -----------------------------------------------------------------------------------------------------


def put(store: Store, connection: Connection, kept: Iterable[Kept], states: Iterable[State] = ()) -> None:
    """Add rows, within the caller's transaction. What is there already stays."""
    bulk.add(connection, _observations, [one.row() for one in kept])
    changes = [
        {"id": derive_id(one.anchor, one.at, str(one.online)), "anchor": one.anchor, "online": one.online, "at": one.at}
        for one in states
    ]
    if changes:
        connection.execute(store.insert(_states).on_conflict_do_nothing(index_elements=["id"]), changes)


def load(store: Store, shopper: str, since: float, until: float) -> tuple[list[Kept], list[State]]:
    """Rows of all the shopper's devices and all changes of gateways that touch the time from `since` to `until`."""
    table = _observations
    fields = [table.c[name] for name in Kept.__struct_fields__]
    mine = sa.select(*fields).where(table.c.shopper == shopper, table.c.ends >= since, table.c.begins <= until)
    # What a gateway was before the time began is its last word before.
    before = sa.select(sa.func.max(_states.c.at)).where(_states.c.at < since)
    latest = before.group_by(_states.c.anchor).add_columns(_states.c.anchor.label("anchor")).subquery()
    changed = sa.select(_states.c.anchor, _states.c.online, _states.c.at).where(
        _states.c.at <= until,
        sa.or_(
            _states.c.at >= since,
            sa.tuple_(_states.c.anchor, _states.c.at).in_(sa.select(latest.c.anchor, latest.c[0])),
        ),
    )
    with store.connect() as connection:
        kept = [Kept(**row) for row in connection.execute(mine.order_by(table.c.begins)).mappings()]
        states = [State(row.anchor, row.online, row.at) for row in connection.execute(changed.order_by(_states.c.at))]
    return kept, states


def span(store: Store, device: str | None = None) -> tuple[float, float] | None:
    """From when to when there is something, of one device or of all; None: nothing."""
    table = _observations
    query = sa.select(sa.func.min(table.c.begins), sa.func.max(table.c.ends))
    if device is not None:
        query = query.where(table.c.device == device)
    with store.connect() as connection:
        begins, ends = connection.execute(query).one()
    return None if begins is None else (float(begins), float(ends))


def owner(store: Store, device: str, at: float) -> str | None:
    """Whose the device was when it was observed last up to `at`, or first after it; None: it never was."""
    table = _observations
    query = sa.select(table.c.shopper).where(table.c.device == device)
    with store.connect() as connection:
        found = connection.execute(query.order_by((table.c.begins > at), sa.func.abs(table.c.begins - at)).limit(1))
        return found.scalar()


def forget(store: Store, shopper: str) -> None:
    """Remove everything of a shopper."""
    with store.begin() as connection:
        connection.execute(sa.delete(_observations).where(_observations.c.shopper == shopper))
