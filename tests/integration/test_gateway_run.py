"""The whole program as a technician starts it: a recording and a radio, through a real broker."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.exits import FAILED, OK
from tests.integration import bluez_house
from tests.integration.gateway_house import MOSQUITTO, PATIENCE, Broker, Ledger, until

pytestmark = pytest.mark.integration

RUN = [sys.executable, "-m", "gateway.cli", "run", "--site", "shop", "--json-log"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    running = Broker("mosquitto", tmp_path)
    yield running
    running.kill()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three receivers hear a beacon ten times a second for ten seconds."""
    file = tmp_path / "walk.mbd"
    rows = [f"{1500000000 + n / 10:.1f},b827eb00000{r},aabbcc001122,{-60 - r}\n" for n in range(100) for r in (1, 2, 3)]
    file.write_text("".join(rows))
    return file


def test_a_recording_is_one_gateway_for_each_receiver(broker: Broker, recording: Path) -> None:
    ledger = Ledger(broker.port)
    done = subprocess.run(
        [*RUN, "--broker", broker.url, "--source", "replay", str(recording), "--speed", "20"],
        check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == OK, done.stderr
    rows = [row for message in ledger.seen.values() for row in message.rows]
    assert sum(row.count for row in rows) == 300
    assert {row.device for row in rows} == {"mac:aa:bb:cc:00:11:22"}
    assert {row.rssi for row in rows} == {-61.0, -62.0, -63.0}
    assert set(ledger.retained) == {"b827eb000001", "b827eb000002", "b827eb000003"}
    # Rows carry the mean time of their packets: from 9.0 s, when samples and recording begin together, to 9.9 s.
    assert 8_950 < max(row.time for row in rows) - min(row.time for row in rows) < 10_500
    ledger.stop()


def test_a_receiver_that_is_not_in_the_recording(broker: Broker, recording: Path) -> None:
    done = subprocess.run(
        [*RUN, "--broker", broker.url, "--source", "replay", str(recording), "--speed", "100", "--gateway", "g1"],
        check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == FAILED
    assert "has no receiver 'g1'; it has: b827eb000001, b827eb000002, b827eb000003" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_radio_from_packet_to_broker(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With systemd's socket and state directory, and a clock that may or may not be set."""
    ledger = Ledger(broker.port)
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(PATIENCE)
    unit = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000", "STATE_DIRECTORY": str(tmp_path),
        "PROXIMITY_GATEWAY_GATEWAY": "g1", "PROXIMITY_GATEWAY_TRUST_CLOCK": "yes",
    }  # fmt: skip

    async def story() -> None:
        async with bluez_house.remote() as hand:
            await hand.add_adapter()
            environment = {**os.environ, **unit}
            log = (tmp_path / "log").open("w")
            process = subprocess.Popen([*RUN, "--broker", broker.url], stderr=log, env=environment)
            log.close()

            async def arrived() -> bool:
                await hand.advertise()
                return any(message.rows for message in ledger.seen.values())

            try:
                await bluez_house.until(arrived)
            finally:
                process.send_signal(signal.SIGTERM)
            assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"WATCHDOG=1"
            assert await asyncio.to_thread(process.wait, PATIENCE) == OK
            assert "Traceback" not in (tmp_path / "log").read_text()

    with bluez_house.stand_in_on(monkeypatch):
        asyncio.run(story())
    message = next(message for message in ledger.seen.values() if message.rows)
    assert message.clock == "synced"
    assert message.rows[0].device == bluez_house.BEACON
    assert message.rows[0].rssi == -61.0
    until(lambda: b"offline" in ledger.retained["g1"])
    assert (tmp_path / "shop" / "g1" / "eras.json").exists()
    systemd.close()
    ledger.stop()
