"""What tests share: real brokers on free ports, and waiting for a condition in place of sleeping."""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from proximity.broker import EmbeddedBroker, free_port, port_is_free

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tests.api_house import House

# Two busy cores are no reason to fail. People's machines look for new examples; CI judges a change by the same ones.
settings.register_profile(
    "proximity", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("proximity")


def wait_until(condition: Callable[[], object], timeout: float = 60.0, what: str = "the condition") -> None:
    """Return as soon as `condition()` holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come about within {timeout:.0f} s")
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that ran within a test has sent the logs to a stream that is closed after it."""
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder with real recordings; tests that need it are skipped where it is not."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("PROXIMITY_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set PROXIMITY_TEST_DATA to run this test")
    return folder


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker on a free port."""
    broker = EmbeddedBroker(tmp_path / "broker", port=0)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[str]:
    """Debian's Mosquitto on a free port; its mqtt:// address."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("Mosquitto is not installed: apt-get install mosquitto")
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    store = tmp_path / "mosquitto"
    store.mkdir(mode=0o777)
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {store}/\n"
        "max_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: not port_is_free("127.0.0.1", port), what="Mosquitto")
    yield f"mqtt://127.0.0.1:{port}"
    process.terminate()
    process.wait(60)


@pytest.fixture
def house(tmp_path: Path) -> "Iterator[House]":
    """The API's shop: a store with people, and a live service that a test fills. The pipeline's tests have another."""
    from tests.api_house import House

    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def app(house: "House") -> "FastAPI":
    """The HTTP application before `house`."""
    from proximity.api.app import create_app

    return create_app(house.context)
