"""What became of deliveries, one by one, as a worker writes it down in bulk."""

from collections.abc import Mapping

from proximity.store.database import Store
from proximity.store.settling import Result, Settled, record


def mark_sent(store: Store, handed: Mapping[str, float]) -> None:
    """Deliveries that a channel took, each with the moment it did."""
    record(store, [Result(one, "sent", at) for one, at in handed.items()])


def mark_skipped(store: Store, delivery: str, reason: str) -> list[Settled]:
    """It shall not be sent any more: expired, no_consent, left_zone or withdrawn."""
    return record(store, [Result(delivery, "skipped", why=reason)])


def mark_retry(store: Store, delivery: str, due: float, error: str) -> None:
    """An attempt failed; the next is not to be made before `due`."""
    record(store, [Result(delivery, "retry", due, error)])


def mark_dead(store: Store, delivery: str, error: str) -> list[Settled]:
    """The last attempt failed."""
    return record(store, [Result(delivery, "dead", why=error)])
