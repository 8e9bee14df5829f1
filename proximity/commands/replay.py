"""`proximity replay`: a recording through gateways, broker, presence and rules, at any speed."""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.fleet import Fleet
from gateway.settings import ANY_RECEIVER, GatewaySettings
from gateway.sources import Replay as Source
from proximity import recordings
from proximity.clock import Clock
from proximity.commands.figures import figures
from proximity.configuration import Configuration, load_configuration
from proximity.errors import ProximityError
from proximity.examples import example_config
from proximity.logs import set_up_logs
from proximity.runtime import Running, running
from proximity.settings import read_settings
from proximity.store import history

TICK = 0.02  # s of the wall; at 20 times life this is less than half a sample
AFTER = 5.0  # s of the recording's time after its end, for confirmations still under way
SETTLE = 20.0  # s of the wall for the offers to go out


class Replay:
    """One run. The service goes by the recording's clock, so that timers run as fast as the people walk."""

    def __init__(self, file: Path, speed: float, *, json: bool, given: Mapping[str, Any]) -> None:
        self._file, self._speed, self._json, self._given = file, speed, json, dict(given)
        self._console = Console(stderr=json)

    def run(self) -> int:
        """The exit status: 1 when the service did not cover everything that was sent."""
        set_up_logs(quiet=True)
        if not self._file.is_file():
            raise ProximityError(f"{self._file}: no such file")
        folder = self._given.pop("config") or example_config(recordings.kind(self._file))
        configuration = load_configuration(folder)
        with tempfile.TemporaryDirectory(prefix="proximity-replay-") as scratch:
            data = self._given.pop("data") or Path(scratch)
            settings = read_settings(**self._given, config=folder, data=data, mqtt_port=0, http_port=0)
            clock = Clock(speed=self._speed)
            with running(settings, configuration, clock) as service:
                complete = self._play(service, configuration, clock, Path(scratch))
                self._report(service, complete)
        return 0 if complete else 1

    def _play(self, service: Running, configuration: Configuration, clock: Clock, scratch: Path) -> bool:
        known = {anchor.id for site in configuration.sites for anchor in site.anchors}
        gateway = GatewaySettings(
            configuration.sites[0].id,
            ANY_RECEIVER,
            service.broker_url,
            spool=scratch / "spool",
            keep=("mac:",),  # the recordings' sender is known by its address
        )
        fleet, source = Fleet(gateway, clock), Source(self._file, clock() + 0.5 * self._speed)
        watch = _Watch(service, self._console)
        try:
            while not source.done:
                for heard in source.due(clock()):
                    fleet.hear(heard)
                fleet.tick()
                watch.look()
                time.sleep(TICK)
            if missing := sorted(source.receivers - known):
                raise ProximityError(
                    f"{configuration.folder} has no gateway {', '.join(missing)}, which the recording has; "
                    f"choose a matching folder with --config"
                )
            drained = fleet.drain(threading.Event(), watch.look, TICK)
            end = clock() + AFTER
            while clock() < end:
                watch.look()
                time.sleep(TICK)
            service.settle(SETTLE)
            watch.look()
            return drained
        finally:
            fleet.stop()

    def _report(self, service: Running, complete: bool) -> None:
        result = figures(service, self._speed)
        if self._json:
            print(json.dumps({**result, "complete": complete}))
            return
        self._console.print(f"\n{escape(self._file.name)}, {self._speed:g} times as fast as life", soft_wrap=True)
        table = Table("what", "figure")
        for name, value in result.items():
            parts = ", ".join(f"{key} {number}" for key, number in value.items()) if isinstance(value, dict) else value
            table.add_row(name, str(parts) or "none")
        self._console.print(table)
        if not complete:
            print("not everything that was sent was covered by the service", file=sys.stderr)


class _Watch:
    """Prints each transition and offer once, as it is committed."""

    def __init__(self, service: Running, console: Console) -> None:
        self._service, self._console = service, console
        self._seen: set[str] = set()
        self._began: float | None = None
        self._looked = 0.0

    def look(self) -> None:
        """Four times a second at the most."""
        if time.monotonic() - self._looked < 0.25:
            return
        self._looked = time.monotonic()
        for transition in reversed(history.transitions(self._service.store, limit=200)):
            if transition.id in self._seen:
                continue
            self._seen.add(transition.id)
            self._began = self._began or transition.at
            dwell = f" {transition.dwell:g} s" if transition.dwell else ""
            self._console.print(
                f"[dim]{transition.at - self._began:7.1f} s[/]  {transition.shopper} {transition.kind}{dwell} "
                f"[bold]{transition.zone}[/] ({transition.cause}, {transition.confidence:.0%})",
                soft_wrap=True,
            )
            self._decisions(transition.id, transition.at - self._began)

    def _decisions(self, transition: str, at: float) -> None:
        for decision in history.decisions(self._service.store, limit=50):
            if decision.transition != transition:
                continue
            if decision.outcome == "sent":
                offer = self._service.offer(decision.id)
                text = (
                    f"[green]offer[/] {decision.rule}: {escape(f'{offer.title} · {offer.body}')}"
                    if offer
                    else decision.rule
                )
            else:
                text = f"[yellow]withheld[/] {decision.rule}: {escape(f'{decision.reason} {decision.detail}')}"
            self._console.print(f"[dim]{at:7.1f} s[/]    {text}", soft_wrap=True)
