"""Degrees and local metres: round trips, and lengths and directions against geodesics on the ellipsoid."""

import math

import numpy as np
import pytest
from geopy.distance import geodesic, great_circle
from hypothesis import given
from hypothesis import strategies as st

from proximity.site.frames import distance, to_degrees, to_local

latitudes = st.floats(-85, 85)
longitudes = st.floats(-180, 180)
bearings = st.floats(-360, 360)
metres = st.floats(-2000, 2000)


@given(latitudes, longitudes, bearings, metres, metres)
def test_round_trip_within_a_micrometre(lat0: float, lon0: float, bearing: float, x: float, y: float) -> None:
    lat, lon = to_degrees(lat0, lon0, bearing, x, y)
    assert -180 <= float(lon) <= 180
    assert to_local(lat0, lon0, bearing, lat, lon) == pytest.approx((x, y), abs=1e-6)


@given(latitudes, longitudes, metres, metres)
def test_lengths_are_the_geodesic_ones_to_a_centimetre(lat0: float, lon0: float, x: float, y: float) -> None:
    lat, lon = to_degrees(lat0, lon0, 0.0, x, y)
    assert geodesic((lat0, lon0), (float(lat), float(lon))).meters == pytest.approx(math.hypot(x, y), abs=0.01)


@given(latitudes, longitudes, st.floats(0, 360))
def test_the_y_axis_points_along_the_bearing(lat0: float, lon0: float, bearing: float) -> None:
    there = geodesic(meters=1500).destination((lat0, lon0), bearing)
    x, y = to_local(lat0, lon0, bearing, there.latitude, there.longitude)
    assert (float(x), float(y)) == pytest.approx((0, 1500), abs=0.01)


def test_x_points_to_the_right_of_y() -> None:
    lat, lon = to_degrees(45.0, 5.0, 0.0, 100.0, 0.0)
    assert float(lon) > 5.0
    lat, lon = to_degrees(45.0, 5.0, 90.0, 100.0, 0.0)
    assert float(lat) < 45.0


def test_arrays_keep_their_shape() -> None:
    x = np.arange(6.0).reshape(2, 3) * 50
    lat, lon = to_degrees(45.75772, 4.83202, 20.0, x, -x)
    assert lat.shape == lon.shape == (2, 3)
    back = to_local(45.75772, 4.83202, 20.0, lat, lon)
    assert np.allclose(back[0], x, atol=1e-6)
    assert np.allclose(back[1], -x, atol=1e-6)


@given(latitudes, st.floats(-720, 720), metres, metres)
def test_a_shift_of_longitude_changes_nothing(lat0: float, shift: float, x: float, y: float) -> None:
    lat, lon = to_degrees(lat0, 0.0, 10.0, x, y)
    moved = to_local(lat0, shift, 10.0, lat, float(lon) + shift)
    assert (float(moved[0]), float(moved[1])) == pytest.approx((x, y), abs=1e-5)


@given(latitudes, longitudes, latitudes, longitudes)
def test_distance_on_the_sphere(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    wanted = great_circle((lat1, lon1), (lat2, lon2)).meters
    assert distance(lat1, lon1, lat2, lon2) == pytest.approx(wanted, rel=1e-4, abs=1)
