"""A real broker that can be killed, and a stand-in for the service that keeps a ledger."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from proximity import wire

PATIENCE = 60.0  # s until a condition that should come has failed to
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
NATS = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


def until(condition: Callable[[], bool], doing: Callable[[], object] = lambda: None) -> None:
    """Wait for a condition, ticking meanwhile."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        doing()
        assert time.monotonic() < end, "it did not happen in time"
        pause.wait(0.02)


class Broker:
    """A real broker on a free port, that can be killed and started again at the same place."""

    def __init__(self, kind: str, directory: Path, extra: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        config = directory / f"{kind}.conf"
        if kind == "mosquitto":
            config.write_text(f"listener {self.port} 127.0.0.1\npersistence false\n{extra or 'allow_anonymous true'}\n")
            self._command = [str(MOSQUITTO), "-c", str(config)]
        else:
            config.write_text(
                f'server_name: test\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{directory}/js" }}\n'
                f'mqtt {{ listen: "127.0.0.1:{self.port}", ack_wait: "3s", max_ack_pending: 10000 }}\n'
            )
            self._command = [str(NATS), "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._listens)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Ledger:
    """Stands for the service: writes every message down, then says up to where all is covered."""

    def __init__(self, port: int) -> None:
        self.seen: dict[tuple[str, int], wire.SightingsMessage] = {}
        self.copies = 0
        self.silent = False
        self.config: wire.ConfigMessage | None = None  # what gateways should have in force
        self.retained: dict[str, bytes] = {}
        self.health: list[wire.HealthMessage] = []
        self.ready = threading.Event()
        self._covered: dict[str, int] = {}
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ledger", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("proximity/v1/#", 1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self._on_message
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(PATIENCE)

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        topic = wire.parse_gateway_topic(message.topic)
        if topic.channel == "status":
            self.retained[topic.gateway] = bytes(message.payload)
            status = wire.decode(wire.StatusMessage, bytes(message.payload))
            if self.config is not None and status.state == "online" and status.config != self.config.version:
                self.say(topic.gateway, "config", self.config)
        elif topic.channel == "health":
            health = wire.decode(wire.HealthMessage, bytes(message.payload))
            self.health.append(health)
            for boot, held in health.held.items():
                self._covered[boot] = max(self._covered.get(boot, 0), held - 1)
                self.ack(topic, boot)
        elif topic.channel == "sightings":
            found = wire.decode(wire.SightingsMessage, bytes(message.payload))
            self.copies += 1
            self.seen[found.boot, found.seq] = found
            self.ack(topic, found.boot)

    def ack(self, topic: wire.GatewayTopic, boot: str) -> None:
        covered = self._covered.get(boot, 0)
        while (boot, covered + 1) in self.seen:
            covered += 1
        self._covered[boot] = covered
        if not self.silent and covered:
            self.say(topic.gateway, "acked", wire.AckedMessage(boot, covered))

    def say(self, gateway: str, channel: str, message: Any, *, retain: bool = True) -> None:
        self.client.publish(wire.gateway_topic("shop", gateway, channel), wire.encode(message), 1, retain)

    def state(self, gateway: str) -> wire.StatusMessage | None:
        raw = self.retained.get(gateway)
        return None if raw is None else wire.decode(wire.StatusMessage, raw)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
