"""The radio: one long-lived bleak scanner, watched, and brought back when it falls silent.

Nothing here waits for the next packet to notice that there is none: the watch runs on a timer.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern, OrPatternLike
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError

from gateway import bluez
from gateway.advertisement import from_fields
from gateway.remedies import TABLE, Finding, Remedy, State, cause_of
from gateway.sources import Heard
from proximity.errors import ProximityError

log = logging.getLogger(__name__)

QUEUE = 20_000  # packets; forty seconds of the busiest shop, while the card is slow

# Without patterns BlueZ scans passively for nothing. FLAGS alone would miss beacons that send none.
PATTERNS: list[OrPatternLike] = [
    OrPattern(0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, b"\x4c\x00\x02\x15"),  # iBeacon
    OrPattern(2, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, b"\xbe\xac"),  # AltBeacon of any company
    OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, b"\xaa\xfe"),  # Eddystone
]


class Timing(NamedTuple):
    """Seconds, and how often."""

    start: float = 15.0  # BlueZ may load firmware first
    stop: float = 5.0
    check: float = 30.0
    quiet: float = 90.0  # without a packet; doubles each time nothing helped: a shop at night is quiet, not broken
    quiet_at_most: float = 3600.0
    retry: float = 5.0
    off: float = 1.0  # between switching off and on, for the firmware to let go
    attempts: int = 4  # of starting; the last is made passively, which uses another way through the kernel


class ScanFailed(ProximityError):
    """The radio cannot be brought to scan from here; a restart of the whole program may do it."""


class Scanner:
    """Hears until it is cancelled. `due` hands over what was heard since it was last asked."""

    def __init__(
        self,
        adapter: str | None = None,
        mode: Literal["active", "passive"] = "active",
        *,
        power_on: bool = True,
        timing: Timing | None = None,
        rfkill: Path = bluez.RFKILL,
    ) -> None:
        self.state: State = "none"
        self.lost = 0  # packets that found the queue full
        self.restarts = 0
        self.power_cycles = 0
        self._adapter, self._mode, self._power_on = adapter, mode, power_on
        self._timing = timing or Timing()
        self._rfkill = rfkill
        self._queue: deque[tuple[float, str, float, dict[int, bytes], dict[str, bytes]]] = deque(maxlen=QUEUE)
        self._heard_at: float | None = None  # monotonic; None: not yet, or not since a recovery
        self._asked = asyncio.Event()
        self._failures = 0  # starts that failed in a row
        self._silences = 0  # recoveries in a row after which nothing was heard
        self._said = ""

    def due(self) -> Iterator[Heard]:
        """What was heard, oldest first, stamped in seconds of time.monotonic()."""
        while self._queue:
            at, address, rssi, manufacturer, service = self._queue.popleft()
            what = from_fields(manufacturer, service, address)
            if what is not None:
                yield Heard(None, what, rssi, at)

    def restart(self) -> None:
        """Stop the scan and start it again. Call it from the scanner's event loop."""
        self._asked.set()

    async def run(self) -> None:
        """Scan until cancelled. ScanFailed when every attempt to start has failed."""
        while True:
            try:
                finding = await self._scan()
            except Exception as error:  # bleak and D-Bus raise many kinds; each is looked up in one table
                cause = cause_of(error, passive=self._mode == "passive")
                finding = TABLE[cause]
                self._say(f"{finding.say} ({type(error).__name__}: {error})")
            await self._apply(finding)

    async def _scan(self) -> Finding:
        """Scan once, until there is a reason to stop."""
        adapter = await self._find()
        problem = None if adapter is None else bluez.power_problem(adapter, self._rfkill)
        if problem is not None:
            self._say(TABLE[problem].say)
            return TABLE[problem]
        passive = self._mode == "passive" or self._failures == self._timing.attempts - 1
        scanner = self._make(adapter, passive=passive)
        try:
            async with asyncio.timeout(self._timing.start):
                await scanner.start()
            self.state = "quiet" if self._silences else "ready"
            self._said = ""
            self._failures = 0
            log.info(
                "scanning %s on %s", "passively" if passive else "actively", adapter.name if adapter else "the radio"
            )
            return await self._watch()
        finally:
            await self._stop(scanner)

    async def _find(self) -> bluez.Adapter | None:
        if sys.platform != "linux":
            return None
        adapter = await bluez.find_adapter(self._adapter)
        if adapter is None:
            raise BleakDBusError("org.freedesktop.DBus.Error.UnknownObject", [self._adapter or "no adapter"])
        return adapter

    def _make(self, adapter: bluez.Adapter | None, *, passive: bool) -> BleakScanner:
        # DuplicateData has BlueZ tell of every packet, also when data and RSSI are as before: a beacon that lies still
        # would else fall silent.
        options: BlueZScannerArgs = {"filters": {"DuplicateData": True}}
        if adapter is not None:
            options["adapter"] = adapter.name
        if passive:
            options["or_patterns"] = PATTERNS
        return BleakScanner(self._detected, scanning_mode="passive" if passive else "active", bluez=options)

    def _detected(self, device: BLEDevice, data: AdvertisementData) -> None:
        """Called for every packet: stamp, hand over, return."""
        if data.rssi in (0, -127):  # BlueZ tells of a change without a packet, such as the end of a scan
            return
        self._heard_at = now = time.monotonic()
        if self.state == "quiet":
            self.state = "ready"
        self.lost += len(self._queue) == QUEUE
        self._queue.append((now, device.address, data.rssi, data.manufacturer_data, data.service_data))

    async def _watch(self) -> Finding:
        started = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._timing.check)
            if self._asked.is_set():
                self._asked.clear()
                return Finding("ready", Remedy.RESTART, "asked to restart")
            heard = self._heard_at is not None and self._heard_at >= started
            if heard:
                self._silences = 0
            adapter = await self._find()
            problem = None if adapter is None else bluez.power_problem(adapter, self._rfkill)
            if problem is not None:
                return TABLE[problem]
            patience = self._patience()
            if time.monotonic() - max(self._heard_at or started, started) < patience:
                continue
            ever = self._heard_at is not None
            self._silences += 1
            remedy = Remedy.RESTART if ever and self._silences == 1 else Remedy.POWER_CYCLE
            return Finding("quiet", remedy, f"nothing heard for {patience:.0f} s")

    def _patience(self) -> float:
        doublings = min(max(0, self._silences - 1), 16)
        return min(self._timing.quiet * (1 << doublings), self._timing.quiet_at_most)

    async def _apply(self, finding: Finding) -> None:
        self.state = finding.state
        remedy = finding.remedy
        if finding.state == "failed" and remedy in (Remedy.RESTART, Remedy.POWER_CYCLE):
            self._failures += 1
            if self._failures >= self._timing.attempts:
                raise ScanFailed(f"the radio did not start in {self._failures} attempts: {finding.say}")
            if self._failures > 1:
                remedy = Remedy.POWER_CYCLE
        if remedy is Remedy.ACTIVE:
            log.warning("%s; scanning actively", finding.say)
            self._mode = "active"
        elif remedy is Remedy.RESTART:
            self.restarts += 1
            log.info("restarting the scan: %s", finding.say)
            if finding.state == "failed":
                await asyncio.sleep(self._timing.off)
        elif remedy is Remedy.POWER_CYCLE:
            log.warning("%s: switching the adapter off and on", finding.say)
            await self._power(cycle=True)
        elif remedy is Remedy.POWER_ON and self._power_on:
            await self._power(cycle=False)
            await asyncio.sleep(self._timing.off)
        else:
            await asyncio.sleep(self._timing.retry)

    async def _power(self, *, cycle: bool) -> None:
        """Switch the adapter on, or off and on. What it refuses is seen at the next start."""
        self.power_cycles += cycle
        try:
            adapter = await self._find()
            if adapter is None:
                return
            if cycle:
                await bluez.set_powered(adapter.path, False)
                await asyncio.sleep(self._timing.off)
            await bluez.set_powered(adapter.path, True)
        except Exception as error:
            self._say(f"the adapter cannot be switched: {TABLE[cause_of(error)].say} ({error})")
            await asyncio.sleep(self._timing.retry)

    async def _stop(self, scanner: BleakScanner) -> None:
        """A scan that cannot be stopped is left: `InProgress` is normal whenever the kernel is between two scans."""
        try:
            async with asyncio.timeout(self._timing.stop):
                await scanner.stop()
        except Exception as error:
            log.info("the scan did not stop cleanly: %s", error)

    def _say(self, text: str) -> None:
        """Once, not at every try."""
        log.log(logging.DEBUG if text == self._said else logging.WARNING, text)
        self._said = text
