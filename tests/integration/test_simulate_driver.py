"""The simulated shop over real brokers."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from proximity import wire
from proximity.broker import EmbeddedBroker, find_server, free_port
from proximity.clock import Clock
from proximity.errors import BrokerError
from proximity.ingest.mqtt import BrokerAddress
from proximity.model import Device
from proximity.phones import owntracks
from proximity.simulate.crowd import crowd
from proximity.simulate.drive import Driver
from proximity.simulate.shop import Options, SimulatedShop, Truth
from tests.conftest import wait_until
from tests.test_simulate_shop import LAT, LON, SITE, START

pytestmark = pytest.mark.integration

try:
    find_server()
except BrokerError as error:
    pytest.skip(str(error), allow_module_level=True)


class Service:
    """Takes everything, and says so to the gateways when asked to."""

    def __init__(self, url: str, acknowledge: bool = True) -> None:
        self.messages: dict[tuple[str, str, int], wire.SightingsMessage] = {}
        self.phones: list[tuple[str, bytes, int]] = []
        self.online: set[str] = set()
        self._acknowledge = acknowledge
        address = BrokerAddress.parse(url)
        subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="service-of-the-test")
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("proximity/v1/+/+/sightings", 1), ("proximity/v1/+/+/status", 1), ("owntracks/+/+", 1)]
        )
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._take
        self._client.connect(address.host, address.port)
        self._client.loop_start()
        assert subscribed.wait(60)

    def _take(self, client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("owntracks/"):
            self.phones.append((message.topic, message.payload, message.qos))
            return
        topic = wire.parse_gateway_topic(message.topic)
        if topic.channel == "status":
            self.online.add(topic.gateway)
            return
        decoded = wire.decode(wire.SightingsMessage, message.payload)
        self.messages[(topic.gateway, decoded.boot, decoded.seq)] = decoded
        if self._acknowledge:
            acked = wire.gateway_topic(topic.site, topic.gateway, "acked")
            client.publish(acked, wire.encode(wire.AckedMessage(decoded.boot, decoded.seq)), qos=1, retain=True)

    @property
    def packets(self) -> int:
        return sum(row.count for message in list(self.messages.values()) for row in message.rows)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else found.url


@pytest.fixture
def service(broker: str) -> Iterator[Service]:
    service = Service(broker)
    yield service
    service.close()


def shop(people: int = 12) -> SimulatedShop:
    return SimulatedShop(SITE, crowd(people, seed=1), 7, START, Options(brisk=True))


def driven(driver: Driver, until: Callable[[], object], what: str, stop: Callable[[], None] | None = None) -> None:
    driver.start()
    try:
        wait_until(until, 30.0, what)
    finally:
        (stop or driver.stop)()


def test_every_packet_that_a_gateway_heard_reaches_the_service(broker: str, service: Service) -> None:
    simulated = shop()
    driver = Driver([simulated], broker, Clock(START, speed=10.0))
    driven(driver, lambda: driver.counters.advertisements > 3000, "3000 packets", lambda: driver.stop(drain=True))
    counters = driver.counters
    wait_until(lambda: service.packets >= counters.advertisements, what="every packet at the service")
    assert service.packets == counters.advertisements
    assert sum(len(m.rows) for m in service.messages.values()) == counters.sightings
    assert counters.spooled == 0
    assert service.online == {a.id for a in SITE.anchors} == {gateway for gateway, _, _ in service.messages}
    rows = [row for m in service.messages.values() for row in m.rows]
    assert {row.device for row in rows} <= set(simulated.devices)
    assert all(START * 1000 <= row.time <= (START + 120) * 1000 and -110 < row.rssi < -20 for row in rows)
    assert {m.clock for m in service.messages.values()} == {"synced"}


def test_fixes_come_as_owntracks_messages_of_quality_one(broker: str, service: Service) -> None:
    driver = Driver([shop()], broker, Clock(START, speed=20.0))
    driven(driver, lambda: driver.counters.fixes >= 10, "ten fixes")
    assert driver.counters.fixes_waiting == 0
    wait_until(lambda: len(service.phones) >= driver.counters.fixes, what="every fix at the service")
    assert len(service.phones) == driver.counters.fixes
    for topic, payload, qos in service.phones:
        (fix,) = owntracks.read(topic, payload, START + 60, lambda device: None).fixes
        assert qos == 1
        assert fix.device == f"owntracks:{topic.removeprefix('owntracks/')}"
        assert (fix.lat, fix.lon) == (pytest.approx(LAT, abs=0.003), pytest.approx(LON, abs=0.004))


def test_a_phone_with_a_key_encrypts(nats: EmbeddedBroker) -> None:
    people = [(s, [with_key(d) for d in carried]) for s, carried in crowd(6, seed=1, phones=1.0)]
    service = Service(nats.url)
    driver = Driver([SimulatedShop(SITE, people, 7, START, Options(brisk=True))], nats.url, Clock(START, speed=20.0))
    driven(driver, lambda: service.phones, "a fix")
    service.close()
    topic, payload, _ = service.phones[0]
    assert msgspec.json.decode(payload)["_type"] == "encrypted"
    (fix,) = owntracks.read(topic, payload, START + 60, lambda device: "s3cret").fixes
    assert fix.lat == pytest.approx(LAT, abs=0.01)


def test_nothing_is_lost_while_the_broker_is_away(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker", port=free_port())
    simulated = shop()
    driver = Driver([simulated], f"mqtt://127.0.0.1:{broker.port}", Clock(START, speed=10.0), tmp_path / "spool")
    driver.start()
    wait_until(lambda: driver.counters.fixes_waiting >= 5, what="fixes that wait")
    wait_until(lambda: driver.counters.sightings > 500, what="sightings that wait")
    assert driver.counters.fixes == 0
    broker.start()
    service = Service(broker.url)
    try:
        wait_until(lambda: driver.counters.fixes >= 5, 30.0, "the fixes")
        driver.stop(drain=True)
        counters = driver.counters
        wait_until(lambda: service.packets >= counters.advertisements, what="every packet at the service")
        assert service.packets == counters.advertisements
        assert counters.fixes_waiting == 0
        assert len(service.phones) == counters.fixes
    finally:
        service.close()
        broker.stop()


def test_the_truth_is_told_as_it_happens(nats: EmbeddedBroker) -> None:
    told: list[tuple[str, float, int]] = []

    def tell(site: str, at: float, truth: list[Truth]) -> None:
        told.append((site, at, len(truth)))

    driver = Driver([shop()], nats.url, Clock(START, speed=20.0), on_truth=tell)
    driven(driver, lambda: told and told[-1][2] == 12, "everybody in the scene")
    assert {site for site, _, _ in told} == {SITE.id}
    assert [at for _, at, _ in told] == sorted(at for _, at, _ in told)
    assert driver.counters.behind < 20.0


def test_what_ends_the_shop_is_told_at_stop(nats: EmbeddedBroker) -> None:
    def fault(site: str, at: float, truth: list[Truth]) -> None:
        raise LookupError("the page is gone")

    driver = Driver([shop()], nats.url, Clock(START), on_truth=fault)
    driver.start()
    wait_until(lambda: not driver.running, what="the end of the thread")
    with pytest.raises(LookupError, match="the page is gone"):
        driver.stop()


def test_a_driver_that_was_never_started_stops(nats: EmbeddedBroker) -> None:
    driver = Driver([shop()], nats.url, Clock(START))
    driver.stop()
    assert driver.counters.advertisements == 0


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BrokerError, match="write mqtt://host:port"):
        Driver([shop()], "localhost:1883", Clock(START))


def with_key(device: Device) -> Device:
    return msgspec.structs.replace(device, secret="s3cret") if device.kind == "owntracks" else device
