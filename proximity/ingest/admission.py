"""Who may leave a trace: rows of devices whose shopper agreed become a batch; all others are only counted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from proximity.identity.directory import Directory
from proximity.ingest.decode import Read
from proximity.model import Device
from proximity.observations import Batch, Fixes, Sightings
from proximity.site.model import Site

UNKNOWN = -1


class Admission:
    """The anchors, and the devices of shoppers who agreed, of one moment; replaced whole when any of them changes."""

    def __init__(self, sites: Iterable[Site], devices: Iterable[Device]) -> None:
        self._directory = Directory(devices)
        self._anchors: dict[str, str] = {}  # as a reader names it -> "<site>/<anchor>"
        for site in sites:
            for anchor in site.anchors:
                name = f"{site.id}/{anchor.id}"
                self._anchors[name] = name
                if anchor.beacon:
                    self._anchors[anchor.beacon] = name

    def admit(self, read: Read, now: float) -> tuple[Batch, Counter[tuple[str, str]]]:
        """The batch, and counts of what was left out: (source, reason) -> rows."""
        counts: Counter[tuple[str, str]] = Counter()
        wanted = dict.fromkeys(read.device)
        wanted.update(dict.fromkeys(fix.device for fix in read.fixes))
        found = dict(zip(wanted, self._directory.resolve_many(list(wanted), now), strict=True))
        devices = {device.id: device.shopper for device in found.values() if device is not None}
        position = {name: index for index, name in enumerate(devices)}
        index_of = {name: UNKNOWN if device is None else position[device.id] for name, device in found.items()}
        anchors = list(
            dict.fromkeys(self._anchors[name] for name in dict.fromkeys(read.anchor) if name in self._anchors)
        )
        batch = Batch(
            devices=tuple(devices),
            shoppers=tuple(devices.values()),
            anchors=tuple(anchors),
            sightings=self._sightings(read, index_of, anchors, counts),
            fixes=_fixes(read, index_of, counts),
        )
        return batch, counts

    def _sightings(
        self, read: Read, index_of: Mapping[str, int], anchors: Sequence[str], counts: Counter[tuple[str, str]]
    ) -> Sightings:
        place = {name: index for index, name in enumerate(anchors)}
        anchor_of = {name: place.get(self._anchors.get(name, ""), UNKNOWN) for name in set(read.anchor)}
        device = np.fromiter((index_of[name] for name in read.device), np.int32, len(read.device))
        anchor = np.fromiter((anchor_of[name] for name in read.anchor), np.int32, len(read.anchor))
        nobody, nowhere = device == UNKNOWN, anchor == UNKNOWN
        counts["identity", "nobody"] += int(nobody.sum())
        counts["identity", "unknown_anchor"] += int((nowhere & ~nobody).sum())
        keep = ~(nobody | nowhere)
        return Sightings(
            at=np.array(read.at, dtype=np.float64)[keep],
            device=device[keep],
            anchor=anchor[keep],
            rssi=np.array(read.rssi, dtype=np.float64)[keep],
            power=np.array(read.power, dtype=np.float64)[keep],
        )


def _fixes(read: Read, index_of: Mapping[str, int], counts: Counter[tuple[str, str]]) -> Fixes:
    known = [fix for fix in read.fixes if index_of[fix.device] != UNKNOWN]
    counts["identity", "nobody"] += len(read.fixes) - len(known)
    return Fixes(
        at=np.array([fix.at for fix in known], dtype=np.float64),
        device=np.array([index_of[fix.device] for fix in known], dtype=np.int32),
        lat=np.array([fix.lat for fix in known], dtype=np.float64),
        lon=np.array([fix.lon for fix in known], dtype=np.float64),
        accuracy=np.array([np.nan if fix.accuracy is None else fix.accuracy for fix in known], dtype=np.float64),
    )
