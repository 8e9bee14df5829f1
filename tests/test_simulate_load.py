"""Load for benchmarks: the right amount, of the right shape, the same every time."""

import numpy as np
import pytest

from proximity import wire
from proximity.simulate.load import load_device, observations, sites_for_load, walking_fixes, wire_batches
from proximity.site.ids import parse_device_id


def test_messages_decode_and_hold_what_the_columns_hold() -> None:
    messages = list(wire_batches(50, 13, rows_per_message=7, seconds=3, seed=4, start=1000.0))
    batches = list(observations(50, 13, 3, seed=4, start=1000.0))
    rows = []
    for message in messages:
        topic = wire.parse_gateway_topic(message.topic)
        decoded = wire.decode(wire.SightingsMessage, message.payload)
        assert 1 <= len(decoded.rows) == message.rows <= 7
        rows += [(f"{topic.site}/{topic.gateway}", r.device, r.time, r.rssi) for r in decoded.rows]
    expected = [
        (batch.anchors[a], batch.devices[d], int(at * 1000), rssi)
        for batch in batches
        for at, d, a, rssi in zip(
            batch.sightings.at, batch.sightings.device, batch.sightings.anchor, batch.sightings.rssi, strict=True
        )
    ]
    assert rows == expected
    assert 50 * 3 < len(rows) <= 50 * 9


def test_sequences_count_up_from_one_for_each_gateway() -> None:
    seen: dict[str, list[int]] = {}
    for message in wire_batches(40, 5, rows_per_message=10, seconds=4):
        seen.setdefault(message.topic, []).append(wire.decode(wire.SightingsMessage, message.payload).seq)
    assert len(seen) == 5
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen.values())


@pytest.mark.parametrize("gateways", [1, 10, 23])
def test_sites_hold_exactly_the_gateways_that_are_heard(gateways: int) -> None:
    sites = sites_for_load(gateways)
    anchors = {f"{s.id}/{a.id}" for s in sites for a in s.anchors}
    (batch,) = observations(30, gateways, 1)
    assert len(anchors) == gateways
    assert set(batch.anchors) == anchors
    assert all(site.zone(a.zone or "") for site in sites for a in site.anchors)


def test_the_strongest_gateway_is_the_one_a_device_stands_at_and_devices_stay_in_their_site() -> None:
    strongest: dict[int, set[str]] = {}
    for batch in observations(200, 30, 30, seed=2):
        for device in range(200):
            mine = np.flatnonzero(batch.sightings.device == device)
            best = mine[np.argmax(batch.sightings.rssi[mine])]
            strongest.setdefault(device, set()).add(batch.anchors[batch.sightings.anchor[best]])
    assert all(len({anchor.split("/")[0] for anchor in anchors}) == 1 for anchors in strongest.values())
    assert np.mean([len(anchors) for anchors in strongest.values()]) > 1.2  # they do move


def test_fixes_come_at_the_rate_asked_for_and_from_walking_people() -> None:
    track: dict[int, list[tuple[float, float, float]]] = {}
    for batch in walking_fixes(300, 60, seed=1, every=10.0, side=2000.0):
        for i in range(len(batch.fixes)):
            fix = (batch.fixes.at[i], batch.fixes.lat[i] * 111_320.0, batch.fixes.lon[i] * 74_200.0)
            track.setdefault(int(batch.fixes.device[i]), []).append(fix)
    assert sum(map(len, track.values())) == pytest.approx(300 * 6, rel=0.02)
    for rows in track.values():
        steps = np.diff(np.array(rows), axis=0)
        assert np.hypot(steps[:, 1], steps[:, 2]) / steps[:, 0] == pytest.approx(1.2, rel=0.02)


def test_the_same_seed_gives_the_same_load() -> None:
    assert list(wire_batches(20, 3, seconds=2, seed=5)) == list(wire_batches(20, 3, seconds=2, seed=5))
    assert list(wire_batches(20, 3, seconds=2, seed=5)) != list(wire_batches(20, 3, seconds=2, seed=6))


@pytest.mark.parametrize("number", [0, 65_535, 65_536, 1_000_000])
def test_load_devices_are_canonical(number: int) -> None:
    assert parse_device_id(load_device(number)) == load_device(number)
