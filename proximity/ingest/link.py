"""The broker as the service uses it: one face, whichever way messages are read."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

from proximity.broker import EmbeddedBroker
from proximity.ingest.inbound import Inbox
from proximity.ingest.jetstream import JetStreamReader
from proximity.ingest.mqtt import BrokerAddress, MqttLink
from proximity.settings import Settings


class BrokerLink:
    """Reads into an inbox and writes. `reader` None: the MQTT link does both."""

    def __init__(self, writer: MqttLink, reader: JetStreamReader | None = None) -> None:
        self._writer, self._reader = writer, reader
        self.publish, self.post = writer.publish, writer.post

    @property
    def connected(self) -> bool:
        """Whether messages come in and go out."""
        return self._writer.connected and (self._reader is None or self._reader.connected)

    def start(self, timeout: float = 10.0) -> None:
        """BrokerError when the broker cannot be used within `timeout` seconds each way."""
        self._writer.start(timeout)  # first: the NATS server makes its MQTT streams for its first MQTT client
        if self._reader is not None:
            try:
                self._reader.start(timeout)
            except BaseException:
                self._writer.stop()
                raise

    def stop(self) -> None:
        """Leave both; what comes meanwhile is kept for us."""
        if self._reader is not None:
            self._reader.stop()
        self._writer.stop()


def broker_link(
    settings: Settings, inbox: Inbox, clock: Callable[[], float], stack: contextlib.ExitStack
) -> tuple[str, BrokerLink]:
    """The MQTT address for others, and the link, not yet started. An embedded broker is started, and ended by `stack`.

    Embedded or `nats://…`: JetStream is read. `mqtt://…`: an MQTT session.
    """
    if settings.broker is None:
        broker = EmbeddedBroker(settings.data / "broker", settings.mqtt_port, settings.mqtt_host)
        broker.start()
        stack.callback(broker.stop)
        reader = JetStreamReader(lambda: broker.nats_address, inbox, clock)
        return broker.url, BrokerLink(MqttLink(BrokerAddress.parse(broker.url), None, clock), reader)
    address = BrokerAddress.parse(settings.broker)
    if not address.nats:
        return settings.broker, BrokerLink(MqttLink(address, inbox, clock))
    mqtt = replace(address, port=settings.mqtt_port or 1883, nats=False)
    url = f"mqtt{'s' if mqtt.tls else ''}://{mqtt.host}:{mqtt.port}"
    return url, BrokerLink(MqttLink(mqtt, None, clock), JetStreamReader(lambda: address, inbox, clock))
