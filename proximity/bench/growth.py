"""Cost against size, as tables and plots: what grows with the chain, and what does not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from proximity.bench.geofence import among_polygons
from proximity.bench.growth_plot import Curve, Panel, canvas, draw
from proximity.bench.memory import tracked
from proximity.bench.presence import presence
from proximity.bench.report import Report, Row
from proximity.bench.rules import rules
from proximity.site.model import LocatorName

LOCATORS: tuple[LocatorName, ...] = ("strongest", "zones")
SECONDS = 3
GROWING = ("devices", "gateways", "fences", "rules", "tracked")


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured, from small to large; and what stays as it is while something else grows."""

    devices: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000, 100_000)
    gateways: tuple[int, ...] = (10, 30, 100, 300, 1_000, 3_000)
    fences: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    rules: tuple[int, ...] = (10, 100, 1_000, 10_000)
    tracked: tuple[int, ...] = (1_000, 10_000, 100_000, 300_000)
    steady: int = 30_000  # devices, while the gateways grow
    phones: int = 20_000  # while the fences grow
    decisions: int = 20_000  # while the rules grow

    def up_to(self, most: int) -> "Sizes":
        """Without the larger ones."""
        lists: dict[str, Any] = {name: tuple(n for n in getattr(self, name) if n <= most) for name in GROWING}
        return replace(self, **lists, steady=min(self.steady, most), phones=min(self.phones, most))


def growth(folder: Path, sizes: Sizes) -> Report:
    """Microseconds of a core for a sighting, fix or decision, and bytes of a device; `growth.png` in `folder`.

    ProximityError when the plot cannot be drawn or written.
    """
    path = canvas(folder)
    panels = (
        _presence(
            "devices",
            "a gateway for each hundred, in shops of ten",
            {devices: (devices, max(devices // 100, 10)) for devices in sizes.devices},
        ),
        _presence(
            "gateways",
            f"in shops of ten, {sizes.steady:,} devices in all",
            {gateways: (sizes.steady, gateways) for gateways in sizes.gateways},
        ),
        *_fences(sizes.fences, sizes.phones),
        _rules(sizes.rules, sizes.decisions),
        _memory(sizes.tracked),
    )
    draw(panels, path)
    rows = [
        Row(f"{panel.across}: {size:,}, {curve.name}", value, panel.unit)
        for panel in panels
        for curve in panel.curves
        if not curve.limit
        for size, value in curve.points
    ]
    return Report("growth", "cost of one thing as the chain grows", rows, {**asdict(sizes), "plot": str(path)})


def _presence(across: str, about: str, sizes: Mapping[int, tuple[int, int]]) -> Panel:
    """`sizes`: size -> devices and gateways."""
    rows = {size: presence(*both, SECONDS, LOCATORS).rows for size, both in sizes.items()}
    curves = [
        Curve(name, [(size, _micros(found[number].value)) for size, found in rows.items()])
        for number, name in enumerate(LOCATORS)
    ]
    limit = Curve("NumPy alone", [(size, _micros(found[0].limit)) for size, found in rows.items()], limit=True)
    return Panel(f"More {across}", about, across, "µs a sighting", (*curves, limit))


def _fences(sizes: Sequence[int], phones: int) -> tuple[Panel, Panel]:
    found = {size: among_polygons(size, phones, SECONDS) for size in sizes}
    fixes = Curve("presence", [(size, _micros(one.row.value)) for size, one in found.items()])
    limit = Curve("shapely alone", [(size, _micros(one.row.limit)) for size, one in found.items()], limit=True)
    edits = Curve("one more", [(size, one.one_more) for size, one in found.items()])
    return (
        Panel("More fences", f"polygons of shop size, {phones:,} phones", "fences", "µs a fix", (fixes, limit)),
        Panel("One more fence", "put while the service runs", "fences", "ms an edit", (edits,)),
    )


def _rules(sizes: Sequence[int], decisions: int) -> Panel:
    points = [(size, _micros(rules((size,), decisions).rows[1].value)) for size in sizes]
    return Panel("More rules", "ten listen to each zone", "rules", "µs a decision", (Curve("decide", points),))


def _memory(sizes: Sequence[int]) -> Panel:
    points = [(size, tracked(size, max(size // 100, 10)).bytes) for size in sizes]
    return Panel(
        "Memory", "of presence, each device in an open visit", "devices", "bytes a device", (Curve("presence", points),)
    )


def _micros(rate: float | None) -> float:
    """Microseconds of one, of so many a second."""
    return 1e6 / (rate or 1e6)
