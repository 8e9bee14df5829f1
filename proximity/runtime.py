"""One running service: broker, store, pipeline, outbox and API, put together and taken apart in order."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from proximity import people_files
from proximity.api.app import create_app
from proximity.api.context import ApiContext
from proximity.api.server import ApiServer, check_address
from proximity.clock import system_clock
from proximity.collecting import collect_seldom, give_back, share_heaps
from proximity.configuration import Configuration
from proximity.data_folder import data_folder
from proximity.delivery.channel import Channel
from proximity.delivery.clearing import StoredPresence
from proximity.delivery.inbox import InboxChannel
from proximity.delivery.mqtt import MqttChannel
from proximity.delivery.owntracks import OwnTracksChannel
from proximity.delivery.routes import RouteSettings
from proximity.delivery.staff import Desks, DeskTopic, DeskWebhook, Way
from proximity.delivery.worker import OutboxWorker
from proximity.feed import Feed
from proximity.ingest.inbound import Inbox
from proximity.ingest.link import BrokerLink, broker_link
from proximity.jobs import housekeeping
from proximity.live import LiveService
from proximity.metrics import Metrics
from proximity.model import Offer
from proximity.reload import Watcher
from proximity.rulebook import RuleBook, at_the_start
from proximity.schedules import scheduling
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


def _apply(service: Service, changed: Configuration) -> None:
    """Put a changed configuration in force, with the people of its files when those were read anew."""
    if changed.people != service.configuration.people:
        people_files.seed(service.store, changed.people, service.clock())
    service.configure(changed)


def _ways_out(
    settings: Settings, link: BrokerLink, service: Service, clock: Callable[[], float]
) -> tuple[list[Channel], list[Way]]:
    """To shoppers, and to the staff."""
    channels: list[Channel] = [
        MqttChannel(link.publish),
        OwnTracksChannel(link.publish, service.device),
        InboxChannel(service.feed),
    ]
    ways: list[Way] = [DeskTopic(link.publish)]
    secret = settings.webhook_secret()
    if secret is not None and settings.webhook_url is not None:
        from proximity.delivery.webhook import WebhookChannel  # brings an HTTP client, which others do not need

        webhook = WebhookChannel(secret, clock)
        channels.append(webhook)
        ways.append(DeskWebhook(webhook, settings.webhook_url))
    return channels, ways


@contextlib.contextmanager
def running(
    settings: Settings, configuration: Configuration, clock: Callable[[], float] = system_clock
) -> Iterator[Running]:
    """A service from start to stop. ProximityError, with what to do, when a part cannot start."""
    share_heaps()
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_folder(settings.data))
        check_address(settings.http_host, settings.http_port)  # before anything is started that would have to end again
        store = open_store(settings.database_url)
        stack.callback(store.close)
        store.migrate()
        people_files.seed(store, configuration.people, clock())
        book = RuleBook(store, clock, configuration)

        feed, inbox = Feed(), Inbox()
        broker_url, link = broker_link(settings, inbox, clock, stack)
        routes = RouteSettings(webhook_url=settings.webhook_url)
        service = Service(
            store,
            at_the_start(book),
            clock,
            inbox,
            feed,
            reorder=settings.reorder,
            route_settings=routes,
            keep_observations=settings.keep_observations,
        )
        channels, ways = _ways_out(settings, link, service, clock)
        worker = OutboxWorker(store, channels, StoredPresence(store), clock, feed=feed)
        desks = Desks(store, ways, clock)
        service.gateways.writer, service.on_offers = link, desks.waking(worker.wake)

        watcher = Watcher(book, functools.partial(_apply, service))
        registry = CollectorRegistry()
        registry.register(Metrics(service, link))
        live = LiveService(service, link, watcher)
        token, till = settings.token(), settings.till()
        api = ApiServer(
            create_app(ApiContext(store, feed, clock, token, live, till_token=till, registry=registry)),
            settings.http_host,
            settings.http_port,
        )

        inbox.behind(-math.inf)  # presence stands still until the reader knows whether anything waits at the broker
        stack.callback(link.stop)  # ends after the pipeline, to tell the broker of the last commit
        service.start()
        stack.callback(service.stop)
        worker.start()
        stack.callback(worker.stop)
        service.courier = worker.courier
        stack.callback(setattr, service, "courier", None)  # before it ends: what comes then is another's
        stack.enter_context(desks.running())
        link.start()
        service.tell_gateways()
        stack.enter_context(housekeeping(store, settings.keep_history, clock, settings.keep_observations))
        stack.enter_context(scheduling(service.look_at_schedules))
        watcher.start()
        stack.callback(watcher.stop)
        api.start()
        stack.callback(api.stop)
        collect_seldom()
        give_back()  # what reading everybody took
        log.info("running", http=api.url, broker=broker_url, sites=len(configuration.sites))
        yield Running(settings, store, service, broker_url, api, token)
