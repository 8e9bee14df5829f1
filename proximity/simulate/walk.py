"""Ways on foot round the walls: shortest paths over a visibility graph.

The corners of the walls, kept at a person's half width, are the only places where a shortest way may bend. Distances
between all corners are computed once; a way then costs two rounds of "which corners can I see from here".
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path
from shapely.geometry.base import BaseGeometry

from proximity.errors import ProximityError
from proximity.simulate.propagation import Floats
from proximity.site.model import Wall

Bools = NDArray[np.bool_]

CLEARANCE = 0.25  # m from the middle of a person to a wall
CORNER = 0.02  # m that corners stand off, so that a way along a wall does not touch it
NO_WAY = -9999  # what scipy writes for "no predecessor"


class NoWay(ProximityError):
    """Two places that no walk connects."""


class Floor:
    """The walkable plane around `walls`. Immutable once made; all coordinates are local metres."""

    def __init__(self, walls: Sequence[Wall], clearance: float = CLEARANCE) -> None:
        lines = [shapely.LineString([(w.x1, w.y1), (w.x2, w.y2)]) for w in walls]
        self.obstacles: BaseGeometry = shapely.union_all(
            shapely.buffer(lines, clearance, cap_style="square", join_style="mitre")
        )
        shapely.prepare(self.obstacles)
        self._corners = self._find_corners()
        self._distance, self._before = self._connect()

    def free(self, xy: Floats) -> Bools:
        """(n, 2) places -> whether a person can stand there."""
        free: Bools = ~shapely.intersects_xy(self.obstacles, xy[:, 0], xy[:, 1])
        return free

    def clear(self, start: Floats, ends: Floats) -> Bools:
        """Whether the straight way from `start` (2,) to each of `ends` (n, 2) is free."""
        if not len(ends):
            return np.zeros(0, dtype=np.bool_)
        pairs = np.stack([np.broadcast_to(start, ends.shape), ends], axis=1)
        clear: Bools = ~shapely.intersects(self.obstacles, shapely.linestrings(pairs))
        return clear

    def stand(self, xy: Floats) -> Floats:
        """The free place nearest to `xy` (2,)."""
        if self.free(xy[None])[0]:
            return xy
        edge = shapely.buffer(self.obstacles, CORNER, join_style="mitre").boundary
        nearest = shapely.get_coordinates(shapely.shortest_line(edge, shapely.Point(xy)))[0]
        place: Floats = np.asarray(nearest, dtype=np.float64)
        return place

    def path(self, start: Floats, goal: Floats) -> Floats:
        """(k, 2) bends of the shortest way, both ends included. NoWay when a wall shuts one of them in."""
        if self.clear(start, goal[None])[0]:
            return np.stack([start, goal])
        out = np.flatnonzero(self.clear(start, self._corners))
        into = np.flatnonzero(self.clear(goal, self._corners))
        if not len(out) or not len(into):
            raise NoWay(f"nobody can walk from {_text(start)} to {_text(goal)}: walls shut one of them in")
        total = (
            np.hypot(*(self._corners[out] - start).T)[:, None]
            + self._distance[np.ix_(out, into)]
            + np.hypot(*(self._corners[into] - goal).T)
        )
        best = np.unravel_index(np.argmin(total), total.shape)
        if not np.isfinite(total[best]):
            raise NoWay(f"nobody can walk from {_text(start)} to {_text(goal)}: there is no gap in the walls")
        corners = self._corners[self._chain(int(out[best[0]]), int(into[best[1]]))]
        return np.vstack([start, corners, goal])

    def reachable(self, start: Floats, goal: Floats) -> bool:
        """Whether `path` would find a way."""
        try:
            self.path(start, goal)
        except NoWay:
            return False
        return True

    def _find_corners(self) -> Floats:
        around = shapely.buffer(self.obstacles, CORNER, join_style="mitre")
        coordinates = shapely.get_coordinates(around)
        corners: Floats = np.unique(coordinates, axis=0)
        return corners[self.free(corners)] if len(corners) else corners.reshape(0, 2)

    def _connect(self) -> tuple[Floats, NDArray[np.int32]]:
        count = len(self._corners)
        if not count:
            return np.zeros((0, 0)), np.zeros((0, 0), dtype=np.int32)
        first, second = np.triu_indices(count, 1)
        pairs = np.stack([self._corners[first], self._corners[second]], axis=1)
        seen = ~shapely.intersects(self.obstacles, shapely.linestrings(pairs))
        length = np.full((count, count), np.inf)
        length[first[seen], second[seen]] = np.hypot(*(pairs[seen, 0] - pairs[seen, 1]).T)
        distance, before = shortest_path(length, method="FW", directed=False, return_predecessors=True)
        return distance, before

    def _chain(self, first: int, last: int) -> list[int]:
        chain = [last]
        while chain[-1] != first:
            step = int(self._before[first, chain[-1]])
            assert step != NO_WAY  # the distance was finite, so there is a chain
            chain.append(step)
        return chain[::-1]


def _text(xy: Floats) -> str:
    return f"({xy[0]:.1f}, {xy[1]:.1f})"
