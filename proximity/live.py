"""The running service as the API sees it."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any

from proximity.ingest.link import BrokerLink
from proximity.model import Device, Whereabouts
from proximity.reload import Watcher
from proximity.rulebook import RuleBook
from proximity.service import Service
from proximity.site.model import Site, Zone
from proximity.store import gateways, outbox
from proximity.store.database import StoreError
from rules.attributes import Attributes
from rules.experiments import splits
from rules.offers import Money


@dataclass(frozen=True, slots=True)
class Health:
    """How the service is, at the moment of asking."""

    broker: bool
    commit_age: float | None
    queue: int
    gateways_online: int
    gateways_total: int
    observations: int
    outbox: Mapping[str, int]
    errors: Sequence[str]


class LiveService:
    """Fills the API's port with the pipeline, the broker link and the watcher of the configuration."""

    def __init__(self, service: Service, link: BrokerLink, watcher: Watcher) -> None:
        self._service, self._link, self._watcher = service, link, watcher

    def sites(self) -> Sequence[Site]:
        """The shops of the configuration in force."""
        return self._service.configuration.sites

    def whereabouts(self, shopper: str | None = None) -> Sequence[Whereabouts]:
        """Where devices are now."""
        return self._service.whereabouts(shopper)

    def submit(self, topic: str, payload: bytes) -> "Future[None]":
        """The one door, for HTTP."""
        return self._service.inbox.submit(topic, payload, self._service.clock())

    def known_device(self, device_id: str) -> Device | None:
        """A registered device."""
        return self._service.device(device_id)

    def shopper_changed(self, shopper: str) -> None:
        """The record, consents or devices of `shopper` changed."""
        self._service.shopper_changed(shopper)

    def erase(self, shopper: str) -> None:
        """Forget a shopper everywhere."""
        self._service.erase(shopper)

    def tracked(self, devices: Collection[str]) -> frozenset[str]:
        """Which of these devices may leave a trace."""
        registry = self._service.registry
        known = ((name, registry.devices.get(name)) for name in devices)
        return frozenset(name for name, device in known if device is not None and device.shopper in registry.agreed)

    def file_zones(self, site: str) -> frozenset[str]:
        """Ids of a site's zones in the files."""
        return self._service.file_zones(site)

    def change_fences(self, site: str, put: Sequence[Zone], remove: Sequence[str]) -> int:
        """Store fences and put them in force."""
        return self._service.change_fences(site, put, remove)

    def rules(self) -> Sequence[Any]:
        """Summaries of the rules in force."""
        return self._service.configuration.ruleset.rules

    def rules_version(self) -> str:
        """The hash of the texts in force."""
        return self._service.configuration.ruleset.version

    def rules_errors(self) -> str | None:
        """Why the files now on disk are not in force."""
        return self._watcher.refused

    @property
    def rulebook(self) -> RuleBook:
        """The versions of the rules; what changes there is in force at once."""
        return self._watcher.book

    def attributes(self) -> Attributes:
        """What the rules in force may read."""
        return self._service.configuration.ruleset.catalog.attributes

    def context_changed(self) -> None:
        """Values were told: the next decision looks again."""
        self._service.context_changed()

    def budgets(self) -> dict[str, tuple[int | None, Money | None]]:
        """Rule -> its bounds in coupons and money."""
        plans = {rule.id: rule.offer for rule in self._service.configuration.ruleset.by_id.values()}
        return {
            name: (None, None) if plan.budget is None else (plan.budget.coupons, plan.budget.spend)
            for name, plan in plans.items()
            if plan is not None and plan.coupon is not None
        }

    def splits(self) -> dict[tuple[str, str], dict[str, float]]:
        """The share of each arm of the experiments and holdouts in force."""
        return splits(self._service.configuration.ruleset.by_id.values())

    def health(self) -> Health:
        """Everything at once; `errors` is empty when all is well."""
        vitals = self._service.vitals
        age = None if vitals.last_commit is None else monotonic() - vitals.last_commit
        errors: list[str] = []
        rows: Sequence[gateways.GatewayRow] = ()
        queued: dict[str, int] = {}
        try:
            rows, queued = gateways.gateways(self._service.store), outbox.counts(self._service.store)
        except StoreError as error:  # who asks how we are must get an answer, of all times now
            errors.append(str(error))
        if not self._link.connected:
            errors.append("the broker is away; gateways keep what they hear")
        if vitals.commit_error:
            errors.append(f"the database cannot be written: {vitals.commit_error}")
        for anchor, by in vitals.clocks_ahead():
            errors.append(f"the clock of gateway {anchor} is {by:.0f} s ahead; let it be set by NTP")
        if self._watcher.refused:
            errors.append("the configuration on disk has errors; the earlier one stays in force")
        if queued.get("dead"):
            errors.append(f"{queued['dead']} deliveries were given up after the last attempt")
        return Health(
            broker=self._link.connected,
            commit_age=age,
            queue=len(self._service.inbox),
            gateways_online=sum(row.state == "online" for row in rows),
            gateways_total=sum(
                anchor.kind == "gateway" for site in self._service.configuration.sites for anchor in site.anchors
            ),
            observations=vitals.taken("sightings") + vitals.taken("fixes"),
            outbox=queued,
            errors=errors,
        )
