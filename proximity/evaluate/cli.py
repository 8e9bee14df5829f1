"""`proximity evaluate`: recordings with truth to accuracy figures."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from proximity.errors import ProximityError

# Named here once more, because the table of methods needs NumPy and all methods, and `proximity --help` none of them.
METHODS = ("grid", "zones", "grid-alone", "zones-alone", "neighbours", "strongest")
DEFAULT = "grid"

Split = Literal["room", "receivers"]

app = typer.Typer(help="Measure accuracy on recordings with truth.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="Folder laid out as the campaign publishes it.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Method = Annotated[str, typer.Option("--method", help=f"One of: {', '.join(METHODS)}.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Folder for PNG plots; made when it is missing.")]


@app.command()
def danis(
    data: Data,
    as_json: Json = False,
    method: Method = DEFAULT,
    split: Annotated[
        Split, typer.Option("--split", help="Quadrants meet in the middle of the room or receivers.")
    ] = "room",
    plot: Plot = None,
) -> None:
    """Walks among twelve receivers in one room; fitted on the survey only."""
    from proximity.evaluate.danis import danis_walkable, evaluate_danis
    from proximity.evaluate.tables import danis_tables

    report, walked = evaluate_danis(data, method, split)
    if plot is not None:
        from proximity.evaluate.plots import plot_danis

        plot_danis(data, report, walked, danis_walkable(data), plot)
    _show(report, danis_tables(report), as_json=as_json)


@app.command("sal-rb")
def doorway(
    data: Data,
    as_json: Json = False,
    untrained: Annotated[bool, typer.Option("--untrained", help="Use what an installer knows (default).")] = False,
    fit: Annotated[Path | None, typer.Option("--fit", help="Folder of other recordings to fit on.")] = None,
    car_length: Annotated[
        float, typer.Option("--car-length", min=0.0, help="Metres behind the door where the zone of cars begins.")
    ] = 4.5,
    method: Method = DEFAULT,
    plot: Plot = None,
) -> None:
    """Passages through a doorway among ten receivers."""
    from proximity.evaluate.sal_rb import evaluate_sal_rb
    from proximity.evaluate.tables import sal_rb_tables

    if untrained and fit is not None:
        raise ProximityError("--untrained and --fit exclude each other: give one of them.")
    report, passed = evaluate_sal_rb(data, fit, method, car_length)
    if plot is not None:
        from proximity.evaluate.plots import plot_sal_rb

        plot_sal_rb(report, passed, plot)
    _show(report, sal_rb_tables(report), as_json=as_json)


@app.command()
def methods(
    data: Data,
    sal_rb: Annotated[Path | None, typer.Option("--sal-rb", help="Folder of the doorway's recordings.")] = None,
    as_json: Json = False,
) -> None:
    """All indoor methods side by side on the danis folder, with what they cost per device and second."""
    from proximity.evaluate.compare import compare
    from proximity.evaluate.tables import comparison_table

    rows = list(compare(data, sal_rb))
    _show(rows, [comparison_table(rows)], as_json=as_json)


@app.command()
def density(
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Of the simulation; may be repeated for more days. Default: 1.")
    ] = None,
    area: Annotated[
        list[float] | None, typer.Option("--area", help="m² a gateway; may be repeated. Default: 10, 30 and 100.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="May be repeated. Default: strongest, zones, grid, surveyed.")
    ] = None,
    zone_side: Annotated[float, typer.Option("--zone-side", help="Length and width of a shelf zone in metres.")] = 5.0,
    people: Annotated[int, typer.Option("--people", min=1, help="Shoppers in the store over the time.")] = 12,
    minutes: Annotated[float, typer.Option("--minutes", min=1.0, help="Simulated time.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Zone accuracy by how many gateways hang in a simulated store with walls, shelves and bodies."""
    from proximity.evaluate import density as measured
    from proximity.evaluate.tables import density_table

    areas, names = area or measured.AREAS, method or measured.METHODS
    rows = list(measured.density(seed or [1], areas, names, people, minutes * 60.0, zone_side))
    _show(rows, [density_table(rows)], as_json=as_json)


def _show(report: Any, tables: Iterable[Any], *, as_json: bool) -> None:
    if as_json:
        from proximity.evaluate.metrics import rounded

        typer.echo(json.dumps(rounded(msgspec.to_builtins(report))))
        return
    from rich.console import Console

    console = Console()
    for table in tables:
        console.print(table)
