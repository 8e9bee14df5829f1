"""`proximity`: the command line. Every command lives in `proximity.commands` and is imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

from proximity.errors import ConfigurationError, ProximityError

try:
    import typer
except ModuleNotFoundError:  # a Raspberry Pi with the gateway only
    sys.exit("`proximity` is the service: pip install 'proximity[service]'. On a gateway, use `proximity-gateway`.")

app = typer.Typer(
    name="proximity",
    help="Beacons, geofences and personalised in-store offers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Folder with site.yaml, zones.geojson, rules/ …")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder for the database, the broker and tokens.")]
BrokerOption = Annotated[
    str | None,
    typer.Option("--broker", help="Use this broker (mqtt://… or nats://host:port) instead of the embedded one."),
]
MqttPortOption = Annotated[
    int | None, typer.Option("--mqtt-port", help="Port of the embedded broker; 0: any free one.")
]
HttpPortOption = Annotated[int | None, typer.Option("--http-port", help="Port of pages and API; 0: any free one.")]
HttpHostOption = Annotated[str | None, typer.Option("--http-host", help="Address of pages and API.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON line.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"proximity {version('proximity')}")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Beacons, geofences and personalised in-store offers."""


@app.command()
def serve(
    config: ConfigOption = None,
    data: DataOption = None,
    broker: BrokerOption = None,
    mqtt_port: MqttPortOption = None,
    http_host: HttpHostOption = None,
    http_port: HttpPortOption = None,
) -> None:
    """Run the service until it is told to stop."""
    from proximity.commands.serve import run

    run(config=config, data=data, broker=broker, mqtt_port=mqtt_port, http_host=http_host, http_port=http_port)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Configuration folder.")],
    form: Annotated[str, typer.Option("--format", help="text, json or github.")] = "text",
) -> None:
    """Check a configuration folder; every error of every file at once. Exit code 1 when there is one."""
    from proximity.commands.check import run

    raise typer.Exit(run(folder, form))


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No pages to look at; end after --seconds.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="How long; without it, until Ctrl-C.")
    ] = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, the same walks.")] = 7,
    config: ConfigOption = None,
    data: DataOption = None,
    broker: BrokerOption = None,
    mqtt_port: MqttPortOption = None,
    http_port: HttpPortOption = None,
) -> None:
    """Run everything on this machine: broker, service and a simulated shop with people in it."""
    from proximity.commands.demo import Demo

    Demo(
        headless=headless,
        seconds=seconds,
        json=json,
        seed=seed,
        given={"config": config, "data": data, "broker": broker, "mqtt_port": mqtt_port, "http_port": http_port},
    ).run()


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording: .mbd of danis_ble_rpi, or .csv of sal_rb_doorway.")],
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=100, help="How many times faster than life.")] = 1.0,
    json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    broker: BrokerOption = None,
) -> None:
    """Send a recording through gateways, broker, presence and rules, and show the offers it leads to."""
    from proximity.commands.replay import Replay

    raise typer.Exit(Replay(file, speed, json=json, given={"config": config, "data": data, "broker": broker}).run())


def main() -> None:
    """The entry point: a mistake of the user ends in a sentence and exit code 1, never in a traceback."""
    from proximity.commands.mount import mount

    mount(app)
    try:
        app()
    except ConfigurationError as error:
        for diagnostic in sorted(error.diagnostics, key=lambda d: d.sort_key):
            print(diagnostic.render(), file=sys.stderr)
        sys.exit(f"proximity: {error}")
    except ProximityError as error:
        sys.exit(f"proximity: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
