"""Offers on the shopper's own page. The page reads the store; this tells a page that is open now."""

import msgspec

from proximity.feed import Feed
from proximity.model import Offer
from proximity.store.outbox import Delivery


class InboxChannel:
    """`address` is the shopper."""

    name = "inbox"
    parallel = 1  # a call takes microseconds

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def send(self, delivery: Delivery, offer: Offer) -> None:
        """An event "offer" with the offer's fields and its delivery's id."""
        self._feed.publish("offer", {**msgspec.to_builtins(offer), "delivery": delivery.id})

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        """An event "withdrawn" with the offer's fields."""
        self._feed.publish("withdrawn", {**msgspec.to_builtins(offer), "delivery": delivery.id, "state": "withdrawn"})

    def close(self) -> None:
        """Nothing is held."""
