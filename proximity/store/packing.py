"""Observations of ten seconds as packed columns, so that they can be told to presence again.

Times are kept to the millisecond and signal strengths to a hundredth of a decibel, which is what gateways send. What is
observed goes into lumps: each holds the devices of some of the shoppers, always the same ones, so that what was
observed of a shopper is found, and taken out, without looking at everything. To write a lump costs hardly more than to
write what was observed of one device alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from proximity.observations import Batch, Fixes, Floats, Ints, Sightings
from proximity.presence.probe import Said, State, Story
from proximity.presence.state import Longs, Numbers

LUMPS = 128  # at a time, at the most
HUNDREDTHS = 100.0
LEVELS = (-200.0, 200.0)  # dBm, beyond anything that presence takes for a measurement


class Kept(msgspec.Struct, frozen=True):
    """A lump: observations of the devices of some shoppers, from `begins` to `ends` (event times)."""

    lump: int  # whose shoppers it holds: `lump_of` each of them
    begins: float
    ends: float
    data: bytes

    def shoppers(self) -> frozenset[str]:
        """Of whom it tells."""
        return frozenset(_decoder.decode(self.data).shoppers)

    def owner(self, device: str) -> str | None:
        """Whose the device was; None: it is not in it."""
        packed = _decoder.decode(self.data)
        return dict(zip(packed.devices, packed.shoppers, strict=True)).get(device)


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    of: bytes  # u4, how many of each device
    seen: bytes  # u4, ms after `first`
    anchor: bytes  # u2, index into `anchors`
    rssi: bytes  # i2, hundredths of a dBm


class _Fixed(msgspec.Struct, frozen=True, array_like=True):
    of: bytes  # u4, how many of each device
    fixed: bytes  # u4, ms after `first`
    lat: bytes  # f8
    lon: bytes  # f8
    accuracy: bytes  # f4


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of little-endian columns. Rows are in the order of the devices."""

    first: int  # ms since the epoch
    devices: list[str]
    shoppers: list[str]  # of the devices
    anchors: list[str]
    seen: _Seen
    fixed: _Fixed
    said: list[tuple[int, int, str, bool]] = []  # index into `devices`, ms after `first`, zone, inside


# Columns and how they are kept, in the order of the structs.
_SEEN = {"seen": "<u4", "anchor": "<u2", "rssi": "<i2"}
_FIXED = {"fixed": "<u4", "lat": "<f8", "lon": "<f8", "accuracy": "<f4"}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)
_Columns = Mapping[str, NDArray[Any]]  # (n,) each


def lump_of(shopper: str) -> int:
    """Where what is observed of a shopper is kept."""
    return crc32(shopper.encode()) % LUMPS


# -- in ---------------------------------------------------------------------------------------------------------------


def pack(batches: Sequence[Batch], said: Iterable[Said] = ()) -> list[Kept]:
    """The lumps of what was observed. Columns are made for all devices at once, and cut as bytes."""
    names, anchors, owners = Numbers(), Numbers(), dict[str, str]()
    batches = joined(batches)
    for batch in batches:  # only those that are in it: a dictionary may grow meanwhile
        owners.update((batch.devices[i], batch.shoppers[i]) for i in batch.used().tolist())
    words = list(said)
    owners.update((word.device, word.shopper) for word in words)
    seen = [_renumbered(batch, batch.sightings, ("at", "rssi"), names, anchors) for batch in batches]
    fixed = [_renumbered(batch, batch.fixes, ("at", "lat", "lon", "accuracy"), names, None) for batch in batches]
    word_of = names.of([word.device for word in words])
    if not names.names:
        return []
    lump = np.array([lump_of(owners[name]) for name in names.names])
    order = np.argsort(lump, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    devices = [names.names[i] for i in order.tolist()]
    said_by = sorted(zip(place[word_of].tolist(), words, strict=True), key=lambda pair: pair[0])
    return _cut(
        lump[order],
        devices,
        [owners[name] for name in devices],
        _in_order(seen, place),
        _in_order(fixed, place),
        anchors.names,
        said_by,
    )


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """Those that share a dictionary as one."""
    shared: dict[tuple[int, int, int], list[Batch]] = {}
    for one in batches:
        shared.setdefault((id(one.devices), id(one.shoppers), id(one.anchors)), []).append(one)
    return [
        replace(
            some[0],
            sightings=Sightings(
                *(np.concatenate([getattr(one.sightings, n) for one in some]) for n in Sightings.__slots__)
            ),
            fixes=Fixes(*(np.concatenate([getattr(one.fixes, n) for one in some]) for n in Fixes.__slots__)),
        )
        for some in shared.values()
    ]


def _renumbered(
    batch: Batch, rows: Sightings | Fixes, columns: Iterable[str], devices: Numbers, anchors: Numbers | None
) -> dict[str, NDArray[Any]]:
    """Columns with numbers that mean the same in every batch."""
    known = np.isfinite(rows.at)
    found = {name: getattr(rows, name)[known] for name in columns}
    found["at"] = _ms(found["at"])
    if "rssi" in found:
        level = np.clip(np.nan_to_num(found["rssi"], posinf=0.0, neginf=0.0), *LEVELS)
        found["rssi"] = np.rint(level * HUNDREDTHS).astype("<i2")
    found["device"] = _among(batch.devices, rows.device[known], devices)
    if anchors is not None and isinstance(rows, Sightings):
        found["anchor"] = _among(batch.anchors, rows.anchor[known], anchors)
    return found


def _among(names: Sequence[str], index: Ints, numbers: Numbers) -> Longs:
    used = np.zeros(len(names), dtype=np.bool_)
    used[index] = True
    known = np.full(len(names), -1, dtype=np.int64)
    known[used] = numbers.of([names[i] for i in np.flatnonzero(used).tolist()])
    return known[index]


def _in_order(batches: Sequence[_Columns], place: Longs) -> dict[str, NDArray[Any]]:
    """All rows, sorted by device; devices by their `place`."""
    if not batches:
        return {name: np.empty(0, dtype=np.int64) for name in ("device", "at", "anchor", "rssi", *_FIXED)}
    columns = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
    columns["device"] = place[columns["device"]]
    device = columns["device"]  # numbers below 2**16 are sorted ten times as fast
    order = np.argsort(device.astype(np.uint16) if len(place) <= 1 << 16 else device, kind="stable")
    return {name: column[order] for name, column in columns.items()}


def _cut(
    lump: Longs,
    devices: Sequence[str],
    shoppers: Sequence[str],
    seen: _Columns,
    fixed: _Columns,
    anchors: Sequence[str],
    words: Sequence[tuple[int, Said]],
) -> list[Kept]:
    """One lump after the other. `lump`: (devices,) of each device, ascending; rows are sorted by device."""
    edges = np.flatnonzero(np.diff(lump, prepend=-1, append=LUMPS)).tolist()
    numbers = lump[edges[:-1]].tolist()
    seen_of = np.bincount(seen["device"], minlength=len(devices))
    fixes_of = np.bincount(fixed["device"], minlength=len(devices))
    cut, cut_fixed = np.append(0, np.cumsum(seen_of))[edges], np.append(0, np.cumsum(fixes_of))[edges]
    spoken = np.searchsorted([place for place, _ in words], edges)
    kept = []
    for i, number in enumerate(numbers):
        own, a, b = slice(edges[i], edges[i + 1]), slice(cut[i], cut[i + 1]), slice(cut_fixed[i], cut_fixed[i + 1])
        heard_by, local = np.unique(seen["anchor"][a], return_inverse=True)
        columns = {"seen": seen["at"][a], "anchor": local, "rssi": seen["rssi"][a]}
        fixes = {name: fixed[name][b] for name in ("lat", "lon", "accuracy")} | {"fixed": fixed["at"][b]}
        told = words[spoken[i] : spoken[i + 1]]
        kept.append(
            _lump(
                number,
                (devices[own], shoppers[own], [anchors[j] for j in heard_by.tolist()]),
                (seen_of[own], columns),
                (fixes_of[own], fixes),
                [(place - own.start, int(_ms(word.at)), word.zone, word.inside) for place, word in told],
            )
        )
    return kept


def _ms(at: Any) -> Any:
    return np.rint(np.asarray(at) * 1000.0).astype(np.int64)


def _lump(
    number: int,
    names: tuple[Sequence[str], Sequence[str], Sequence[str]],
    seen: tuple[NDArray[Any], _Columns],
    fixed: tuple[NDArray[Any], _Columns],
    said: Sequence[tuple[int, int, str, bool]],
) -> Kept:
    """A lump of columns whose times are in ms since the epoch."""
    times = np.concatenate([seen[1]["seen"], fixed[1]["fixed"], [at for _, at, _, _ in said]]).astype(np.int64)
    first, last = int(times.min()), int(times.max())
    columns = {**seen[1], "seen": seen[1]["seen"] - first, **fixed[1], "fixed": fixed[1]["fixed"] - first}
    devices, shoppers, anchors = names
    sightings = [_bytes(columns[name], kind) for name, kind in _SEEN.items()]
    fixes = [_bytes(columns[name], kind) for name, kind in _FIXED.items()]
    packed = _Packed(
        first,
        list(devices),
        list(shoppers),
        list(anchors),
        _Seen(_bytes(seen[0], "<u4"), *sightings),
        _Fixed(_bytes(fixed[0], "<u4"), *fixes),
        [(device, at - first, zone, inside) for device, at, zone, inside in said],
    )
    return Kept(number, first / 1000.0, last / 1000.0, _encoder.encode(packed))


def _bytes(column: NDArray[Any], kind: str) -> bytes:
    return bytes(column.astype(kind).tobytes())


# -- out --------------------------------------------------------------------------------------------------------------


class _Opened(NamedTuple):
    """A lump's columns. Times are in ms since the epoch."""

    packed: _Packed
    seen: dict[str, NDArray[Any]]
    fixed: dict[str, NDArray[Any]]


def _opened(kept: Kept) -> _Opened:
    packed = _decoder.decode(kept.data)
    seen = {name: np.frombuffer(getattr(packed.seen, name), kind) for name, kind in _SEEN.items()}
    fixed = {name: np.frombuffer(getattr(packed.fixed, name), kind) for name, kind in _FIXED.items()}
    devices = np.arange(len(packed.devices))
    for columns, of, at in ((seen, packed.seen.of, "seen"), (fixed, packed.fixed.of, "fixed")):
        columns["device"] = np.repeat(devices, np.frombuffer(of, "<u4"))
        columns[at] = columns[at].astype(np.int64) + packed.first
    return _Opened(packed, seen, fixed)


def only(kept: Kept, wanted: Callable[[str], bool]) -> Kept | None:
    """What a lump tells of some shoppers; itself when of them alone, None when of none of them."""
    packed, seen, fixed = _opened(kept)
    mine = np.array([wanted(shopper) for shopper in packed.shoppers], dtype=np.bool_)
    if mine.all():
        return kept
    if not mine.any():
        return None
    place = np.cumsum(mine) - 1
    seen, fixed = ({name: column[mine[rows["device"]]] for name, column in rows.items()} for rows in (seen, fixed))
    counts = [np.bincount(rows.pop("device"), minlength=len(mine))[mine] for rows in (seen, fixed)]
    chosen = np.flatnonzero(mine).tolist()
    return _lump(
        kept.lump,
        ([packed.devices[i] for i in chosen], [packed.shoppers[i] for i in chosen], packed.anchors),
        (counts[0], seen),
        (counts[1], fixed),
        [(int(place[i]), packed.first + after, zone, inside) for i, after, zone, inside in packed.said if mine[i]],
    )


def story(kept: Sequence[Kept], states: Sequence[State] = ()) -> Story:
    """What the lumps tell, to be told to presence again."""
    devices, anchors, owners = Numbers(), Numbers(), dict[str, str]()
    seen: list[Floats] = []
    fixed: list[Floats] = []
    said: list[Said] = []
    for one in kept:
        packed, sightings, fixes = _opened(one)
        owners.update(zip(packed.devices, packed.shoppers, strict=True))
        place = devices.of(packed.devices)
        heard_by = anchors.of(packed.anchors)[sightings["anchor"]] if packed.anchors else sightings["anchor"]
        rssi = sightings["rssi"] / HUNDREDTHS
        seen.append(np.array([sightings["seen"] / 1000.0, place[sightings["device"]], heard_by, rssi]))
        among = place[fixes["device"]]
        fixed.append(np.array([fixes["fixed"] / 1000.0, among, fixes["lat"], fixes["lon"], fixes["accuracy"]]))
        for i, after, zone, inside in packed.said:
            said.append(Said(packed.devices[i], packed.shoppers[i], zone, inside, (packed.first + after) / 1000.0))
    at, device, anchor, rssi = np.concatenate([np.empty((4, 0)), *seen], axis=1)
    fix_at, fix_device, lat, lon, accuracy = np.concatenate([np.empty((5, 0)), *fixed], axis=1)
    batch = Batch(
        tuple(devices.names),
        tuple(owners[name] for name in devices.names),
        tuple(anchors.names),
        Sightings(at, device.astype(np.int32), anchor.astype(np.int32), rssi),
        Fixes(fix_at, fix_device.astype(np.int32), lat, lon, accuracy),
    )
    return Story(batch, said, states)
