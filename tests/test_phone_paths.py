"""Phones by every door, from their message to the committed visit."""

import json

import pytest

from proximity.errors import BadMessage
from proximity.ingest.inbound import Inbound
from proximity.ingest.mqtt import MqttLink
from proximity.live import LiveService
from proximity.metrics import Metrics
from proximity.model import Device
from proximity.reload import Watcher
from proximity.store import history, people
from tests import test_service
from tests.test_service import House

UUID = "7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90"
PHONE = "owntracks/ada/phone"


configuration, house = test_service.configuration, test_service.house


def say(house: House, topic: str, **message: object) -> None:
    """One message of this moment, and one turn, a second after the last; presence looks a moment later."""
    house.now += 1
    told = {"tst": int(house.now), **message}
    house.service.turn([house.say(topic, json.dumps(told).encode())])
    house.now += 0.5
    house.service.turn([])
    house.now -= 0.5


def wait(house: House, seconds: int) -> None:
    for _ in range(seconds):
        house.now += 1
        house.service.turn([])


def visits(house: House) -> list[tuple[str, str, str | None]]:
    return [(one.zone, one.device, one.cause) for one in reversed(history.visits(house.store))]


# -- phones that hear shelf beacons -----------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [f"{PHONE}/beacon", "/OwnTracks/ada/phone/beacon"])
def test_an_iphone_that_hears_a_shelf_beacon_is_in_its_zone(house: House, topic: str) -> None:
    for _ in range(6):
        say(house, topic, _type="beacon", desc="shelf", uuid=UUID.upper(), major=2, minor=1, rssi=-58, acc=0.8, prox=1)
    assert house.acknowledged == [None] * 6
    assert house.kinds() == [("enter", "coffee-aisle")]
    (where,) = house.service.whereabouts("ada")
    assert (where.device, where.zones) == ("owntracks:ada/phone", ("coffee-aisle",))
    for _ in range(12):  # the next shelf is nearer now
        say(house, topic, _type="beacon", uuid=UUID, major=2, minor=2, rssi=-55, prox=1)
    assert house.kinds()[1:3] == [("exit", "coffee-aisle"), ("enter", "bakery")]
    wait(house, 400)
    assert visits(house) == [
        ("coffee-aisle", "owntracks:ada/phone", "moved"),
        ("bakery", "owntracks:ada/phone", "silence"),
    ]


@pytest.mark.parametrize(
    ("beacon", "counted"),
    [
        ({"uuid": UUID, "major": 1, "minor": 2, "rssi": -58}, ("identity", "unknown_anchor")),  # a tag, not a shelf
        ({"uuid": UUID, "major": 2, "minor": 1, "rssi": 0}, ("owntracks", "rssi_unknown")),
        ({"uuid": "none", "major": 2, "minor": 1, "rssi": -58}, ("owntracks", "beacon")),
    ],
)
def test_a_beacon_that_says_nothing_is_counted(
    house: House, beacon: dict[str, object], counted: tuple[str, str]
) -> None:
    say(house, f"{PHONE}/beacon", _type="beacon", **beacon)
    assert house.service.vitals.counts[counted] == 1
    assert house.kinds() == []


def test_beacons_heard_and_the_tag_of_the_same_shopper_are_one_visit(house: House) -> None:
    house.stand(5)
    for _ in range(5):
        say(house, f"{PHONE}/beacon", _type="beacon", uuid=UUID, major=2, minor=1, rssi=-58)
    wait(house, 15)
    assert house.kinds()[0] == ("enter", "coffee-aisle")
    assert house.kinds().count(("enter", "coffee-aisle")) == 1


# -- the shopper's page ---------------------------------------------------------------------------------------------


def test_the_shoppers_page_tells_positions_by_the_same_door(house: House) -> None:
    people.put_device(house.store, Device("app:ada", "ada", "app"))
    house.service.everybody_changed()
    site = house.configuration.sites[0]
    for _ in range(3):
        say(house, "app/ada", lat=site.lat, lon=site.lon, accuracy=8, at=house.now + 1)
    assert ("enter", "car-park") in house.kinds()
    assert visits(house)[-1][1] == "app:ada"


def test_the_shoppers_page_tells_shelf_beacons_too(house: House) -> None:
    people.put_device(house.store, Device("app:ada", "ada", "app"))
    house.service.everybody_changed()
    for _ in range(6):
        heard = [
            {"uuid": UUID, "major": 2, "minor": 1, "rssi": -60},
            {"uuid": UUID, "major": 2, "minor": 2, "rssi": -82},
        ]
        say(house, "app/ada", beacons=heard, at=house.now + 1)
    assert house.kinds() == [("enter", "coffee-aisle")]
    assert visits(house) == [("coffee-aisle", "app:ada", None)]


# -- phones' own regions --------------------------------------------------------------------------------------------


def test_the_phones_own_region_and_the_fence_are_one_visit(house: House) -> None:
    site = house.configuration.sites[0]
    event = f"{PHONE}/event"
    say(house, event, _type="transition", event="enter", desc="car-park", rid="1f", wtst=1700000001)
    assert house.kinds() == [("enter", "car-park")]
    say(house, PHONE, _type="location", lat=site.lat, lon=site.lon, acc=8)
    say(house, event, _type="transition", event="enter", desc="car-park", lat=site.lat, lon=site.lon, acc=8)
    wait(house, 60)
    say(house, event, _type="transition", event="leave", desc="car-park")
    wait(house, 5)
    say(house, PHONE, _type="location", lat=site.lat + 0.01, lon=site.lon, acc=8)
    wait(house, 5)
    assert visits(house) == [("car-park", "owntracks:ada/phone", "left")]
    assert house.kinds()[0] == ("enter", "car-park")
    assert house.kinds()[-1] == ("exit", "car-park")


def test_a_region_that_the_phone_has_told_of_is_found_by_its_place_and_another_is_counted(house: House) -> None:
    site = house.configuration.sites[0]
    park = next(zone for zone in site.zones if zone.id == "car-park")
    point = park.outline.centroid
    region = {"desc": "My shop", "lat": point.y, "lon": point.x, "rad": park.radius or 60, "rid": "2a"}
    crossed = {"_type": "transition", "event": "enter", "desc": "My shop", "rid": "2a"}
    say(house, f"{PHONE}/event", **crossed)
    assert house.service.vitals.counts["identity", "unknown_region"] == 1
    say(house, f"{PHONE}/waypoint", _type="waypoint", **region)
    say(house, f"{PHONE}/event", **crossed)
    assert house.kinds() == [("enter", "car-park")]


def test_a_visit_by_the_phones_word_survives_a_restart(house: House) -> None:
    house.now += 1
    entered = {"_type": "transition", "event": "enter", "desc": "car-park", "tst": house.now}
    house.service.turn([house.say(f"{PHONE}/event", json.dumps(entered).encode())])
    house.restart()  # while the word still waits for its tick
    wait(house, 1)
    assert house.service.inside("ada") == {("demo-store", "car-park")}
    say(house, f"{PHONE}/event", _type="transition", event="leave", desc="car-park")
    wait(house, 5)
    assert house.kinds() == [("enter", "car-park"), ("exit", "car-park")]


class Link(MqttLink):
    """A broker that is there."""

    def __init__(self) -> None:
        pass

    @property
    def connected(self) -> bool:
        return True


class Unchanged(Watcher):
    """A folder without mistakes."""

    def __init__(self) -> None:
        self._wrong = self._misfit = None


LINK, WATCHER = Link(), Unchanged()


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_gateway_whose_clock_is_ahead_is_named(house: House) -> None:
    honest = house.heard(1)
    house.now += 100
    ahead = house.heard(2)
    house.now -= 99
    house.service.turn([honest])
    assert house.service.vitals.clocks_ahead() == []
    house.service.turn([Inbound(ahead.topic, ahead.payload, house.now, house.acknowledged.append)])
    ((gateway, seconds),) = house.service.vitals.clocks_ahead()
    assert gateway == f"demo-store/{ahead.topic.split('/')[3]}"
    assert 95 < seconds < 105
    assert house.service.vitals.counts["presence", "clamped"] == 1
    (problem,) = LiveService(house.service, LINK, WATCHER).health().errors
    assert problem == f"the clock of gateway {gateway} is {seconds:.0f} s ahead; let it be set by NTP"
    told = {one.name: one for one in Metrics(house.service, LINK).collect()}
    (sample,) = told["proximity_gateway_clock_ahead_seconds"].samples
    assert sample.labels == {"site": "demo-store", "gateway": gateway.split("/")[1]}
    assert sample.value == seconds
    assert not isinstance(house.acknowledged[-1], BadMessage)
