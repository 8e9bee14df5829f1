"""Gateways and phones that keep book: what they sent, and what they were told is safe.

They speak the wire's own protocol, with less patience than real ones, so that a kill a second is survived by the
hundred: a gateway keeps each message until `…/acked` covers it and sends it again after a reconnect or a stand-still;
a phone keeps a position until the broker's PUBACK.
"""

import json
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from proximity import wire
from proximity.configuration import Configuration
from tests.torture.record import Mark, Received, Record, Redeemed, Row

EVERY = 0.2  # s between messages of a gateway: five times a real one's pace
STALLED = 2.0  # s without a word of the service after which all that is not covered is sent again
WINDOW = 200  # messages beyond the mark
STAY = 6.0  # s that a shopper stands in a zone
STRAY = 0.2  # of the gateways elsewhere hear a tag too


@dataclass
class Gateway:
    """One gateway's spool, in memory."""

    site: str
    name: str
    boot: str
    seq: int = 0
    mark: int = 0
    spool: "OrderedDict[int, bytes]" = field(default_factory=OrderedDict)
    sent: int = 0  # the highest number sent on this connection
    progress: float = 0.0  # monotonic

    @property
    def topic(self) -> str:
        return wire.gateway_topic(self.site, self.name, "sightings")

    @property
    def key(self) -> Mark:
        return self.site, self.name, self.boot


class Load(threading.Thread):
    """Everything that sends and everything that receives, in one thread of its own, until `stop`."""

    def __init__(self, configuration: Configuration, port: int, seed: int) -> None:
        super().__init__(name="load", daemon=True)
        site = configuration.sites[0]
        people = configuration.people
        self._random, self._port = Random(seed), port
        agreed = {
            shopper.id for shopper in people.shoppers if any(shopper.consents.values())
        }  # of others nothing is kept
        carried = [device for device in people.devices if device.shopper in agreed]
        self._tags = [device.id for device in carried if device.kind == "ibeacon"]
        self._phones = [device.id for device in carried if device.kind == "owntracks"]
        self._zones = sorted({a.zone for a in site.anchors if a.kind == "gateway" and a.zone})
        self._zone_of = {a.id: a.zone for a in site.anchors if a.kind == "gateway"}
        self._where = {tag: self._random.choice(self._zones) for tag in self._tags}
        self._place = (site.lat or 0.0, site.lon or 0.0)
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self.gateways = {name: Gateway(site.id, name, f"torture-{seed}") for name in self._zone_of}
        self.rows: dict[Row, tuple[Mark, int]] = {}  # of every message a gateway made
        self.told: set[tuple[str, int]] = set()  # (phone, s) that the broker confirmed
        self._waiting: dict[int, tuple[str, int]] = {}
        self._confirmed: deque[int] = deque()
        self.offers: dict[str, Received] = {}  # as the shoppers' app received them
        self._times: Counter[str] = Counter()
        self._up, self._phone, self._app = (
            self._client(name) for name in ("torture-up", "torture-phone", "torture-app")
        )

    def _client(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=name == "torture-up")
        client.reconnect_delay_set(1, 1)
        client.max_inflight_messages_set(1000)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # -- what comes down ----------------------------------------------------------------------------------------------

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        if client is self._app:
            client.subscribe("proximity/v1/shoppers/+/offers", 1)
        elif client is self._up:
            with self._lock:
                for gateway in self.gateways.values():
                    gateway.sent, gateway.progress = gateway.mark, time.monotonic()
            client.subscribe("proximity/v1/+/+/acked", 1)

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if client is self._app:
            offer = wire.decode(wire.OfferMessage, bytes(message.payload))
            if not offer.withdrawn:
                shopper = message.topic.split("/")[3]
                self.offers.setdefault(offer.id, Received(shopper, offer.title, offer.body, offer.created / 1000))
                self._times[offer.id] += 1
            return
        acked = wire.decode(wire.AckedMessage, bytes(message.payload))
        with self._lock:
            gateway = self.gateways[message.topic.split("/")[3]]
            if acked.boot == gateway.boot and acked.seq > gateway.mark:
                gateway.mark, gateway.progress = acked.seq, time.monotonic()
                while gateway.spool and next(iter(gateway.spool)) <= acked.seq:
                    gateway.spool.popitem(last=False)

    def _on_publish(self, client: paho.Client, _data: object, mid: int, *_: object) -> None:
        if client is self._phone:
            self._confirmed.append(mid)  # no lock here: paho holds one that `publish` needs

    # -- what goes up -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for client in (self._up, self._phone, self._app):
            client.connect_async("127.0.0.1", self._port, keepalive=5)
            client.loop_start()
        super().start()

    def run(self) -> None:
        last_fix, moved = 0, 0.0
        while not self._halt.wait(EVERY):
            now = time.time()
            if now - moved > STAY / len(self._tags):
                moved = now
                self._where[self._random.choice(self._tags)] = self._random.choice(self._zones)
            self._hear(round(now * 1000))
            if int(now) > last_fix:
                last_fix = int(now)
                self._report(last_fix)
            self.pump()

    def _hear(self, now: int) -> None:
        """Each gateway hears who stands in its zone well, and some of the others."""
        for name, gateway in self.gateways.items():
            rows = []
            for tag in self._tags:
                near = self._where[tag] == self._zone_of[name]
                if near or self._random.random() < STRAY:
                    level = round(self._random.gauss(-58.0 if near else -80.0, 2.0), 1)
                    rows.append(wire.Row(tag, now, level, 3))
            with self._lock:
                gateway.seq += 1
                message = wire.SightingsMessage(gateway.boot, gateway.seq, "synced", rows, sent=now)
                gateway.spool[gateway.seq] = wire.encode(message)
                anchor = f"{gateway.site}/{name}"
                self.rows.update(((row.device, anchor, now), (gateway.key, gateway.seq)) for row in rows)

    def _report(self, second: int) -> None:
        lat, lon = self._place
        for phone in self._phones:
            away = self._random.choice((0.0, 0.01))
            payload = {"_type": "location", "lat": lat + away, "lon": lon, "acc": 8, "tst": second}
            topic = "owntracks/" + phone.removeprefix("owntracks:")
            info = self._phone.publish(topic, json.dumps(payload).encode(), qos=1)
            self._waiting[info.mid] = (phone, second)

    def pump(self) -> None:
        """Send what may be sent; after a stand-still everything again."""
        while self._confirmed:
            said = self._waiting.pop(self._confirmed.popleft(), None)
            if said is not None:
                self.told.add(said)
        with self._lock:
            if not self._up.is_connected():
                return
            for gateway in self.gateways.values():
                if gateway.spool and time.monotonic() - gateway.progress > STALLED:
                    gateway.sent, gateway.progress = gateway.mark, time.monotonic()
                for seq in range(gateway.sent + 1, min(gateway.seq, gateway.mark + WINDOW) + 1):
                    if seq in gateway.spool:
                        self._up.publish(gateway.topic, gateway.spool[seq], qos=1)
                    gateway.sent = seq

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Make nothing new."""
        self._halt.set()
        self.join()

    def drained(self) -> bool:
        """Whether everything was covered, or confirmed; sends on what was not."""
        self.pump()
        with self._lock:
            return not self._waiting and not any(gateway.spool for gateway in self.gateways.values())

    def record(self, redeemed: Mapping[str, Redeemed], kills: int) -> Record:
        """What the ledger is held against. After `close`."""
        marks = {gateway.key: gateway.mark for gateway in self.gateways.values()}
        return Record(self.rows, marks, frozenset(self.told), self.offers, self._times, redeemed, kills)

    def progress(self) -> str:
        """For who watches."""
        open_ = sum(len(gateway.spool) for gateway in self.gateways.values())
        sent = f"{len(self.rows):,} rows sent, {open_} messages not covered, {len(self.told):,} positions confirmed"
        return f"{sent}, {len(self.offers):,} offers received"

    def close(self) -> None:
        """Hang up."""
        for client in (self._up, self._phone, self._app):
            client.disconnect()
            client.loop_stop()
