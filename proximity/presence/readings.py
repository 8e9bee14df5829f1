"""The sightings of one tick in one canonical order, whatever order they came in, and cut by site."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.state import Longs

ANCHOR, SLOT = 16, 24  # bits: anchors of a site, devices in a site


class Readings(NamedTuple):
    """Of one site: columns of equal length, sorted by slot and anchor, then by time."""

    slot: Ints
    anchor: Ints  # column of the anchor in its site
    at: Floats
    rssi: Floats
    which: Longs  # index of each in the tick's columns
    starts: Longs  # where each distinct slot begins
    repeated: bool  # whether an anchor and a device may have heard one another twice


def by_site(site: Ints, slot: Ints, anchor: Ints, at: Floats, rssi: Floats) -> Iterator[tuple[int, Readings]]:
    """The readings of each site, by its number. Rows without a slot (-1) are left out."""
    key = (site.astype(np.int64) << (SLOT + ANCHOR)) | (slot.astype(np.int64) << ANCHOR) | anchor
    key[slot < 0] = -1
    order = np.argsort(key)
    ranked = key.take(order)
    repeated = bool((ranked[1:] == ranked[:-1]).any())
    if repeated:
        order = np.lexsort((rssi, at, key))
    order = order[int(np.searchsorted(ranked, 0)) :]
    if not len(order):
        return
    ranked = ranked[len(ranked) - len(order) :]
    slot, anchor, at, rssi = slot.take(order), anchor.take(order), at.take(order), rssi.take(order)
    starts = _edges(ranked >> ANCHOR)
    number = ranked.take(starts) >> (SLOT + ANCHOR)
    begins = _edges(number)
    edges, cuts = [*starts[begins].tolist(), len(order)], [*begins.tolist(), len(starts)]
    for which, one in enumerate(number[begins].tolist()):
        rows, some = slice(edges[which], edges[which + 1]), slice(cuts[which], cuts[which + 1])
        own = starts[some] - edges[which]
        yield one, Readings(slot[rows], anchor[rows], at[rows], rssi[rows], order[rows], own, repeated)


def _edges(ranked: Longs) -> Longs:
    """Where each run of equal numbers begins."""
    first = np.empty(len(ranked), dtype=np.bool_)
    first[:1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
    return np.flatnonzero(first)
