"""Messages to columns: each topic has one small reader, and a message that cannot be used is counted by name.

Rows of a message become list columns in one go; ids stay strings until identity has looked each distinct one up.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import structlog

from proximity import wire
from proximity.errors import BadMessage
from proximity.ingest.inbound import Inbound
from proximity.ingest.offsets import Boot, Offsets
from proximity.model import Fix
from proximity.phones import app, owntracks, traccar

log = structlog.get_logger(__name__)

TELL_EVERY = 60.0  # s
MOST_TOLD = 1_000  # topics and reasons that are remembered
_M = TypeVar("_M", wire.SightingsMessage, wire.FixesMessage)
Secrets = Callable[[str], str | None]  # canonical device id -> OwnTracks encryption key


class GatewayReport(NamedTuple):
    """A status or health message."""

    site: str
    gateway: str
    message: wire.StatusMessage | wire.HealthMessage
    at: float
    retained: bool


@dataclass(slots=True)
class Read:
    """What a batch of messages says. The sightings' lists are columns of equal length."""

    device: list[str] = field(default_factory=list)  # as on the wire
    anchor: list[str] = field(default_factory=list)  # "<site>/<gateway>", or a shelf beacon's id on air
    at: list[float] = field(default_factory=list)
    rssi: list[float] = field(default_factory=list)
    power: list[float] = field(default_factory=list)  # NaN: unknown
    fixes: list[Fix] = field(default_factory=list)
    reports: list[GatewayReport] = field(default_factory=list)
    refused: list[BadMessage | None] = field(default_factory=list)  # one per message, in order
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, what): messages and rows
    gateways: set[tuple[str, str]] = field(default_factory=set)  # heard from


class Decoder:
    """Reads messages against the offsets of the gateways, which it moves on."""

    def __init__(self, offsets: Offsets, secrets: Secrets) -> None:
        self._offsets = offsets
        self._secrets = secrets
        self._told: dict[tuple[str, str], float] = {}  # (topic, reason) -> when it was logged last
        self._readers: Mapping[str, Callable[[Inbound, Read], None]] = {
            "proximity": self._gateway,
            "owntracks": self._owntracks,
            "traccar": self._traccar,
            "app": self._app,
        }

    def read(self, messages: Sequence[Inbound]) -> Read:
        """Never raises for what a message holds."""
        read = Read()
        for message in messages:
            source = message.topic.lstrip("/").split("/", 1)[0]
            try:
                reader = self._readers.get(source)
                if reader is None:
                    raise BadMessage("topic", message.topic[:200])
                reader(message, read)
                read.refused.append(None)
            except BadMessage as error:
                read.counts[source, error.reason] += 1
                self._tell(message, error)
                read.refused.append(error)
        return read

    def _tell(self, message: Inbound, error: BadMessage) -> None:
        """Log it, the same reason under the same topic once a minute: garbage comes in floods."""
        key = (message.topic, error.reason)
        if message.received - self._told.get(key, -TELL_EVERY) < TELL_EVERY:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[key] = message.received
        log.warning("message refused", topic=message.topic[:200], reason=error.reason, detail=error.detail[:200])

    def _gateway(self, message: Inbound, read: Read) -> None:
        site, gateway, channel = wire.parse_gateway_topic(message.topic)
        read.gateways.add((site, gateway))
        if channel == "sightings":
            heard = self._numbered(wire.SightingsMessage, message.payload, site, gateway)
            self._sightings(message, heard, site, gateway, read)
        elif channel == "fixes":
            self._fixes(message, self._numbered(wire.FixesMessage, message.payload, site, gateway), site, gateway, read)
        elif channel == "status":
            status = wire.decode(wire.StatusMessage, message.payload)
            read.reports.append(GatewayReport(site, gateway, status, message.received, message.retained))
        elif channel == "health":
            health = wire.decode(wire.HealthMessage, message.payload)
            for boot, held in health.held.items():
                self._offsets.give_up_below(Boot(site, gateway, boot), held)
            read.reports.append(GatewayReport(site, gateway, health, message.received, message.retained))
        else:
            raise BadMessage("topic", message.topic[:200])

    def _numbered(self, kind: type[_M], payload: bytes, site: str, gateway: str) -> _M:
        try:
            return wire.decode(kind, payload)
        except BadMessage:
            # Refused for good: cover its number, or the gateway would send it again for ever.
            with contextlib.suppress(BadMessage):
                envelope = wire.decode(wire.Envelope, payload)
                self._offsets.take(Boot(site, gateway, envelope.boot), envelope.seq, 0)
            raise

    def _sightings(self, message: Inbound, heard: wire.SightingsMessage, site: str, gateway: str, read: Read) -> None:
        rows = heard.rows
        if not self._offsets.take(Boot(site, gateway, heard.boot), heard.seq, len(rows)):
            read.counts["proximity", "repeated"] += 1
            return
        read.counts["proximity", "sightings"] += len(rows)
        read.device += [row.device for row in rows]
        read.anchor += [f"{site}/{gateway}"] * len(rows)
        read.rssi += [row.rssi for row in rows]
        read.power += [float("nan") if row.power is None else row.power for row in rows]
        if heard.clock == "synced":
            read.at += [row.time / 1000 for row in rows]
        else:  # ages: right to within the time the message was under way
            read.at += [message.received - row.time / 1000 for row in rows]

    def _fixes(self, message: Inbound, told: wire.FixesMessage, site: str, gateway: str, read: Read) -> None:
        if not self._offsets.take(Boot(site, gateway, told.boot), told.seq, len(told.rows)):
            read.counts["proximity", "repeated"] += 1
            return
        read.counts["proximity", "fixes"] += len(told.rows)
        for row in told.rows:
            at = row.time / 1000 if told.clock == "synced" else message.received - row.time / 1000
            read.fixes.append(Fix(row.device, row.lat, row.lon, at, row.accuracy))

    def _owntracks(self, message: Inbound, read: Read) -> None:
        if not message.payload or message.topic.endswith("/cmd"):  # a cleared retained message, or our own word
            return
        self._phone(owntracks.read(message.topic, message.payload, message.received, self._secrets), "owntracks", read)

    def _traccar(self, message: Inbound, read: Read) -> None:
        self._phone(traccar.read(message.payload, message.received), "traccar", read)

    def _app(self, message: Inbound, read: Read) -> None:
        report = app.read(message.topic, message.payload, message.received)
        self._phone(report, "app", read)

    @staticmethod
    def _phone(report: owntracks.Report, source: str, read: Read) -> None:
        read.counts[source, report.ignored or "messages"] += 1
        read.counts[source, "fixes"] += len(report.fixes)
        read.fixes += report.fixes
        for heard in report.sightings:  # the phone listens, the shelf beacon is the anchor
            read.counts[source, "sightings"] += 1
            read.device.append(report.device)
            read.anchor.append(heard.beacon)
            read.at.append(heard.at)
            read.rssi.append(heard.rssi)
            read.power.append(float("nan"))
