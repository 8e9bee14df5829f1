"""What the API needs of the house, as ports. The service fills them in; tests bring their own.

Everything here may be called from several threads at once: routes run on a pool.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from proximity.feed import Feed
from proximity.model import Device, Whereabouts
from proximity.rulebook import RuleBook
from proximity.site.model import Site, Zone
from proximity.store.database import Store
from rules.attributes import Attributes


class RuleSummary(Protocol):
    """One rule of the set in force, for a list."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def status(self) -> str: ...  # draft | review | approved | live | paused | ended
    @property
    def trigger(self) -> object: ...  # its str() is in words: "dwell 60s in coffee-aisle"


class Health(Protocol):
    """How the service is, at the moment of asking."""

    @property
    def broker(self) -> bool: ...  # connected
    @property
    def commit_age(self) -> float | None: ...  # seconds since the last commit; None: none yet
    @property
    def queue(self) -> int: ...  # messages received and not yet committed
    @property
    def gateways_online(self) -> int: ...
    @property
    def gateways_total(self) -> int: ...
    @property
    def observations(self) -> int: ...  # sightings and fixes committed since the start
    @property
    def outbox(self) -> Mapping[str, int]: ...  # deliveries by state: queued, sent, skipped, dead
    @property
    def errors(self) -> Sequence[str]: ...  # what is wrong now, for the operator; empty when all is well


class Live(Protocol):
    """The running service."""

    def sites(self) -> Sequence[Site]: ...

    def whereabouts(self, shopper: str | None = None) -> Sequence[Whereabouts]:
        """Where every device is now, or the devices of one shopper."""
        ...

    def submit(self, topic: str, payload: bytes) -> Future[None]:
        """The one door: the future is done once what the message caused is committed. BadMessage, raised here or
        from the future, for what is refused for good; BadMessage("busy") when the queue has no room. May block."""
        ...

    def known_device(self, device_id: str) -> Device | None: ...

    def shopper_changed(self, shopper: str) -> None:
        """Devices or consents of `shopper` were written to the store."""
        ...

    def erase(self, shopper: str) -> None:
        """Forget a shopper everywhere: presence first, then the store."""
        ...

    def tracked(self, devices: Collection[str]) -> frozenset[str]:
        """Which of these devices may leave a trace: registered, of shoppers who agreed."""
        ...

    def file_zones(self, site: str) -> frozenset[str]:
        """Ids of a site's zones in the files, with which no fence may clash."""
        ...

    def change_fences(self, site: str, put: Sequence[Zone], remove: Sequence[str]) -> int:
        """Store fences of a site, take some away, and put that in force: how many were taken away."""
        ...

    def rules(self) -> Sequence[RuleSummary]: ...

    def rules_version(self) -> str: ...

    def rules_errors(self) -> str | None:
        """The text of a refused reload; None when the files and the set in force agree."""
        ...

    @property
    def rulebook(self) -> RuleBook:
        """The versions of the rules."""
        ...

    def attributes(self) -> Attributes:
        """What the rules in force may read."""
        ...

    def context_changed(self) -> None:
        """Values that rules read were written to the store."""
        ...

    def budgets(self) -> Mapping[str, tuple[int | None, tuple[int, str] | None]]:
        """Rule -> its bounds in coupons and in (hundredths, currency), of the rules that give coupons."""
        ...

    def splits(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """("experiment" or "holdout", name) -> the share of each arm, by the rules in force."""
        ...

    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything `create_app` is given."""

    store: Store
    feed: Feed
    clock: Callable[[], float]  # seconds since the epoch
    token: str  # the operator's
    live: Live
    till_token: str | None = None  # of the tills; None: they use the operator's
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    submit_timeout: float = 10.0  # s a phone waits for the commit before it is told to send again
