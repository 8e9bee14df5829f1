"""The embedded broker, for real."""

import os
import signal
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity.broker import START_AGAIN, EmbeddedBroker, port_is_free
from proximity.errors import BrokerError
from tests.conftest import wait_until

pytestmark = pytest.mark.integration


def test_it_speaks_mqtt_on_loopback_and_ends_with_stop(nats: EmbeddedBroker) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    assert client.connect("127.0.0.1", nats.port) == paho.MQTT_ERR_SUCCESS
    client.disconnect()
    nats.stop()
    assert port_is_free("127.0.0.1", nats.port)
    assert nats.pid is None


def test_it_is_started_again_when_it_dies(nats: EmbeddedBroker) -> None:
    first = nats.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: nats.restarts == 1 and nats.pid not in (None, first), what="a new broker")
    wait_until(lambda: not port_is_free("127.0.0.1", nats.port), what="its listener")


@pytest.mark.parametrize("times", [1, START_AGAIN, START_AGAIN + 1])
def test_it_is_started_again_when_it_is_killed_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    broker, killed = EmbeddedBroker(tmp_path / "broker", port=0), []
    speaks = broker._speaks_nats

    def kill_first() -> bool:
        if len(killed) < times and (pid := broker.pid) is not None:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: broker.pid is None, what="its end")
        return speaks()

    monkeypatch.setattr(broker, "_speaks_nats", kill_first)
    try:
        if times > START_AGAIN:
            with pytest.raises(BrokerError, match="ended at once"):
                broker.start()
        else:
            broker.start()
            assert broker.pid not in (None, *killed)
        assert len(killed) == times
    finally:
        broker.stop()


def test_a_taken_port_is_a_sentence_that_says_what_to_do(nats: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(BrokerError) as refused:
        EmbeddedBroker(tmp_path / "second", nats.port).start()
    assert str(refused.value) == (
        f"port {nats.port} on 127.0.0.1 is taken; stop what listens there, choose another with --mqtt-port, "
        f"or use that broker with --broker mqtt://127.0.0.1:{nats.port}"
    )


def test_the_broker_of_a_killed_service_is_ended_before_a_new_one_starts(tmp_path: Path) -> None:
    orphan = EmbeddedBroker(tmp_path / "broker", port=0)
    orphan.start()
    heir = EmbeddedBroker(tmp_path / "broker", orphan.port)
    try:
        orphan._stopping.set()  # its keeper is gone, as after kill -9 of the service
        heir.start()
        assert heir.pid is not None
        assert orphan.pid is None
    finally:
        heir.stop()
        orphan.stop()


def test_its_files_are_for_the_owner_only(nats: EmbeddedBroker, tmp_path: Path) -> None:
    assert (tmp_path / "broker").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "broker" / "nats.conf").stat().st_mode & 0o777 == 0o600
