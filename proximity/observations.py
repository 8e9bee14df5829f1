"""Observations as columns: the unit of work from the wire to the transitions.

Ids are dictionary-encoded per batch, as in Arrow: the columns hold indices into `devices` and `anchors`, so the
core looks a name up once per distinct name and never once per row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from proximity.model import Fix, Sighting

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


def _floats() -> Floats:
    return np.empty(0, dtype=np.float64)


def _ints() -> Ints:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Columns of equal length n. `device` and `anchor` index the batch's dictionaries."""

    at: Floats = field(default_factory=_floats)  # seconds since the epoch
    device: Ints = field(default_factory=_ints)
    anchor: Ints = field(default_factory=_ints)
    rssi: Floats = field(default_factory=_floats)  # dBm

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Fixes:
    """Columns of equal length n. `device` indexes the batch's dictionary."""

    at: Floats = field(default_factory=_floats)  # seconds since the epoch
    device: Ints = field(default_factory=_ints)
    lat: Floats = field(default_factory=_floats)  # degrees
    lon: Floats = field(default_factory=_floats)  # degrees
    accuracy: Floats = field(default_factory=_floats)  # metres; NaN: unknown

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one turn of the pipeline works on. `shoppers[i]` carries `devices[i]`; anchors are "<site>/<name>".

    The dictionaries may hold more than the columns use. Names are only ever added to them, at the end, so that several
    batches can share them.
    """

    devices: Sequence[str] = ()
    shoppers: Sequence[str] = ()
    anchors: Sequence[str] = ()
    sightings: Sightings = field(default_factory=Sightings)
    fixes: Fixes = field(default_factory=Fixes)

    def used(self) -> NDArray[np.intp]:
        """Places of the devices that columns use, ascending."""
        mask = np.zeros(len(self.devices), dtype=np.bool_)
        mask[self.sightings.device] = mask[self.fixes.device] = True
        return np.flatnonzero(mask)

    def compact(self) -> "Batch":
        """The same rows, and only the devices that they use."""
        used = self.used()
        if len(used) == len(self.devices):
            return self
        place = np.zeros(len(self.devices), dtype=np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        return replace(
            self,
            devices=tuple([self.devices[i] for i in used.tolist()]),
            shoppers=tuple([self.shoppers[i] for i in used.tolist()]),
            sightings=replace(self.sightings, device=place[self.sightings.device]),
            fixes=replace(self.fixes, device=place[self.fixes.device]),
        )

    @staticmethod
    def of(
        sightings: Iterable[Sighting] = (),
        fixes: Iterable[Fix] = (),
        owners: Mapping[str, str] | None = None,
    ) -> "Batch":
        """Columns from rows, for edges and tests. `owners`: device -> shopper; default: the device's own id."""
        seen, fixed = list(sightings), list(fixes)
        devices = {d: i for i, d in enumerate(dict.fromkeys([s.device for s in seen] + [f.device for f in fixed]))}
        anchors = {a: i for i, a in enumerate(dict.fromkeys(s.anchor for s in seen))}
        owners = owners or {}
        return Batch(
            devices=tuple(devices),
            shoppers=tuple(owners.get(d, d) for d in devices),
            anchors=tuple(anchors),
            sightings=Sightings(
                at=np.array([s.at for s in seen], dtype=np.float64),
                device=np.array([devices[s.device] for s in seen], dtype=np.int32),
                anchor=np.array([anchors[s.anchor] for s in seen], dtype=np.int32),
                rssi=np.array([s.rssi for s in seen], dtype=np.float64),
            ),
            fixes=Fixes(
                at=np.array([f.at for f in fixed], dtype=np.float64),
                device=np.array([devices[f.device] for f in fixed], dtype=np.int32),
                lat=np.array([f.lat for f in fixed], dtype=np.float64),
                lon=np.array([f.lon for f in fixed], dtype=np.float64),
                accuracy=np.array([np.nan if f.accuracy is None else f.accuracy for f in fixed], dtype=np.float64),
            ),
        )
