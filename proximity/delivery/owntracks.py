"""Offers as notifications on phones with the unmodified OwnTracks app.

The app subscribes to `owntracks/<user>/<device>/cmd`. A command `action` shows exactly one of `notification`, `content`
or `url`; here it is the notification, which iOS shows also when the app is in the background. Android ignores this
command; its users have the inbox.
"""

from collections.abc import Callable

import msgspec
from nacl.utils import random as random_bytes

from proximity.delivery.mqtt import Publish, hand_over
from proximity.errors import DeliveryError
from proximity.model import Device, Offer
from proximity.phones.sealed import NONCE, seal
from proximity.store.outbox import Delivery

MAX_TEXT = 1000  # characters: four times what a lock screen shows, a quarter of what push services carry

_encode = msgspec.json.encode


class OwnTracksChannel:
    """`address` is the device id, "owntracks:<user>/<device>"; the key is looked up at the moment of sending."""

    name = "owntracks"
    parallel = 4

    def __init__(self, publish: Publish, device: Callable[[str], Device | None]) -> None:
        self._publish = publish
        self._device = device

    def send(self, delivery: Delivery, offer: Offer) -> None:
        """As a command; sealed when the phone has a key."""
        device = self._device(delivery.address)
        if device is None or device.shopper != offer.shopper:
            raise DeliveryError("the phone is no longer the shopper's", retry=False)
        payload = command(offer)
        if device.secret:
            payload = seal(payload, device.secret, random_bytes(NONCE))
        hand_over(self._publish, topic(device.id), payload)

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:  # noqa: ARG002 - the face of every channel
        """The app has no word for it, and the store queues none."""
        raise DeliveryError("OwnTracks cannot take a notification back", retry=False)

    def close(self) -> None:
        """The connection is the service's."""


def topic(device: str) -> str:
    """`owntracks/<user>/<device>/cmd` of a device id. DeliveryError when it is none."""
    kind, _, name = device.partition(":")
    user, _, phone = name.partition("/")
    if kind != "owntracks" or not user or not phone or "/" in phone:
        raise DeliveryError(f"{device!r} is no OwnTracks device", retry=False)
    return f"owntracks/{user}/{phone}/cmd"


def command(offer: Offer) -> bytes:
    """The command in JSON."""
    return _encode({"_type": "cmd", "action": "action", "notification": text(offer)})


def text(offer: Offer, limit: int = MAX_TEXT) -> str:
    """Title, body and address on lines of their own. A body too long is cut between words; the address never."""
    head = cut(offer.title, limit // 2)
    tail = f"\n{offer.url}" if offer.url else ""
    body = cut(offer.body, max(limit - len(head) - len(tail) - 1, 0))
    return head + (f"\n{body}" if body else "") + tail


def cut(words: str, limit: int) -> str:
    """At most `limit` characters, with … where something was left out."""
    if len(words) <= limit:
        return words
    if limit < 1:
        return ""
    kept = words[: limit - 1]
    if not words[limit - 1].isspace() and " " in kept:
        kept = kept[: kept.rindex(" ")]
    return kept.rstrip() + "…"
