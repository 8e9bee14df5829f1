"""Shortest ways round walls."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.simulate.walk import CLEARANCE, Floor, NoWay
from proximity.site.model import Wall

ROOM = [Wall(2, 0, 10, 0), Wall(10, 0, 10, 8), Wall(10, 8, 0, 8), Wall(0, 8, 0, 0), Wall(0, 0, 1, 0)]  # door at 1..2


def place(x: float, y: float) -> np.ndarray:
    return np.array([x, y], dtype=np.float64)


def length(path: np.ndarray) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def test_without_walls_the_way_is_straight() -> None:
    assert Floor([]).path(place(0, 0), place(3, 4)).tolist() == [[0, 0], [3, 4]]


def test_a_wall_is_walked_round_on_the_shorter_side() -> None:
    path = Floor([Wall(0, -5, 0, 1)]).path(place(-2, 0), place(2, 0))
    assert (path[1:-1, 1] > 1.0).all()
    assert length(path) == pytest.approx(2 * np.hypot(2 - CLEARANCE, 1 + CLEARANCE) + 2 * CLEARANCE, abs=0.1)


def test_a_room_is_entered_by_its_door() -> None:
    path = Floor(ROOM).path(place(6, -3), place(6, 6))
    crossing = shapely.LineString(path).intersection(shapely.LineString([(0, 0), (10, 0)]))
    assert 1.0 + CLEARANCE <= crossing.x <= 2.0 - CLEARANCE


def test_a_room_without_a_door_is_refused_with_both_places() -> None:
    with pytest.raises(NoWay, match=r"nobody can walk from \(6\.0, -3\.0\) to \(6\.0, 6\.0\)"):
        Floor([*ROOM, Wall(1, 0, 2, 0)]).path(place(6, -3), place(6, 6))


def test_a_gap_narrower_than_a_person_is_no_door() -> None:
    floor = Floor([*ROOM, Wall(1, 0, 1.6, 0)])
    assert not floor.reachable(place(6, -3), place(6, 6))


def test_who_stands_in_a_wall_is_moved_beside_it() -> None:
    floor = Floor([Wall(0, -5, 0, 5)])
    moved = floor.stand(place(0.1, 0))
    assert floor.free(moved[None])[0]
    assert np.hypot(*(moved - place(0.1, 0))) < 0.3
    assert floor.stand(place(3, 3)).tolist() == [3, 3]


coordinate = st.integers(-20, 20).map(lambda n: n / 2)
walls = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=6).map(
    lambda rows: [Wall(*row) for row in rows if row[:2] != row[2:]]
)


@settings(max_examples=60, deadline=None)
@given(walls=walls, ends=st.tuples(coordinate, coordinate, coordinate, coordinate))
def test_no_way_ever_touches_a_wall(walls: list[Wall], ends: tuple[float, float, float, float]) -> None:
    floor = Floor(walls)
    start, goal = floor.stand(place(*ends[:2])), floor.stand(place(*ends[2:]))
    if not floor.reachable(start, goal):
        return
    path = floor.path(start, goal)
    lines = shapely.MultiLineString([[(w.x1, w.y1), (w.x2, w.y2)] for w in walls])
    assert path[0].tolist() == start.tolist()
    assert path[-1].tolist() == goal.tolist()
    legs = [shapely.LineString(leg) for leg in pairwise(path)]
    assert all(shapely.distance(leg, lines) >= CLEARANCE - 1e-6 for leg in legs if not lines.is_empty)
    assert length(path) >= np.hypot(*(goal - start)) - 1e-9
    assert length(floor.path(goal, start)) == pytest.approx(length(path))
