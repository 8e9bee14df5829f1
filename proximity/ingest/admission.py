"""Who may leave a trace: rows of devices whose shopper agreed become a batch; all others are only counted."""

from collections import Counter
from collections.abc import Sequence
from itertools import repeat

import numpy as np

from proximity.identity.directory import Directory
from proximity.ingest.columns import FixRows, SightingRows, distinct
from proximity.ingest.decode import Read
from proximity.ingest.regions import RegionBook, Word, ZoneNames
from proximity.ingest.roll import Roll
from proximity.model import Device
from proximity.observations import Batch, Fixes, Ints, Sightings
from proximity.site.model import Site

UNKNOWN = -1


class Admission:
    """The anchors in force, and the devices of shoppers who agree, which come and go."""

    def __init__(self, sites: Sequence[Site], devices: Sequence[Device], regions: RegionBook | None = None) -> None:
        """`regions`: what phones told of their regions before; of devices not named here it is forgotten."""
        self._directory, self._roll = Directory(devices), Roll(devices)
        self._regions = regions or RegionBook()
        self._regions.keep(device.id for device in devices)
        self.use(sites)

    def use(self, sites: Sequence[Site]) -> None:
        """Put other sites in force."""
        self._zones = ZoneNames(sites)
        anchors = [(site.id, anchor) for site in sites for anchor in site.anchors]
        self._anchors = tuple([f"{site}/{anchor.id}" for site, anchor in anchors])
        self._anchor_index = {name: number for number, name in enumerate(self._anchors)}  # as a reader names it
        for number, (_site, anchor) in enumerate(anchors):
            if anchor.beacon:
                self._anchor_index[anchor.beacon] = number

    def change(self, gone: Sequence[Device], come: Sequence[Device]) -> None:
        """Some devices may leave no trace any more, or belong to others now; and some may from now on."""
        self._directory.change(gone, come)
        self._roll.change(gone, come)
        self._regions.forget({device.id for device in gone} - {device.id for device in come})

    def admit(self, read: Read, now: float) -> tuple[Batch, list[Word], Counter[tuple[str, str]]]:
        """The batch, what phones say of our zones, and counts of what was left out: (source, reason) -> rows."""
        counts: Counter[tuple[str, str]] = Counter()
        sightings, fixes = self._sightings(read.sightings, now, counts), self._fixes(read.fixes, now, counts)
        # One dictionary for all batches: whoever numbers its names needs to do so but once.
        batch = Batch(self._roll.names, self._roll.shoppers, self._anchors, sightings, fixes)
        return batch, self._words(read, now, counts), counts

    def _words(self, read: Read, now: float, counts: Counter[tuple[str, str]]) -> list[Word]:
        words: list[Word] = []
        for report in read.phones:
            device = self._directory.resolve_many([report.device], now)[0]
            if device is None:
                counts["identity", "nobody"] += len(report.regions) + (report.transition is not None)
                continue
            for region in report.regions:
                self._regions.tell(device.id, region)
            said = report.transition
            if said is None:
                continue
            zone = self._zones.match(said, self._regions.find(device.id, said), next(iter(report.fixes), None))
            if zone is None:
                counts["identity", "unknown_region"] += 1
            else:
                words.append(Word(device.id, device.shopper, zone, said.kind == "enter", said.at))
        return words

    def _numbers(self, names: Sequence[str], now: float) -> Ints:
        """The number of each registered device; UNKNOWN for strangers. Ids that change on air are looked up."""
        index = self._roll.index
        found = np.fromiter(map(index.get, names, repeat(UNKNOWN)), np.int32, len(names))
        missing = np.flatnonzero(found == UNKNOWN)
        others = distinct(names, missing)
        known = {
            name: index[device.id]
            for name, device in zip(others, self._directory.resolve_many(others, now), strict=True)
            if device is not None
        }
        if known:
            wanted = map(names.__getitem__, missing.tolist())
            found[missing] = np.fromiter(map(known.get, wanted, repeat(UNKNOWN)), np.int32, len(missing))
        return found

    def _sightings(self, rows: SightingRows, now: float, counts: Counter[tuple[str, str]]) -> Sightings:
        device = self._numbers(rows.device, now)
        anchor = rows.anchor([self._anchor_index.get(name, UNKNOWN) for name in rows.anchors])
        nobody, nowhere = device == UNKNOWN, anchor == UNKNOWN
        counts["identity", "nobody"] += int(nobody.sum())
        counts["identity", "unknown_anchor"] += int((nowhere & ~nobody).sum())
        keep = ~(nobody | nowhere)
        return Sightings(
            at=rows.at()[keep],
            device=device[keep],
            anchor=anchor[keep],
            rssi=rows.rssi()[keep],
        )

    def _fixes(self, rows: FixRows, now: float, counts: Counter[tuple[str, str]]) -> Fixes:
        device = self._numbers(rows.device, now)
        keep = device != UNKNOWN
        counts["identity", "nobody"] += int((~keep).sum())
        lat, lon, accuracy = rows.places()
        return Fixes(at=rows.at()[keep], device=device[keep], lat=lat[keep], lon=lon[keep], accuracy=accuracy[keep])
