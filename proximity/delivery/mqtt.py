"""Offers on `proximity/v1/shoppers/<shopper>/offers`, for an app that listens."""

from typing import Protocol

from proximity import wire
from proximity.errors import BrokerError, DeliveryError
from proximity.model import Offer
from proximity.store.outbox import Delivery

WILDCARDS = frozenset("+#\0")


class Publish(Protocol):
    """Sends and returns when the broker has confirmed; raises when it has not."""

    def __call__(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None: ...


class MqttChannel:
    """`address` is the topic. Not retained: an app that was away finds its offers in the inbox."""

    name = "mqtt"
    parallel = 16  # each waits for its PUBACK, which takes a millisecond or several: so many are on the way

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def send(self, delivery: Delivery, offer: Offer) -> None:
        """As a `wire.OfferMessage`, whose id is the offer's."""
        self._hand_over(delivery.address, offer, withdrawn=False)

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        """The same message with `withdrawn`."""
        self._hand_over(delivery.address, offer, withdrawn=True)

    def close(self) -> None:
        """The connection is the service's."""

    def _hand_over(self, topic: str, offer: Offer, withdrawn: bool) -> None:
        message = wire.OfferMessage(
            id=offer.id,
            title=offer.title,
            body=offer.body,
            language=offer.language,
            site=offer.site,
            zone=offer.zone,
            created=round(offer.created * 1000),
            expires=round(offer.expires * 1000),
            url=offer.url,
            withdrawn=withdrawn,
        )
        hand_over(self._publish, topic, wire.encode(message))


def hand_over(publish: Publish, topic: str, payload: bytes) -> None:
    """Publish with QoS 1. DeliveryError for good when the topic cannot be published to, to try again otherwise."""
    if WILDCARDS & set(topic):
        raise DeliveryError(f"{topic!r} holds a character that no topic may have", retry=False)
    try:
        publish(topic, payload, qos=1, retain=False)
    except ValueError as error:
        raise DeliveryError(f"the client refused it: {error}", retry=False) from error
    except (BrokerError, OSError, RuntimeError) as error:
        raise DeliveryError(f"the broker did not take it: {error}", retry=True) from error
