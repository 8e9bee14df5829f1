"""Stores of any size and density for measuring."""

import numpy as np
import pytest
import shapely

from proximity.errors import ProximityError
from proximity.simulate.crowd import crowd
from proximity.simulate.density import shop_with_density
from proximity.simulate.layout import Layout
from proximity.site.ids import parse_device_id


@pytest.mark.parametrize(
    ("area", "width", "depth", "gateways"),
    [(10.0, 30.0, 20.0, 60), (30.0, 30.0, 20.0, 20), (100.0, 30.0, 20.0, 6), (100.0, 60.0, 44.0, 26), (1e6, 10, 10, 1)],
)
def test_a_store_has_the_gateways_its_density_asks_for_and_every_zone_can_be_walked_to(
    area: float, width: float, depth: float, gateways: int
) -> None:
    site = shop_with_density(area, width, depth)
    layout = Layout(site)
    assert len(site.anchors) == len({a.id for a in site.anchors}) == gateways
    assert len(layout.shelves) + len(layout.tills) + 1 == len(site.zones)
    assert layout.doorstep[1] < 0 < layout.inside[1]
    assert all(0 < (a.x or -1) < width and 0 < (a.y or -1) < depth and a.zone for a in site.anchors)


def test_gateways_are_spread_evenly() -> None:
    site = shop_with_density(30.0)
    places = np.array([(a.x, a.y) for a in site.anchors], dtype=np.float64)
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 0.6 * np.sqrt(30.0)
    xs, ys = np.meshgrid(np.arange(0.5, 30), np.arange(0.5, 20))
    floor = np.column_stack([xs.ravel(), ys.ravel()])
    assert np.hypot(*(floor[:, None] - places[None]).transpose(2, 0, 1)).min(axis=1).max() < 1.1 * np.sqrt(30.0)


def test_shelf_zones_tile_the_floor_without_overlap() -> None:
    shelves = [z.outline for z in shop_with_density(30.0, 33.0, 21.0).zones if z.id.startswith("shelf")]
    assert shapely.union_all(shelves).area == pytest.approx(sum(z.area for z in shelves)) == pytest.approx(33 * 17)


@pytest.mark.parametrize("sizes", [(30.0, 5.0, 20.0, 5.0), (30.0, 20.0, 20.0, 2.0), (0.0, 30.0, 20.0, 5.0)])
def test_a_store_that_cannot_be_built_is_refused(sizes: tuple[float, float, float, float]) -> None:
    with pytest.raises(ProximityError, match="cannot be built"):
        shop_with_density(*sizes)


def test_a_crowd_has_distinct_canonical_devices_and_some_phones() -> None:
    people = crowd(300, seed=3, phones=0.5)
    devices = [d for _, carried in people for d in carried]
    assert len({d.id for d in devices}) == len(devices)
    assert all(parse_device_id(d.id) == d.id for d in devices)
    assert 100 < sum(d.kind == "owntracks" for d in devices) < 200
    assert all(d.shopper == s.id for s, carried in people for d in carried)
    assert crowd(300, seed=3) != crowd(300, seed=4)
