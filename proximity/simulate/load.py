"""Load for benchmarks: many devices on cheap walks, as columns or as messages ready to send.

No physics here, only what costs the service work: each device stands at one gateway of its site and is heard there
and by the two neighbours, once a second; now and then it moves on to a neighbour.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely

from proximity import wire
from proximity.observations import Batch, Fixes, Floats, Ints, Sightings
from proximity.site.model import Anchor, Site, Zone

LOAD_UUID = "7c3b1d52-90e4-4f6a-8b1e-2d5a6c7f8e90"
PER_SITE = 10  # gateways in a store
ZONE_SIDE = 8.0  # m
STAY = 40.0  # s at one gateway, on average
NEAR, BESIDE, SPREAD = -62.0, -74.0, 3.0  # dBm at the own gateway and at its neighbours, dB around them
POWER = -59.0  # dBm at 1 m
EARTH = 111_320.0  # m in a degree of latitude
STEP = 1.2  # m/s


class WireMessage(NamedTuple):
    """One message of one gateway, ready to publish."""

    topic: str
    payload: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class _Second:
    """Columns of one second of everything heard, sorted by gateway."""

    at: Floats
    device: Ints
    gateway: Ints
    rssi: Floats


def load_device(number: int) -> str:
    """The canonical id of device `number`, from 0 to 2³² - 1."""
    return f"ibeacon:{LOAD_UUID}:{number >> 16}:{number & 0xFFFF}"


def sites_for_load(gateways: int) -> tuple[Site, ...]:
    """Sites `load-1`, `load-2`, … with ten gateways `gw-1` … each (the last with the rest), one zone a gateway."""
    sites = []
    for number, first in enumerate(range(0, gateways, PER_SITE), start=1):
        site, count = f"load-{number}", min(PER_SITE, gateways - first)
        zones = tuple(
            Zone(f"zone-{i + 1}", site, f"Zone {i + 1}", shapely.box(i * ZONE_SIDE, 0, (i + 1) * ZONE_SIDE, ZONE_SIDE))
            for i in range(count)
        )
        anchors = tuple(
            Anchor(f"gw-{i + 1}", site, "gateway", zone=f"zone-{i + 1}", x=(i + 0.5) * ZONE_SIDE, y=ZONE_SIDE / 2)
            for i in range(count)
        )
        sites.append(Site(site, f"Load {number}", "UTC", zones=zones, anchors=anchors))
    return tuple(sites)


def observations(devices: int, gateways: int, seconds: int, seed: int = 0, start: float = 0.0) -> Iterator[Batch]:
    """One Batch a second of about three sightings a device, for the sites of `sites_for_load`."""
    names = tuple(load_device(i) for i in range(devices))
    shoppers = tuple(f"load-{i}" for i in range(devices))
    anchors = tuple(f"{site}/{gateway}" for site, gateway in map(_gateway, range(gateways)))
    for second in _seconds(devices, gateways, seconds, seed, start):
        sightings = Sightings(
            at=second.at,
            device=second.device,
            anchor=second.gateway,
            rssi=second.rssi,
        )
        yield Batch(devices=names, shoppers=shoppers, anchors=anchors, sightings=sightings)


def wire_batches(
    devices: int, gateways: int, rows_per_message: int = 100, seconds: int = 10, seed: int = 0, start: float = 0.0
) -> Iterator[WireMessage]:
    """The same sightings as `observations`, as encoded `…/sightings` messages of at most `rows_per_message` rows."""
    names = [load_device(i) for i in range(devices)]
    topics = [wire.gateway_topic(*_gateway(i), "sightings") for i in range(gateways)]
    sequence = [0] * gateways
    for second in _seconds(devices, gateways, seconds, seed, start):
        sent = int(second.at.max() * 1000) if len(second.at) else 0
        edges = np.searchsorted(second.gateway, np.arange(gateways + 1))
        times, senders = (second.at * 1000).astype(np.int64).tolist(), second.device.tolist()
        strengths = second.rssi.tolist()
        for gateway in range(gateways):
            for first in range(int(edges[gateway]), int(edges[gateway + 1]), rows_per_message):
                last = min(first + rows_per_message, int(edges[gateway + 1]))
                sequence[gateway] += 1
                rows = [
                    wire.Row(names[d], t, r, 5, POWER)
                    for d, t, r in zip(senders[first:last], times[first:last], strengths[first:last], strict=True)
                ]
                message = wire.SightingsMessage(f"load-{seed}", sequence[gateway], "synced", rows, sent=sent)
                yield WireMessage(topics[gateway], wire.encode(message), len(rows))


def walking_fixes(
    devices: int,
    seconds: int,
    seed: int = 0,
    start: float = 0.0,
    centre: tuple[float, float] = (48.2, 16.37),
    side: float = 10_000.0,
    every: float = 10.0,
) -> Iterator[Batch]:
    """One Batch a second of fixes of phones on random walks, in a square of `side` metres around `centre` (lat, lon).

    Each phone reports every `every` seconds, so a second holds about `devices / every` fixes.
    """
    rng = np.random.default_rng((seed, 0xF1))
    names = tuple(f"owntracks:load/{i}" for i in range(devices))
    shoppers = tuple(f"load-{i}" for i in range(devices))
    metres = rng.uniform(-side / 2, side / 2, (devices, 2))
    way = rng.uniform(0, 2 * np.pi, devices)
    due = rng.uniform(0, every, devices)
    shrink = EARTH * np.cos(np.radians(centre[0]))
    for second in range(seconds):
        report = np.flatnonzero(due < second + 1)
        way[report] += rng.normal(0.0, 0.5, len(report))
        metres[report] += STEP * every * np.column_stack([np.cos(way[report]), np.sin(way[report])])
        fixes = Fixes(
            at=start + due[report],
            device=report.astype(np.int32),
            lat=centre[0] + metres[report, 1] / EARTH,
            lon=centre[1] + metres[report, 0] / shrink,
            accuracy=np.round(6.0 * np.exp(0.4 * rng.standard_normal(len(report)))),
        )
        due[report] += every
        yield Batch(devices=names, shoppers=shoppers, fixes=fixes)


def _gateway(index: int) -> tuple[str, str]:
    return f"load-{index // PER_SITE + 1}", f"gw-{index % PER_SITE + 1}"


def _seconds(devices: int, gateways: int, seconds: int, seed: int, start: float) -> Iterator[_Second]:
    rng = np.random.default_rng((seed, 0x10AD))
    here = rng.integers(0, gateways, devices)
    site = here // PER_SITE
    first, last = site * PER_SITE, np.minimum((site + 1) * PER_SITE, gateways) - 1
    everyone = np.arange(devices)
    for second in range(seconds):
        moves = rng.random(devices) < 1.0 / STAY
        here = np.clip(here + moves * rng.choice(np.array([-1, 1]), devices), first, last)
        gateway = np.concatenate([here - 1, here, here + 1])
        heard = (gateway >= np.tile(first, 3)) & (gateway <= np.tile(last, 3))
        mean = np.repeat(np.array([BESIDE, NEAR, BESIDE]), devices)
        rssi = np.round(mean + SPREAD * rng.standard_normal(3 * devices), 1)
        at = start + second + 0.5 + 0.1 * rng.standard_normal(3 * devices)
        order = np.flatnonzero(heard)
        order = order[np.argsort(gateway[order], kind="stable")]
        yield _Second(
            at=at[order],
            device=np.tile(everyone, 3)[order].astype(np.int32),
            gateway=gateway[order].astype(np.int32),
            rssi=rssi[order],
        )
