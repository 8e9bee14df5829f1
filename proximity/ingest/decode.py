"""Messages to columns: each topic has one small reader, and a message that cannot be used is counted by name.

Rows of a message become columns in one go; ids stay strings until identity has numbered them.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import structlog

from proximity import wire
from proximity.errors import BadMessage
from proximity.ingest.columns import FixRows, SightingRows, Whole, WholeFixes, WholeSightings, decode, decode_rows
from proximity.ingest.inbound import Inbound
from proximity.ingest.offsets import Boot, Offsets
from proximity.phones import app, owntracks, traccar
from rules.audience import Tick

log = structlog.get_logger(__name__)

TELL_EVERY = 60.0  # s
MOST_DATA = 8_192  # bytes of one event, which sequences carry along
MOST_TOLD = 100  # lines of the log in that time: a flood of garbage must not fill the disk; all of it is counted
OTHER = "other"  # source of what comes under a topic of nobody: names of counters are ours, not the sender's
Secrets = Callable[[str], str | None]  # canonical device id -> OwnTracks encryption key


class GatewayReport(NamedTuple):
    """A status or health message."""

    site: str
    gateway: str
    message: wire.StatusMessage | wire.HealthMessage
    at: float
    retained: bool


class ToldEvent(NamedTuple):
    """An event as it came."""

    message: wire.EventMessage
    site: str | None  # that the topic names
    received: float


class ToldValues(NamedTuple):
    """Values that rules read, as they came."""

    message: wire.ContextMessage
    site: str
    received: float


@dataclass(slots=True)
class Read:
    """What a batch of messages says."""

    sightings: SightingRows = field(default_factory=SightingRows)
    fixes: FixRows = field(default_factory=FixRows)
    phones: list[owntracks.Report] = field(default_factory=list)  # with a word about the phone's own regions
    reports: list[GatewayReport] = field(default_factory=list)
    events: list[ToldEvent] = field(default_factory=list)  # of the shop's systems
    context: list[ToldValues] = field(default_factory=list)  # values that rules read
    ticks: list[Tick] = field(default_factory=list)  # schedules that have come
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
            "positions": self._positions,
            "schedule": self._schedule,
        }

    def read(self, messages: Sequence[Inbound]) -> Read:
        """Never raises for what a message holds."""
        read = Read()
        for message in messages:
            source = message.topic.lstrip("/").split("/", 1)[0].lower()
            try:
                reader = self._readers.get(source)
                if reader is None:
                    raise BadMessage("topic", message.topic[:200])
                reader(message, read)
                read.refused.append(None)
            except BadMessage as error:
                read.counts[source if source in self._readers else OTHER, error.reason] += 1
                self._tell(message, error)
                read.refused.append(error)
        return read

    def _tell(self, message: Inbound, error: BadMessage) -> None:
        """Log it, the same reason under the same topic once a minute, and so many lines a minute at most."""
        key, now = (message.topic, error.reason), message.received
        if len(self._told) >= MOST_TOLD:
            self._told = {told: at for told, at in self._told.items() if 0.0 <= now - at < TELL_EVERY}
        if len(self._told) >= MOST_TOLD or now - self._told.get(key, -TELL_EVERY) < TELL_EVERY:
            return
        self._told[key] = now
        log.warning("message refused", topic=message.topic[:200], reason=error.reason, detail=error.detail[:200])

    @staticmethod
    def _events(message: Inbound, site: str | None, read: Read) -> None:
        told = wire.decode_events(message.payload)
        if any(len(msgspec.json.encode(one.data)) > MOST_DATA for one in told):
            raise BadMessage("too_large", f"an event with more than {MOST_DATA} bytes of data")
        read.counts["events", "events"] += len(told)
        read.events += [ToldEvent(one, site, message.received) for one in told]

    @staticmethod
    def _schedule(message: Inbound, read: Read) -> None:
        """Our own word, from `proximity/schedules.py`."""
        try:
            read.ticks.append(msgspec.json.decode(message.payload, type=Tick))
        except msgspec.DecodeError as error:
            raise BadMessage("shape", str(error)) from error

    def _gateway(self, message: Inbound, read: Read) -> None:
        is_event, place = wire.parse_events_topic(message.topic)
        if is_event:
            self._events(message, place, read)
            return
        store = wire.parse_context_topic(message.topic)
        if store is not None:
            read.context.append(ToldValues(wire.decode(wire.ContextMessage, message.payload), store, message.received))
            return
        site, gateway, channel = wire.parse_gateway_topic(message.topic)
        if channel == "sightings":
            heard = self._numbered(WholeSightings, message.payload, site, gateway)
            if self._is_new(heard, site, gateway, channel, read):
                read.sightings.add(f"{site}/{gateway}", heard, message.received)
        elif channel == "fixes":
            told = self._numbered(WholeFixes, message.payload, site, gateway)
            if self._is_new(told, site, gateway, channel, read):
                read.fixes.add(told, message.received)
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
        read.gateways.add((site, gateway))  # only now: garbage under names of nobody must not be remembered

    def _numbered(self, kind: type[Whole], payload: bytes, site: str, gateway: str) -> Whole:
        try:
            return decode(kind, payload)
        except BadMessage:
            # Refused for good: cover its number, or the gateway would send it again for ever.
            with contextlib.suppress(BadMessage):
                envelope = wire.decode(wire.Envelope, payload)
                self._offsets.take(Boot(site, gateway, envelope.boot), envelope.seq, 0)
            raise

    def _is_new(self, message: WholeSightings | WholeFixes, site: str, gateway: str, channel: str, read: Read) -> bool:
        """Whether the number was not covered before; it is now."""
        rows = len(message.rows)
        if not self._offsets.take(Boot(site, gateway, message.boot), message.seq, rows):
            read.counts["proximity", "repeated"] += 1
            return False
        read.counts["proximity", channel] += rows
        return True

    @staticmethod
    def _positions(message: Inbound, read: Read) -> None:
        """Positions in bulk, checked by `proximity/api/positions.py`."""
        told = WholeFixes("", 0, "synced", decode_rows(message.payload))
        read.counts["positions", "fixes"] += len(told.rows)
        read.fixes.add(told, message.received)

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
        read.fixes.add_fixes(report.fixes)
        if report.transition is not None or report.regions:
            read.phones.append(report)
        for heard in report.sightings:  # the phone listens, the shelf beacon is the anchor
            read.counts[source, "sightings"] += 1
            read.sightings.add_one(heard.beacon, report.device, heard.at, heard.rssi)
