"""The reports as tables for people."""

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from proximity.evaluate.compare import Compared
from proximity.evaluate.danis import DanisReport
from proximity.evaluate.density import Density
from proximity.evaluate.metrics import Calibration, Errors, Events
from proximity.evaluate.sal_rb import SalReport

NOTHING = "–"


def danis_tables(report: DanisReport) -> Iterator[Table]:
    """Tracks, their events, stationary logs, calibration."""
    survey = "with survey" if report.survey else "without survey"
    table = _table(
        f"danis_ble_rpi, {report.method} {survey}: metres", "track", "mean", "median", "p90", *_RIGHT, "clear"
    )
    for t in report.tracks:
        right = (_share(t.zone_right), _share(t.zone_right_belief), _share(t.zone_right_clear))
        table.add_row(_name(t.file), *_errors(t.position), *right)
    table.add_section()
    right = (_share(report.zone_right), _share(report.zone_right_belief), _share(report.zone_right_clear))
    table.add_row("all", *_errors(report.position), *right)
    yield table
    yield _events({_name(t.file): t.events for t in report.tracks} | {"all": report.events})
    if report.stationary:
        still = _table("stationary logs: every change is false", "log", "minutes", "changes", "right", "mean", "p90")
        for s in report.stationary:
            mean, _, p90 = (NOTHING,) * 3 if s.position is None else _errors(s.position)
            still.add_row(_name(s.file), f"{s.seconds / 60:.1f}", str(s.zone_changes), _share(s.zone_right), mean, p90)
        yield still
    yield _calibration(report.calibration)


def sal_rb_tables(report: SalReport) -> Iterator[Table]:
    """Recordings and groups, their events, calibration."""
    table = _table(f"sal_rb_doorway, {report.mode}, {report.method}{_cars(report)}", "recording", "fitted on", *_RIGHT)
    for f in report.files:
        fitted = f"{len(f.fitted_on)} others" if f.fitted_on else NOTHING
        table.add_row(_name(f.file), fitted, _share(f.right), _share(f.right_belief))
    table.add_section()
    for name, group in report.groups.items():
        table.add_row(f"all {name}", "", _share(group.right), _share(group.right_belief))
    yield table
    yield _events(
        {_name(f.file): f.events for f in report.files} | {f"all {n}": g.events for n, g in report.groups.items()}
    )
    yield _calibration(report.calibration)


_RIGHT = ("right", "by belief")


def _cars(report: SalReport) -> str:
    """What a car has to be driven in, where it tells."""
    if report.mode == "fitted" or "car" not in report.groups or not report.car_length:
        return ""
    return f", cars {report.car_length:g} m in"


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _events(rows: Mapping[str, Events]) -> Table:
    table = _table(
        "changes of zone: delays in seconds", "", "true", "told", "prec", "rec", "F1", "delay", "p95", "extra"
    )
    for name, e in rows.items():
        figures = (e.precision, e.recall, e.f1, e.delay_median, e.delay_p95)
        shown = (NOTHING if f is None else f"{f:.2f}" for f in figures)
        table.add_row(name, str(e.true), str(e.reported), *shown, str(e.extra_switches))
    return table


def _name(file: str) -> str:
    """Short enough for a column."""
    stem = file.removesuffix(".gz").removesuffix(".mbd").removesuffix(".csv")
    return stem.replace("_all_sensors", "").replace("_measurement", "")


def _errors(errors: Errors) -> tuple[str, str, str]:
    return f"{errors.mean:.2f}", f"{errors.median:.2f}", f"{errors.p90:.2f}"


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _calibration(calibration: Calibration) -> Table:
    table = _table(f"confidence: calibration error {calibration.ece:.3f}", "claims", "moments", "claimed", "right")
    for b in calibration.bins:
        if b.claimed is not None and b.right is not None:
            table.add_row(f"{b.low:.0%}–{b.high:.0%}", str(b.moments), _share(b.claimed), _share(b.right))
    return table


def comparison_table(rows: Sequence[Compared]) -> Table:
    """One row for each method."""
    table = _table(
        "methods", "method", "mean", "p90", "quadrant", "clear", "still", "walk", "F1", "extra", "µs", "yards"
    )
    for r in rows:
        position = (NOTHING, NOTHING) if r.position is None else (f"{r.position.mean:.2f}", f"{r.position.p90:.2f}")
        walk = (NOTHING, NOTHING) if r.walk is None else (_share(r.walk.right), f"{r.walk.events.f1 or 0:.2f}")
        extra = NOTHING if r.extra_switches is None else str(r.extra_switches)
        still = NOTHING if r.stationary_zone_changes is None else str(r.stationary_zone_changes)
        table.add_row(
            r.method,
            *position,
            _share(r.zone_right),
            _share(r.zone_right_clear),
            still,
            *walk,
            extra,
            f"{r.cost:.1f}",
            f"{r.yards:.2f}",
        )
    return table


def density_table(rows: Sequence[Density]) -> Table:
    """One row for each density and method."""
    table = _table(
        "simulated store", "m²", "gateways", "method", "right", "none", "found", "delay", "p95", "enters", "false"
    )
    for r in rows:
        figures = (r.delay_median, r.delay_p95, r.enters, r.false_switches)
        shown = (NOTHING if f is None else f"{f:.1f}" for f in figures)
        table.add_row(
            f"{r.area:g}", str(r.gateways), r.method, _share(r.right), _share(r.none), _share(r.found), *shown
        )
    return table
