"""The loops: a radio on an event loop, a recording or simulation on a plain one. SIGTERM and SIGINT end both."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.clock import PiClock
from gateway.exits import FAILED, OK, RESTART
from gateway.fleet import Fleet
from gateway.node import Gateway
from gateway.notify import notify, watchdog_interval
from gateway.settings import ANY_RECEIVER, GatewaySettings
from gateway.sources import Replay, Simulated, Source
from gateway.version import VERSION
from proximity import wire
from proximity.clock import Clock
from proximity.errors import ProximityError

log = logging.getLogger(__name__)

TICK = 0.1  # s; a row waits this long at most beyond its sample
_TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")


def run(settings: GatewaySettings) -> int:
    """Run until stopped or the recording ends. Returns the exit status; ProximityError for what the user can mend."""
    log.info("proximity-gateway %s, source %s, broker %s", VERSION, settings.source, settings.broker)
    if settings.source == "ble":
        return asyncio.run(_radio(settings))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return play(settings, stop)


def play(settings: GatewaySettings, stop: threading.Event) -> int:
    """Run a recording or a simulation until it ends or `stop` is set: one gateway for each receiver."""
    start = time.time()
    clock = Clock(start, settings.speed)
    source: Source
    if settings.source == "replay":
        assert settings.file is not None
        source = Replay(settings.file, start)
    else:
        source = Simulated(settings.beacons, settings.seed, start)
    if settings.speed > 1:
        log.warning("at speed %g the rows run ahead of a service that goes by the usual clock", settings.speed)
    fleet = Fleet(settings, clock)
    feed = _watchdog()
    notify("READY=1")
    try:
        while not stop.wait(TICK) and not source.done:
            for heard in source.due(clock()):
                fleet.hear(heard)
            fleet.tick()
            feed()
        complete = stop.is_set() or fleet.drain(stop, feed, TICK)
    finally:
        notify("STOPPING=1")
        fleet.stop()
    _explain_silence(settings, source, fleet)
    return OK if complete else FAILED


def _explain_silence(settings: GatewaySettings, source: Source, fleet: Fleet) -> None:
    if isinstance(source, Replay) and source.done and settings.gateway not in (ANY_RECEIVER, *source.receivers):
        names = ", ".join(sorted(source.receivers)) or "none"
        raise ProximityError(f"{settings.file} has no receiver {settings.gateway!r}; it has: {names}")
    rows = sum(gateway.sampled for gateway in fleet.gateways.values())
    log.info("%d gateways, %d rows", len(fleet.gateways), rows)
    if rows == 0 and fleet.gateways:
        log.warning("nothing that was heard is among the ids the service asks for: register the devices with it")


async def _radio(settings: GatewaySettings) -> int:
    from gateway.scan import ScanFailed, Scanner, Timing

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings, timebase=PiClock(trust=settings.trust_clock))
    timing = Timing(quiet=settings.quiet_after, check=min(Timing().check, settings.quiet_after / 3))
    scanner = Scanner(settings.adapter, settings.scan, power_on=settings.power_on, timing=timing)
    gateway.temperature = read_temperature
    gateway.on_command = _on_loop(loop, scanner.restart)
    gateway.start()
    task = asyncio.create_task(scanner.run())
    feed = _watchdog()
    notify("READY=1")
    try:
        while not stop.is_set() and not task.done():
            for heard in scanner.due():
                gateway.hear(heard.what, heard.rssi, heard.at)
            gateway.adapter = scanner.state
            await asyncio.to_thread(gateway.tick)  # it may wait for the card; packets go on coming meanwhile
            feed()
            await asyncio.wait({task}, timeout=TICK)
        if task.done():
            task.result()
    except ScanFailed as error:
        log.error("%s; leaving, so that systemd starts it anew", error)
        return RESTART
    finally:
        notify("STOPPING=1")
        task.cancel()
        await asyncio.wait({task})
        await asyncio.to_thread(gateway.stop)
    return OK


def _on_loop(loop: asyncio.AbstractEventLoop, restart: Callable[[], None]) -> Callable[[wire.CommandMessage], None]:
    """`restart-scan` arrives on the thread that ticks; the scanner lives on the loop."""

    def act(_command: wire.CommandMessage) -> None:
        loop.call_soon_threadsafe(restart)

    return act


def read_temperature() -> float | None:
    """Of the processor, °C; None where the machine does not tell."""
    try:
        return int(_TEMPERATURE.read_text()) / 1000
    except (OSError, ValueError):
        return None


def _watchdog() -> Callable[[], None]:
    """Feeds systemd's watchdog as often as it wants, from the loop that hears."""
    interval = watchdog_interval()
    fed = 0.0

    def feed() -> None:
        nonlocal fed
        if interval is not None and time.monotonic() - fed >= interval:
            fed = time.monotonic()
            notify("WATCHDOG=1")

    return feed
