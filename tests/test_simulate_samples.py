"""What simulated gateways report, and what a survey of a simulated shop would find."""

import numpy as np

from proximity.simulate.crowd import crowd
from proximity.simulate.density import shop_with_density
from proximity.simulate.radio import Packets
from proximity.simulate.samples import Samplers
from proximity.simulate.shop import Options, SimulatedShop

T0 = 1_767_225_600.0


def shop() -> SimulatedShop:
    return SimulatedShop(shop_with_density(60.0), crowd(2, seed=3, phones=0.0), 3, T0, Options(brisk=True))


def test_a_gateway_reports_each_device_once_a_second_with_the_mean_of_its_packets() -> None:
    raw, sampled = shop(), shop()
    samplers = Samplers(sampled)
    packets = raw.step(T0 + 20).advertisements
    rows = [samplers.take(sampled.step(T0 + 0.5 * k), T0 + 0.5 * k).advertisements for k in range(1, 41)]
    got = {
        (int(at - T0), device, anchor): (at, rssi)
        for part in rows
        for at, device, anchor, rssi in zip(part.at, part.device, part.anchor, part.rssi, strict=True)
    }
    assert len(got) == sum(len(part.at) for part in rows) > 20
    for (second, device, anchor), (at, rssi) in got.items():
        mine = (packets.device == device) & (packets.anchor == anchor) & ((packets.at - T0) // 1 == second)
        assert abs(at - packets.at[mine].mean()) < 1e-3
        assert abs(rssi - packets.rssi[mine].mean()) <= 0.051
    ends = {(int(at - T0), int(d), int(a)) for at, d, a in zip(packets.at, packets.device, packets.anchor, strict=True)}
    assert set(got) == {key for key in ends if key[0] < 20}


def test_rows_are_a_batch_for_presence() -> None:
    one = shop()
    samplers = Samplers(one)
    batch = one.batch(samplers.take(one.step(T0 + 10), T0 + 10))
    assert len(batch.sightings) > 0
    assert (np.diff(batch.sightings.at) >= 0).all()
    assert set(batch.sightings.anchor.tolist()) <= set(range(len(batch.anchors)))


def test_an_empty_second_is_no_row() -> None:
    one = shop()
    assert len(Samplers(one).take(one.step(T0), T0).advertisements) == 0


def test_a_survey_finds_the_mean_over_devices() -> None:
    """What is surveyed differs from one device's mean by that device's own part of the shadowing and its gain only."""
    many = SimulatedShop(shop_with_density(100.0), crowd(200, seed=9, phones=0.0), 9, T0)
    places = np.array([[5.0, 9.0], [22.0, 15.0]])
    surveyed = many.surveyed(places)
    mean = np.mean(
        [
            many._radio.mean_rssi(Packets(np.full(2, d), places, np.zeros(2), np.zeros(2, dtype=np.bool_)))
            for d in range(len(many.devices))
        ],
        axis=0,
    )
    assert surveyed.shape == (2, 6)
    assert np.abs(surveyed - mean).max() < 1.0
