"""Who approaches, who does not, and that it is told once."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.model import Fix, Transition
from proximity.presence import checkpoint
from proximity.presence.closing import closing
from proximity.presence.engine import Engine
from proximity.site.model import Site
from tests.presence_shop import OWNERS, PHONE, T0, batch, circle, fix, heard, kinds, run, shop, without

OTHER = "owntracks:ada/tablet"
OWNERS.setdefault(OTHER, "ada")
PARK = ("shop", "park")
SITE = shop(circle("park", 60))


def engine(*reaches: str, site: Site = SITE, place: str = "park") -> Engine:
    one = Engine([site], now=T0 - 1)
    one.set_reaches({("shop", place): frozenset(reaches)})
    return one


def way(
    start: float,
    end: float,
    speed: float,
    every: float,
    accuracy: float | None = 10.0,
    begin: float = 0.0,
    device: str = PHONE,
    noise: float = 0.0,
    seed: int = 1,
) -> list[Fix]:
    """Along the x axis from `start` to `end` metres, a fix every so many seconds."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, abs(end - start) / speed, every)
    return [
        fix(
            begin + float(t),
            start + np.sign(end - start) * speed * float(t) + rng.normal(0, noise) if noise else
            start + float(np.sign(end - start)) * speed * float(t),
            rng.normal(0, noise) if noise else 0.0,
            accuracy,
            device,
        )
        for t in times
    ]  # fmt: skip


def approaches(transitions: Sequence[Transition]) -> list[Transition]:
    return [one for one in transitions if one.kind == "approach"]


@pytest.mark.parametrize(("speed", "every"), [(1.4, 5.0), (1.4, 30.0), (6.0, 10.0), (14.0, 5.0), (14.0, 20.0)])
def test_who_comes_straight_is_told_once_with_distance_and_time(speed: float, every: float) -> None:
    step = run(engine("400m"), 2000, way(1500, 0, speed, every))
    (one,) = approaches(step.transitions)
    assert (one.zone, one.reach, one.shopper, one.device) == ("park", "400m", "ada", PHONE)
    assert one.distance is not None
    assert one.eta is not None
    assert 400 - speed * every - 1 <= one.distance <= 400
    assert one.eta == pytest.approx(one.distance / speed, rel=0.02)
    assert 0.5 <= one.confidence <= 1.0
    assert one.observed <= one.at < one.observed + 0.5
    assert kinds(step.transitions)[0] == ("approach", "park")


@pytest.mark.parametrize("noise", [5.0, 10.0])
def test_a_walker_with_ordinary_errors_is_noticed_in_time(noise: float) -> None:
    step = run(engine("400m"), 2000, way(700, 0, 1.4, 1.0, accuracy=1.5 * noise, noise=noise))
    (one,) = approaches(step.transitions)
    assert one.distance is not None
    assert 330 <= one.distance <= 400
    assert one.eta == pytest.approx(one.distance / 1.4, rel=0.3)


def test_time_to_arrival_is_a_threshold_too() -> None:
    step = run(engine("60s", "300s"), 2000, way(9000, 0, 20.0, 10.0))
    five, one = approaches(step.transitions)
    assert (five.reach, one.reach) == ("300s", "60s")
    assert five.eta == pytest.approx(300, abs=10)
    assert one.eta == pytest.approx(60, abs=10)
    assert five.distance == pytest.approx(6000, abs=210)
    assert five.visit == one.visit  # one way, one visit
    assert five.id != one.id


def test_the_store_without_a_zone_of_that_name_is_its_point() -> None:
    step = run(engine("200m", place="store"), 2000, way(600, 0, 1.4, 5.0))
    (one,) = approaches(step.transitions)
    assert (one.zone, one.distance) == ("store", pytest.approx(200, abs=8))
    zone = engine("200m", place="store", site=shop(circle("store", 100)))
    (one,) = approaches(run(zone, 2000, way(600, 0, 1.4, 5.0)).transitions)
    assert one.distance == pytest.approx(200, abs=8)
    assert one.observed < T0 + 220  # its edge is 100 m nearer than its middle


@pytest.mark.parametrize(
    "fixes",
    [
        pytest.param([fix(t, 300) for t in range(0, 600, 5)], id="a phone that lies still"),
        pytest.param(way(300, 300 + 1000, 1.4, 5.0), id="going away"),
        pytest.param([fix(t, 0) for t in range(0, 300, 5)], id="inside from the first fix on"),
        pytest.param([fix(0, 300)], id="a single fix"),
        pytest.param([fix(0, 900), fix(2, 380)], id="two fixes that are too near in time"),
        pytest.param([fix(0, 5000), fix(400, 390)], id="two fixes that are too far apart in time"),
        pytest.param([fix(0, 20_000), fix(1, 300), fix(10, 300), fix(20, 300)], id="a teleport that is confirmed"),
        pytest.param([fix(0, 20_000), fix(20, 300), fix(60, 20_000)], id="a teleport that is not"),
        pytest.param([*way(1500, 410, 1.4, 5.0, accuracy=250.0), fix(800, 380, accuracy=250.0)], id="no fine fix"),
        pytest.param([fix(20 * i, 300, 30 * i) for i in range(60)], id="passing by on a tangent"),
        pytest.param([fix(30 * i, 350 if i % 2 else 300) for i in range(60)], id="flipping between two places"),
        pytest.param([fix(5 * i, 300 if i != 30 else 120) for i in range(60)], id="one fix that is far off"),
    ],
)
def test_these_do_not_approach(fixes: list[Fix]) -> None:
    assert approaches(run(engine("400m", "100m", "60s"), 3000, fixes).transitions) == []


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_on_a_table_within_reach_is_no_approach(seed: int) -> None:
    """The errors of satellites' fixes wander: a walk that is pulled back, 8 m wide, with a memory of half a minute."""
    rng = np.random.default_rng(seed)
    east, north = [0.0], [0.0]
    for _ in range(3600):
        east.append(east[-1] * np.exp(-1 / 30) + rng.normal(0, 8 * np.sqrt(1 - np.exp(-2 / 30))))
        north.append(north[-1] * np.exp(-1 / 30) + rng.normal(0, 8 * np.sqrt(1 - np.exp(-2 / 30))))
    table = [fix(t, 300 + east[t], north[t], 12.0) for t in range(3600)]
    assert approaches(run(engine("400m", "300s"), 3700, table).transitions) == []


def test_told_again_only_after_being_inside_or_far_away_or_long_gone() -> None:
    def legs(*ends: float) -> list[Fix]:
        found: list[Fix] = []
        for start, end in itertools.pairwise(ends):
            begin = found[-1].at - T0 + 5 if found else 0.0
            found += way(start, end, 5.0, 5.0, begin=begin)
        return found

    def told(fixes: list[Fix]) -> int:
        return len(approaches(run(engine("400m"), 20_000, fixes).transitions))

    assert told(legs(800, 300)) == 1
    assert told(legs(800, 300, 580, 300)) == 1  # 520 m from the edge are less than 600
    assert told(legs(800, 300, 800, 300)) == 2  # farther than 600 m
    assert told(legs(800, 0, 550, 150)) == 2  # was inside
    pause = way(800, 300, 5.0, 5.0) + way(450, 300, 5.0, 5.0, begin=2200)
    assert told(pause) == 2  # half an hour without a fix
    assert told(way(800, 300, 5.0, 5.0) + way(450, 300, 5.0, 5.0, begin=1500)) == 1


def test_two_phones_of_a_shopper_are_one_approach() -> None:
    both = way(800, 100, 5.0, 5.0) + way(820, 100, 5.0, 5.0, device=OTHER)
    (one,) = approaches(run(engine("400m"), 2000, both).transitions)
    assert one.device == PHONE  # the nearer one
    home = [fix(t, 5000, device=OTHER) for t in range(0, 400, 5)]  # the tablet at home arms nothing again
    assert len(approaches(run(engine("400m"), 2000, [*way(800, 100, 5.0, 5.0), *home]).transitions)) == 1


def test_whose_tag_is_in_the_store_does_not_approach_it() -> None:
    tag = heard("till", 0, 200)
    assert approaches(run(engine("400m", place="store"), 190, tag, way(800, 100, 5.0, 5.0)).transitions) == []


def test_reaches_and_sites_may_change_on_the_way() -> None:
    one = engine("400m")
    fixes = way(1500, 100, 5.0, 5.0)
    far, near = [f for f in fixes if f.at < T0 + 150], [f for f in fixes if f.at >= T0 + 150]
    assert approaches(run(one, 149, far).transitions) == []
    one.set_reaches({PARK: frozenset({"200m"}), ("shop", "nowhere"): frozenset({"1s"})})
    assert [a.reach for a in approaches(run(one, 400, near).transitions)] == ["200m"]
    gone = engine("400m")
    run(gone, 149, far)
    gone.set_sites([without(SITE, "park")], T0 + 149.5)
    assert approaches(run(gone, 400, near).transitions) == []
    gone.set_sites([SITE], T0 + 401)
    again = way(900, 100, 5.0, 5.0, begin=500)
    assert len(approaches(run(gone, 1000, again).transitions)) == 1
    moved = engine("400m", place="store")
    moved.set_sites([replace(SITE, lat=(SITE.lat or 0.0) + 0.1)], T0)
    assert approaches(run(moved, 2000, fixes).transitions) == []


@pytest.mark.parametrize("reach", ["400", "400 m", "m", "-5m", "1e3m", "inf"])
def test_a_reach_that_is_none_is_refused(reach: str) -> None:
    with pytest.raises(ValueError, match="metres or seconds"):
        engine(reach)


def test_nothing_is_kept_for_long() -> None:
    one = engine("400m")
    run(one, 400, way(800, 300, 5.0, 5.0))
    kept = checkpoint.unpack(one.checkpoint())["approach"]
    assert kept["tracks"]["used"].sum() == kept["told"]["used"].sum() == 1
    run(one, 5000, heard("door", 4000, 4990))
    kept = checkpoint.unpack(one.checkpoint())["approach"]
    assert not kept["tracks"]["used"].any()
    assert not kept["told"]["used"].any()
    erased = engine("400m")
    run(erased, 400, way(800, 300, 5.0, 5.0))
    erased.forget("ada", T0 + 401)
    kept = checkpoint.unpack(erased.checkpoint())["approach"]
    assert not kept["tracks"]["used"].any()
    assert not kept["told"]["used"].any()


def test_a_device_that_changes_hands_takes_no_way_along() -> None:
    one = engine("400m")
    fixes = way(600, 300, 5.0, 5.0)
    late = [f for f in fixes if f.at > T0 + 28]
    run(one, 28, [f for f in fixes if f.at <= T0 + 28][:-1])
    bobs = replace(batch(late[:1]), shoppers=("bob",))
    assert approaches(one.step(bobs, T0 + 100).transitions) == []


def test_the_speed_is_that_of_most_pairs_of_fixes() -> None:
    at = -np.arange(10.0)[None] * 10.0
    there = 100.0 - 2.0 * at
    sigma = np.full((1, 10), 5.0)
    plain = closing(at, there, sigma)
    assert plain.speed[0] == pytest.approx(2.0)
    assert plain.sure[0]
    off = there.copy()
    off[0, 3] += 500.0
    assert closing(at, off, sigma).speed[0] == pytest.approx(2.0, abs=0.1)
    none = closing(at[:, :2], np.array([[100.0, np.nan]]), sigma[:, :2])
    assert np.isnan(none.speed[0])
    assert not none.sure[0]


walks = st.lists(
    st.tuples(
        st.sampled_from([PHONE, OTHER, "owntracks:bob/phone"]),
        st.sampled_from([-800, -450, -150, 0, 300, 700]),
        st.sampled_from([-700, -300, 0, 200, 500, 900]),
        st.sampled_from([5.0, 12.0]),
        st.sampled_from([7.0, 20.0]),
        st.integers(0, 300),
        st.sampled_from([None, 5.0, 20.0, 120.0]),
    ),
    max_size=4,
).map(
    lambda legs: sorted(
        {
            (one.device, one.at): one
            for device, start, end, speed, every, begin, accuracy in legs
            for one in way(start, end, speed, every, accuracy, begin + len(device) / 7.0, device)
        }.values(),
        key=lambda one: one.at,
    )
)


@settings(max_examples=25)
@given(walks, st.lists(st.integers(0, 400), max_size=5))
def test_cuts_and_restarts_change_nothing(rows: list[Fix], cuts: list[int]) -> None:
    reaches = {PARK: frozenset({"400m", "100m", "90s"}), ("shop", "store"): frozenset({"60s"})}
    whole = Engine([SITE], now=T0 - 1)
    whole.set_reaches(reaches)
    expected = whole.step(batch(rows), T0 + 5000).transitions
    one, found = Engine([SITE], now=T0 - 1), []
    one.set_reaches(reaches)
    bounds = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    for start, end in itertools.pairwise(bounds):
        watermark = rows[end].at - 0.01 if end < len(rows) else T0 + 5000
        found += one.step(batch(rows[start:end]), watermark).transitions
        kept = one.checkpoint()
        one = Engine([SITE])
        one.set_reaches(reaches)
        one.restore(kept)
        assert one.checkpoint() == kept
    assert found == expected
    assert len({each.id for each in found}) == len(found)
