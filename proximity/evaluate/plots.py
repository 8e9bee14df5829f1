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
from proximity.presence.locator import TICK
from proximity.site.model import Site

try:
    import matplotlib as mpl
    import matplotlib.ticker
    from matplotlib.figure import Figure
except ImportError as error:
    raise ProximityError("plots need matplotlib: pip install 'proximity[plots]', or leave --plot out.") from error

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#bbbbbb")  # Paul Tol's bright scheme, safe for the colour-blind
TINTS = ("#eaf0f6", "#fdeff1", "#e8f3ea", "#faf7e6")  # the same in pale, for floors
INK, ESTIMATE, SHELF, PALE = "#222222", "#aa3377", "#c9ccd1", "#8a8f98"
EVERY = 8  # ticks, two seconds: between two lines that join truth and estimate
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALE,
    "axes.labelcolor": "#555555",
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "font.size": 9,
    "legend.frameon": False,
    "figure.dpi": 140,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.2,
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
                walk.track.at, walk.track.belief, [*QUADRANTS, "none"], walk.zone, walk.track.reported, title(walk.file)
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
            figure = _belief(
                track.at, track.belief, ["inside", "outside", "none"], passage.truth, track.reported, title(name)
            )
            files.append(_save(figure, folder / f"{name}-belief.png"))
        truth, reported = (
            np.concatenate(column) for column in zip(*((p.truth, p.track.reported) for p in passed), strict=True)
        )
        files.append(_save(_confusion(truth, reported, names), folder / "zones.png"))
        files.append(_save(_reliability(report.calibration), folder / "reliability.png"))
        return files


def title(file: str) -> str:
    """A recording's name for people."""
    stem = file.removesuffix(".gz").removesuffix(".mbd").removesuffix(".csv").removesuffix("_all_sensors")
    return stem.replace("_", " ").capitalize()


def _floor_plan(site: Site, walk: Walked, walkable: Floats | None) -> Figure:
    figure = Figure(figsize=(8.0, 7.0))
    axes = figure.subplots()
    _room(axes, site, walkable)
    truth, estimate, wrong = walk.truth, walk.track.position, walk.track.reported != walk.zone
    for k in range(0, len(truth), EVERY):
        axes.plot(*zip(truth[k], estimate[k], strict=True), color=ESTIMATE, alpha=0.35, lw=0.7, zorder=3)
    missed = np.where(wrong[:, None], truth, np.nan)
    axes.plot(*missed.T, color=COLOURS[3], lw=9, alpha=0.7, solid_capstyle="round", label="zone told wrong", zorder=2)
    axes.plot(*truth.T, color=INK, lw=2.0, label="true way", zorder=5)
    axes.plot(*estimate.T, color=ESTIMATE, lw=1.5, label="estimate", zorder=4)
    axes.plot(*truth[0], marker="o", color=INK, ms=8, mec="white", ls="", label="start", zorder=7)
    axes.plot(*truth[-1], marker="s", color=INK, ms=7, mec="white", ls="", label="end", zorder=7)
    errors = distance_errors(estimate, truth)
    known = errors[np.isfinite(errors)]
    axes.set_title(title(walk.file), pad=26)
    told = f"error {known.mean():.2f} m on average, nine in ten below {np.percentile(known, 90):.2f} m"
    axes.text(
        0, 1.012, f"{told}; zone right {np.mean(~wrong):.0%} of the time", transform=axes.transAxes, color="#555555"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=6, handlelength=1.6, columnspacing=1.4)
    return figure


def _room(axes: Any, site: Site, walkable: Floats | None) -> None:
    """Zones, shelves and gateways, in metres."""
    for k, zone in enumerate(site.zones):
        x, y = zone.outline.exterior.xy
        axes.fill(x, y, facecolor=TINTS[k % 4], edgecolor=PALE, ls=(0, (4, 3)), lw=0.8, zorder=0)
    low_x, low_y, high_x, high_y = _bounds(site)
    if walkable is not None:
        size = float(np.diff(np.unique(walkable[:, 0])).min())
        free = {(round(x / size), round(y / size)) for x, y in walkable.tolist()}
        columns, rows = (
            range(round(low_x / size), round(high_x / size) + 1),
            range(round(low_y / size), round(high_y / size) + 1),
        )
        corners = [((i - 0.5) * size, (j - 0.5) * size) for i in columns for j in rows if (i, j) not in free]
        shelves = [mpl.patches.Rectangle(corner, size, size) for corner in corners]
        room = mpl.patches.Rectangle((low_x, low_y), high_x - low_x, high_y - low_y, transform=axes.transData)
        blocked = mpl.collections.PatchCollection(shelves, facecolor=SHELF, edgecolor=SHELF, lw=0.3, zorder=1)
        axes.add_collection(blocked)
        blocked.set_clip_path(room)
    for k, zone in enumerate(site.zones):
        x1, y1, x2, y2 = zone.outline.bounds
        left, bottom = x1 == low_x, y1 == low_y
        axes.annotate(
            zone.name.replace("-", " "),
            (x1 if left else x2, y1 if bottom else y2),
            (6 if left else -6, 6 if bottom else -6),
            textcoords="offset points",
            ha="left" if left else "right",
            va="bottom" if bottom else "top",
            color=COLOURS[k % 4],
            weight="bold",
            fontsize=8,
            zorder=6,
        )
    placed = [a for a in site.anchors if a.x is not None and a.y is not None]
    axes.plot(
        [a.x for a in placed],
        [a.y for a in placed],
        "^",
        color=COLOURS[0],
        ms=9,
        mec="white",
        label="gateway",
        zorder=6,
    )
    for anchor in placed:
        axes.annotate(
            anchor.id.removeprefix("sensor"),
            (anchor.x, anchor.y),
            (6, 5),
            textcoords="offset points",
            fontsize=7,
            zorder=6,
        )
    axes.set_aspect("equal")
    axes.set_xlim(low_x - 0.6, high_x + 0.6)
    axes.set_ylim(low_y - 0.6, high_y + 0.6)
    axes.xaxis.set_major_locator(mpl.ticker.MultipleLocator(5))
    axes.yaxis.set_major_locator(mpl.ticker.MultipleLocator(5))
    axes.xaxis.set_major_formatter("{x:.0f} m")
    axes.yaxis.set_major_formatter("{x:.0f} m")
    axes.tick_params(length=3)
    axes.spines[:].set_visible(False)


def _bounds(site: Site) -> tuple[float, float, float, float]:
    """Of all zones together."""
    every = np.array([zone.outline.bounds for zone in site.zones])
    (low_x, low_y), (high_x, high_y) = every[:, :2].min(axis=0), every[:, 2:].max(axis=0)
    return float(low_x), float(low_y), float(high_x), float(high_y)


def _belief(at: Floats, belief: Floats, names: Sequence[str], truth: Labels, reported: Labels, name: str) -> Figure:
    """Stacked probabilities over time, below them the truth and what was reported."""
    figure = Figure(figsize=(9.0, 3.8))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1), gridspec_kw={"hspace": 0.1})
    seconds = at - at[0]
    colours = _colours(names)
    above.stackplot(seconds, belief.T, colors=colours, lw=0)
    for moment in seconds[np.flatnonzero(np.diff(truth)) + 1]:
        above.axvline(moment, color="white", lw=1.4, ls=(0, (3, 2)))
    shown = [k for k in range(len(names)) if belief[:, k].max() >= 0.05 or (reported == k).any()]
    patches = [mpl.patches.Patch(color=colours[k], label=names[k].replace("-", " ")) for k in shown]
    above.legend(handles=patches[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))
    above.set_ylim(0, 1)
    above.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    above.set_ylabel("belief")
    above.tick_params(axis="x", length=0)
    above.set_title(f"{name}: zone right {np.mean(truth == reported):.0%} of the time")
    edges = np.append(seconds, seconds[-1] + (seconds[-1] - seconds[-2]))
    strip = mpl.colors.ListedColormap(colours)
    below.pcolormesh(edges, [0, 1, 2], np.stack([reported, truth]), cmap=strip, vmin=-0.5, vmax=len(names) - 0.5)
    below.set_yticks([0.5, 1.5], ["told", "true"])
    below.axhline(1, color="white", lw=2)
    below.tick_params(axis="y", length=0)
    below.spines[:].set_visible(False)
    below.set_xlabel("seconds; dashed: true changes of zone")
    below.set_xlim(0, float(edges[-1]))
    return figure


def _error_curves(walked: Sequence[Walked]) -> Figure:
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.subplots()
    parts = {title(w.file): distance_errors(w.track.position, w.truth) for w in walked}
    for k, (name, errors) in enumerate(parts.items()):
        known = np.sort(errors[np.isfinite(errors)])
        axes.plot(known, np.arange(1, len(known) + 1) / len(known), lw=1.1, color=COLOURS[k % 4], alpha=0.8, label=name)
    every = np.concatenate(list(parts.values()))
    every = np.sort(every[np.isfinite(every)])
    axes.plot(every, np.arange(1, len(every) + 1) / len(every), color=INK, lw=2.2, label="All")
    for share in (0.5, 0.9):
        metres = float(np.quantile(every, share))
        axes.plot([0, metres, metres], [share, share, 0], color=PALE, lw=0.8, ls=(0, (3, 2)), zorder=0)
        axes.annotate(
            f"{share:.0%} below {metres:.2f} m", (0.04, share), (0, 3), textcoords="offset points", fontsize=8
        )
    axes.set_xlim(0, max(4.0, float(np.percentile(every, 99))))
    axes.set_ylim(0, 1)
    axes.set_xlabel("position error (m)")
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, 0))
    axes.set_ylabel("share of time")
    axes.set_title("How far off the estimate is")
    axes.legend(loc="lower right", fontsize=8)
    return figure


def _confusion(truth: Labels, reported: Labels, names: Sequence[str]) -> Figure:
    """Rows are true, columns reported, as shares of each row."""
    shown = [k for k in range(len(names)) if (truth == k).any() or (reported == k).any()]
    rows = [k for k in shown if (truth == k).any()]
    share = np.array([[np.mean(reported[truth == r] == c) for c in shown] for r in rows])
    figure = Figure(figsize=(1.6 + 1.1 * len(shown), 1.0 + 0.8 * len(rows)))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(share.shape):
        weight = "bold" if rows[i] == shown[j] else "normal"
        text = f"{share[i, j]:.1%}" if share[i, j] else "–"
        axes.text(j, i, text, ha="center", va="center", color="white" if share[i, j] > 0.6 else INK, weight=weight)
    axes.set_xticks(range(len(shown)), [names[k].replace("-", " ") for k in shown])
    minutes = [f"{names[k].replace('-', ' ')}\n{(truth == k).sum() * TICK / 60:.1f} min" for k in rows]
    axes.set_yticks(range(len(rows)), minutes)
    axes.set_xticks(np.arange(len(shown) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("told")
    axes.set_ylabel("true")
    axes.set_title(f"Zones told: {np.mean(truth == reported):.1%} of the time right")
    return figure


def _reliability(calibration: Calibration) -> Figure:
    figure = Figure(figsize=(4.8, 5.4))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1), gridspec_kw={"hspace": 0.08})
    bins = [b for b in calibration.bins if b.claimed is not None and b.right is not None]
    claimed, right = np.array([b.claimed for b in bins]), np.array([b.right for b in bins])
    moments = np.array([b.moments for b in calibration.bins])
    above.plot([0, 1], [0, 1], color=PALE, ls=(0, (4, 3)), lw=1)
    above.annotate("as claimed", (0.36, 0.36), (4, -12), textcoords="offset points", color="#555555", fontsize=8)
    size = 25 + 250 * np.array([b.moments for b in bins]) / moments.sum()
    above.plot(claimed, right, color=COLOURS[0], lw=1.2, zorder=2)
    above.scatter(claimed, right, s=size, color=COLOURS[0], edgecolor="white", zorder=3)
    above.set_ylim(0.2, 1.04)
    above.set_ylabel("share right")
    above.tick_params(axis="x", length=0)
    above.set_title(f"Confidence means what it says\nwithin {calibration.ece:.1%} on average")
    edges = [b.low for b in calibration.bins]
    below.bar(edges, moments / moments.sum(), width=0.09, align="edge", color=COLOURS[0], alpha=0.5)
    below.set_ylabel("moments")
    below.set_xlim(0.2, 1.04)
    below.set_xlabel("confidence claimed")
    for axis in (above.yaxis, below.xaxis, below.yaxis):
        axis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, 0))
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
