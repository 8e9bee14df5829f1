"""`proximity presence explain`: what was heard of a device, what each zone's probability was, and what followed."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proximity.errors import ProximityError

app = typer.Typer(help="Look into presence.", no_args_is_help=True)
TIMEOUT = 30.0  # s for a service to answer
SHOWN = 12  # anchors and zones in a table


@app.callback()
def presence() -> None:
    """Look into presence."""


@app.command()
def explain(
    device: Annotated[str, typer.Argument(help="A device's id, such as ibeacon:<uuid>:1:1 or owntracks:ada/phone.")],
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="12:04:30, 2026-03-01T12:04:30, or seconds since the epoch.")
    ],
    config: Annotated[Path | None, typer.Option("--config", help="Folder with site.yaml, zones.geojson …")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The service's data folder.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Ask a running service: http://127.0.0.1:8080")] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="The operator's token for --url; without it, the one in --data.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--recording", help="Look into a recording; TIME is seconds after its beginning.")
    ] = None,
    watch: Annotated[float, typer.Option("--watch", min=1, max=600, help="Seconds before TIME to look at.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what was heard of a device, from whom, what each zone's probability was, and why a transition came or did
    not. Works beside a running service."""
    if url is not None and recording is not None:
        raise ProximityError("--url and --recording exclude one another")
    if url is not None:
        answer = _ask(url, device, at, token, data, watch)
    elif recording is not None:
        answer = _from_recording(recording, device, at, config, watch)
    else:
        answer = _from_store(device, at, config, data, watch)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        _show(answer)


def _from_store(device: str, at: str, config: Path | None, data: Path | None, watch: float) -> dict[str, Any]:
    from proximity.configuration import load_configuration
    from proximity.explaining import explain as explained
    from proximity.explaining import read_moment
    from proximity.settings import read_settings
    from proximity.store.database import open_store

    settings = read_settings(config=config, data=data)
    file = settings.database_url.removeprefix("sqlite:///")
    if file != settings.database_url and not Path(file).is_file():
        raise ProximityError(f"there is no database {file}; give the service's folder with --data")
    sites = load_configuration(settings.config).sites
    store = open_store(settings.database_url)
    try:
        zone = sites[0].timezone if sites else "UTC"
        return _plain(explained(store, sites, device, read_moment(at, zone, time.time()), watch))
    finally:
        store.close()


def _from_recording(file: Path, device: str, at: str, config: Path | None, watch: float) -> dict[str, Any]:
    from proximity import recordings
    from proximity.configuration import load_configuration
    from proximity.examples import example_config
    from proximity.explaining import explain_story, story_of
    from proximity.model import Sighting
    from proximity.observations import Batch

    try:
        second = float(at)
    except ValueError:
        raise ProximityError(f"--at {at}: in a recording, give the seconds after its beginning") from None
    sites = load_configuration(config or example_config(recordings.kind(file))).sites
    readings = list(recordings.read(file))
    start = min((reading.at for reading in readings), default=0.0)
    site = sites[0].id
    heard = [Sighting(f"{site}/{one.receiver}", one.device, one.rssi, one.at - start + _DAY) for one in readings]
    story = story_of(Batch.of(heard))
    length = max((one.at for one in heard), default=_DAY) - _DAY
    if not 0.0 <= second <= length:
        raise ProximityError(f"--at {at}: the recording lasts {length:.0f} s")
    found = explain_story(sites, story, device, second + _DAY, lambda moment: f"{moment - _DAY:.2f} s", watch)
    return _plain(found)


_DAY = 86_400.0  # s; recordings begin at second 0, and presence takes times since the epoch


def _ask(url: str, device: str, at: str, token: str | None, data: Path | None, watch: float) -> dict[str, Any]:
    import httpx

    from proximity.settings import read_settings

    secret = token or read_settings(data=data).token()
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/api/v1/presence/explain",
            params={"device": device, "at": at, "watch": watch},
            headers={"Authorization": f"Bearer {secret}"},
            timeout=TIMEOUT,
        )
        told = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ProximityError(f"{url} does not answer as Proximity does: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise ProximityError(str(told.get("detail") or told))
    plain: dict[str, Any] = told
    return plain


def _plain(found: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


# -- as people read it ------------------------------------------------------------------------------------------------


def _show(answer: dict[str, Any]) -> None:
    from proximity.explaining import clock_of

    seen, console = answer["seen"], Console(highlight=False)
    at, zone = seen["at"], answer["timezone"]
    when = f"{clock_of(zone)(at)} {zone}" if zone else f"second {at - _DAY:g}"
    console.print(f"[bold]{seen['device']}[/] of {seen['shopper']} at {when}")
    heard = Table("anchor", "last dBm", "mean of 10 s", "heard", "age", title="Heard", title_justify="left")
    for one in seen["heard"][:SHOWN]:
        heard.add_row(
            one["anchor"],
            f"{one['rssi']:.1f}",
            f"{one['mean']:.1f}",
            f"{one['count']} times",
            f"{at - one['at']:.1f} s",
        )
    for one in seen["fixes"]:
        accuracy = "accuracy unknown" if one["accuracy"] is None else f"± {one['accuracy']:.0f} m"
        heard.add_row("position", "", f"{one['lat']:.5f}, {one['lon']:.5f}", accuracy, f"{at - one['at']:.1f} s")
    console.print(heard if heard.row_count else "Heard: nothing in the last ten seconds, and no position.")
    zones = Table("zone", "by", "p", "phase", "since", "needs", title="Zones", title_justify="left")
    ranked = sorted(seen["looks"][-1]["evidence"], key=lambda one: (one["phase"] == "away", -one["p"], one["zone"]))
    for one in ranked[:SHOWN]:
        since = "" if one["since"] is None else f"{at - one['since']:.1f} s"
        zones.add_row(one["zone"], one["source"], f"{one['p']:.2f}", one["phase"], since, _needs(one, at))
    if zones.row_count:
        console.print(zones)
    for sentence in answer["sentences"]:
        console.print(f"• {sentence}", soft_wrap=True)


def _needs(one: dict[str, Any], at: float) -> str:
    """What the next change waits for."""
    if one["phase"] == "arriving":
        lead = one["lead"]
        return f"{one['enter_after']:g} s, has {lead:.1f} s" if lead is not None else "another position that agrees"
    if one["phase"] == "leaving":
        return f"{one['leave_after']:g} s outside"
    if one["phase"] == "inside":
        return "held: gateways offline" if one["held"] else f"silence for {(one['silent'] or at) - at:.0f} s more"
    return (
        "" if one["inward"] is None else f"{abs(one['inward']):.0f} m {'inside' if one['inward'] >= 0 else 'outside'}"
    )
