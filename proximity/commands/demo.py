"""`proximity demo`: broker, service and a simulated shop with people in it, on this machine."""

import json
import signal
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from proximity.broker import port_is_free
from proximity.clock import system_clock
from proximity.commands.figures import figures
from proximity.configuration import Configuration, load_configuration
from proximity.examples import example_config
from proximity.logs import set_up_logs
from proximity.people_files import seed
from proximity.runtime import Running, running
from proximity.settings import Settings, read_settings
from proximity.simulate.crowd import carriers
from proximity.simulate.drive import Driver
from proximity.simulate.guests import guests
from proximity.simulate.shop import Options, SimulatedShop
from proximity.site.people import People
from proximity.store import people

SETTLE = 5.0  # s for what is under way when the time is over
GUESTS = 80  # at one every 8 s it takes them eleven minutes


class Demo:
    """One run, until `seconds` have passed or a signal comes."""

    def __init__(
        self, *, headless: bool, seconds: float | None, json: bool, seed: int, given: Mapping[str, Any]
    ) -> None:
        self._headless, self._json, self._seed, self._given = headless, json, seed, dict(given)
        self._seconds = seconds if seconds is not None or not headless else 30.0
        self._console = Console(stderr=json)

    def run(self) -> None:
        """ProximityError when a part cannot start."""
        set_up_logs(quiet=True)
        folder = self._given.pop("config") or example_config()
        configuration = load_configuration(folder)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        with ExitStack() as stack:
            # A folder of its own each time, unless one is named: yesterday's limits would keep today's demo silent.
            data = self._given.pop("data") or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="proximity-demo-"))
            )
            settings = self._settings(folder, data)
            service = stack.enter_context(running(settings, configuration))
            driver = self._driver(service, configuration, data)
            driver.start()
            try:
                if not self._headless:
                    self._welcome(service, configuration)
                ended.wait(self._seconds)
            finally:
                driver.stop(drain=True)
            service.settle(SETTLE)
            self._report(service)

    def _settings(self, folder: Path, data: Path) -> Settings:
        given = dict(self._given)
        for name, usual in (("mqtt_port", 1883), ("http_port", 8080)):
            if given.get(name) is None:  # a demo starts also where something listens on the usual port
                given[name] = usual if not self._headless and port_is_free("127.0.0.1", usual) else 0
        return read_settings(**given, config=folder, data=data)

    def _driver(self, service: Running, configuration: Configuration, data: Path) -> Driver:
        regulars = carriers(configuration.people.shoppers, configuration.people.devices)
        # Regulars soon had the offers that limits allow; guests keep the shop worth watching.
        others = guests(regulars, GUESTS, self._seed)
        found = People(tuple(who for who, _ in others), tuple(one for _, carried in others for one in carried))
        now = system_clock()
        seed(service.store, found, now)
        service.service.everybody_changed()
        options = Options(brisk=True, guests=len(others))
        shop = SimulatedShop(configuration.sites[0], [*regulars, *others], self._seed, now, options)
        return Driver([shop], service.broker_url, system_clock, data / "spool")

    def _welcome(self, service: Running, configuration: Configuration) -> None:
        name = configuration.sites[0].name
        lines = [f"[bold]{escape(name)}[/] is open.", "", f"  floor plan      {service.api.url}/?key={service.token}"]
        for shopper in configuration.people.shoppers[:2]:
            token = people.new_token(service.store, shopper.id)
            lines.append(
                f"  {escape(shopper.name or shopper.id) + chr(39) + 's page':<15} {service.api.url}/me/{token}"
            )
        lines += [f"  API             {service.api.url}/api/v1", f"  MQTT broker     {service.broker_url}", ""]
        lines.append("Offers arrive within a minute. Ctrl-C ends it.")
        for line in lines:  # an address must come whole, however narrow the terminal
            self._console.print(line, soft_wrap=True)

    def _report(self, service: Running) -> None:
        result = figures(service)
        if self._json:
            print(json.dumps(result))
        else:
            withheld = ", ".join(f"{reason} {number}" for reason, number in result["withheld"].items()) or "none"
            self._console.print(
                f"{result['sightings']} sightings, {result['fixes']} fixes, {result['transitions']} transitions, "
                f"{result['decisions']} decisions: {result['sent']} offers sent, withheld: {withheld}. "
                f"Latency {result['latency_ms']['p50']} ms at the median, {result['latency_ms']['p99']} ms at p99.",
                soft_wrap=True,
            )
