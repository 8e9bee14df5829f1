"""An undisturbed minute in the torture's shop, in one process and on a driven clock, with the book kept and all
receivers recorded: what the ledger finds in order, so that a test can put it out of order."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

from proximity import people_files, wire
from proximity.configuration import Configuration
from proximity.delivery.clearing import StoredPresence
from proximity.delivery.worker import OutboxWorker
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.model import Offer
from proximity.service import Service
from proximity.store import coupons
from proximity.store.database import open_store
from proximity.store.outbox import Delivery
from tests.torture.house import keep_book
from tests.torture.record import Mark, Received, Record, Redeemed, Row, is_code, plain

START = 1_764_155_040.0
STAY = 6  # s


class App:
    """A channel that keeps what it is handed; the one of MQTT is the shoppers' apps."""

    parallel = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.offers: dict[str, Received] = {}
        self.times: Counter[str] = Counter()

    def send(self, delivery: Delivery, offer: Offer) -> None:
        self.offers.setdefault(offer.id, Received(offer.shopper, offer.title, offer.body, offer.created))
        self.times[offer.id] += 1

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        pass

    def close(self) -> None:
        pass


class Day:
    """A second at a time."""

    def __init__(self, configuration: Configuration, database: Path) -> None:
        self.now, self._random = START, Random(7)
        self._site = configuration.sites[0]
        self._store = open_store(f"sqlite:///{database}")
        self._store.migrate()
        people_files.seed(self._store, configuration.people, START)
        keep_book(database)
        self._service = Service(self._store, configuration, lambda: self.now, Inbox(), Feed())
        self._service.gateways.writer = self
        self._apps = [App(name) for name in ("mqtt", "inbox", "owntracks")]
        self._worker = OutboxWorker(self._store, self._apps, StoredPresence(self._store), lambda: self.now)
        agreed = {shopper.id for shopper in configuration.people.shoppers if any(shopper.consents.values())}
        carried = [device for device in configuration.people.devices if device.shopper in agreed]
        self._tags = [device.id for device in carried if device.kind == "ibeacon"]
        self._phones = [device.id for device in carried if device.kind == "owntracks"]
        self._zone_of = {a.id: a.zone for a in self._site.anchors if a.kind == "gateway" and a.zone}
        self._rows: dict[Row, tuple[Mark, int]] = {}
        self._marks: dict[Mark, int] = {}
        self._confirmed: set[tuple[str, int]] = set()
        self._redeemed: dict[str, Redeemed] = {}

    # -- the way back to the gateways ---------------------------------------------------------------------------------

    connected = True

    def post(self, topic: str, payload: bytes, retain: bool = False) -> None:
        _, _, site, gateway, channel = topic.split("/")
        if channel == "acked":
            told = wire.decode(wire.AckedMessage, payload)
            self._marks[site, gateway, told.boot] = told.seq

    # -- what happens -------------------------------------------------------------------------------------------------

    def live(self, seconds: int) -> Record:
        """Shoppers walk from zone to zone; every tenth second one redeems what he has."""
        zones = sorted(set(self._zone_of.values()))
        where: dict[str, str] = {}
        for second in range(seconds):
            self.now += 1.0
            for number, tag in enumerate(self._tags):
                if tag not in where or (second + number) % STAY == 0:
                    where[tag] = self._random.choice(zones)
            self._service.turn([*self._heard(second + 1, where), *self._told()])
            self._worker.run_once(self.now)
            coupons.settle(self._store, self.now)
            if second % 10 == 9:
                self._redeem()
        app = self._apps[0]
        self._service.stop()
        self._store.close()
        return Record(
            self._rows, self._marks, frozenset(self._confirmed), app.offers, app.times, self._redeemed, kills=0
        )

    def _heard(self, seq: int, where: dict[str, str]) -> list[Inbound]:
        messages, at = [], round(self.now * 1000) - 200
        for gateway, zone in self._zone_of.items():
            rows = [wire.Row(tag, at, -50.0, 3) for tag in self._tags if where[tag] == zone]
            message = wire.SightingsMessage("day", seq, "synced", rows)
            key = (self._site.id, gateway, "day")
            self._rows.update({(row.device, f"{self._site.id}/{gateway}", at): (key, seq) for row in rows})
            topic = wire.gateway_topic(self._site.id, gateway, "sightings")
            messages.append(Inbound(topic, wire.encode(message), self.now))
        return messages

    def _told(self) -> list[Inbound]:
        messages, second = [], int(self.now)
        for phone in self._phones:
            place = {"_type": "location", "lat": self._site.lat, "lon": self._site.lon, "acc": 8, "tst": second}
            topic = "owntracks/" + phone.removeprefix("owntracks:")
            messages.append(Inbound(topic, json.dumps(place).encode(), self.now))
            self._confirmed.add((phone, second))
        return messages

    def _redeem(self) -> None:
        taken = {one.code for one in self._redeemed.values()}
        received = [plain(one.body) for one in self._apps[0].offers.values() if is_code(one.body)]
        for code in [one for one in received if one not in taken][:1]:
            key = f"till/{self.now:.0f}"
            till = coupons.Till(key, code, self._site.id, self.now, discount=50)
            if coupons.redeem(self._store, till).redeemed:
                self._redeemed[key] = Redeemed(code, 50)


def with_offer(record: Record, like: str, **changes: object) -> Record:
    """A record in which the app got one more offer, as the first with the title `like` but under an id of its own."""
    one = next(offer for offer in record.offers.values() if offer.title == like)
    number = len(record.offers)
    return replace(record, offers={**record.offers, f"forged-{number}": replace(one, **changes)})  # type: ignore[arg-type]
