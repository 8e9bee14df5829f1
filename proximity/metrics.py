"""What `/metrics` shows, gathered when it is asked for: the pipeline only counts."""

from collections.abc import Iterable
from time import monotonic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proximity.ingest.link import BrokerLink
from proximity.service import Service
from proximity.store import gateways, outbox


class Metrics(Collector):
    """A Prometheus collector over one running service."""

    def __init__(self, service: Service, link: BrokerLink) -> None:
        self._service, self._link = service, link

    def collect(self) -> Iterable[Metric]:
        """All families, `proximity_…`."""
        vitals = self._service.vitals
        observations = CounterMetricFamily(
            "proximity_observations", "Rows and messages by source and what became of them", labels=["source", "what"]
        )
        for (source, what), number in sorted(vitals.counts.items()):
            observations.add_metric([source, what], number)
        yield observations
        transitions = CounterMetricFamily("proximity_transitions", "Transitions by kind", labels=["kind"])
        for kind, number in sorted(vitals.transitions.items()):
            transitions.add_metric([kind], number)
        yield transitions
        decisions = CounterMetricFamily(
            "proximity_decisions", "Decisions: sent, or the reason why not", labels=["outcome"]
        )
        for outcome, number in sorted(vitals.decisions.items()):
            decisions.add_metric([outcome], number)
        yield decisions
        deliveries = GaugeMetricFamily("proximity_deliveries", "Deliveries in the outbox by state", labels=["state"])
        for state, number in sorted(outbox.counts(self._service.store).items()):
            deliveries.add_metric([state], number)
        yield deliveries
        online = GaugeMetricFamily(
            "proximity_gateway_online", "1 while a gateway is online", labels=["site", "gateway"]
        )
        for row in gateways.gateways(self._service.store):
            online.add_metric([row.site, row.gateway], float(row.state == "online"))
        yield online
        ahead = GaugeMetricFamily(
            "proximity_gateway_clock_ahead_seconds",
            "By how much what a gateway heard in the last minutes came from the future",
            labels=["site", "gateway"],
        )
        for anchor, by in vitals.clocks_ahead():
            ahead.add_metric([*anchor.split("/", 1)], by)
        yield ahead
        yield GaugeMetricFamily("proximity_broker_connected", "1 while the broker is", float(self._link.connected))
        yield GaugeMetricFamily("proximity_queue", "Messages received and not yet committed", len(self._service.inbox))
        if vitals.last_commit is not None:
            age = monotonic() - vitals.last_commit
            yield GaugeMetricFamily("proximity_last_commit_age_seconds", "Time since the last commit", age)
