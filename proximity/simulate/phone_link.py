"""Phones' fixes as real OwnTracks messages over MQTT.

One connection stands for all phones. Messages are QoS 1 and wait in memory while the broker is away. They are not
retained, so that a second run does not begin with the places of the first.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from proximity.ingest.mqtt import BrokerAddress
from proximity.model import Fix
from proximity.phones.sealed import NONCE, seal

KMH = 3.6  # m/s -> km/h
SIGNIFICANT = 1  # OwnTracks' monitoring mode "significant changes"
IN_FLIGHT = 64  # messages without PUBACK
SETTLE = 0.02  # s between looks whether all is taken


def location(fix: Fix) -> dict[str, Any]:
    """The `location` message of OwnTracks; values of zero are left out, as its phones do."""
    user, _, device = fix.device.removeprefix("owntracks:").partition("/")
    message: dict[str, Any] = {
        "_type": "location",
        "lat": fix.lat,
        "lon": fix.lon,
        "tst": round(fix.at),
        "tid": f"{user[:1]}{device[:1]}",
        "m": SIGNIFICANT,
        "conn": "m",
    }
    optional = {
        "acc": None if fix.accuracy is None else round(fix.accuracy),
        "vel": None if fix.speed is None else round(fix.speed * KMH),
        "cog": None if fix.course is None else round(fix.course),
    }
    return message | {key: value for key, value in optional.items() if value}


def topic(device: str) -> str:
    """`owntracks/<user>/<device>` of a canonical device id."""
    return f"owntracks/{device.removeprefix('owntracks:')}"


class PhoneLink:
    """The phones' way to the broker. `secrets_of`: device id -> the key that phone encrypts with."""

    def __init__(self, address: BrokerAddress, secrets_of: Mapping[str, str] | None = None) -> None:
        self._address = address
        self._secrets = secrets_of or {}
        self._handed = self._taken = 0
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"proximity-phones-{secrets.token_hex(4)}")
        client.max_inflight_messages_set(IN_FLIGHT)
        client.max_queued_messages_set(0)  # no limit: a fix is 200 bytes, and none may be lost
        client.reconnect_delay_set(1, 10)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set()
        client.on_publish = self._on_publish
        self._client = client

    @property
    def sent(self) -> int:
        """Fixes that the broker has taken."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Fixes that it has not taken yet."""
        return self._handed - self._taken

    def start(self) -> None:
        """Connect in the background, and again whenever the connection breaks."""
        self._client.connect_async(self._address.host, self._address.port, keepalive=20)
        self._client.loop_start()

    def send(self, fix: Fix) -> None:
        """Hand over one fix; it goes out as soon as there is a broker."""
        payload = json.dumps(location(fix)).encode()
        secret = self._secrets.get(fix.device)
        if secret is not None:
            payload = seal(payload, secret, secrets.token_bytes(NONCE))
        self._handed += 1
        self._client.publish(topic(fix.device), payload, qos=1)

    def stop(self, wait: float = 3.0) -> None:
        """Wait at most `wait` seconds for the broker to take the rest, then go."""
        deadline = time.monotonic() + wait
        while self.waiting and self._client.is_connected() and time.monotonic() < deadline:
            time.sleep(SETTLE)
        self._client.disconnect()
        with contextlib.suppress(RuntimeError):  # never started
            self._client.loop_stop()

    def _on_publish(self, _client: mqtt.Client, _userdata: Any, _mid: int, _reason: Any, _properties: Any) -> None:
        self._taken += 1
