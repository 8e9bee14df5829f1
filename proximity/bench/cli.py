"""`proximity bench`: how fast it is here, with the machine's own limit measured beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proximity.collecting import collect_seldom
from proximity.errors import ProximityError

if TYPE_CHECKING:
    from proximity.bench.report import Report
    from proximity.site.model import LocatorName

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Devices = Annotated[int, typer.Option("--devices", min=1)]
Gateways = Annotated[int, typer.Option("--gateways", min=1)]
Seconds = Annotated[int, typer.Option("--seconds", min=1, help="Of event time, after the warm-up.")]


@app.command()
def presence(
    devices: Devices = 100_000,
    gateways: Gateways = 1_000,
    seconds: Seconds = 6,
    locator: Annotated[str, typer.Option("--locator", help="strongest, zones or both.")] = "both",
    as_json: Json = False,
) -> None:
    """Sightings a second through presence on one core."""
    from proximity.bench.presence import presence as measure

    collect_seldom()  # as the service does
    known: dict[str, tuple[LocatorName, ...]] = {
        "strongest": ("strongest",),
        "zones": ("zones",),
        "both": ("strongest", "zones"),
    }
    if locator not in known:
        raise ProximityError(f"--locator {locator}: there is no such locator here; write strongest, zones or both.")
    _show(measure(devices, gateways, seconds, known[locator]), as_json=as_json)


@app.command()
def geofence(
    devices: Devices = 100_000,
    seconds: Seconds = 4,
    polygons: Annotated[str, typer.Option("--polygons", help="How many, one run each.")] = "1000,10000,100000",
    as_json: Json = False,
) -> None:
    """Phones' fixes a second against 23,000 circles of 5 km, and against many polygons."""
    from proximity.bench.geofence import geofence as measure

    collect_seldom()
    _show(measure(devices, seconds, _numbers("--polygons", polygons)), as_json=as_json)


@app.command()
def ingest(
    gateways: Gateways = 1_000,
    phones: Annotated[int, typer.Option("--phones", min=1)] = 20_000,
    messages: Annotated[int, typer.Option("--messages", min=100, help="Of gateways.")] = 60_000,
    fixes: Annotated[int, typer.Option("--fixes", min=100, help="Of phones, one a message.")] = 200_000,
    as_json: Json = False,
) -> None:
    """MQTT to committed state, with the embedded broker and everything on."""
    from proximity.bench.ingest import ingest as measure

    _show(measure(gateways, phones, messages, fixes), as_json=as_json)


@app.command()
def latency(
    gateways: Annotated[
        int, typer.Option("--gateways", min=1, help="With 94 sightings a second each: half of what `ingest` measured.")
    ] = 250,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Measured, after the burst of the start.")] = 60.0,
    as_json: Json = False,
) -> None:
    """From an observation to the hand-over of the offer that it completes."""
    from proximity.bench.latency import latency as measure

    _show(measure(gateways, seconds), as_json=as_json)


@app.command()
def rules(
    sizes: Annotated[str, typer.Option("--sizes", help="Rules of a set, one run each.")] = "1,100,10000",
    decisions: Annotated[int, typer.Option("--decisions", min=100)] = 100_000,
    as_json: Json = False,
) -> None:
    """How fast rule sets load, and decisions a second."""
    from proximity.bench.rules import rules as measure

    _show(measure(_numbers("--sizes", sizes), decisions), as_json=as_json)


@app.command()
def memory(
    sizes: Annotated[str, typer.Option("--sizes", help="Devices, one run each.")] = "10000,1000000",
    gateways: Gateways = 1_000,
    service: Annotated[str, typer.Option("--service", help="Devices of a whole service, one run each.")] = "10000",
    as_json: Json = False,
) -> None:
    """Bytes of a tracked device, and what a whole service holds in memory."""
    from proximity.bench.memory import memory as measure

    _show(measure(_numbers("--sizes", sizes), gateways, _numbers("--service", service)), as_json=as_json)


@app.command()
def people(
    sizes: Annotated[str, typer.Option("--sizes", help="Shoppers in the shops, one run each.")] = "10000,100000",
    as_json: Json = False,
) -> None:
    """How long the stream waits when somebody registers, withdraws or is erased."""
    from proximity.bench.people import people_come_and_go as measure

    collect_seldom()
    _show(measure(_numbers("--sizes", sizes)), as_json=as_json)


@app.command()
def growth(
    plot: Annotated[Path, typer.Option("--plot", help="Folder for growth.png; made when it is missing.")],
    most: Annotated[int, typer.Option("--most", min=1_000, help="Leave larger sizes out.")] = 300_000,
    as_json: Json = False,
) -> None:
    """How the cost grows with devices, gateways, fences and rules."""
    from proximity.bench.growth import Sizes
    from proximity.bench.growth import growth as measure

    collect_seldom()
    _show(measure(plot, Sizes().up_to(most)), as_json=as_json)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words: Sequence[str] = text.replace("_", "").split(",")
    if not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise ProximityError(
            f"{option} {text}: write whole numbers above 0 with commas between them, as in 1000,10000."
        )
    return tuple(int(word) for word in words)


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = report.as_json()
        print(json.dumps(told))
    else:
        from rich.console import Console

        report.show(Console())
