"""The walkable floor as square cells, and which zone each cell belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from proximity.observations import Floats
from proximity.site.model import Site, Wall, Zone

CELL = 0.5  # m; a person's shoulder width, and about half of what the radio can tell
BODY = 0.25  # m from the middle of a person to a shoulder: nearer to a shelf nobody's middle comes
MOST_CELLS = 2500  # beyond it a larger cell is chosen, so that a hall of 5,000 m² costs what a shop of 600 m² does
HEADINGS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))

Neighbours = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Grid:
    """C cells with their neighbours in the eight headings."""

    low: Floats  # (C, 2) and …
    high: Floats  # (C, 2) corners of the part of each cell in which a person's middle may be, local metres
    size: float  # m, side of a whole cell
    neighbours: Neighbours  # (8, C) index of the next cell in each heading; -1: wall or edge

    @property
    def cells(self) -> Floats:
        """(C, 2) where somebody in a cell stands on average."""
        return (self.low + self.high) / 2.0


def indoor_zones(site: Site) -> tuple[Zone, ...]:
    """The zones that radios judge, in the site's order: those whose outline is in local metres and not outdoor."""
    return tuple(z for z in site.zones if not z.outdoor and z.frame == "local")


def knows_places(site: Site) -> bool:
    """Whether a grid can be laid: outlines, and at least three anchors with a place."""
    return bool(indoor_zones(site)) and sum(a.x is not None and a.y is not None for a in site.anchors) >= 3


def grid_for(site: Site, walkable: Floats | None = None, size: float | None = None) -> Grid:
    """The floor of a site. ValueError: fewer than two cells.

    `walkable`: (C, 2) centres of cells on a square lattice, as an occupancy map lists them; None: the box around zones
    and anchors, for a shop ends at its walls. `size`: side of a cell in metres; None: the lattice's, else `CELL`, or
    more for a large floor.
    """
    if walkable is None:
        cells, size, end = _box(site, size)
    else:
        cells = np.asarray(walkable, dtype=np.float64)
        size = size if size is not None else _pitch(cells)
    if len(cells) < 2:
        raise ValueError(f"site {site.id}: the walkable floor has fewer than two cells")
    low, high = cells - size / 2.0, cells + size / 2.0
    if walkable is None:
        high = np.minimum(high, end)
    else:
        _keep_off(low, high, _neighbours(cells, size, ()))
    return Grid(low, high, size, _neighbours(cells, size, site.walls))


def _keep_off(low: Floats, high: Floats, free: Neighbours) -> None:
    """Cells beside what nobody walks on lose the strip along it that only shoulders reach. In place."""
    for axis, (after, before) in enumerate(((0, 4), (2, 6))):  # headings along each axis
        ends, begins = free[after] < 0, free[before] < 0
        width = high[:, axis] - low[:, axis]
        strip = np.where(ends & begins, np.minimum(BODY, 0.48 * width), np.minimum(BODY, 0.96 * width))
        high[ends, axis] -= strip[ends]
        low[begins, axis] += strip[begins]  # in the narrowest aisle people walk along its middle


def membership(grid: Grid, zones: Sequence[Zone]) -> Floats:
    """(C, Z + 1) share of each cell in each zone, last column in none. Where zones overlap the smaller one has it."""
    boxes = shapely.box(grid.low[:, 0], grid.low[:, 1], grid.high[:, 0], grid.high[:, 1])
    shares = np.zeros((len(grid.cells), len(zones) + 1))
    taken = shapely.Polygon()
    for z in sorted(range(len(zones)), key=lambda z: zones[z].outline.area):
        rest = zones[z].outline.difference(taken)
        shares[:, z] = shapely.area(shapely.intersection(boxes, rest)) / shapely.area(boxes)
        taken = taken.union(zones[z].outline)
    shares[:, -1] = np.maximum(1.0 - shares[:, :-1].sum(axis=1), 0.0)
    return shares


def _box(site: Site, size: float | None) -> tuple[Floats, float, Floats]:
    """Centres (C, 2), side, and the upper corner (2,) at which the floor ends, within the last cells."""
    outlines = [z.outline.bounds for z in indoor_zones(site)]
    places = [(a.x, a.y, a.x, a.y) for a in site.anchors if a.x is not None and a.y is not None]
    bounds = np.array(outlines + places, dtype=np.float64).reshape(-1, 4)
    if not len(bounds):
        raise ValueError(
            f"site {site.id}: neither zones nor anchors have a place, so there is no floor to lay a grid on"
        )
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    if size is None:
        size = max(CELL, float(np.sqrt(np.prod(high - low) / MOST_CELLS)))
    x, y = (np.arange(a + size / 2, b, size) for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2), size, high


def _pitch(cells: Floats) -> float:
    """The smallest step between columns of the lattice."""
    steps = np.diff(np.unique(cells[:, 0]))
    return float(steps[steps > 1e-6].min()) if len(steps) else CELL


def _neighbours(cells: Floats, size: float, walls: Sequence[Wall]) -> Neighbours:
    lattice = np.rint((cells - cells.min(axis=0)) / size).astype(np.intp)
    index = np.full(lattice.max(axis=0) + 3, -1, dtype=np.intp)  # a rim of -1 around
    column, row = lattice[:, 0] + 1, lattice[:, 1] + 1
    index[column, row] = np.arange(len(cells))
    found = np.stack([index[column + dx, row + dy] for dx, dy in HEADINGS])
    for k in range(1, 8, 2):  # nobody squeezes diagonally past a corner
        found[k][(found[k - 1] < 0) | (found[(k + 1) % 8] < 0)] = -1
    if walls:
        solid = shapely.union_all([shapely.LineString([(w.x1, w.y1), (w.x2, w.y2)]) for w in walls])
        for k in range(8):
            ways = shapely.linestrings(np.stack([cells, cells[found[k]]], axis=1))
            found[k][shapely.intersects(ways, solid)] = -1
    return found
