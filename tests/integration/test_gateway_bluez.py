"""The scan loop on the real bleak stack, against a stand-in for BlueZ on a private bus."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.bluez import ADAPTER, blocked, find_adapter
from gateway.remedies import TABLE, Remedy
from gateway.scan import ScanFailed, Scanner, Timing
from gateway.sources import Heard
from tests.integration.bluez_house import BEACON, HCI0, PATIENCE, Remote, StandIn, remote, stand_in_on, until

pytestmark = pytest.mark.integration

FAST = Timing(start=1.0, stop=0.5, check=0.02, quiet=30.0, quiet_at_most=60.0, retry=0.05, off=0.02)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with stand_in_on(monkeypatch) as running:
        yield running


@asynccontextmanager
async def scanning(scanner: Scanner) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(scanner.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def scanner(tmp_path: Path, timing: Timing = FAST, **options: Any) -> Scanner:
    return Scanner(timing=timing, rfkill=tmp_path, **options)


async def hears(hand: Remote, radio: Scanner) -> list[Heard]:
    """Advertise until it is heard."""
    found: list[Heard] = []

    async def heard() -> bool:
        await hand.advertise()
        found.extend(radio.due())
        return bool(found)

    await until(heard)
    return found


@pytest.mark.parametrize("adapter", [None, "hci0", "00:01:02:03:04:05"])
def test_it_hears(stand_in: StandIn, tmp_path: Path, adapter: str | None) -> None:
    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            await hand.add_adapter("hci1")
            radio = scanner(tmp_path, adapter=adapter)
            async with scanning(radio):
                await until(lambda: radio.state == "ready")
                (heard, *_) = await hears(hand, radio)
                assert (heard.receiver, heard.rssi) == (None, -61)
                assert heard.what == ("ibeacon", BEACON, -59.0, "mac:aa:bb:cc:00:11:22")
                await hand.advertise(rssi=-127)  # BlueZ lost the reading: no packet
                await hand.advertise(rssi=-58)
                left: list[Heard] = []
                await until(lambda: left.extend(radio.due()) or any(one.rssi == -58 for one in left))  # type: ignore[func-returns-value]
                assert all(one.rssi in (-61, -58) for one in left)
            assert not (await hand.call(HCI0, "org.freedesktop.DBus.Properties", "Get", "ss", ADAPTER, "Discovering"))[
                0
            ].value

    asyncio.run(story())


def test_an_adapter_that_is_off_is_switched_on(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            await hand.power(False)
            radio = scanner(tmp_path)
            async with scanning(radio):
                await hears(hand, radio)
                await until(lambda: radio.state == "ready")

    asyncio.run(story())


def test_off_and_blocked_are_told_and_waited_for(stand_in: StandIn, tmp_path: Path) -> None:
    switch = tmp_path / "rfkill0"
    switch.mkdir()
    for name, word in (("type", "bluetooth\n"), ("soft", "0\n"), ("hard", "0\n")):
        (switch / name).write_text(word)

    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            radio = scanner(tmp_path, power_on=False)
            async with scanning(radio):
                await until(lambda: radio.state == "ready")
                await hand.power(False)
                await until(lambda: radio.state == "powered-off")
                (switch / "soft").write_text("1\n")
                await until(lambda: radio.state == "blocked")
                assert blocked(tmp_path)
                (switch / "soft").write_text("0\n")
                await hand.power(True)
                await hears(hand, radio)
                await until(lambda: radio.state == "ready")
                assert radio.power_cycles == 0

    asyncio.run(story())


def test_no_adapter_then_one(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with remote() as hand:
            radio = scanner(tmp_path)
            async with scanning(radio):
                await until(lambda: radio.state == "failed")
                assert await find_adapter(None) is None
                await hand.add_adapter()
                await hears(hand, radio)

    asyncio.run(story())


def test_a_scan_in_progress_is_tried_again(stand_in: StandIn, tmp_path: Path) -> None:
    once = (
        "self.tries = getattr(self, 'tries', 0) + 1\n"
        "if self.tries == 1:\n"
        "    raise dbus.exceptions.DBusException('Operation already in progress', name='org.bluez.Error.InProgress')\n"
    )

    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            await hand.on_start(once)
            radio = scanner(tmp_path)
            async with scanning(radio):
                await hears(hand, radio)
                assert (radio.restarts, radio.power_cycles) == (1, 0)

    asyncio.run(story())


def test_four_failures_end_it(stand_in: StandIn, tmp_path: Path) -> None:
    broken = "raise dbus.exceptions.DBusException('no', name='org.bluez.Error.Failed')"

    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            await hand.on_start(broken)
            radio = scanner(tmp_path)
            async with scanning(radio) as task:
                with pytest.raises(ScanFailed, match="did not start in 4 attempts"):
                    async with asyncio.timeout(PATIENCE):
                        await asyncio.shield(task)
            assert await hand.calls("StartDiscovery") == 3  # the fourth was passive
            assert radio.power_cycles == 3
            assert radio.state == "failed"

    asyncio.run(story())


def test_silence_restarts_then_power_cycles(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            radio = scanner(tmp_path, FAST._replace(quiet=0.3))
            async with scanning(radio):
                await hears(hand, radio)
                await until(lambda: radio.state == "quiet")
                await until(lambda: radio.restarts == 1)
                assert radio.power_cycles == 0
                await until(lambda: radio.power_cycles == 1)
                await hears(hand, radio)
                await until(lambda: radio.state == "ready")

    asyncio.run(story())


def test_passive_falls_back_to_active_once(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            radio = scanner(tmp_path, mode="passive")
            async with scanning(radio):
                await hears(hand, radio)
                assert radio._mode == "active"

    asyncio.run(story())


def test_asked_to_restart(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with remote() as hand:
            await hand.add_adapter()
            radio = scanner(tmp_path)
            async with scanning(radio):
                await hears(hand, radio)
                radio.restart()
                await until(lambda: radio.restarts == 1)
                list(radio.due())
                await hears(hand, radio)

    asyncio.run(story())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bluetoothd_goes_and_comes_back(stand_in: StandIn, tmp_path: Path) -> None:
    async def story() -> None:
        radio = scanner(tmp_path)
        async with remote() as hand:
            await hand.add_adapter()
            async with scanning(radio):
                await hears(hand, radio)
                stand_in.stop()
                await until(lambda: radio.state == "failed")
                stand_in.start()
                async with remote() as other:
                    await other.add_adapter()
                    await hears(other, radio)
                    await until(lambda: radio.state == "ready")

    asyncio.run(story())


def test_no_bus_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")

    async def story() -> None:
        radio = scanner(tmp_path)
        async with scanning(radio):
            await until(lambda: radio.state == "failed")

    asyncio.run(story())
    assert TABLE["no-bus"].remedy is Remedy.WAIT
