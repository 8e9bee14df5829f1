"""Setting up an OwnTracks phone by a link or a QR code: `owntracks:///config?inline=<base64 of a configuration>`."""

import base64
import json
from typing import Any
from urllib.parse import quote

from proximity.errors import ProximityError

MODE_MQTT = 0
MODE_HTTP = 3
SIGNIFICANT = 1  # monitoring: reports on significant movement, which costs a phone almost nothing


def http_configuration(
    url: str, user: str, device: str, password: str | None = None, tracker: str | None = None
) -> dict[str, Any]:
    """A phone that posts to `url` (for instance `https://shop.example/owntracks`). ProximityError for other URLs."""
    if not url.startswith(("https://", "http://")):
        raise ProximityError(f"{url!r} is no address that a phone can post to; it begins with https:// or http://")
    return {**_common(MODE_HTTP, user, device, password, tracker), "url": url}


def mqtt_configuration(
    host: str,
    port: int,
    user: str,
    device: str,
    password: str | None = None,
    tracker: str | None = None,
    *,
    tls: bool = True,
) -> dict[str, Any]:
    """A phone that connects to an MQTT broker, publishes on `owntracks/<user>/<device>` and listens for commands."""
    if not 0 < port < 65536:
        raise ProximityError(f"{port} is no port; MQTT with TLS stands at 8883, without at 1883")
    return {
        **_common(MODE_MQTT, user, device, password, tracker),
        "host": host,
        "port": port,
        "tls": tls,
        "pubTopicBase": f"owntracks/{user}/{device}",
        "pubQos": 1,
        "subQos": 1,
        "sub": True,
        "cleanSession": False,  # so that a command waits for a phone that sleeps
        "mqttProtocolLevel": 4,
    }


def link(configuration: dict[str, Any]) -> str:
    """The link that configures the app when it is opened; short enough for a QR code. It holds the password."""
    raw = json.dumps(configuration, separators=(",", ":"), ensure_ascii=False).encode()
    return "owntracks:///config?inline=" + quote(base64.b64encode(raw).decode(), safe="")


def _common(mode: int, user: str, device: str, password: str | None, tracker: str | None) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "_type": "configuration",
        "mode": mode,
        "auth": password is not None,
        "username": user,
        "deviceId": device,
        "tid": tracker or user[:2],
        "cmd": True,  # the app obeys commands: offers come as notifications
        "monitoring": SIGNIFICANT,
        "ranging": True,  # iOS: hear the beacons on the shelves
        "extendedData": True,
    }
    if password is not None:
        configuration["password"] = password
    return configuration
