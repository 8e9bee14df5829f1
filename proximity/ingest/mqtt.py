"""The MQTT link: writes, and reads from any broker in one persistent session, acknowledged by hand after the commit."""

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from proximity.errors import BadMessage, BrokerError, DeliveryError
from proximity.ingest.inbound import Inbound, Inbox

log = structlog.get_logger(__name__)

# No filter ends in `#`: the NATS server counts those twice against the session's limit of unacknowledged messages.
TOPICS: Sequence[str] = (
    "proximity/v1/+/+/sightings",
    "proximity/v1/+/+/fixes",
    "proximity/v1/+/+/status",
    "proximity/v1/+/+/health",
    "proximity/v1/events",
    "proximity/v1/+/events",
    "proximity/v1/+/context",
    "owntracks/+/+",
    "owntracks/+/+/+",
    "/owntracks/+/+",
    "/owntracks/+/+/+",
)
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "nats": 4222, "tls": 4222}
PUBLISH_TIMEOUT = 5.0  # s for a PUBACK; the outbox tries again later
CATCH_UP = 15.0  # s that what a broker kept for us may hold presence up: it comes in order, the live messages last
BLOCKED_FOR = 0.5  # s between looks whether to stop, while a full queue holds the network thread


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker is and how to sign in."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    nats: bool = False  # the NATS protocol, not MQTT

    @staticmethod
    def parse(url: str) -> "BrokerAddress":
        """`mqtt://[user:password@]host[:port]` or `nats://…`; `mqtts://` or `tls://` over TLS. BrokerError for anything
        else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BrokerError(f"--broker {url}: {error}") from error
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise BrokerError(
                f"--broker {url}: write mqtt://host:port, or nats://host:port for a NATS server with JetStream; "
                "mqtts:// or tls:// for TLS"
            )
        return BrokerAddress(
            parts.hostname,
            port or DEFAULT_PORTS[parts.scheme],
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            tls=parts.scheme in ("mqtts", "tls"),
            nats=parts.scheme in ("nats", "tls"),
        )


class MqttLink:
    """Reads into an inbox, writes with confirmation. Reconnects by itself, for ever."""

    def __init__(
        self,
        address: BrokerAddress,
        inbox: Inbox | None,
        clock: Callable[[], float],
        client_id: str = "proximity-service",
    ) -> None:
        """Without an inbox it only writes."""
        self._address, self._inbox, self._clock = address, inbox, clock
        # A message identifier means something only on the connection it came by: an acknowledgement for an earlier
        # connection would confirm somebody else's message on this one.
        self._connection = 0
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._answered = threading.Event()  # for good or ill
        self._refused: str | None = None
        self._stopping = False
        self._settled = 0.0  # monotonic, when a backlog may hold time up no longer
        # Who only writes has a clean session: one that was read from before would be filled for nobody.
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=inbox is None,
            manual_ack=True,
            reconnect_on_failure=True,
        )
        client.reconnect_delay_set(1, 10)
        client.max_inflight_messages_set(1000)
        if address.username:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client

    @property
    def connected(self) -> bool:
        """Whether the session stands and every subscription was granted."""
        return self._connected.is_set() and self._subscribed.is_set()

    def start(self, timeout: float = 10.0) -> None:
        """Connect and subscribe. BrokerError when that does not happen in `timeout` seconds."""
        where = f"{self._address.host}:{self._address.port}"
        try:
            self._client.connect(self._address.host, self._address.port, keepalive=20)
        except (OSError, ValueError) as error:
            raise BrokerError(f"no MQTT broker at {where}: {error}") from error
        self._client.loop_start()
        self._answered.wait(timeout)
        if not self._subscribed.is_set():
            self.stop()
            raise BrokerError(f"the broker at {where} {self._refused or f'did not answer in {timeout:.0f} s'}")

    def stop(self) -> None:
        """Leave; the session stays at the broker and collects what comes meanwhile."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Send and wait for the broker's confirmation. DeliveryError(retry=True) when it does not come."""
        if not self._connected.is_set():
            raise DeliveryError("the broker is away", retry=True)
        try:
            info = self._client.publish(topic, payload, qos=qos, retain=retain)
            info.wait_for_publish(PUBLISH_TIMEOUT)
        except (ValueError, RuntimeError) as error:
            raise DeliveryError(f"the broker did not take it: {error}", retry=True) from error
        if not info.is_published():
            raise DeliveryError(f"the broker did not confirm within {PUBLISH_TIMEOUT:.0f} s", retry=True)

    def post(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Send without waiting, for what will be said again anyway. The client keeps it over a reconnect."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _on_connect(
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, code: ReasonCode, _props: Properties | None
    ) -> None:
        if code.is_failure:
            self._refused = f"refused us: {code}"
            self._answered.set()
            log.error("broker refused the connection", reason=str(code))
            return
        self._connection += 1
        self._connected.set()
        if self._inbox is None:
            self._subscribed.set()
            self._answered.set()
            return
        self._settled = monotonic() + CATCH_UP if flags.session_present else 0.0
        self._inbox.behind(None if flags.session_present else math.inf)
        client.subscribe([(topic, 1) for topic in TOPICS])

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        code: ReasonCode,
        _props: Properties | None,
    ) -> None:
        self._connected.clear()
        self._subscribed.clear()
        if self._inbox is not None:
            self._inbox.behind(math.inf)  # time goes on, and holds what the broker can no longer tell
        if not self._stopping:
            log.warning("broker connection lost; trying again", reason=str(code))

    def _on_subscribe(
        self, client: paho.Client, _data: object, _mid: int, codes: list[ReasonCode], _props: Properties | None
    ) -> None:
        failed = [topic for topic, code in zip(TOPICS, codes, strict=False) if code.is_failure]
        if failed:  # without these the service would look well and hear nothing
            self._refused = f"refused the subscription to {', '.join(failed)}"
            self._answered.set()
            log.error("broker refused subscriptions", topics=failed)
            client.disconnect()
            return
        self._subscribed.set()
        self._answered.set()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        inbound = Inbound(
            message.topic,
            bytes(message.payload),
            self._clock(),
            functools.partial(self._acknowledge, self._connection, message.mid, message.qos),
            message.retain,
        )
        if self._inbox is None:
            return
        while not self._inbox.put(inbound, BLOCKED_FOR):
            if self._stopping:
                return
        if self._settled and monotonic() > self._settled:
            self._settled = 0.0
            self._inbox.behind(math.inf)

    def _acknowledge(self, connection: int, mid: int, qos: int, _error: BadMessage | None) -> None:
        if connection == self._connection and qos:
            with contextlib.suppress(OSError, ValueError):
                self._client.ack(mid, qos)
