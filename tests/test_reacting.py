"""What rules react to in the service: events by the one door, sequences, absences, held offers and schedules, across
restarts and changes of the rules."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from proximity import people_files, wire
from proximity.configuration import Configuration, load_configuration
from proximity.errors import BadMessage
from proximity.examples import example_config
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.model import Decision, Shopper
from proximity.reacting import PIECE
from proximity.schedules import scheduling
from proximity.service import Service
from proximity.store import context, history, people, rule_state, tables
from proximity.store.database import Store, open_store
from rules.audience import GRACE, Tick
from rules.load import load_rules
from rules.triggers import Absence
from tests.conftest import wait_until

NOON = datetime.fromisoformat("2026-11-24T12:00:00+01:00").timestamp()  # a Tuesday
SAY = '    say: {en: {title: "T", body: "B"}}\n'
DAY = 86_400.0


def rule(name: str, when: str, extra: str = "") -> str:
    return f"  - id: {name}\n    when: {when}\n{extra}{SAY}"


class House:
    """A service on a store of its own; time moves when told to."""

    def __init__(self, folder: Path, configuration: Configuration, *rules: str, header: str = "") -> None:
        self.now, self.folder = NOON, folder
        self.configuration = configuration
        self.store: Store = open_store(f"sqlite:///{folder / 'p.db'}")
        self.store.migrate()
        people_files.seed(self.store, configuration.people, self.now)
        self.done: list[BadMessage | None] = []
        self.configuration = self.with_rules(*rules, header=header)
        self.restart()

    def with_rules(self, *rules: str, header: str = "") -> Configuration:
        loaded = load_rules({"a.rules.yaml": header + "rules:\n" + "".join(rules)}, self.configuration.ruleset.catalog)
        assert loaded.ruleset is not None, [one.render() for one in loaded.diagnostics]
        return replace(self.configuration, ruleset=loaded.ruleset)

    def restart(self) -> None:
        """As after `kill -9`: only the store is left."""
        self.service = Service(self.store, self.configuration, lambda: self.now, Inbox(), Feed())

    def tell(self, *events: dict[str, Any], site: str | None = "demo-store") -> None:
        """One message with these events, and the turn that takes it."""
        said = json.dumps([{"shopper": "ada", **event} for event in events]).encode()
        self.service.turn([Inbound(wire.events_topic(site), said, self.now, self.done.append)])

    def stand(self, zone: str, seconds: int) -> None:
        """Ada stands in a zone; one turn a second."""
        gateway = next(a.id for a in self.configuration.sites[0].anchors if a.kind == "gateway" and a.zone == zone)
        beacon = next(d.id for d in self.configuration.people.devices if d.shopper == "ada" and d.kind == "ibeacon")
        for _ in range(seconds):
            self.now += 1
            row = wire.Row(beacon, round(self.now * 1000) - 200, -50.0, 3)
            said = wire.SightingsMessage(f"boot-{gateway}", round(self.now), "synced", [row])
            topic = wire.gateway_topic("demo-store", gateway, "sightings")
            self.service.turn([Inbound(topic, wire.encode(said), self.now)])

    def wait(self, seconds: float) -> None:
        """Time passes, and a turn is taken."""
        self.now += seconds
        self.service.turn([])

    def look(self) -> None:
        """The scheduler looks, and the pipeline takes what has come."""
        self.service.look_at_schedules()
        self.service.turn(self.service.inbox.take(0).messages)

    def decisions(self, name: str | None = None, shopper: str | None = None) -> list[Decision]:
        """The oldest first."""
        return list(reversed(history.decisions(self.store, rule=name, shopper=shopper, limit=5000)))

    def outcomes(self, name: str | None = None) -> list[str]:
        return [one.reason or "sent" for one in self.decisions(name)]

    def rows(self, table: sa.Table) -> list[Any]:
        with self.store.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(example_config())


@pytest.fixture
def build(tmp_path: Path, configuration: Configuration) -> Iterator[Any]:
    made: list[House] = []

    def make(*rules: str, header: str = "") -> House:
        made.append(House(tmp_path, configuration, *rules, header=header))
        return made[-1]

    yield make
    for house in made:
        house.store.close()


BASKET = rule("basket", "{event: {name: basket_add}}")

# -- events -------------------------------------------------------------------------------------------------------


def test_an_event_is_decided_about_and_kept(build: Any) -> None:
    house = build(BASKET)
    house.tell({"name": "basket_add", "id": "e1", "at": round(NOON * 1000) - 5000, "data": {"sku": "KONA", "price": 4}})
    assert house.outcomes() == ["sent"]
    assert house.done == [None]
    (event,) = house.rows(tables.shop_events)
    assert (event["name"], event["shopper"], event["site"], event["at"]) == (
        "basket_add",
        "ada",
        "demo-store",
        NOON - 5,
    )
    assert event["data"] == {"sku": "KONA", "price": 4.0}  # declared with decimals


def test_an_event_that_is_told_again_changes_nothing(build: Any) -> None:
    house = build(BASKET, rule("pair", "{sequence: {within: 1h, steps: [{event: {name: basket_add}}, "
                                       "{event: {name: basket_add}}]}}"))  # fmt: skip
    one = {"name": "basket_add", "id": "e1"}
    house.tell(one, one)
    house.tell(one)
    house.restart()
    house.wait(5)
    house.tell({**one, "data": {"sku": "other"}})
    assert house.outcomes() == ["sent"]
    assert len(house.rows(tables.shop_events)) == 1
    assert house.done == [None] * 3
    house.tell({"name": "basket_add", "id": "e2"})
    assert house.outcomes("pair") == ["sent"]


def test_without_an_id_what_says_the_same_of_the_same_moment_is_the_same(build: Any) -> None:
    house = build(BASKET)
    one = {"name": "basket_add", "at": round(NOON * 1000), "data": {"sku": "A"}}
    house.tell(one, one, {**one, "data": {"sku": "B"}}, {**one, "shopper": "ben"})
    assert len(house.rows(tables.shop_events)) == 3


def test_whose_event_it_is(build: Any, configuration: Configuration) -> None:
    house = build(BASKET)
    tag = next(one.id for one in configuration.people.devices if one.shopper == "ada" and one.kind == "ibeacon")
    context.put(house.store, [context.Value("order", "id", "A17", shopper="ada")], NOON, "api")
    house.tell(
        {"name": "basket_add", "id": "1", "shopper": None, "device": tag},
        {"name": "basket_add", "id": "2", "shopper": None, "order": "A17"},
        {"name": "basket_add", "id": "3", "shopper": None, "order": "A18"},
        {"name": "basket_add", "id": "4", "shopper": None, "device": "mac:00:00:00:00:00:00"},
        {"name": "basket_add", "id": "5", "shopper": None},
        {"name": "basket_add", "id": "6", "shopper": "nobody"},
    )
    assert [one["shopper"] for one in house.rows(tables.shop_events)] == ["ada", "ada"]
    assert house.service.vitals.counts["events", "nobody"] == 4


def test_who_agreed_to_nothing_leaves_no_trace(build: Any) -> None:
    house = build(BASKET)
    people.put_shopper(house.store, Shopper("silent", consents={"in-store-offers": False}), at=NOON)
    house.service.everybody_changed()
    house.tell({"name": "basket_add", "shopper": "silent"})
    assert house.rows(tables.shop_events) == house.decisions() == []


@pytest.mark.parametrize(
    ("site", "event", "kept"),
    [
        (None, {}, [None]),
        (None, {"site": "demo-store"}, ["demo-store"]),
        ("demo-store", {"site": "elsewhere"}, ["demo-store"]),  # the topic says where
        ("elsewhere", {}, []),
    ],
)
def test_where_an_event_happened(build: Any, site: str | None, event: dict[str, Any], kept: list[str | None]) -> None:
    house = build(BASKET)
    house.tell({"name": "basket_add", **event}, site=site)
    assert [one["site"] for one in house.rows(tables.shop_events)] == kept
    assert house.outcomes() == ["sent"] * len(kept)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"name": "BasketAdd", "shopper": "ada"}', "shape"),
        (b'{"shopper": "ada"}', "shape"),
        (b'{"name": "basket_add", "shopper": "ada", "colour": "red"}', "shape"),
        (b'[{"name": "basket_add", "shopper": "ada"}, 7]', "shape"),
        (b"{", "json"),
        (json.dumps({"name": "basket_add", "shopper": "ada", "data": {"text": "x" * 9000}}).encode(), "too_large"),
    ],
)
def test_what_is_no_event_is_refused_and_counted(build: Any, payload: bytes, reason: str) -> None:
    house = build(BASKET)
    house.service.turn([Inbound(wire.events_topic(), payload, NOON, house.done.append)])
    assert [error.reason for error in house.done if error is not None] == [reason]
    assert house.service.vitals.counts["proximity", reason] == 1
    assert house.rows(tables.shop_events) == []


def test_an_event_from_the_future_happened_now(build: Any) -> None:
    house = build(BASKET)
    house.tell({"name": "basket_add", "at": round(NOON * 1000) + 60_000})
    assert [one["at"] for one in house.rows(tables.shop_events)] == [NOON]


# -- sequences, absences, and what is held ------------------------------------------------------------------------

SOCKS = rule("socks", """
      sequence:
        within: 10m
        steps: [{enter: {zone: coffee-aisle}}, {event: {name: qr_scanned}}]
        without: {event: {name: basket_add, match: 'event.category == "socks"'}}""")  # fmt: skip


@pytest.mark.parametrize(("between", "expected"), [([], ["sent"]), (["socks"], []), (["ties"], ["sent"])])
def test_a_sequence_goes_on_over_a_restart(build: Any, between: list[str], expected: list[str]) -> None:
    house = build(SOCKS)
    house.stand("coffee-aisle", 4)
    assert [row["sort"] for row in house.rows(tables.rule_state)] == ["sequence"]
    house.restart()
    house.now += 30
    for category in between:
        house.tell({"name": "basket_add", "data": {"category": category}})
    house.restart()
    house.now += 30
    house.tell({"name": "qr_scanned", "data": {"code": "A"}})
    assert house.outcomes("socks") == expected
    house.wait(1200)
    assert house.rows(tables.rule_state) == []  # void, and gone


def test_a_sequence_goes_on_when_other_rules_change(build: Any) -> None:
    house = build(SOCKS, BASKET)
    house.stand("coffee-aisle", 4)
    house.service.configure(house.with_rules(SOCKS, rule("other", "{exit: {zone: tills}}")))
    house.tell({"name": "qr_scanned"})
    assert house.outcomes("socks") == ["sent"]


def test_a_sequence_and_its_first_step_in_one_turn(build: Any) -> None:
    house = build(rule("both", "{sequence: {within: 1h, steps: [{event: {name: basket_add}}, "
                               "{event: {name: qr_scanned}}]}}"))  # fmt: skip
    at = round(NOON * 1000)
    house.tell({"name": "qr_scanned", "at": at}, {"name": "basket_add", "at": at - 1000})  # by their times
    assert house.outcomes() == ["sent"]


AWAY = rule("away", "{absence: {for: 30d}}")


def test_absence_comes_after_a_restart_and_once(build: Any) -> None:
    house = build(AWAY)
    house.stand("coffee-aisle", 4)
    house.wait(60)  # silence ends the visit
    ((_, due),) = [(row["id"], row["due"]) for row in house.rows(tables.rule_state)]
    left = next(one.at for one in history.transitions(house.store) if one.kind == "exit")
    assert due == left + 30 * DAY
    house.now = due - 10
    house.restart()
    house.wait(5)
    assert house.outcomes() == []
    house.wait(6)
    assert house.outcomes() == ["sent"]
    house.wait(40 * DAY)
    assert house.outcomes() == ["sent"]


def test_who_comes_back_in_time_is_not_absent(build: Any) -> None:
    house = build(AWAY)
    house.stand("coffee-aisle", 4)
    house.wait(60)
    (before,) = house.rows(tables.rule_state)
    house.now = before["due"] - DAY
    house.stand("coffee-aisle", 4)
    house.wait(60)
    (after,) = house.rows(tables.rule_state)
    assert after["due"] > before["due"] + 28 * DAY
    house.now = before["due"]
    house.wait(1)
    assert house.outcomes() == []


def test_who_left_before_the_rule_came_is_waited_for_too(build: Any) -> None:
    house = build(BASKET)
    house.stand("coffee-aisle", 4)
    house.wait(60)
    house.now += 10 * DAY
    house.service.configure(house.with_rules(AWAY, rule("sooner", "{absence: {for: 5d}}")))
    waiting = {row["rule"]: row["due"] for row in house.rows(tables.rule_state)}
    assert waiting.keys() == {"away"}  # who has been away for longer already is not surprised
    house.now = waiting["away"]
    house.wait(1)
    assert house.outcomes() == ["sent"]


def test_a_shopper_who_is_there_is_asked_again_after_the_next_exit(build: Any) -> None:
    house = build(rule("short", "{absence: {zone: coffee-aisle, for: 1m}}"))
    house.stand("coffee-aisle", 4)
    house.wait(30)
    assert "exit" in {one.kind for one in history.transitions(house.store)}
    house.stand("coffee-aisle", 60)  # past the due time, and inside
    assert house.outcomes() == []
    house.wait(30)
    house.wait(60)
    assert house.outcomes() == ["sent"]


NIGHT = 'windows: {night: {from: "11:00", to: "13:00"}}\ndefaults: {quiet: {window: night, clock: store, then: hold}}\n'


def test_what_quiet_hours_hold_is_sent_when_they_end_also_after_a_restart(build: Any) -> None:
    house = build(BASKET, header=NIGHT)
    house.tell({"name": "basket_add"})
    assert house.outcomes() == ["quiet_hours"]
    house.now = NOON + 3590
    house.restart()
    house.wait(5)
    assert house.outcomes() == ["quiet_hours"]
    house.wait(6)
    assert house.outcomes() == ["quiet_hours", "sent"]
    assert house.rows(tables.rule_state) == []
    house.wait(DAY)
    assert len(house.decisions()) == 2


def test_what_is_held_is_checked_again(build: Any) -> None:
    house = build(rule("here", "{enter: {zone: coffee-aisle}}"), BASKET, header=NIGHT)
    house.stand("coffee-aisle", 4)
    house.tell({"name": "basket_add"})
    people.set_consent(house.store, "ada", "in-store-offers", False, house.now, "api")
    house.service.everybody_changed()
    house.now = NOON + 3600
    house.wait(1)
    assert house.outcomes("here") == ["quiet_hours", "no_consent"]
    assert house.outcomes("basket") == ["quiet_hours", "no_consent"]


def test_a_shopper_who_is_erased_is_remembered_no_more(build: Any) -> None:
    house = build(AWAY, BASKET, SOCKS, header=NIGHT)
    house.stand("coffee-aisle", 4)
    house.wait(60)
    house.tell({"name": "basket_add"})
    assert {row["sort"] for row in house.rows(tables.rule_state)} == {"absence", "hold", "sequence"}
    house.service.erase("ada")
    assert house.rows(tables.rule_state) == house.rows(tables.shop_events) == []
    house.wait(40 * DAY)
    assert house.decisions(shopper="ada") == []


# -- schedules ----------------------------------------------------------------------------------------------------

NOONISH = rule("noonish", '{schedule: {cron: "5 12 * * *", to: {segment: all}}}')
EVERYBODY = "segments: {all: 'shopper.id != \"nobody\"'}\n"


def _people(house: House) -> int:
    return len(house.service.registry.agreed)


def test_a_schedule_comes_once_for_everybody(build: Any) -> None:
    house = build(NOONISH, header=EVERYBODY)
    house.look()
    assert house.decisions() == []
    house.wait(301)
    house.look()
    house.look()
    assert len(house.decisions()) == _people(house) > 1
    assert {one.at for one in house.decisions()} == {house.now}
    house.restart()
    house.wait(60)
    house.look()
    assert len(house.decisions()) == _people(house)
    house.now += DAY
    house.look()
    assert len(house.decisions()) == 2 * _people(house)


@pytest.mark.parametrize(("down", "times"), [(400.0, 1), (GRACE + 300 - 1, 1), (GRACE + 301, 0), (3 * DAY + 400, 1)])
def test_what_was_missed_while_the_service_was_down(build: Any, down: float, times: int) -> None:
    house = build(NOONISH, header=EVERYBODY)
    house.wait(1)
    house.now = NOON + down
    house.restart()
    house.look()
    assert len(house.decisions()) == times * _people(house)


def test_a_schedule_is_not_late_for_what_was_before_it(build: Any) -> None:
    house = build(BASKET)
    house.wait(400)
    house.service.configure(house.with_rules(NOONISH, header=EVERYBODY))
    house.look()
    house.restart()
    house.look()
    assert house.decisions() == []
    assert [row["id"] for row in house.rows(tables.schedule_ticks)] == ["noonish Europe/Paris"]


def test_a_crash_before_the_commit_decides_nobody_twice(build: Any) -> None:
    house = build(NOONISH, header=EVERYBODY)
    house.wait(301)
    house.look()
    with house.store.begin() as connection:  # as if the mark had not been written
        connection.execute(sa.update(tables.schedule_ticks).values(planned=NOON))
    house.restart()
    house.look()
    assert len(house.decisions()) == _people(house)


def test_many_are_decided_about_in_pieces(build: Any) -> None:
    house = build(NOONISH, header=EVERYBODY)
    for number in range(PIECE + 5):
        people.put_shopper(house.store, Shopper(f"s{number}", consents={"in-store-offers": True}), at=NOON)
    house.service.everybody_changed()
    house.wait(301)
    house.look()
    assert len(house.decisions()) == PIECE
    assert [row["planned"] for row in house.rows(tables.schedule_ticks)] == [NOON]  # not before all are through
    house.wait(1)
    assert len(house.decisions()) == _people(house)
    assert [row["planned"] for row in house.rows(tables.schedule_ticks)] == [NOON + 300]


def test_a_schedule_for_those_inside(build: Any) -> None:
    house = build(rule("tasting", '{schedule: {cron: "*/5 * * * *", to: {inside: coffee-aisle}}}'))
    house.now = NOON + 297
    house.stand("coffee-aisle", 4)
    house.look()
    assert [(one.shopper, one.zone, one.reason) for one in house.decisions()] == [("ada", "coffee-aisle", None)]
    house.now = NOON + 500
    house.wait(101)
    house.look()
    assert len(house.decisions()) == 1


def test_the_scheduler_looks_by_itself(build: Any) -> None:
    house = build(NOONISH, header=EVERYBODY)
    house.now = NOON + 301
    with scheduling(house.service.look_at_schedules):
        wait_until(lambda: len(house.service.inbox) > 0)
    (message,) = house.service.inbox.take(0).messages
    assert msgspec.json.decode(message.payload, type=Tick) == Tick("noonish", "Europe/Paris", NOON + 300)


# -- the store ----------------------------------------------------------------------------------------------------


def test_rows_are_read_back_as_they_were_written(build: Any) -> None:
    house = build(AWAY)
    house.stand("coffee-aisle", 4)
    house.wait(60)
    (found,) = rule_state.rows(house.store, ["ada", "nobody"])["ada"].values()
    trigger = house.service.configuration.ruleset.by_id["away"].trigger
    assert isinstance(trigger, Absence)
    assert (found.sort, found.rule, found.key) == ("absence", "away", trigger.key)
    assert rule_state.due(house.store, found.due) == [found]
    assert rule_state.due(house.store, found.due - 1) == []
    assert rule_state.next_due(house.store) == found.due
