"""What a channel is: one way to hand an offer over, or to take it back."""

from typing import Protocol

from proximity.errors import DeliveryError
from proximity.model import Offer
from proximity.store.outbox import LEASE, Delivery

MOST_SECONDS = LEASE / 2  # of a call; beyond the lease another worker would send the same


class RetryLaterError(DeliveryError):
    """The receiver told when to come again."""

    def __init__(self, detail: str, after: float) -> None:
        self.after = after  # seconds from now
        super().__init__(detail, retry=True)


class Channel(Protocol):
    """Called by the outbox worker, from up to `parallel` threads at once.

    A call returns when the other side has taken the message, within MOST_SECONDS: a channel bounds its waits itself.
    DeliveryError when it has not, with `retry` saying whether another attempt may help. The same delivery may come
    twice, when a process was killed between the hand-over and its record: receivers tell by the offer's or the
    delivery's id.
    """

    @property
    def name(self) -> str:
        """As in `Delivery.channel`."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls may be under way at once."""
        ...

    def send(self, delivery: Delivery, offer: Offer) -> None:
        """Hand the offer over."""
        ...

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        """Take it back from where `send` brought it."""
        ...

    def close(self) -> None:
        """Give back connections. Nothing is sent afterwards."""
        ...
