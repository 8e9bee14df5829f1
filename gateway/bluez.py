"""The little of BlueZ that bleak does not do: find an adapter by address, read and switch its power.

Each call opens a connection of its own and closes it: it happens at the start and in trouble, not while scanning.
Raises BleakDBusError for what BlueZ refuses, OSError when the bus is away, TimeoutError when nobody answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bleak.exc import BleakDBusError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

ADAPTER = "org.bluez.Adapter1"
TIMEOUT = 5.0  # s; bluetoothd answers in milliseconds or has hung
RFKILL = Path("/sys/class/rfkill")


class Adapter(NamedTuple):
    """A Bluetooth radio as BlueZ knows it."""

    path: str  # "/org/bluez/hci0"
    address: str
    powered: bool

    @property
    def name(self) -> str:
        """hci0"""
        return self.path.rsplit("/", 1)[-1]


async def find_adapter(wanted: str | None) -> Adapter | None:
    """The adapter of that name or address, None: the first by name. None when there is none."""
    async with _bus() as bus:
        objects = (await _call(bus, "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"))[0]
    found = []
    for path, interfaces in objects.items():
        if ADAPTER in interfaces:
            values = {name: variant.value for name, variant in interfaces[ADAPTER].items()}
            found.append(Adapter(path, str(values.get("Address", "")), bool(values.get("Powered"))))
    found.sort()
    if wanted is None:
        return found[0] if found else None
    return next((a for a in found if wanted == a.name or wanted.upper() == a.address.upper()), None)


async def set_powered(path: str, on: bool) -> None:
    """Switch an adapter."""
    async with _bus() as bus:
        body = [ADAPTER, "Powered", Variant("b", on)]
        await _call(bus, path, "org.freedesktop.DBus.Properties", "Set", "ssv", body)


def blocked(rfkill: Path = RFKILL) -> bool:
    """Whether a switch, of software or hardware, holds every Bluetooth radio off."""
    switches = []
    for kind in sorted(rfkill.glob("*/type")):
        try:
            if kind.read_text().strip() == "bluetooth":
                states = [(kind.parent / name).read_text().strip() for name in ("soft", "hard")]
                switches.append("1" in states)
        except OSError:
            continue  # it was pulled out meanwhile
    return bool(switches) and all(switches)


def power_problem(adapter: Adapter, rfkill: Path = RFKILL) -> str | None:
    """`rfkill` or `powered-off` for an adapter without power, None for one that has it."""
    if adapter.powered:
        return None
    return "rfkill" if blocked(rfkill) else "powered-off"


@asynccontextmanager
async def _bus() -> AsyncIterator[MessageBus]:
    bus = None
    try:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        async with asyncio.timeout(TIMEOUT):
            await bus.connect()
        yield bus
    except DBusFastError as error:  # bad address, refused authentication
        raise OSError(str(error)) from error
    finally:
        if bus is not None:
            bus.disconnect()


async def _call(
    bus: MessageBus, path: str, interface: str, member: str, signature: str = "", body: list[Any] | None = None
) -> list[Any]:
    message = Message("org.bluez", path, interface, member, signature=signature, body=body or [])
    async with asyncio.timeout(TIMEOUT):
        reply = await bus.call(message)
    assert reply is not None
    if reply.message_type is MessageType.ERROR:
        raise BleakDBusError(reply.error_name or "unknown", reply.body)
    return list(reply.body)
