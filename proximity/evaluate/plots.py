"""Reports as pictures (PNG). matplotlib is imported here only, so that evaluating without `--plot` does not need it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proximity.errors import ProximityError
from proximity.evaluate.danis import QUADRANTS, DanisReport, Walked, danis_site
from proximity.evaluate.metrics import Calibration, Labels, distance_errors
from proximity.evaluate.sal_rb import Passed, SalReport
from proximity.observations import Floats
from proximity.site.model import Site

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as error:
    raise ProximityError("plots need matplotlib: pip install 'proximity[plots]', or leave --plot out.") from error

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#bbbbbb")  # Paul Tol's bright scheme, safe for the colour-blind
TRUTH, ESTIMATE = "#222222", "#ee6677"
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9,
    "legend.frameon": False,
    "figure.dpi": 130,
    "savefig.bbox": "tight",
}


def plot_danis(
    data: Path, report: DanisReport, walked: Sequence[Walked], walkable: Floats | None, folder: Path
) -> list[Path]:
    """Floor plan and belief of each track, error curves, confusion, reliability. The files written."""
    site = danis_site(data, report.split)
    with mpl.rc_context(STYLE):
        files = []
        for walk in walked:
            name = walk.file.removesuffix(".gz").removesuffix(".mbd")
            files.append(_save(_floor_plan(site, walk, walkable), folder / f"{name}.png"))
            belief = _belief(
                walk.track.at, walk.track.belief, [*QUADRANTS, "none"], walk.zone, walk.track.reported, walk.file
            )
            files.append(_save(belief, folder / f"{name}-belief.png"))
        files.append(_save(_error_curves(walked), folder / "errors.png"))
        truth, reported = (
            np.concatenate(column) for column in zip(*((w.zone, w.track.reported) for w in walked), strict=True)
        )
        files.append(_save(_confusion(truth, reported, [*QUADRANTS, "none"]), folder / "zones.png"))
        files.append(_save(_reliability(report.calibration), folder / "reliability.png"))
        return files


def plot_sal_rb(report: SalReport, passed: Sequence[Passed], folder: Path) -> list[Path]:
    """Belief of each recording, confusion, reliability. The files written."""
    names = ["inside", "outside", "unknown"]
    with mpl.rc_context(STYLE):
        files = []
        for passage in passed:
            name = passage.file.removesuffix(".gz").removesuffix(".csv")
            track = passage.track
            figure = _belief(track.at, track.belief, ["inside", "outside", "none"], passage.truth, track.reported, name)
            files.append(_save(figure, folder / f"{name}-belief.png"))
        truth, reported = (
            np.concatenate(column) for column in zip(*((p.truth, p.track.reported) for p in passed), strict=True)
        )
        files.append(_save(_confusion(truth, reported, names), folder / "zones.png"))
        files.append(_save(_reliability(report.calibration), folder / "reliability.png"))
        return files


def _floor_plan(site: Site, walk: Walked, walkable: Floats | None) -> Figure:
    figure = Figure(figsize=(7.6, 6.2))
    axes = figure.subplots()
    middle_x, middle_y, width, depth = site.zone("north-east").outline.bounds
    axes.add_patch(mpl.patches.Rectangle((0, 0), width, depth, facecolor="#e4e4e4", edgecolor="#888888"))
    if walkable is not None:
        size = float(np.diff(np.unique(walkable[:, 0])).min())
        squares = [mpl.patches.Rectangle((x - size / 2, y - size / 2), size, size) for x, y in walkable]
        axes.add_collection(mpl.collections.PatchCollection(squares, facecolor="white", edgecolor="none"))
    axes.plot(
        [middle_x, middle_x], [0, depth], [0, width], [middle_y, middle_y], color="#999999", ls=(0, (4, 3)), lw=0.8
    )
    for anchor in site.anchors:
        if anchor.x is None or anchor.y is None:
            continue
        axes.plot(anchor.x, anchor.y, marker="^", color="#4477aa", ms=7, mec="white", zorder=5)
        axes.annotate(
            anchor.id.removeprefix("sensor"), (anchor.x, anchor.y), (5, 4), textcoords="offset points", fontsize=7
        )
    for k in range(0, len(walk.truth), 8):
        axes.plot(*zip(walk.truth[k], walk.track.position[k], strict=True), color="#bbbbbb", lw=0.7, zorder=2)
    axes.plot(*walk.truth.T, color=TRUTH, lw=1.8, label="true way", zorder=4)
    axes.plot(*walk.track.position.T, color=ESTIMATE, lw=1.4, label="estimate", zorder=3)
    axes.plot(*walk.truth[0], marker="o", color=TRUTH, ms=6, zorder=6)
    errors = distance_errors(walk.track.position, walk.truth)
    axes.set_title(f"{walk.file}: mean error {np.nanmean(errors):.2f} m")
    axes.set_xlabel("x (m); grey lines join truth and estimate every two seconds, the dot is the start")
    axes.set_ylabel("y (m)")
    axes.set_aspect("equal")
    axes.set_xlim(-0.8, width + 0.8)
    axes.set_ylim(-0.8, depth + 0.8)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.04), ncols=2)
    return figure


def _belief(at: Floats, belief: Floats, names: Sequence[str], truth: Labels, reported: Labels, title: str) -> Figure:
    """Stacked probabilities over time, below them the truth and what was reported."""
    figure = Figure(figsize=(9.0, 3.6))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1), gridspec_kw={"hspace": 0.08})
    seconds = at - at[0]
    colours = _colours(names)
    above.stackplot(seconds, belief.T, colors=colours, labels=names, lw=0)
    above.set_ylim(0, 1)
    above.set_ylabel("probability")
    above.set_title(title)
    above.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    edges = np.append(seconds, seconds[-1] + (seconds[-1] - seconds[-2]))
    strip = mpl.colors.ListedColormap(colours)
    below.pcolormesh(edges, [0, 1, 2], np.stack([reported, truth]), cmap=strip, vmin=-0.5, vmax=len(names) - 0.5)
    below.set_yticks([0.5, 1.5], ["reported", "true"])
    below.axhline(1, color="white", lw=2)
    below.tick_params(axis="y", length=0)
    below.set_xlabel("time (s)")
    return figure


def _error_curves(walked: Sequence[Walked]) -> Figure:
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    parts = {w.file.split("_all_sensors")[0]: distance_errors(w.track.position, w.truth) for w in walked}
    for k, (name, errors) in enumerate(parts.items()):
        known = np.sort(errors[np.isfinite(errors)])
        axes.plot(known, np.arange(1, len(known) + 1) / len(known), lw=1.1, color=COLOURS[k % 4], alpha=0.8, label=name)
    every = np.concatenate(list(parts.values()))
    every = np.sort(every[np.isfinite(every)])
    axes.plot(every, np.arange(1, len(every) + 1) / len(every), color=TRUTH, lw=2.0, label="all")
    for share in (0.5, 0.9):
        axes.axhline(share, color="#cccccc", lw=0.8, zorder=0)
    axes.set_xlim(0, max(4.0, float(np.percentile(every, 99))))
    axes.set_ylim(0, 1)
    axes.set_xlabel("position error (m)")
    axes.set_ylabel("share of time")
    axes.set_title("Share of time with at most this error")
    axes.legend(loc="lower right", fontsize=8)
    return figure


def _confusion(truth: Labels, reported: Labels, names: Sequence[str]) -> Figure:
    """Rows are true, columns reported, as shares of each row."""
    shown = [k for k in range(len(names)) if (truth == k).any() or (reported == k).any()]
    rows = [k for k in shown if (truth == k).any()]
    share = np.array([[np.mean(reported[truth == r] == c) for c in shown] for r in rows])
    figure = Figure(figsize=(1.2 + 1.0 * len(shown), 1.0 + 0.75 * len(rows)))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(share.shape):
        axes.text(j, i, f"{share[i, j]:.1%}", ha="center", va="center", color="white" if share[i, j] > 0.6 else TRUTH)
    axes.set_xticks(range(len(shown)), [names[k] for k in shown])
    axes.set_yticks(range(len(rows)), [names[k] for k in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("reported")
    axes.set_ylabel("true")
    axes.set_title("Share of time in each zone")
    return figure


def _reliability(calibration: Calibration) -> Figure:
    figure = Figure(figsize=(4.6, 4.2))
    axes = figure.subplots()
    bins = [(b.claimed, b.right, b.moments) for b in calibration.bins if b.claimed is not None and b.right is not None]
    claimed, right, moments = (np.array(column) for column in zip(*bins, strict=True))
    axes.plot([0, 1], [0, 1], color="#999999", ls=(0, (4, 3)), lw=1)
    axes.plot(claimed, right, color=COLOURS[0], lw=1.2, zorder=2)
    axes.scatter(claimed, right, s=20 + 400 * moments / moments.sum(), color=COLOURS[0], zorder=3)
    axes.set_xlim(0.2, 1.02)
    axes.set_ylim(0.2, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("claimed confidence; larger dots hold more moments")
    axes.set_ylabel("share right")
    axes.set_title(f"Reliability: calibration error {calibration.ece:.3f}")
    return figure


def _colours(names: Sequence[str]) -> list[str]:
    """The last, for none of them, is grey."""
    return [COLOURS[k % 4] for k in range(len(names) - 1)] + [COLOURS[-1]]


def _save(figure: Any, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise ProximityError(f"{path}: cannot be written ({error.strerror or error}).") from None
    return path
