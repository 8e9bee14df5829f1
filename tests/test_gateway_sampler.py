"""Rows from packets: what counts, when a row is ready, and what stays bounded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sampler
from gateway.sampler import Sample, Sampler

A, B = "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:1", "eid:a9b76a71c5f89290"


def test_a_second_of_packets_is_one_row_a_device() -> None:
    s = Sampler()
    for device, rssi, at, power in [
        (A, -60, 100.1, None), (B, -80, 100.2, -59.0), (A, -70, 100.5, -59.0), (A, -65, 101.0, None),
    ]:  # fmt: skip
        assert s.hear(device, rssi, at, power)
    assert s.take(100.99) == []
    assert s.take(101.0) == [Sample(B, 100.2, -80.0, 1, -59.0), Sample(A, (100.1 + 100.5) / 2, -65.0, 2, -59.0)]
    assert s.take(101.0) == []
    assert s.take(102.0) == [Sample(A, 101.0, -65.0, 1, None)]


def test_a_late_packet_makes_a_row_of_its_own() -> None:
    s = Sampler()
    s.hear(A, -60, 100.1)
    assert len(s.take(101.0)) == 1
    s.hear(A, -62, 100.9)
    assert s.take(101.5) == [Sample(A, 100.9, -62.0, 1, None)]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (None, {A, B, "altbeacon:00", "eddystone:1:2"}),
        (("mac:",), {"mac:4a:00:00:00:00:01", "mac:4a:00:00:00:00:02"}),
        (("mac:4a:00:00:00:00:01", "eid:"), {"mac:4a:00:00:00:00:01", B}),
        ((), set()),
    ],
)
def test_only_what_is_kept_leaves(keep: tuple[str, ...] | None, kept: set[str]) -> None:
    s = Sampler(keep=keep)
    devices = [A, B, "altbeacon:00", "eddystone:1:2", "mac:4a:00:00:00:00:01", "mac:4a:00:00:00:00:02"]
    for device in devices:
        s.hear(device, -60, 1.0)
    s.hear(None, -60, 1.0)
    assert {row.device for row in s.flush()} == kept
    assert s.ignored == len(devices) + 1 - len(kept)
    assert s.heard == len(devices) + 1


@pytest.mark.parametrize("rssi", [0, -127, -128, 127, math.nan, math.inf, -math.inf])
def test_an_rssi_that_is_none_never_enters_a_mean(rssi: float) -> None:
    s = Sampler()
    assert not s.hear(A, rssi, 1.0)
    assert s.flush() == []
    assert s.faulty == 1


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, 1e300])
def test_a_time_that_is_none_is_refused(at: float) -> None:
    s = Sampler()
    assert not s.hear(A, -60, at)
    assert s.faulty == 1


def test_a_flood_of_devices_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "MAX_OPEN", 10)
    s = Sampler(keep=("mac:",))
    for n in range(25):
        s.hear(f"mac:{n}", -60, n / 10)
    assert s.overflow == 15
    assert len(s.flush()) == 10
    assert s.hear("mac:99", -60, 9.0)  # room again


def test_a_new_length_keeps_what_is_open() -> None:
    s = Sampler()
    s.hear(A, -60, 100.1)
    s.configure(5.0, ("eid:",))
    s.hear(B, -70, 101.0)
    assert s.take(100.2) == [Sample(A, 100.1, -60.0, 1, None)]
    assert s.take(104.9) == []
    assert [row.device for row in s.take(105.0)] == [B]
    with pytest.raises(ValueError, match="cannot be taken"):
        s.configure(0.0, None)


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), st.integers(-100, -30), st.integers(0, 9_999)), max_size=60),
    st.lists(st.integers(0, 12), max_size=5),
)
def test_no_packet_is_lost_or_counted_twice(packets: list[tuple[str, int, int]], takes: list[int]) -> None:
    s = Sampler()
    rows: list[Sample] = []
    for n, (device, rssi, ms) in enumerate(packets):
        s.hear(device, rssi, ms / 1000)
        if n < len(takes):
            rows += s.take(float(takes[n]))
    rows += s.flush()
    for device in (A, B):
        mine = [r for r in rows if r.device == device]
        assert sum(r.packets for r in mine) == sum(p[0] == device for p in packets)
        assert sum(r.packets * r.rssi for r in mine) == pytest.approx(
            sum(p[1] for p in packets if p[0] == device), abs=0.05 * len(packets) + 1e-6
        )
        assert sum(r.packets * r.at for r in mine) == pytest.approx(sum(p[2] / 1000 for p in packets if p[0] == device))


KEPT = [
    (("ibeacon:u:1:1",), "ibeacon:u:1:1", True),
    (("ibeacon:u:1:1",), "ibeacon:u:1:10", False),  # a whole id is not the beginning of a longer one
    (("ibeacon:u:",), "ibeacon:u:1:10", True),
    (("ibeacon:e2c56db5-",), "ibeacon:e2c56db5-dffb:1:1", True),
    (("",), "anything", True),
    ((), "ibeacon:u:1:1", False),
]


@pytest.mark.parametrize(("keep", "device", "kept"), KEPT)
def test_whole_ids_and_beginnings(keep: tuple[str, ...], device: str, kept: bool) -> None:
    sampler = Sampler(1.0, keep)
    assert sampler.wants(device) is kept
    assert sampler.hear(device, -60.0, 10.0) is kept
