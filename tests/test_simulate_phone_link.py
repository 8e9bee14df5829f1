"""Fixes of simulated phones as OwnTracks messages."""

import json

import pytest

from proximity.model import Fix
from proximity.phones import owntracks
from proximity.simulate.phone_link import location, topic

NOW = 1_764_000_000.0
DEVICE = "owntracks:ada/phone"


@pytest.mark.parametrize(
    ("fix", "expected"),
    [
        (
            Fix(DEVICE, 48.2, 16.37, NOW, accuracy=6.0, speed=1.25, course=271.4),
            {"lat": 48.2, "lon": 16.37, "tst": 1_764_000_000, "acc": 6, "vel": 4, "cog": 271, "tid": "ap"},
        ),
        (Fix(DEVICE, 48.2, 16.37, NOW, accuracy=35.0, speed=0.0), {"lat": 48.2, "lon": 16.37, "acc": 35}),
        (Fix(DEVICE, 48.2, 16.37, NOW), {"_type": "location"}),
    ],
)
def test_a_fix_becomes_a_location_message_and_zeros_are_left_out(fix: Fix, expected: dict[str, object]) -> None:
    message = location(fix)
    assert expected.items() <= message.items()
    assert all(message.values())


def test_the_service_reads_back_what_the_phone_meant() -> None:
    fix = Fix(DEVICE, 48.2, 16.37, NOW, accuracy=6.0, speed=1.25, course=271.0)
    report = owntracks.read(topic(DEVICE), json.dumps(location(fix)).encode(), NOW, lambda device: None)
    (read,) = report.fixes
    assert (read.device, read.lat, read.lon, read.at, read.accuracy, read.course) == (
        DEVICE,
        48.2,
        16.37,
        NOW,
        6.0,
        271.0,
    )
    assert read.speed == pytest.approx(1.25, abs=0.15)  # whole km/h
