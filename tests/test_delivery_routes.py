"""Where offers go, and how they look on each channel."""

import json
from typing import Any

import msgspec
import pytest

from proximity import wire
from proximity.delivery.inbox import InboxChannel
from proximity.delivery.mqtt import MqttChannel
from proximity.delivery.owntracks import MAX_TEXT, OwnTracksChannel, cut, text, topic
from proximity.delivery.routes import RouteSettings, reachable, routes
from proximity.errors import BrokerError, DeliveryError
from proximity.feed import Feed
from proximity.model import Device, Offer
from proximity.phones.sealed import unseal
from proximity.store.outbox import Delivery
from tests.store_house import story

PHONE = Device("owntracks:ada/phone", "ada", "owntracks")
TABLET = Device("owntracks:ada/tablet", "ada", "owntracks", secret="s3cret")
APP = Device("app:ada", "ada", "app")
TAG = Device("ibeacon:00000000-0000-0000-0000-000000000001:1:1", "ada", "ibeacon")
CAR = Device("traccar:1234", "ada", "traccar")
HOOK = "https://shop.example/offers"
TOPIC = "proximity/v1/shoppers/ada/offers"


def made(**more: Any) -> Offer:
    return story(**more).offers[0]


REACHABLE: list[tuple[list[Device], str | None, set[str]]] = [
    ([], None, {"inbox"}),
    ([TAG, CAR], None, {"inbox"}),
    ([TAG, PHONE], None, {"inbox", "push"}),
    ([APP], HOOK, {"inbox", "push", "webhook"}),
    ([], HOOK, {"inbox", "webhook"}),
]


@pytest.mark.parametrize(("devices", "hook", "found"), REACHABLE)
def test_reachable(devices: list[Device], hook: str | None, found: set[str]) -> None:
    assert reachable(devices, RouteSettings(webhook_url=hook)) == found


INBOX = ("inbox", "ada")
PUSH = ("mqtt", TOPIC)
ROUTES: list[tuple[tuple[str, ...], list[Device], list[tuple[str, str]]]] = [
    # channels             devices              deliveries
    (("push", "inbox"), [PHONE, TABLET], [PUSH, ("owntracks", PHONE.id), ("owntracks", TABLET.id), INBOX]),
    (("push", "inbox"), [APP], [PUSH, INBOX]),
    (("push", "inbox"), [TAG], [PUSH, INBOX]),  # an app may listen unregistered
    (("inbox", "push"), [PHONE], [INBOX]),  # the inbox is reachable, and comes first
    (("inbox",), [PHONE], [INBOX]),
    (("push",), [PHONE, TAG], [PUSH, ("owntracks", PHONE.id), INBOX]),  # the inbox shows it in any case
    (("webhook",), [PHONE], [("webhook", HOOK), INBOX]),
    (("push", "inbox", "webhook"), [APP], [PUSH, ("webhook", HOOK), INBOX]),  # a copy for the shop's own system
    (("push", "push"), [APP], [PUSH, INBOX]),
    ((), [PHONE], [INBOX]),
]


@pytest.mark.parametrize(("channels", "devices", "wanted"), ROUTES)
def test_routes(channels: tuple[str, ...], devices: list[Device], wanted: list[tuple[str, str]]) -> None:
    offer = made()
    offer = msgspec.structs.replace(offer, channels=channels)
    found = routes(offer, devices, RouteSettings(webhook_url=HOOK))
    assert [(one.channel, one.address) for one in found] == wanted
    assert len({one.id for one in found}) == len(found)
    assert {(one.offer, one.shopper, one.due, one.kind) for one in found} == {(offer.id, "ada", offer.created, "offer")}


def test_a_webhook_without_an_address_is_no_route() -> None:
    offer = msgspec.structs.replace(made(), channels=("webhook", "inbox"))
    assert [one.channel for one in routes(offer, [], RouteSettings())] == ["inbox"]


def test_the_same_offer_and_address_make_the_same_delivery() -> None:
    first, again = (routes(made(), [PHONE], RouteSettings()) for _ in range(2))
    assert first == again
    other = routes(made(shopper="ben"), [PHONE], RouteSettings())
    assert not {one.id for one in first} & {one.id for one in other}


# -- channels ---------------------------------------------------------------------------------------------------------


class Broker:
    """Remembers what is published; raises `fault` when there is one."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.published: list[tuple[str, bytes, int, bool]] = []
        self.fault = fault

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        if self.fault is not None:
            raise self.fault
        self.published.append((topic, payload, qos, retain))


@pytest.mark.parametrize("withdrawn", [False, True])
def test_mqtt_speaks_the_wire(withdrawn: bool) -> None:
    broker, offer = Broker(), made(url="https://shop.example/coffee")
    delivery = Delivery.of(offer, "mqtt", TOPIC)
    channel = MqttChannel(broker.publish)
    (channel.withdraw if withdrawn else channel.send)(delivery, offer)
    ((where, payload, qos, retain),) = broker.published
    assert (where, qos, retain) == (TOPIC, 1, False)
    assert wire.decode(wire.OfferMessage, payload) == wire.OfferMessage(
        id=offer.id,
        title="Welcome",
        body="Coffee is on us until eleven",
        language="en",
        site="lyon",
        zone="coffee",
        created=round(offer.created * 1000),
        expires=round(offer.expires * 1000),
        url="https://shop.example/coffee",
        withdrawn=withdrawn,
    )


FAULTS = [
    (BrokerError("away"), True),
    (TimeoutError("no PUBACK"), True),
    (ConnectionResetError("gone"), True),
    (RuntimeError("not connected"), True),
    (ValueError("payload too large"), False),
    (DeliveryError("as it said", retry=True), True),
]


@pytest.mark.parametrize(("fault", "retry"), FAULTS)
def test_a_broker_that_does_not_confirm_is_a_delivery_error(fault: Exception, retry: bool) -> None:
    offer = made()
    with pytest.raises(DeliveryError, match=str(fault)) as raised:
        MqttChannel(Broker(fault).publish).send(Delivery.of(offer, "mqtt", TOPIC), offer)
    assert raised.value.retry is retry


@pytest.mark.parametrize("shopper", ["+", "#", "a\0b"])
def test_a_topic_with_a_wildcard_is_given_up(shopper: str) -> None:
    offer, broker = made(shopper=shopper), Broker()
    with pytest.raises(DeliveryError, match="no topic") as raised:
        MqttChannel(broker.publish).send(Delivery.of(offer, "mqtt", wire.offers_topic(shopper)), offer)
    assert not raised.value.retry
    assert broker.published == []


def owntracks(broker: Broker, *devices: Device) -> OwnTracksChannel:
    return OwnTracksChannel(broker.publish, {device.id: device for device in devices}.get)


def test_a_phone_gets_a_command_with_one_notification() -> None:
    broker, offer = Broker(), made()
    owntracks(broker, PHONE).send(Delivery.of(offer, "owntracks", PHONE.id), offer)
    ((where, payload, qos, retain),) = broker.published
    assert (where, qos, retain) == ("owntracks/ada/phone/cmd", 1, False)
    assert json.loads(payload) == {
        "_type": "cmd",
        "action": "action",
        "notification": "Welcome\nCoffee is on us until eleven",
    }


def test_a_phone_with_a_key_gets_it_sealed() -> None:
    broker, offer = Broker(), made()
    channel = owntracks(broker, TABLET)
    for _ in range(2):
        channel.send(Delivery.of(offer, "owntracks", TABLET.id), offer)
    first, second = (json.loads(payload) for _, payload, _, _ in broker.published)
    assert first["_type"] == "encrypted"
    assert b"Welcome" not in broker.published[0][1]
    assert json.loads(unseal(first["data"], "s3cret"))["notification"].startswith("Welcome")
    assert first["data"] != second["data"]  # never the same nonce twice


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (None, "no longer the shopper's"),
        (Device(PHONE.id, "ben", "owntracks"), "no longer the shopper's"),  # it changed hands while the offer waited
    ],
)
def test_a_phone_that_is_not_the_shoppers_gets_nothing(device: Device | None, message: str) -> None:
    broker, offer = Broker(), made()
    channel = owntracks(broker, *([device] if device else []))
    with pytest.raises(DeliveryError, match=message) as raised:
        channel.send(Delivery.of(offer, "owntracks", PHONE.id), offer)
    assert not raised.value.retry
    assert broker.published == []


def test_owntracks_cannot_take_back() -> None:
    offer = made()
    with pytest.raises(DeliveryError, match="cannot take"):
        owntracks(Broker(), PHONE).withdraw(Delivery.of(offer, "owntracks", PHONE.id), offer)


@pytest.mark.parametrize(
    "device", ["app:ada", "owntracks:ada", "owntracks:/phone", "owntracks:ada/", "owntracks:a/b/c"]
)
def test_only_owntracks_devices_have_a_topic(device: str) -> None:
    with pytest.raises(DeliveryError, match="no OwnTracks device"):
        topic(device)


CUT = [
    ("short", 10, "short"),
    ("exactly ten", 11, "exactly ten"),
    ("one two three", 9, "one two…"),
    ("one two three", 8, "one two…"),
    ("one two three", 7, "one…"),
    ("unbreakable", 5, "unbr…"),
    ("anything", 1, "…"),
    ("anything", 0, ""),
]


@pytest.mark.parametrize(("words", "limit", "kept"), CUT)
def test_cut_between_words(words: str, limit: int, kept: str) -> None:
    assert cut(words, limit) == kept
    assert len(cut(words, limit)) <= limit


def test_a_long_text_is_cut_and_the_address_is_not() -> None:
    url = "https://shop.example/" + "x" * 60
    offer = msgspec.structs.replace(made(), title="Coffee " * 100, body="word " * 1000, url=url)
    shown = text(offer)
    assert len(shown) <= MAX_TEXT
    title, body, address = shown.split("\n")
    assert (title[-1], body[-1], address) == ("…", "…", url)
    assert text(msgspec.structs.replace(offer, title="Coffee", body="", url=None)) == "Coffee"


def test_the_inbox_tells_open_pages() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Heard(Feed):
        def publish(self, kind: str, data: dict[str, Any]) -> None:
            told.append((kind, data))

    offer = made()
    delivery = Delivery.of(offer, "inbox", "ada")
    channel = InboxChannel(Heard())
    channel.send(delivery, offer)
    channel.withdraw(delivery, offer)
    (first, data), (second, taken) = told
    assert (first, data["id"], data["shopper"], data["title"]) == ("offer", offer.id, "ada", "Welcome")
    assert (second, taken["id"], taken["shopper"], taken["state"]) == ("withdrawn", offer.id, "ada", "withdrawn")
    json.dumps(told)
