"""A stand-in for BlueZ: python3-dbusmock's template on a private bus, and a hand that moves it."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from gateway.bluez import ADAPTER

dbus_fast = pytest.importorskip("dbus_fast", reason="dbus-fast is not installed (pip install dbus-fast)")

PYTHON = "/usr/bin/python3"  # Debian's, which python3-dbusmock belongs to
MOCK = "org.freedesktop.DBus.Mock"
DEVICE = "org.bluez.Device1"
HCI0 = "/org/bluez/hci0"
PATIENCE = 60.0  # s
BEACON = "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:258"
IBEACON = bytes.fromhex("0215e2c56db5dffb48d2b060d0f5a71096e000010102c5")


class StandIn:
    """A private bus with python3-dbusmock's BlueZ on it."""

    def __init__(self) -> None:
        command = ["dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:tmpdir=/tmp"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._daemon.stdout is not None
        self.address = self._daemon.stdout.readline().strip()
        self._mock: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        environment.pop("PYTHONPATH", None)
        self._mock = subprocess.Popen([PYTHON, "-m", "dbusmock", "--template", "bluez5"], env=environment,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def stop(self) -> None:
        if self._mock is not None:
            self._mock.kill()
            self._mock.wait()

    def close(self) -> None:
        self.stop()
        self._daemon.kill()
        self._daemon.communicate()


@contextmanager
def stand_in_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A running stand-in that everything in this process takes for the system's BlueZ. Skips where it is missing."""
    try:
        subprocess.run([PYTHON, "-c", "import dbusmock"], check=True, capture_output=True)
        running = StandIn()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the BlueZ stand-in is not installed (apt-get install dbus python3-dbusmock)")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", running.address)
    running.start()
    try:
        yield running
    finally:
        running.close()


class Remote:
    """The test's own hand on the stand-in."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self._seen: set[str] = set()

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        message = dbus_fast.Message("org.bluez", path, interface, member, signature=signature, body=list(body))
        reply = await self._bus.call(message)
        if reply.message_type is dbus_fast.MessageType.ERROR:
            raise LookupError(reply.error_name, reply.body)
        return list(reply.body)

    async def add_adapter(self, name: str = "hci0") -> None:
        await self.call("/", "org.bluez.Mock", "AddAdapter", "ss", name, "shop")

    async def power(self, on: bool) -> None:
        value = dbus_fast.Variant("b", on)
        await self.call(HCI0, "org.freedesktop.DBus.Properties", "Set", "ssv", ADAPTER, "Powered", value)

    async def on_start(self, code: str) -> None:
        """Have StartDiscovery run this Python."""
        await self.call(HCI0, MOCK, "AddMethod", "sssss", ADAPTER, "StartDiscovery", "", "", code)

    async def calls(self, member: str) -> int:
        return len((await self.call(HCI0, MOCK, "GetMethodCalls", "s", member))[0])

    async def advertise(self, rssi: int = -61, data: bytes = IBEACON) -> None:
        """One packet: the first makes the device known, the next change its properties, as BlueZ does."""
        v = dbus_fast.Variant
        path = f"{HCI0}/dev_AA_BB_CC_00_11_22"
        news = {"RSSI": v("n", rssi), "ManufacturerData": v("a{qv}", {0x004C: v("ay", data)})}
        if path in self._seen:
            arguments = [v("s", DEVICE), v("a{sv}", news), v("as", [])]
            properties = "org.freedesktop.DBus.Properties"
            await self.call(path, MOCK, "EmitSignal", "sssav", properties, "PropertiesChanged", "sa{sv}as", arguments)
            return
        self._seen.add(path)
        fixed = {
            "Address": v("s", "AA:BB:CC:00:11:22"), "Alias": v("s", "AA-BB-CC-00-11-22"),
            "Adapter": v("o", HCI0), "UUIDs": v("as", []), "Connected": v("b", False),
        }  # fmt: skip
        await self.call("/", MOCK, "AddObject", "ssa{sv}a(ssss)", path, DEVICE, {**fixed, **news}, [])
        arguments = [v("o", path), v("a{sa{sv}}", {DEVICE: {**fixed, **news}})]
        manager = "org.freedesktop.DBus.ObjectManager"
        await self.call("/", MOCK, "EmitSignal", "sssav", manager, "InterfacesAdded", "oa{sa{sv}}", arguments)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def remote() -> AsyncIterator[Remote]:
    bus = await dbus_fast.aio.MessageBus(bus_type=dbus_fast.BusType.SYSTEM).connect()
    hand = Remote(bus)

    async def there() -> bool:
        with suppress(LookupError):
            await hand.call("/", MOCK, "GetCalls")
            return True
        return False

    await until(there)
    try:
        yield hand
    finally:
        bus.disconnect()
