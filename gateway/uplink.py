"""From the spool to the broker and back: what was sent is kept until the service says that it is safe.

A broker's acknowledgement (PUBACK) frees nothing; it only opens the way for more. The spool is freed by the service's
`…/acked`. Everything after that mark is sent again, in order, after each reconnect, and also when the mark stands
still for a while, because a broker may forget what it took. Paho's own memory of unsent messages is emptied at each
reconnect: there is one queue, and it is on disk.

Locking: paho calls back from its own thread, and `on_publish` while it holds a lock that `publish` needs. So that
callback takes no lock of ours; the others may.
"""

import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.settings import BrokerAddress
from gateway.spool import Entry, Spool
from proximity import wire
from proximity.errors import BadMessage

log = logging.getLogger(__name__)

IN_FLIGHT = 32  # messages without PUBACK: enough to fill a slow link, few enough to lose little time when it breaks
WINDOW = (
    256  # messages beyond the acked mark: four minutes of a gateway; bounds what a broker queues for a service away
)
RESEND_AFTER = 10.0  # s without progress of the mark before all beyond it is sent again
RESEND_AT_MOST = 300.0  # s; the wait doubles up to this, so that a service that is away is not buried
KEEPALIVE = 20  # s; the broker tells the last will after one and a half of it
DOWN = ("acked", "config", "commands")

Render = Callable[[Entry], tuple[str, bytes]]  # spooled entry -> channel and payload
Receive = Callable[[wire.ConfigMessage | wire.CommandMessage], None]


class Uplink:
    """One gateway's connection. `pump` does the sending and must be called several times a second."""

    def __init__(
        self,
        address: BrokerAddress,
        topic: Callable[[str], str],
        spool: Spool,
        *,
        render: Render,
        receive: Receive,
        status: Callable[[bool], wire.StatusMessage],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = 0  # messages from the spool handed to the broker, repeats included
        self.connects = 0
        self.bad: dict[str, int] = {}  # refused messages by reason
        self._address, self._topic, self._spool = address, topic, spool
        self._render, self._receive, self._status, self._monotonic = render, receive, status, monotonic
        self._channels = {topic(channel): channel for channel in DOWN}
        self._lock = threading.RLock()
        self._ready = False  # connected, and subscribed to what comes down
        self._complained = False
        self._published = self._taken = (
            0  # QoS 1 messages of this connection: given to paho, acknowledged by the broker
        )
        self._cursor: Entry | None = None  # the last entry sent; None: begin with the oldest
        self._unacked: deque[tuple[str, int]] = deque()  # sent and not covered, in order
        self._progress = monotonic()  # when the mark last moved, or waiting for it began
        self._patience = RESEND_AFTER
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether messages can go out now."""
        return self._ready

    def start(self) -> None:
        """Connect in the background, and again whenever the connection breaks. Never raises for an absent broker."""
        self._client.connect_async(self._address.host, self._address.port, keepalive=KEEPALIVE)
        self._client.loop_start()

    def pump(self) -> int:
        """Send what may be sent now. Returns how many messages went out."""
        with self._lock:
            if not self._ready:
                return 0
            if self._unacked and self._monotonic() - self._progress >= self._patience:
                self._stalled()
            count = 0
            while self._published - self._taken < IN_FLIGHT and len(self._unacked) < WINDOW:
                entry = self._spool.next(self._cursor)
                if entry is None or not self._send(entry):
                    break
                count += 1
            return count

    def publish(self, channel: str, message: msgspec.Struct, *, retain: bool = False) -> mqtt.MQTTMessageInfo | None:
        """Send a message that is not worth keeping (health, status). None: not connected, so it is not sent."""
        with self._lock:
            if not self._ready:
                return None
            self._published += 1
            return self._client.publish(self._topic(channel), wire.encode(message), qos=1, retain=retain)

    def stop(self, wait: float = 3.0) -> None:
        """Say offline, then go. `wait`: seconds at most until the broker has taken it."""
        info = self.publish("status", self._status(False), retain=True)
        if info is not None:
            with contextlib.suppress(ValueError, RuntimeError):  # the connection broke: the last will says it
                info.wait_for_publish(wait)
        self._ready = False
        self._client.disable_logger()  # its loop calls the connection that we end a fault
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self) -> mqtt.Client:
        words = self._topic("status").split("/")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"proximity-gateway-{words[2]}-{words[3]}")
        client.suppress_exceptions = True  # an error in a callback must not end paho's thread; each is logged
        client.enable_logger(logging.getLogger(f"{__name__}.paho"))
        client.max_inflight_messages_set(WINDOW * 2)  # never reached: this class does the limiting
        client.reconnect_delay_set(1, random.randint(15, 30))  # gateways of one shop do not come back all at once
        client.will_set(self._topic("status"), wire.encode(self._status(False)), qos=1, retain=True)
        if self._address.username is not None:
            client.username_pw_set(self._address.username, self._address.password)
        if self._address.tls:
            client.tls_set(None if self._address.ca_file is None else str(self._address.ca_file))
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _send(self, entry: Entry) -> bool:
        channel, payload = self._render(entry)
        info = self._client.publish(self._topic(channel), payload, qos=1)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            return False
        if not self._unacked:
            self._progress = self._monotonic()
        self._published += 1
        self._cursor = entry
        self._unacked.append((entry.boot, entry.seq))
        self.sent += 1
        return True

    def _stalled(self) -> None:
        """The mark stands still: the service is away, or the broker has forgotten, or it takes nothing any more."""
        log.info("nothing acknowledged for %.0f s: %d messages go again", self._patience, len(self._unacked))
        self._patience = min(self._patience * 2, RESEND_AT_MOST)
        self._rewind()
        connection = self._client.socket()
        if self._published - self._taken >= IN_FLIGHT and isinstance(connection, socket.socket):
            log.warning("the broker is connected and takes nothing; connecting anew")
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # paho's thread sees the end and reconnects

    def _rewind(self) -> None:
        self._cursor = None
        self._unacked.clear()

    def _acked(self, message: wire.AckedMessage) -> None:
        with self._lock:
            freed = self._spool.acked(message.boot, message.seq)
            before = len(self._unacked)
            self._unacked = deque(sent for sent in self._unacked if sent[0] != message.boot or sent[1] > message.seq)
            if freed or len(self._unacked) != before:
                self._progress = self._monotonic()
                self._patience = RESEND_AFTER
        self.pump()

    # What follows is called by paho, on its thread.

    def _on_pre_connect(self, client: mqtt.Client, _userdata: Any) -> None:
        client.drop_out_messages()

    def _on_connect(self, client: mqtt.Client, _u: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"the broker refuses the connection: {reason}; check user name, password and access list")
            return
        client.subscribe([(topic, 1) for topic in self._channels])

    def _on_connect_fail(self, _client: mqtt.Client, _userdata: Any) -> None:
        self._complain(f"no broker at {self._address.host}:{self._address.port}; trying on")

    def _on_subscribe(self, _client: mqtt.Client, _u: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error(
                "the broker refuses a subscription; without %s nothing sent is ever freed: check the access list",
                self._topic("acked"),
            )
        with self._lock:
            self._published = self._taken = 0
            self._rewind()
            self._patience = RESEND_AFTER
            self._ready = True
            self._complained = False
            self.connects += 1
        log.info("connected to %s:%d, %d messages wait", self._address.host, self._address.port, self._spool.pending)
        self.publish("status", self._status(True), retain=True)

    def _on_disconnect(self, _client: mqtt.Client, _u: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._ready = False
        if reason.is_failure:
            self._complain(f"connection to the broker lost ({reason}); messages wait in the spool")

    def _on_publish(self, _client: mqtt.Client, _u: Any, _mid: int, _reason: Any, _properties: Any) -> None:
        self._taken += 1

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        channel, payload = self._channels.get(message.topic), bytes(message.payload)
        try:
            if channel == "acked":
                self._acked(wire.decode(wire.AckedMessage, payload))
            elif channel == "config":
                self._receive(wire.decode(wire.ConfigMessage, payload))
            elif channel == "commands":
                self._receive(wire.decode(wire.CommandMessage, payload))
        except BadMessage as error:
            self.bad[error.reason] = self.bad.get(error.reason, 0) + 1
            log.warning("%s: message dropped (%s)", message.topic, error)

    def _complain(self, text: str) -> None:
        """Once for each time without a connection, not at every try."""
        log.log(logging.DEBUG if self._complained else logging.WARNING, text)
        self._complained = True
