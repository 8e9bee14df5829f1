"""Cost against size, as tables and plots: what grows, and what does not."""

from collections.abc import Callable, Sequence
from pathlib import Path

from proximity.bench.geofence import geofence
from proximity.bench.presence import presence
from proximity.bench.report import Report, Row
from proximity.bench.rules import rules

DEVICES = (1_000, 10_000, 100_000)
GATEWAYS = (10, 100, 1_000)
FENCES = (100, 1_000, 10_000, 100_000)
RULES = (10, 100, 1_000, 10_000)


def growth(folder: Path) -> Report:
    """Microseconds a sighting, fix or decision; `growth.png` in `folder`."""
    by_devices = _costs(DEVICES, lambda size: presence(size, max(size // 100, 10), 3, ("strongest",)).rows[0])
    by_gateways = _costs(GATEWAYS, lambda size: presence(30_000, size, 3, ("strongest",)).rows[0])
    fences = dict(zip(FENCES, geofence(20_000, 3, FENCES).rows[1:], strict=True))
    by_fences = _costs(FENCES, lambda size: fences[size])
    by_rules = _costs(RULES, lambda size: rules((size,), 20_000).rows[1])
    curves = {
        "devices": ("a sighting", by_devices),
        "gateways": ("a sighting", by_gateways),
        "fences": ("a fix", by_fences),
        "rules": ("a decision", by_rules),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _plot(curves, folder / "growth.png")
    rows = [Row(f"{size:,} {what}", cost, f"µs {of}") for what, (of, points) in curves.items() for size, cost in points]
    return Report("growth", "cost of one thing as the chain grows", rows)


def _costs(sizes: Sequence[int], run: Callable[[int], Row]) -> list[tuple[int, float]]:
    return [(size, 1e6 / run(size).value) for size in sizes]


def _plot(curves: dict[str, tuple[str, list[tuple[int, float]]]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axes, (what, (of, points)) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", color="#0b6e4f", linewidth=2)
        axes.set(xscale="log", xlabel=what, ylabel=f"µs {of}", ylim=(0, 1.3 * max(cost for _, cost in points)))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)
