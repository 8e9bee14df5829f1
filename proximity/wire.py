"""Wire, version 1: topics and payloads between gateways and the service. See docs/wire.md.

JSON, MQTT QoS 1. Times on the wire are integer milliseconds. Nothing here but msgspec is needed, so that a
gateway can load it.
"""

import re
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from proximity.errors import BadMessage

PREFIX = "proximity/v1"
SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")
MAX_PAYLOAD = 1 << 20  # bytes; a second of a busy gateway is about 20 kB, so a megabyte is a fault, not a message

# Names and numbers go into tables as they come: their size is bounded here, once.
Boot = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Ms = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]  # what a double holds exactly
Version = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{0,64}$")]

Up = Literal["sightings", "fixes", "status", "health"]
Down = Literal["acked", "config", "commands"]


class Envelope(msgspec.Struct, frozen=True):
    """What names a message of a gateway even when its rows cannot be used."""

    boot: Boot
    seq: Seq


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One device in one sample: `["ibeacon:…", 1764000000123, -67.5, 3, -59]`."""

    device: str  # canonical device id
    time: Ms  # clock "synced": ms since the epoch; "unsynced": age in ms when the message was sent
    rssi: float  # dBm, mean over the sample
    count: int = 1  # packets in the sample
    power: float | None = None  # measured power at 1 m, dBm


class SightingsMessage(msgspec.Struct, frozen=True):
    """`…/sightings`: what one gateway heard, about a second of it."""

    boot: Boot  # changes with every start of the gateway's spool, so that (boot, seq) never repeats
    seq: Seq  # counts up by one per message within a boot, from 1
    clock: Literal["synced", "unsynced"]
    rows: list[Row]
    v: Literal[1] = 1
    sent: int | None = None  # ms since the epoch by the gateway's clock, for its skew; None when unsynced


class FixRow(msgspec.Struct, frozen=True, array_like=True):
    """One phone position relayed by a gateway: `["owntracks:ada/phone", 1764000000123, 48.85, 2.35, 12.0]`."""

    device: str
    time: Ms  # as in Row
    lat: float  # degrees
    lon: float  # degrees
    accuracy: float | None = None  # metres


class FixesMessage(msgspec.Struct, frozen=True):
    """`…/fixes`: positions that phones posted on the store's network. Shares boot and seq with `…/sightings`."""

    boot: Boot
    seq: Seq
    clock: Literal["synced", "unsynced"]
    rows: list[FixRow]
    v: Literal[1] = 1
    sent: int | None = None


class StatusMessage(msgspec.Struct, frozen=True):
    """`…/status`: retained; the last will carries `offline`."""

    state: Literal["online", "offline"]
    v: Literal[1] = 1
    version: Version | None = None  # of the gateway's software
    config: int | None = None  # version of the configuration in force
    boot: Boot | None = None
    at: int | None = None  # ms since the epoch


class HealthMessage(msgspec.Struct, frozen=True):
    """`…/health`: every 15 s. Counters count up since the start."""

    boot: Boot
    v: Literal[1] = 1
    uptime: float = 0.0  # seconds
    heard: int = 0  # advertisements
    sampled: int = 0  # rows made of them
    sent: int = 0  # messages handed to the broker
    spooled: int = 0  # messages waiting on disk now
    dropped: int = 0  # messages given up because the spool was full
    ignored: int = 0  # advertisements of devices that are nobody's
    adapter: Version = "none"  # ready | quiet | powered-off | blocked | failed | none
    temperature: float | None = None  # °C
    # boot -> the oldest sequence number still spooled, or the next one when nothing is: what lies below and was never
    # covered was given up by a full spool, and the service stops waiting for it
    held: dict[Boot, Seq] = msgspec.field(default_factory=dict)


class AckedMessage(msgspec.Struct, frozen=True):
    """`…/acked`: retained. All of `boot` up to and with `seq` is covered by durable state."""

    boot: Boot
    seq: Seq
    v: Literal[1] = 1


class ConfigMessage(msgspec.Struct, frozen=True):
    """`…/config`: retained, versioned settings for one gateway."""

    version: int
    v: Literal[1] = 1
    sample_every: float = 1.0  # seconds
    keep: list[str] | None = None  # ids, or beginnings ending in ":" or "-"; None: every beacon format


class CommandMessage(msgspec.Struct, frozen=True):
    """`…/commands`: restart the scan, start a survey, make the gateway show itself."""

    command: Literal["restart-scan", "survey", "identify"]
    id: str
    v: Literal[1] = 1


class OfferMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`proximity/v1/shoppers/<shopper>/offers`: an offer for an app that listens; `withdrawn` takes it back."""

    id: str
    title: str
    body: str
    language: str
    site: str
    zone: str
    created: int  # ms since the epoch
    expires: int  # ms since the epoch
    url: str | None = None
    withdrawn: bool = False
    v: int = 1


class DeskMessage(msgspec.Struct, frozen=True):
    """`proximity/v1/<site>/desks/<desk>`: a word to the staff."""

    id: str  # the same when it comes twice
    desk: str
    text: str
    rule: str
    site: str
    zone: str
    created: int  # ms since the epoch
    expires: int  # ms since the epoch
    v: int = 1


class ContextMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`proximity/v1/<site>/context`: values that rules read, of the store or of somebody or something in it."""

    values: dict[str, dict[str, Any]]  # namespace -> name -> value; null takes a value back
    shopper: str | None = None
    product: str | None = None
    rule: str | None = None
    valid_for: Annotated[float, msgspec.Meta(gt=0)] | None = None  # seconds; None: until told otherwise
    v: Literal[1] = 1


EventName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$", max_length=64)]
Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=160)]


class EventMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`proximity/v1/<site>/events`: something that the shop's systems tell of, of one shopper. On `proximity/v1/events`
    it happened in no store, unless `site` names one."""

    name: EventName
    id: Subject | None = None  # the sender's own; the same id is the same event
    shopper: Subject | None = None  # one of the three says of whom
    device: Subject | None = None  # canonical device id
    order: Subject | None = None  # as `order.id` among the values that rules read
    site: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    at: int | None = None  # ms since the epoch; None: now
    data: Annotated[dict[str, Any], msgspec.Meta(max_length=64)] = {}  # what rules see as event.<name>
    v: Literal[1] = 1


MESSAGES: dict[str, type[msgspec.Struct]] = {
    "sightings": SightingsMessage,
    "fixes": FixesMessage,
    "status": StatusMessage,
    "health": HealthMessage,
    "acked": AckedMessage,
    "config": ConfigMessage,
    "commands": CommandMessage,
    "offers": OfferMessage,
    "desks": DeskMessage,
    "context": ContextMessage,
    "events": EventMessage,
}

_M = TypeVar("_M", bound=msgspec.Struct)
_encoder = msgspec.json.Encoder()
_decoders = {kind: msgspec.json.Decoder(kind, strict=True) for kind in (Envelope, *MESSAGES.values())}


class GatewayTopic(NamedTuple):
    """The three words of a gateway's topic."""

    site: str
    gateway: str
    channel: str


def gateway_topic(site: str, gateway: str, channel: str) -> str:
    """`proximity/v1/<site>/<gateway>/<channel>`; ValueError when site or gateway is no slug."""
    for word in (site, gateway):
        if not SLUG.match(word):
            raise ValueError(f"{word!r} is no slug: lower-case letters, digits and hyphens, 64 at most")
    return f"{PREFIX}/{site}/{gateway}/{channel}"


def offers_topic(shopper: str) -> str:
    """Where an app that belongs to `shopper` listens."""
    return f"{PREFIX}/shoppers/{shopper}/offers"


def desk_topic(site: str, desk: str) -> str:
    """Where the people at a desk listen."""
    return f"{PREFIX}/{site}/desks/{desk}"


def context_topic(site: str) -> str:
    """Where a store's systems tell values."""
    return f"{PREFIX}/{site}/context"


def events_topic(site: str | None = None) -> str:
    """Where a store's systems, or those of the whole chain, tell what happens."""
    return f"{PREFIX}/events" if site is None else f"{PREFIX}/{site}/events"


def parse_events_topic(topic: str) -> tuple[bool, str | None]:
    """Whether it is one of `events_topic`, and the store that it names."""
    words = topic.split("/")
    if "/".join(words[:2]) != PREFIX or words[-1] != "events" or len(words) not in (3, 4):
        return False, None
    if len(words) == 3:
        return True, None
    return bool(SLUG.match(words[2])), words[2]


def parse_context_topic(topic: str) -> str | None:
    """The store of a `context_topic`; None for any other topic."""
    words = topic.split("/")
    if len(words) != 4 or "/".join(words[:2]) != PREFIX or words[3] != "context" or not SLUG.match(words[2]):
        return None
    return words[2]


def parse_gateway_topic(topic: str) -> GatewayTopic:
    """The reverse of `gateway_topic`. BadMessage("topic") for anything else."""
    words = topic.split("/")
    if len(words) != 5 or "/".join(words[:2]) != PREFIX or not (SLUG.match(words[2]) and SLUG.match(words[3])):
        raise BadMessage("topic", topic[:200])
    return GatewayTopic(words[2], words[3], words[4])


def encode(message: msgspec.Struct) -> bytes:
    """JSON as it goes on the wire."""
    return _encoder.encode(message)


_events = msgspec.json.Decoder(EventMessage | list[EventMessage], strict=True)


def decode_events(payload: bytes) -> list[EventMessage]:
    """One event or a list of them. BadMessage as by `decode`."""
    found = _decode(_events, payload)
    return found if isinstance(found, list) else [found]


def decode(kind: type[_M], payload: bytes) -> _M:
    """A payload as `kind`. BadMessage("too_large" | "json" | "shape") when it is none; never anything else."""
    message: _M = _decode(_decoders[kind], payload)
    return message


def _decode(decoder: Any, payload: bytes) -> Any:
    if len(payload) > MAX_PAYLOAD:
        raise BadMessage("too_large", f"{len(payload)} bytes")
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise BadMessage("shape", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage("json", str(error)) from error
