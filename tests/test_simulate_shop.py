"""People in a simulated store: where they walk, what is heard of them, and that it is the same every time."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely

from proximity.errors import ProximityError
from proximity.model import Device, Fix, Shopper
from proximity.simulate.crowd import carriers, crowd
from proximity.simulate.density import shop_with_density
from proximity.simulate.guests import NAMES, guests
from proximity.simulate.people import Tills
from proximity.simulate.shop import Advertisements, Options, SimulatedShop, Truth
from proximity.site.frames import to_degrees, to_local
from proximity.site.load import load_sites
from proximity.site.model import Anchor, Site, Zone

START = 1_764_000_000.0
LAT, LON, BEARING = 48.2, 16.37, 30.0
COLUMNS = ("at", "device", "anchor", "rssi", "power")


def town_shop() -> Site:
    """The measuring shop with a place on Earth and a car park in degrees before its door."""
    corners = np.array([(5.0, -35.0), (25.0, -35.0), (25.0, -10.0), (5.0, -10.0)])
    lat, lon = to_degrees(LAT, LON, BEARING, x=corners[:, 0], y=corners[:, 1])
    shop = shop_with_density(60.0)
    car_park = Zone("car-park", shop.id, "Car park", shapely.Polygon(list(zip(lon, lat, strict=True))), "wgs84", True)
    return replace(shop, lat=LAT, lon=LON, bearing=BEARING, zones=(*shop.zones, car_park))


SITE = town_shop()
BRISK = Options(brisk=True)


def shop(options: Options = BRISK, people: int = 12, seed: int = 7, site: Site = SITE) -> SimulatedShop:
    return SimulatedShop(site, crowd(people, seed=1), seed, START, options)


def run(simulated: SimulatedShop, *stops: float) -> tuple[Advertisements, list[Fix]]:
    steps = [simulated.step(START + stop) for stop in stops]
    columns = [np.concatenate([getattr(s.advertisements, name) for s in steps]) for name in COLUMNS]
    return Advertisements(*columns), [fix for s in steps for fix in s.fixes]


def equal(a: Advertisements, b: Advertisements) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)


def walked(simulated: SimulatedShop, seconds: float, every: float = 0.5) -> dict[str, np.ndarray]:
    """Per shopper (n, 3): time, x, y, while in the scene."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for k in range(int(seconds / every)):
        at = START + k * every
        for truth in simulated.truth(at):
            rows.setdefault(truth.shopper, []).append((at, truth.x, truth.y))
    return {shopper: np.array(track) for shopper, track in rows.items()}


def test_the_same_seed_gives_the_same_day_and_another_one_another() -> None:
    first, fixes = run(shop(), 30.0)
    again, same = run(shop(), 30.0)
    other, _ = run(shop(seed=8), 30.0)
    assert len(first) > 1000
    assert fixes
    assert equal(first, again)
    assert fixes == same
    assert not equal(first, other)


@pytest.mark.parametrize("stops", [(1.0, 2.0, 40.0), (0.1, 0.2, 0.33, 17.123, 40.0), tuple(np.arange(0.7, 40.0, 0.7))])
def test_however_time_is_cut_the_same_is_heard(stops: tuple[float, ...]) -> None:
    whole, fixes = run(shop(), 40.0)
    parts, same = run(shop(), *stops, 40.0)
    assert equal(whole, parts)
    assert fixes == same


def test_a_step_back_or_on_the_spot_hears_nothing_new() -> None:
    simulated = shop()
    assert len(simulated.step(START + 10.0).advertisements) > 0
    assert len(simulated.step(START + 10.0).advertisements) == 0
    assert len(simulated.step(START + 5.0).advertisements) == 0


def test_columns_are_in_order_and_within_the_step() -> None:
    simulated = shop()
    simulated.step(START + 7.3)
    heard = simulated.step(START + 12.1).advertisements
    assert (np.diff(heard.at) >= 0).all()
    assert heard.at[0] > START + 7.3
    assert heard.at[-1] <= START + 12.1
    assert set(heard.device.tolist()) <= set(range(len(simulated.devices)))
    assert set(heard.anchor.tolist()) == set(range(len(simulated.anchors)))
    assert (heard.power == -59.0).all()
    assert -100 < heard.rssi.min() < heard.rssi.max() < -25


@pytest.mark.parametrize("options", [BRISK, Options()], ids=["brisk", "calm"])
def test_nobody_walks_through_a_wall_or_runs(options: Options) -> None:
    simulated = shop(options)
    seconds = 900.0
    simulated.step(START + seconds)
    walls = shapely.MultiLineString([[(w.x1, w.y1), (w.x2, w.y2)] for w in SITE.walls])
    tracks = walked(simulated, seconds)
    assert len(tracks) >= 8
    moved = []
    for track in tracks.values():
        took = np.diff(track[:, 0])
        steps = np.stack([track[:-1, 1:], track[1:, 1:]], axis=1)[took < 0.6]  # a new visit is no step
        assert not shapely.intersects(shapely.linestrings(steps), walls).any()
        speed = np.hypot(*(steps[:, 1] - steps[:, 0]).T) / 0.5
        assert speed.max() <= 1.8
        moved.append(speed[speed > 0.5])
    assert 0.9 < np.concatenate(moved).mean() < 1.35


@pytest.mark.parametrize("options", [BRISK, Options()], ids=["brisk", "calm"])
def test_everybody_passes_the_entrance_in_and_out(options: Options) -> None:
    simulated = shop(options)
    simulated.step(START + 900.0)
    before: dict[str, Truth] = {}
    entered = left = 0
    for k in range(1800):
        for now in simulated.truth(START + k * 0.5):
            last = before.get(now.shopper, now)
            was, is_ = (simulated.layout.outside(np.array([[t.x, t.y]]))[0] == 0 for t in (last, now))
            if was != is_:
                assert "entrance" in {last.zone, now.zone}, f"{now.shopper} passed beside the entrance: {last} {now}"
            entered += is_ and not was
            left += was and not is_
            before[now.shopper] = now
    assert entered >= 8
    assert left >= 4


def test_a_brisk_shop_is_busy_within_seconds() -> None:
    simulated = shop()
    simulated.step(START + 20.0)
    at_shelves = {
        t.shopper for k in range(40) for t in simulated.truth(START + k / 2) if (t.zone or "").startswith("shelf")
    }
    assert len(at_shelves) >= 4


def test_every_sighting_and_fix_is_of_somebody_whom_the_truth_shows() -> None:
    simulated = shop()
    heard = simulated.step(START + 120.0)
    present = {k: {t.shopper for t in simulated.truth(START + k)} for k in range(122)}
    owners = {d.id: s.id for s, carried in crowd(12, seed=1) for d in carried}
    for at, device in zip(heard.advertisements.at, heard.advertisements.device, strict=True):
        around = int(at - START)
        assert owners[simulated.devices[device]] in present[around] | present[around + 1]
    for fix in heard.fixes:
        assert owners[fix.device] in {t.shopper for t in simulated.truth(fix.at)}


def test_near_is_heard_stronger_than_far() -> None:
    simulated = shop(people=20)
    heard = simulated.step(START + 60.0).advertisements
    xyz = simulated.layout.anchor_xyz
    owners = dict(enumerate(simulated.devices))
    carried = {d.id: s.id for s, devices in crowd(20, seed=1) for d in devices}
    distance = np.full(len(heard), np.nan)
    for second in range(0, 60, 5):
        places = {t.shopper: (t.x, t.y) for t in simulated.truth(START + second)}
        for i in np.flatnonzero(np.abs(heard.at - START - second) < 0.3):
            if (place := places.get(carried[owners[int(heard.device[i])]])) is not None:
                distance[i] = np.hypot(*(xyz[heard.anchor[i], :2] - place))
    near, far = heard.rssi[distance < 4], heard.rssi[(distance > 10) & (distance < 20)]
    assert near.mean() - far.mean() > 8.0


def test_fixes_are_as_far_off_as_phones_say() -> None:
    simulated = shop(people=30)
    fixes = simulated.step(START + 400.0).fixes
    owners = {d.id: s.id for s, carried in crowd(30, seed=1) for d in carried}
    ratio, outside, inside = [], [], []
    for fix in fixes:
        truth = next(t for t in simulated.truth(fix.at) if t.shopper == owners[fix.device])
        x, y = to_local(LAT, LON, BEARING, lat=fix.lat, lon=fix.lon)
        assert fix.accuracy is not None
        ratio.append(np.hypot(x - truth.x, y - truth.y) / fix.accuracy)
        (inside if 0 <= truth.x <= 30 and 0 <= truth.y <= 20 else outside).append(fix.accuracy)
    assert 0.55 < np.mean(np.array(ratio) < 1.0) < 0.8  # one standard circle holds about 68 %
    assert np.median(outside) < 12.0
    assert np.median(inside) > 20.0
    assert len(outside) > 2 * len(inside)


def test_phones_on_the_way_report_every_ten_to_thirty_seconds() -> None:
    fixes = shop(Options()).step(START + 900.0).fixes
    gaps = []
    for device in {f.device for f in fixes}:
        mine = [f for f in fixes if f.device == device]
        gaps += [b.at - a.at for a, b in pairwise(mine) if (a.speed or 0) > 0.5 and a.accuracy < 12]
    assert min(gaps) >= 10.0
    assert np.median(gaps) <= 30.0


def test_fixes_say_course_and_speed_only_on_the_move() -> None:
    fixes = shop(Options()).step(START + 600.0).fixes
    assert any(f.course is not None for f in fixes)
    for fix in fixes:
        assert (fix.course is None) == (fix.speed == 0.0)
        assert fix.course is None or 0.0 <= fix.course < 360.0


def test_somebody_who_walks_to_the_street_leaves_the_car_park_far_behind() -> None:
    simulated = shop()
    fixes = simulated.step(START + 300.0).fixes
    lat, lon = np.array([f.lat for f in fixes]), np.array([f.lon for f in fixes])
    _, y = to_local(LAT, LON, BEARING, lat=lat, lon=lon)
    assert y.min() < -70.0


def test_a_batch_names_every_device_its_shopper() -> None:
    simulated = shop()
    batch = simulated.batch(simulated.step(START + 30.0))
    owners = {d.id: s.id for s, carried in crowd(12, seed=1) for d in carried}
    assert len(batch.sightings) > 0
    assert len(batch.fixes) > 0
    assert all(owners[d] == s for d, s in zip(batch.devices, batch.shoppers, strict=True))
    assert {batch.devices[i].split(":")[0] for i in batch.fixes.device} == {"owntracks"}
    assert {batch.devices[i].split(":")[0] for i in batch.sightings.device} == {"ibeacon"}


def test_people_go_where_their_interests_are() -> None:
    fans = [(Shopper(s.id, attributes={"bought_90d": {"shelf-1-1": 3}}), carried) for s, carried in crowd(40, seed=1)]
    visited = []
    for people in (fans, crowd(40, seed=1)):
        simulated = SimulatedShop(SITE, people, 7, START, BRISK)
        simulated.step(START + 100.0)
        seen = {t for k in range(100) for t in ((p.shopper, p.zone) for p in simulated.truth(START + k))}
        visited.append(sum(zone == "shelf-1-1" for _, zone in seen))
    assert visited[0] > visited[1] + 3


def test_one_counter_serves_one_at_a_time() -> None:
    tills = Tills([np.zeros(2), np.ones(2)])
    booked = [tills.reserve(ready, 10.0) for ready in (0.0, 1.0, 2.0, 3.0, 25.0)]
    assert booked == [(0, 0.0), (1, 1.0), (0, 10.0), (1, 11.0), (0, 25.0)]
    assert tills.reserve(5.0, 4.0) == (0, 20.0)  # fits before a later booking
    tills.forget(100.0)
    assert tills.reserve(0.0, 5.0) == (0, 0.0)


def test_a_store_without_walls_gets_a_shell_with_a_door() -> None:
    simulated = shop(site=replace(SITE, walls=()))
    simulated.step(START + 120.0)
    zones = {t.zone for k in range(240) for t in simulated.truth(START + k / 2)}
    assert "entrance" in zones
    assert any(z is not None and z.startswith("shelf") for z in zones)


def test_a_gateway_that_knows_only_its_zone_stands_in_it() -> None:
    site = replace(SITE, anchors=(Anchor("gw", SITE.id, "gateway", zone="tills"),))
    x, y, _ = shop(site=site).layout.anchor_xyz[0]
    assert site.zone("tills").outline.contains(shapely.Point(x, y))


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (replace(SITE, zones=SITE.zones[-1:]), "no indoor zone"),
        (replace(SITE, lat=None), "has no lat and lon"),
        (replace(SITE, anchors=(Anchor("lost", SITE.id, "gateway"),)), "neither a place nor a zone"),
        (
            replace(SITE, walls=(*SITE.walls, replace(SITE.walls[0], x1=13.0, y1=0.0, x2=17.0, y2=0.0))),
            "no gap in the walls",
        ),
    ],
)
def test_a_site_that_cannot_be_simulated_says_why(site: Site, message: str) -> None:
    with pytest.raises(ProximityError, match=message):
        shop(site=site)


def test_the_example_shop_is_walked_all_over_and_heard_everywhere() -> None:
    loaded = load_sites(Path(__file__).resolve().parent.parent / "config")
    (site,) = loaded.sites
    people = carriers(loaded.people.shoppers, loaded.people.devices)
    simulated = SimulatedShop(site, people, 7, START, BRISK)
    early = simulated.step(START + 20.0)
    assert len(early.fixes) >= 3
    assert len(simulated.devices) >= 12
    shelves = [t for k in range(40) for t in simulated.truth(START + k / 2) if t.zone in {"coffee-aisle", "bakery"}]
    assert len({t.shopper for t in shelves}) >= 3
    heard = simulated.step(START + 300.0).advertisements
    assert set(heard.anchor.tolist()) == set(range(len(simulated.anchors)))
    zones = {t.zone for k in range(300) for t in simulated.truth(START + k)}
    assert {z.id for z in site.zones} <= zones


def test_devices_are_given_to_who_carries_them() -> None:
    ada, ben = Shopper("ada"), Shopper("ben")
    tag, phone, lost = (
        Device("mac:1", "ada", "mac"),
        Device("owntracks:a/p", "ada", "owntracks"),
        Device("m", "x", "mac"),
    )
    assert carriers([ada, ben], [tag, lost, phone]) == [(ada, (tag, phone)), (ben, ())]


def test_guests_come_one_by_one_after_the_doors_opened() -> None:
    regulars = crowd(3, seed=1)
    everybody = [*regulars, *guests(regulars, 6, seed=2)]
    simulated = SimulatedShop(SITE, everybody, 7, START, Options(brisk=True, guests=6))
    first: dict[str, float] = {}
    for k in range(60):
        simulated.step(START + k)
        for one in simulated.truth(START + k):
            first.setdefault(one.shopper, float(k))
    came = [first[shopper.id] for shopper, _ in everybody[3:]]
    assert came == pytest.approx([8.0, 16.0, 24.0, 32.0, 40.0, 48.0], abs=1.0)
    assert max(first[shopper.id] for shopper, _ in regulars) < 8.0


def test_a_guest_is_like_somebody_with_a_name_and_devices_of_his_own() -> None:
    ada = Shopper("ada", ("fr",), name="Ada", attributes={"first_name": "Ada", "visits_30d": 9}, consents={"x": True})
    carried = (Device("ibeacon:a:1:1", "ada", "ibeacon"), Device("owntracks:ada/phone", "ada", "owntracks", "k", "p"))
    found = guests([(ada, carried)], 500, seed=4)
    assert len({shopper.name for shopper, _ in found}) == len(found) == len(NAMES)
    assert len({device.id for _, devices in found for device in devices}) == 2 * len(found)
    for shopper, devices in found:
        assert shopper.attributes == {"first_name": shopper.name, "visits_30d": 9}
        assert (shopper.languages, shopper.consents) == (("fr",), {"x": True})
        assert {(device.shopper, device.secret, device.password) for device in devices} == {(shopper.id, None, None)}
    assert guests([], 5) == []
    assert [name.name for name, _ in guests([(ada, ())], 3, seed=4)] == [name.name for name, _ in found[:3]]
