"""Where an offer goes: its channels, as the marketer wrote them, to addresses. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from proximity.model import Device, Offer
from proximity.store.outbox import Delivery
from proximity.wire import offers_topic

PUSHABLE = frozenset({"owntracks", "app"})  # kinds of devices that show a message


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What the service has been given beside the shopper's own devices."""

    webhook_url: str | None = None  # of the shop's own system


def reachable(devices: Iterable[Device], settings: RouteSettings) -> frozenset[str]:
    """The channels that lead somewhere, for the devices of one shopper.

    "push" with an OwnTracks phone or a registered app; "inbox" always, for everybody has a page; "webhook" when there
    is a URL.
    """
    found = {"inbox"}
    if any(device.kind in PUSHABLE for device in devices):
        found.add("push")
    if settings.webhook_url is not None:
        found.add("webhook")
    return frozenset(found)


def routes(offer: Offer, devices: Iterable[Device], settings: RouteSettings) -> list[Delivery]:
    """The deliveries of `offer`, each address once.

    "push" and "inbox" are ways to the shopper, and the first reachable one in the offer's order is taken; the inbox
    shows the offer in any case, so that nobody looks for it in vain. Push on the way to it goes to every OwnTracks
    phone, and to the shopper's MQTT topic even when no app is registered: whether one listens there nobody can tell,
    and it costs a message. "webhook" is a copy for the shop's own system: named and configured, it is always sent.
    """
    carried = list(devices)
    leading = reachable(carried, settings)
    found: list[Delivery] = []
    shopper_reached = False
    for channel in dict.fromkeys(offer.channels):
        if channel == "webhook":
            if settings.webhook_url is not None:
                found.append(Delivery.of(offer, "webhook", settings.webhook_url))
        elif not shopper_reached:
            shopper_reached = channel in leading
            if channel == "push":
                found += _push(offer, carried)
    return [*found, Delivery.of(offer, "inbox", offer.shopper)]


def _push(offer: Offer, devices: Iterable[Device]) -> list[Delivery]:
    phones = sorted(device.id for device in devices if device.kind == "owntracks")
    return [
        Delivery.of(offer, "mqtt", offers_topic(offer.shopper)),
        *(Delivery.of(offer, "owntracks", phone) for phone in phones),
    ]
