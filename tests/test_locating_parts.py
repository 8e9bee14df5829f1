"""Path loss, radio maps, floors and walking."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from proximity.presence.locating.grid import HEADINGS, MOST_CELLS, Grid, grid_for, knows_places, membership
from proximity.presence.locating.motion import Motion, Walk
from proximity.presence.locating.radiomap import STRONGEST, WEAKEST, from_path_loss, from_survey, level_of
from proximity.presence.locating.survey import survey_of
from proximity.presence.ranging import NEAREST, PathLoss, distance, distances, expected, heard, wall_loss
from proximity.site.model import Anchor, Site, Wall, Zone

ANCHOR = Anchor(id="a", site="s", kind="gateway", x=0.0, y=0.0, z=1.2)


def zone(name: str, *box: float) -> Zone:
    return Zone(id=name, site="s", name=name, outline=shapely.box(*box))


def site(*zones: Zone, anchors: tuple[Anchor, ...] = (), walls: tuple[Wall, ...] = ()) -> Site:
    return Site(id="s", name="S", timezone="UTC", zones=zones, anchors=anchors, walls=walls)


@given(st.floats(NEAREST, 200.0), st.floats(1.2, 4.0))
def test_distance_is_the_inverse_of_expected(metres: float, exponent: float) -> None:
    model = PathLoss(exponent=exponent)
    assert distance(model, expected(model, np.array([metres])))[0] == pytest.approx(metres, rel=1e-6)


@given(st.floats(-130.0, -20.0))
def test_a_louder_packet_is_heard_more_surely_but_never_for_certain(rssi: float) -> None:
    model = PathLoss()
    low, high = heard(model, np.array([rssi, rssi + 1.0]))
    assert 0.0 <= low <= high <= 0.9


def test_doubling_the_distance_costs_six_decibels_in_free_space() -> None:
    near, far = expected(PathLoss(exponent=2.0), np.array([2.0, 4.0]))
    assert near - far == pytest.approx(6.02, abs=0.01)


def test_distances_count_height_and_unknown_places() -> None:
    nowhere = Anchor(id="b", site="s", kind="gateway")
    away = distances(np.array([[3.0, 4.0]]), (ANCHOR, nowhere), height=1.2 - 12.0)
    assert away[0, 0] == pytest.approx(13.0)
    assert np.isnan(away[0, 1])


def test_each_wall_on_the_way_takes_its_loss() -> None:
    walls = (Wall(1, -1, 1, 1, loss=6.0), Wall(2, -1, 2, 1, loss=4.0), Wall(1.5, -1, 1.5, 1, loss=9.0, floor=1))
    loss = wall_loss(np.array([[0.5, 0.0], [1.5, 0.0], [3.0, 0.0], [3.0, 5.0]]), (ANCHOR,), walls)
    assert loss[:, 0].tolist() == [0.0, 6.0, 10.0, 0.0]


def test_a_survey_gathers_counts_into_means_by_session_and_point() -> None:
    survey = survey_of([(0, 1, 2, 0, -60, 3), (0, 1, 2, 0, -64, 1), (1, 1, 2, 1, -70, 5)], anchors=2)
    assert survey.points.tolist() == [[1, 2], [1, 2]]
    assert survey.mean[0, 0] == -61.0
    assert survey.spread[0, 0] == pytest.approx(np.std([-60, -60, -60, -64]))
    assert survey.count.tolist() == [[4, 0], [0, 5]]
    assert np.isnan(survey.mean[0, 1])
    assert survey.session.tolist() == [0, 1]


def test_a_map_from_a_survey_passes_through_the_shadow_of_a_shelf() -> None:
    """Points behind a shelf at x > 5 hear 8 dB less than path loss says; between points the map follows."""
    places = np.array([(x, y) for x in np.arange(0.0, 10.1, 2.0) for y in np.arange(0.0, 8.1, 2.0)])
    anchors = (Anchor(id="a", site="s", kind="gateway", x=-2.0, y=4.0),)

    def truth(points: np.ndarray) -> np.ndarray:
        return expected(PathLoss(), distances(points, anchors))[:, 0] - 8.0 * (points[:, 0] > 5.0)

    noise = np.random.default_rng(3).normal(0, 1.0, len(places))
    rows = [
        (0, x, y, 0, level + d, 100.0)
        for (x, y), level in zip(places, truth(places) + noise, strict=True)
        for d in (-2, 2)
    ]
    cells = np.array([(x, y) for x in (1.0, 3.0, 7.0, 9.0) for y in (1.0, 5.0, 7.0)])
    radio = from_survey(cells, anchors, survey_of(rows, 1), PathLoss())
    assert np.abs(radio.mean[:, 0] - truth(cells)).max() < 2.5
    far = from_survey(np.array([[5.0, 60.0]]), anchors, survey_of(rows, 1), PathLoss())
    assert far.spread[0, 0] > radio.spread.max(), "less is known far from the survey"


def test_tables_of_likelihood_peak_at_the_mean_and_keep_heavy_tails() -> None:
    radio = from_path_loss(np.array([[2.0, 0.0], [8.0, 0.0]]), (ANCHOR,), (), PathLoss())
    levels = radio.levels()
    assert levels.shape == (1, STRONGEST - WEAKEST + 1, 2)
    assert np.abs(levels[0].argmax(axis=0) + WEAKEST - radio.mean[:, 0]).max() <= 0.5
    assert levels[0, 0].min() > -12.0, "a deep fade is unlikely, not impossible"


def test_silence_speaks_for_far_places_and_less_of_a_soft_device() -> None:
    radio = from_path_loss(np.array([[2.0, 0.0], [40.0, 0.0]]), (ANCHOR,), (), PathLoss())
    near, far = radio.silence()[:, 0].T
    assert (near < far).all()
    assert (far < 0).all()
    assert np.all(np.diff(near) < 0), "gains rise: the louder the device, the stranger its silence"
    vague, sure = heard(PathLoss(), np.array([-80.0]), 8.0), heard(PathLoss(), np.array([-80.0]))
    assert vague < sure


def test_rssi_beyond_the_table_takes_its_end() -> None:
    ends = level_of(np.array([-200.0, WEAKEST, -70.4, STRONGEST, 20.0]))
    assert ends.tolist() == [0, 0, -70 - WEAKEST, STRONGEST - WEAKEST, STRONGEST - WEAKEST]


def test_an_anchor_offset_is_added_to_what_it_hears() -> None:
    deaf = Anchor(id="a", site="s", kind="gateway", x=0.0, y=0.0, z=1.2, offset=5.0)
    cell = np.array([[3.0, 0.0]])
    plain, offset = (from_path_loss(cell, (a,), (), PathLoss()).mean[0, 0] for a in (ANCHOR, deaf))
    assert plain - offset == 5.0, "it reports 5 dB less than another would, so 5 dB less is expected of it"


def test_cells_share_zones_and_the_smaller_zone_has_the_overlap() -> None:
    zones = (zone("floor", 0, 0, 4, 4), zone("shelf", 0, 0, 1.25, 4))
    grid = grid_for(site(*zones, anchors=(Anchor(id="a", site="s", kind="gateway", x=6.0, y=4.0),)), size=0.5)
    shares = membership(grid, zones)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    at = {tuple(cell): share.round(3).tolist() for cell, share in zip(grid.cells.tolist(), shares, strict=True)}
    assert at[0.25, 0.25] == [0, 1, 0]
    assert at[1.25, 0.25] == [0.5, 0.5, 0]
    assert at[3.25, 0.25] == [1, 0, 0]
    assert at[5.25, 0.25] == [0, 0, 1]


def test_the_floor_ends_where_the_zones_end_however_large_the_cells() -> None:
    zones = (zone("left", 0, 0, 2.4, 2.2), zone("right", 2.4, 0, 4.6, 2.2))
    shares = membership(grid_for(site(*zones), size=1.0), zones)
    assert shares[:, -1].max() < 1e-9, "a cell that reaches beyond the walls is no place outside of all zones"


def test_nobody_walks_with_his_shoulder_in_a_shelf() -> None:
    """An aisle of 1 m along x: middles of people are in its inner half, so the border at 0.6 m cuts off a fifth."""
    aisle = np.array([[x, y] for x in (0.25, 0.75, 1.25, 1.75) for y in (0.25, 0.75)])
    zones = (zone("south", 0, 0, 2, 0.6), zone("north", 0, 0.6, 2, 1))
    grid = grid_for(site(*zones), walkable=aisle)
    assert sorted(set(grid.cells[:, 1].tolist())) == [0.375, 0.625]
    np.testing.assert_allclose(membership(grid, zones).mean(axis=0), [0.7, 0.3, 0.0], atol=1e-9)
    narrow = grid_for(site(), walkable=aisle[aisle[:, 1] < 0.5])
    assert set(narrow.cells[:, 1].tolist()) == {0.25}


def test_a_large_floor_gets_larger_cells() -> None:
    assert len(grid_for(site(zone("hall", 0, 0, 100, 50))).cells) <= MOST_CELLS * 1.1


def test_corners_and_walls_stop_walkers() -> None:
    l_shape = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]])
    grid = grid_for(site(), walkable=l_shape)
    ways = {HEADINGS[k]: grid.neighbours[k].tolist() for k in range(8)}
    assert ways[1, 0] == [1, -1, -1]
    assert ways[0, 1] == [-1, 2, -1]
    assert ways[1, 1] == [-1, -1, -1], "not past the corner"
    walled = grid_for(site(walls=(Wall(0.25, -1, 0.25, 0.2),)), walkable=l_shape)
    assert walled.neighbours[0].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("walkable", [np.empty((0, 2)), np.array([[1.0, 1.0]])])
def test_a_floor_without_room_is_refused(walkable: np.ndarray) -> None:
    with pytest.raises(ValueError, match="site s: the walkable floor"):
        grid_for(site(), walkable=walkable)


def test_a_site_without_places_has_no_floor() -> None:
    assert not knows_places(site(zone("z", 0, 0, 1, 1)))
    with pytest.raises(ValueError, match="site s: neither zones nor anchors"):
        grid_for(site())


def rooms() -> Grid:
    """Two rooms of 3 m x 3 m with a wall between them that has no door."""
    return grid_for(site(zone("a", 0, 0, 3, 3), zone("b", 3, 0, 6, 3), walls=(Wall(3, -5, 3, 9),)), size=0.5)


def test_walking_keeps_probability_and_respects_walls() -> None:
    grid = rooms()
    motion = Motion(grid, Walk())
    belief = np.zeros((1, 9, len(grid.cells)), dtype=np.float32)
    start = int(np.argmin(np.hypot(*(grid.cells - [2.25, 1.75]).T)))
    belief[0, :, start] = 1 / 9
    moved = motion.forward(belief, np.array([41]))
    assert moved.min() >= 0.0
    assert moved.sum() == pytest.approx(1.0, abs=1e-4)
    beyond = grid.cells[:, 0] > 3.0
    assert moved[0][:, beyond].sum() == 0.0
    assert belief[0, :, start].sum() == pytest.approx(1.0), "what was given is not changed"


def test_walkers_come_about_as_far_as_their_speed() -> None:
    grid = grid_for(site(zone("hall", 0, 0, 30, 4)), size=0.5)
    motion = Motion(grid, Walk(speed=1.0, turn=0.0, stop=0.0, go=0.0))
    start = int(np.argmin(np.hypot(*(grid.cells - [5.25, 2.25]).T)))
    belief = np.zeros((1, 9, len(grid.cells)), dtype=np.float32)
    belief[0, 1, start] = 1.0
    moved = motion.forward(belief, np.array([40]))[0].sum(axis=0)
    assert float(moved @ grid.cells[:, 0]) == pytest.approx(grid.cells[start, 0] + 10.0, abs=0.1)


def test_strides_of_several_slots_go_their_own_time() -> None:
    grid = rooms()
    motion = Motion(grid, Walk())
    belief = np.random.default_rng(5).random((3, 9, len(grid.cells))).astype(np.float32)
    belief /= belief.sum(axis=(1, 2), keepdims=True)
    together = motion.forward(belief, np.array([0, 3, 8]))
    for k, quarters in enumerate((0, 3, 8)):
        np.testing.assert_allclose(together[k], motion.forward(belief[k : k + 1], np.array([quarters]))[0], atol=1e-6)


def test_left_alone_people_are_anywhere() -> None:
    grid = rooms()
    prior = Motion(grid, Walk()).prior()
    assert prior.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(prior.sum(axis=0), 1 / len(grid.cells), rtol=1e-4)
