"""How cost grows, drawn: both axes in powers of ten, so that what does not grow is a level line."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import sqrt
from pathlib import Path
from typing import Any

from proximity.errors import ProximityError

ACROSS = 3  # panels in a row
DECADES = 3.2  # of every vertical axis, so that slopes can be compared


@dataclass(frozen=True, slots=True)
class Curve:
    """Size and cost, from small to large."""

    name: str
    points: Sequence[tuple[int, float]]
    limit: bool = False  # what was measured beside it with nothing of ours around


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over one kind of size."""

    title: str
    about: str  # what stays as it is
    across: str  # what there is more of
    unit: str
    curves: Sequence[Curve]


def canvas(folder: Path) -> Path:
    """`growth.png` in `folder`, which is made when it is missing. ProximityError without matplotlib, or where nothing
    can be written: better before a long measurement than after it."""
    importlib.import_module("proximity.evaluate.plots")  # which says what to install
    path = folder / "growth.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise ProximityError(f"{path}: cannot be written ({error.strerror or error}).") from None
    return path


def draw(panels: Sequence[Panel], path: Path) -> None:
    """To a `canvas`. ProximityError when it cannot be written."""
    import matplotlib as mpl
    import matplotlib.figure

    from proximity.evaluate.plots import STYLE

    with mpl.rc_context(STYLE):
        down = -(-len(panels) // ACROSS)
        figure = mpl.figure.Figure(figsize=(12.0, 3.8 * down))
        figure.subplots_adjust(hspace=0.5, wspace=0.3)
        places = figure.subplots(down, ACROSS, squeeze=False).ravel()
        for place, panel in zip(places, panels, strict=False):
            _panel(place, panel)
        for place in places[len(panels) :]:
            place.set_visible(False)
        try:
            figure.savefig(path)
        except OSError as error:
            raise ProximityError(f"{path}: cannot be written ({error.strerror or error}).") from None


def _panel(axes: Any, panel: Panel) -> None:
    from matplotlib import ticker

    from proximity.evaluate.plots import COLOURS, PALE

    colours = cycle(COLOURS)
    for curve in panel.curves:
        colour = PALE if curve.limit else next(colours)
        look = {"ls": (0, (4, 3)), "lw": 1.4} if curve.limit else {"marker": "o", "ms": 5, "lw": 2.0}
        axes.plot(*zip(*curve.points, strict=True), color=colour, label=curve.name, clip_on=False, **look)
        if not curve.limit:
            first = -14 if curve is panel.curves[0] else 7  # points below or above: the first curve has room below it
            for point, side, up in ((curve.points[0], "left", first), (curve.points[-1], "right", 7)):
                words = {"textcoords": "offset points", "ha": side, "color": colour, "fontsize": 8}
                axes.annotate(_told(point[1]), point, (0, up), **words)
    costs = [cost for curve in panel.curves for _, cost in curve.points]
    middle = sqrt(min(costs) * max(costs))
    low, high = middle / 10 ** (DECADES / 2), middle * 10 ** (DECADES / 2)
    axes.set(xscale="log", yscale="log", xlabel=panel.across, ylabel=panel.unit)
    (least, cost), (largest, _) = panel.curves[0].points[0], panel.curves[0].points[-1]
    sizes = (least, largest)
    axes.plot(
        sizes, [cost * size / least for size in sizes], color=PALE, ls=":", lw=1.0, label="in proportion", zorder=1
    )
    axes.set_ylim(low, high)
    axes.set_title(panel.title, fontsize=11, pad=24)
    axes.text(0, 1.04, panel.about, transform=axes.transAxes, color="#555555", fontsize=8.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _told(value)))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(which="major", color="#e6e8eb", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", fontsize=8, ncols=2, handlelength=2.0, columnspacing=1.2)


def _told(value: float) -> str:
    """As people write it."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 100 else f"{value:.2g}"
