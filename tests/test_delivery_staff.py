"""Words to the staff: on their topic, as a signed copy, tried again, and gone when they are no news any more."""

import json
from collections.abc import Callable

import pytest

from proximity import wire
from proximity.delivery.routes import RouteSettings
from proximity.delivery.staff import DeskLane, Desks, DeskTopic, copies
from proximity.delivery.worker import RetryPolicy
from proximity.errors import BrokerError, DeliveryError
from proximity.model import Sent, StaffMessage
from proximity.store import history, staff
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store
from tests.conftest import wait_until
from tests.store_house import NOW, story

pytest_plugins = ["tests.store_fixtures"]
SHOP = RouteSettings(webhook_url="https://shop.example/hook")


@pytest.fixture
def message(store: Store) -> StaffMessage:
    """One that waits."""
    made = story("ada")
    commit(store, Outcome(transitions=made.transitions, decisions=made.decisions, staff=made.staff, at=NOW))
    return made.staff[0]


class Way:
    """Takes what it is given, unless told to refuse."""

    def __init__(self, name: str = "mqtt") -> None:
        self.name = name
        self.sent: list[StaffMessage] = []
        self.refuse: list[DeliveryError] = []

    def send(self, message: StaffMessage) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        self.sent.append(message)


def lane(store: Store, way: Way, attempts: int = 3) -> DeskLane:
    return DeskLane(store, way, lambda: NOW, policy=RetryPolicy(attempts, 1.0, 60.0), chance=lambda: 0.0)


def state(store: Store) -> tuple[str, int, str | None]:
    (found,) = staff.of_site(store, "lyon")
    return found.state, found.attempts, found.error


def test_each_way_has_its_copy(store: Store, message: StaffMessage) -> None:
    assert copies([message], RouteSettings()) == [message]
    one, other = copies([message], SHOP)
    assert (one.channel, other.channel, other.text) == ("mqtt", "webhook", message.text)
    assert one.id != other.id


def test_it_goes_to_its_desk(store: Store, message: StaffMessage) -> None:
    heard: list[tuple[str, bytes, int, bool]] = []

    def publish(topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        heard.append((topic, payload, qos, retain))

    assert DeskLane(store, DeskTopic(publish), lambda: NOW).run_once(NOW) == 1
    ((topic, payload, qos, retain),) = heard
    assert (topic, qos, retain) == ("proximity/v1/lyon/desks/collect", 1, False)
    told = json.loads(payload)
    assert (told["text"], told["desk"], told["id"]) == ("Hello", "collect", message.id)
    assert "ada" not in payload.decode()
    assert wire.decode(wire.DeskMessage, payload).expires == round(message.expires * 1000)
    assert state(store) == ("sent", 0, None)
    assert DeskLane(store, DeskTopic(publish), lambda: NOW).run_once(NOW) == 0


def test_it_is_tried_again(store: Store, message: StaffMessage) -> None:
    way = Way()
    way.refuse = [DeliveryError("the broker is away", retry=True)]
    desk = lane(store, way)
    assert desk.run_once(NOW + 1) == 1
    assert state(store) == ("queued", 1, "the broker is away")
    assert desk.run_once(NOW + 1) == 0
    assert staff.next_due(store, "mqtt") == NOW + 1.5
    assert desk.run_once(NOW + 1.5) == 1
    assert state(store) == ("sent", 1, None)


ENDS: list[tuple[list[DeliveryError], float, str]] = [
    ([DeliveryError("no", retry=False)], NOW, "dead"),
    ([DeliveryError("away", retry=True)] * 3, NOW, "dead"),
    ([DeliveryError("away", retry=True)], NOW + 300.2, "dead"),  # it would be too late for another attempt
    ([], NOW + 400.0, "expired"),
]


@pytest.mark.parametrize(("refusals", "at", "end"), ENDS)
def test_it_is_given_up(
    store: Store, message: StaffMessage, refusals: list[DeliveryError], at: float, end: str
) -> None:
    way = Way()
    way.refuse = list(refusals)
    desk = lane(store, way)
    while desk.run_once(at):
        at += 60.0
    assert state(store)[0] == end
    assert way.sent == []


def test_a_topic_that_cannot_be_published_to(store: Store, message: StaffMessage) -> None:
    def publish(topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        raise BrokerError("not connected")

    with pytest.raises(DeliveryError, match="not connected"):
        DeskTopic(publish).send(message)


def test_lanes_work_by_themselves(store: Store) -> None:
    ways = [Way("mqtt"), Way("webhook")]
    desks = Desks(store, ways, lambda: NOW)
    woken: list[int] = []
    wake: Callable[[], None] = desks.waking(lambda: woken.append(1))
    with desks.running():
        made = story("ben")
        commit(store, Outcome(transitions=made.transitions, decisions=made.decisions,
                              staff=copies(made.staff, SHOP), at=NOW))  # fmt: skip
        wake()
        wait_until(lambda: all(way.sent for way in ways), what="both messages")
    assert woken == [1]
    assert staff.due(store, "mqtt", NOW) == staff.due(store, "webhook", NOW) == []


def test_limits_count_it_for_its_rule(store: Store, message: StaffMessage) -> None:
    assert history.sends(store, ["ada"], NOW - 1) == [Sent("ada", "welcome", "lyon", message.created, silent=True)]
