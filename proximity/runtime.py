"""One running service: broker, store, pipeline, outbox and API, put together and taken apart in order."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from proximity import people_files
from proximity.api.app import create_app
from proximity.api.context import ApiContext
from proximity.api.server import ApiServer, check_address
from proximity.broker import EmbeddedBroker
from proximity.clock import system_clock
from proximity.configuration import Configuration
from proximity.data_folder import data_folder
from proximity.delivery.channel import Channel
from proximity.delivery.inbox import InboxChannel
from proximity.delivery.mqtt import MqttChannel
from proximity.delivery.owntracks import OwnTracksChannel
from proximity.delivery.routes import RouteSettings
from proximity.delivery.webhook import WebhookChannel
from proximity.delivery.worker import OutboxWorker
from proximity.feed import Feed
from proximity.ingest.inbound import Inbox
from proximity.ingest.mqtt import BrokerAddress, MqttLink
from proximity.jobs import housekeeping
from proximity.live import LiveService
from proximity.metrics import Metrics
from proximity.model import Offer
from proximity.reload import Watcher
from proximity.service import Service
from proximity.settings import Settings
from proximity.store import offers, outbox
from proximity.store.database import Store, open_store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a running service that commands use."""

    settings: Settings
    store: Store
    service: Service
    broker_url: str
    api: ApiServer
    token: str

    def offer(self, offer_id: str) -> Offer | None:
        """An offer as it was decided."""
        stored = offers.offer(self.store, offer_id)
        return stored.offer if stored else None

    def settled(self) -> bool:
        """Whether nothing waits: no message for the pipeline, no delivery for its first attempt."""
        due = outbox.next_due(self.store)
        return len(self.service.inbox) == 0 and (due is None or due > self.service.clock())

    def settle(self, seconds: float) -> bool:
        """Wait until nothing waits, `seconds` at the most."""
        deadline = time.monotonic() + seconds
        while not self.settled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@contextlib.contextmanager
def running(
    settings: Settings, configuration: Configuration, clock: Callable[[], float] = system_clock
) -> Iterator[Running]:
    """A service from start to stop. ProximityError, with what to do, when a part cannot start."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_folder(settings.data))
        check_address(settings.http_host, settings.http_port)  # before anything is started that would have to end again
        store = open_store(settings.database_url)
        stack.callback(store.close)
        store.migrate()
        people_files.seed(store, configuration.people, clock())

        broker_url = settings.broker
        if broker_url is None:
            broker = EmbeddedBroker(settings.data / "broker", settings.mqtt_port, settings.mqtt_host)
            broker.start()
            stack.callback(broker.stop)
            broker_url = broker.url

        feed, inbox = Feed(), Inbox()
        routes = RouteSettings(webhook_url=settings.webhook_url)
        link = MqttLink(BrokerAddress.parse(broker_url), inbox, clock)
        service = Service(store, configuration, clock, inbox, feed, reorder=settings.reorder, route_settings=routes)
        channels: list[Channel] = [
            MqttChannel(link.publish),
            OwnTracksChannel(link.publish, service.device),
            InboxChannel(feed),
        ]
        secret = settings.webhook_secret()
        if secret is not None:
            channels.append(WebhookChannel(secret, clock))
        worker = OutboxWorker(store, channels, service, clock, feed=feed)
        service.gateways.writer, service.on_offers = link, worker.wake

        def apply(changed: Configuration) -> None:
            people_files.seed(store, changed.people, clock())
            service.configure(changed)

        watcher = Watcher(settings.config, apply)
        registry = CollectorRegistry()
        registry.register(Metrics(service, link))
        live = LiveService(service, link, watcher)
        token = settings.token()
        api = ApiServer(
            create_app(ApiContext(store, feed, clock, token, live, registry)), settings.http_host, settings.http_port
        )

        service.start()
        stack.callback(service.stop)
        worker.start()
        stack.callback(worker.stop)
        link.start()
        stack.callback(link.stop)
        service.tell_gateways()
        stack.enter_context(housekeeping(store, settings.keep_history, clock))
        watcher.start()
        stack.callback(watcher.stop)
        api.start()
        stack.callback(api.stop)
        log.info("running", http=api.url, broker=broker_url, sites=len(configuration.sites))
        yield Running(settings, store, service, broker_url, api, token)
