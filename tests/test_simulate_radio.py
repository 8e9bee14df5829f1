"""The simulated air, judged as ranges that measurements in real stores fall into."""

import numpy as np
import pytest

from proximity.simulate.propagation import (
    DEFAULT_PHYSICS,
    Physics,
    ShadowField,
    body_loss,
    fading,
    floor_loss,
    wall_columns,
    wall_loss,
)
from proximity.simulate.radio import MEASURED_POWER, Advertisers, Packets, Radio, usual_intervals
from proximity.site.model import Wall

NO_WALLS = wall_columns([])
SAMPLES = 20_000


def radio(distance: float, anchors: int = 300, devices: int = 50, physics: Physics = DEFAULT_PHYSICS) -> Radio:
    """All anchors at one place, `distance` metres from the origin and at the height of a pocket."""
    xyz = np.tile([distance, 0.0, physics.carried_at], (anchors, 1))
    return Radio(xyz, np.zeros(anchors), NO_WALLS, devices, physics, seed=5)


def packets(devices: int, heading: float = 0.0, moving: bool = True) -> Packets:
    return Packets(
        np.arange(devices), np.zeros((devices, 2)), np.full(devices, heading), np.full(devices, moving, dtype=np.bool_)
    )


def complex_noise(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.standard_normal(count) + 1j * rng.standard_normal(count)) * np.sqrt(0.5)


@pytest.mark.parametrize(
    ("metres", "expected"),
    [(1.0, -59.0), (2.0, -65.5), (5.0, -74.0), (10.0, -80.5), (20.0, -87.0)],
)
def test_mean_rssi_falls_with_distance_as_in_a_hall_with_shelves(metres: float, expected: float) -> None:
    mean = radio(metres).mean_rssi(packets(50))
    assert mean.mean() == pytest.approx(expected, abs=1.0)
    assert 4.0 < mean.std() < 5.5  # shadowing, devices and gateways together


def test_very_near_is_as_near_as_the_formula_goes() -> None:
    assert radio(0.0).mean_rssi(packets(50)).mean() == pytest.approx(radio(0.3).mean_rssi(packets(50)).mean(), abs=0.5)


@pytest.mark.parametrize(
    ("towards", "least", "most"),
    [(0.0, -0.5, 0.5), (np.pi / 2, -6.5, -4.5), (np.pi, -8.5, -7.0), (-np.pi / 2, -6.5, -4.5)],
)
def test_a_body_between_takes_about_seven_decibels_and_leaves_the_scatter(
    towards: float, least: float, most: float
) -> None:
    lost = body_loss(np.zeros(1), np.array([[towards]]), DEFAULT_PHYSICS.body)[0, 0]
    power = 10.0 ** (fading(np.full(SAMPLES, 5.0), np.full(SAMPLES, lost), complex_noise(SAMPLES)) / 10.0)
    assert least < 10.0 * np.log10(power.mean()) < most


@pytest.mark.parametrize(("k", "least", "most"), [(0.0, 5.3, 5.9), (5.0, 2.5, 3.5), (1000.0, 0.0, 0.4)])
def test_fading_is_rayleigh_without_a_direct_ray_and_calm_with_a_strong_one(
    k: float, least: float, most: float
) -> None:
    assert least < fading(np.full(SAMPLES, k), np.zeros(SAMPLES), complex_noise(SAMPLES)).std() < most


@pytest.mark.parametrize(("metres", "expected"), [(0.0, 1.0), (1.0, 0.85), (6.0, 0.37), (12.0, 0.14), (40.0, 0.0)])
def test_shadowing_is_alike_nearby_and_unlike_far_off(metres: float, expected: float) -> None:
    rng = np.random.default_rng(8)
    angles = rng.uniform(0, 2 * np.pi, 40)
    likeness, spread = [], []
    for angle in angles:
        field = ShadowField(400, DEFAULT_PHYSICS, rng)
        values = field.at(np.array([[3.0, 4.0], [3.0 + metres * np.cos(angle), 4.0 + metres * np.sin(angle)]]))
        likeness.append(np.mean(values[0] * values[1]) / 16.0)
        spread.append(values.std())
    assert np.mean(likeness) == pytest.approx(expected, abs=0.06)
    assert np.mean(spread) == pytest.approx(4.0, abs=0.15)


def test_two_devices_at_one_place_share_most_of_the_shadow_but_not_all() -> None:
    physics = Physics(device_spread=0.0, anchor_spread=0.0)
    mean = radio(5.0, anchors=3000, devices=2, physics=physics).mean_rssi(packets(2))
    assert 0.6 < np.corrcoef(mean)[0, 1] < 0.8


WALL = Wall(0.0, -1.0, 0.0, 1.0, 6.0)


@pytest.mark.parametrize(
    ("walls", "here", "there", "expected"),
    [
        ([], (-1, 0), (1, 0), 0.0),
        ([WALL], (-1, 0), (1, 0), 6.0),
        ([WALL], (1, 0), (-1, 0), 6.0),
        ([WALL], (-1, 0), (-0.5, 0), 0.0),  # ends before it
        ([WALL], (-1, 2), (1, 2), 0.0),  # passes its end
        ([WALL], (-1, -1), (-1, 1), 0.0),  # runs along it
        ([WALL, Wall(0.5, -1.0, 0.5, 1.0, 3.0)], (-1, 0), (1, 0), 9.0),
        ([Wall(x / 10, -1.0, x / 10, 1.0, 12.0) for x in range(5)], (-1, 0), (1, 0), 30.0),  # round them, not through
        ([Wall(0.0, -1.0, 0.0, 1.0, 6.0, floor=1)], (-1, 0), (1, 0), 0.0),  # stands upstairs
    ],
)
def test_walls_between_take_their_loss(
    walls: list[Wall], here: tuple[float, float], there: tuple[float, float], expected: float
) -> None:
    assert wall_loss(wall_columns(walls), np.array([here]), np.array([there]))[0, 0] == expected


def test_wall_loss_is_the_same_in_columns_as_one_by_one() -> None:
    rng = np.random.default_rng(2)
    walls = np.column_stack([rng.uniform(-5, 5, (12, 4)), rng.uniform(1, 5, 12)])
    here, there = rng.uniform(-6, 6, (20, 2)), rng.uniform(-6, 6, (15, 2))
    together = wall_loss(walls, here, there)
    assert together.shape == (20, 15)
    assert together.max() > 0
    for i in range(20):
        for j in range(15):
            alone = wall_loss(walls, here[i : i + 1], there[j : j + 1])[0, 0]
            assert together[i, j] == pytest.approx(alone)


def test_a_ceiling_takes_six_decibels_and_each_further_one_three() -> None:
    assert floor_loss(np.array([0.0, 1.0, 2.0, -1.0]), DEFAULT_PHYSICS).tolist() == [0.0, 6.0, 9.0, 6.0]


@pytest.mark.parametrize(
    ("rssi", "rate", "least", "most"),
    [
        (-60.0, 0.0, 0.60, 0.70),  # strong and alone: what the scanner's open time allows
        (-60.0, 400.0, 0.40, 0.50),  # a full shop: collisions
        (-93.0, 0.0, 0.30, 0.35),  # at the edge half of that
        (-97.0, 0.0, 0.005, 0.02),
        (-110.0, 0.0, 0.0, 1e-6),
    ],
)
def test_the_chance_to_be_heard(rssi: float, rate: float, least: float, most: float) -> None:
    assert least <= radio(1.0).chance(np.array([rssi]), rate)[0] <= most


def test_packets_are_lost_at_the_rate_that_the_chance_says() -> None:
    air, rng = radio(2.0), np.random.default_rng(3)
    got = sum(len(air.receive(packets(50), 100.0, rng).rssi) for _ in range(20))
    assert got / (20 * 50 * 300) == pytest.approx(air.chance(np.array([-60.0]), 100.0)[0], abs=0.02)


def test_two_gateways_side_by_side_share_less_than_half_of_the_packets() -> None:
    air, rng = radio(5.0, anchors=2, devices=2000), np.random.default_rng(3)
    received = air.receive(packets(2000), 200.0, rng)
    heard = [set(received.packet[received.anchor == a].tolist()) for a in (0, 1)]
    assert 0.15 < len(heard[0] & heard[1]) / len(heard[0] | heard[1]) < 0.5


def test_rssi_is_whole_and_centred_on_the_mean_less_the_body() -> None:
    air, rng = radio(4.0, anchors=400, devices=400), np.random.default_rng(3)
    received = air.receive(packets(400), 0.0, rng)
    assert (received.rssi == np.rint(received.rssi)).all()
    below = air.mean_rssi(packets(400)).mean() - received.rssi.mean()
    assert 2.0 < below < 7.0  # bodies and fading, over all ways to carry a phone


def test_fading_holds_for_who_stands_and_is_new_for_who_walks() -> None:
    physics = Physics(noise=0.0, channel_spread=0.0, listening=1.0, background=0.0)
    likeness = {}
    for moving in (False, True):
        air, rng = radio(2.0, anchors=1, devices=3000, physics=physics), np.random.default_rng(4)
        deviation = []
        for _ in range(2):
            rssi = np.full(3000, np.nan)
            received = air.receive(packets(3000, moving=moving), 0.0, rng)
            rssi[received.packet] = received.rssi
            deviation.append(rssi - air.mean_rssi(packets(3000))[:, 0])
            air.pass_time(0.25, rng)
        both = np.isfinite(deviation[0]) & np.isfinite(deviation[1])
        likeness[moving] = np.corrcoef(deviation[0][both], deviation[1][both])[0, 1]
    assert likeness[False] > likeness[True] + 0.08  # a third of the packet pairs meet on one channel


@pytest.mark.parametrize("interval", [0.1, 0.35, 2.0])
def test_an_advertiser_keeps_its_interval_and_adds_up_to_ten_milliseconds(interval: float) -> None:
    rng = np.random.default_rng(0)
    at, device = Advertisers(np.array([interval]), 100.0, rng).due(160.0, rng)
    assert (device == 0).all()
    assert 100.0 <= at[0] < 100.0 + interval
    gaps = np.diff(at)
    assert gaps.min() >= interval - 1e-9
    assert gaps.max() <= interval + 0.010 + 1e-9
    assert gaps.std() > 0.001


def test_packets_come_in_order_of_time_and_none_is_doubled_over_calls() -> None:
    intervals = usual_intervals(30, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    sender = Advertisers(intervals, 0.0, rng)
    parts = [sender.due(end, rng) for end in (1.0, 1.25, 5.0)]
    at = np.concatenate([p[0] for p in parts])
    device = np.concatenate([p[1] for p in parts])
    assert (np.diff(at) >= 0).all()
    assert np.bincount(device, minlength=30) == pytest.approx(5.0 / intervals, rel=0.15, abs=1.1)


def test_intervals_are_mostly_short_with_some_slow_tags() -> None:
    intervals = usual_intervals(4000, np.random.default_rng(0))
    assert intervals.min() >= 0.1
    assert intervals.max() <= 2.0
    assert 0.10 < (intervals > 0.35).mean() < 0.15


def test_a_store_without_gateways_hears_nothing() -> None:
    air = Radio(np.zeros((0, 3)), np.zeros(0), NO_WALLS, 4, DEFAULT_PHYSICS, seed=1)
    assert len(air.receive(packets(4), 10.0, np.random.default_rng(0)).rssi) == 0


def test_measured_power_is_what_phones_claim() -> None:
    assert MEASURED_POWER == -59.0
