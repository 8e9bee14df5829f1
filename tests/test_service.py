"""The pipeline from message to commit, with a driven clock and the example shop."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proximity import people_files, wire
from proximity.configuration import Configuration, load_configuration
from proximity.errors import BadMessage
from proximity.examples import example_config
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.presence import checkpoint
from proximity.service import Service
from proximity.store import checkpoints, gateways, history, people, tables
from proximity.store import commit as commits
from proximity.store.database import Store, StoreError, open_store

START = 1_764_155_040.0


class House:
    """A service on a store of its own; time moves when told to."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        self.now = START
        self.configuration = configuration
        self.store: Store = open_store(f"sqlite:///{folder / 'p.db'}")
        self.store.migrate()
        people_files.seed(self.store, configuration.people, START)
        self.posted: list[tuple[str, bytes]] = []
        self.acknowledged: list[BadMessage | None] = []
        self.connected = True  # to the broker
        self.restart()

    def restart(self) -> None:
        """As after `kill -9`: only the store is left."""
        self.service = Service(self.store, self.configuration, lambda: self.now, Inbox(), Feed())
        self.service.gateways.writer = self

    def post(self, topic: str, payload: bytes, retain: bool = False) -> None:
        assert retain
        self.posted.append((topic, payload))

    def say(self, topic: str, payload: bytes) -> Inbound:
        return Inbound(topic, payload, self.now, self.acknowledged.append)

    def heard(self, seq: int, zone: str = "coffee-aisle", shopper: str = "ada", rssi: float = -50.0) -> Inbound:
        """A second of the gateway that stands in `zone`, which hears the shopper's beacon."""
        gateway = next(a.id for a in self.configuration.sites[0].anchors if a.kind == "gateway" and a.zone == zone)
        row = wire.Row(self.beacon(shopper), round(self.now * 1000) - 200, rssi, 3)
        message = wire.SightingsMessage(f"boot-{gateway}", seq, "synced", [row])
        return self.say(wire.gateway_topic("demo-store", gateway, "sightings"), wire.encode(message))

    def beacon(self, shopper: str) -> str:
        devices = self.configuration.people.devices
        return next(d.id for d in devices if d.shopper == shopper and d.kind == "ibeacon")

    def stand(self, seconds: int, zone: str = "coffee-aisle", shopper: str = "ada", first: int = 1) -> None:
        """The shopper stands in the zone; one turn a second."""
        for seq in range(first, first + seconds):
            self.now += 1
            self.service.turn([self.heard(seq, zone, shopper)])

    def kinds(self) -> list[tuple[str, str]]:
        return [(t.kind, t.zone) for t in reversed(history.transitions(self.store))]


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(example_config())


@pytest.fixture
def house(tmp_path: Path, configuration: Configuration) -> Iterator[House]:
    made = House(tmp_path, configuration)
    yield made
    made.store.close()


def test_a_shopper_who_stands_in_a_zone_enters_it_and_meets_its_rules(house: House) -> None:
    house.stand(15)
    assert house.kinds()[:2] == [("enter", "coffee-aisle"), ("dwell", "coffee-aisle")]
    decisions = history.decisions(house.store, shopper="ada")
    assert any(one.outcome == "sent" for one in decisions)
    assert house.acknowledged == [None] * 15


def test_gateways_are_told_what_is_covered_after_the_commit(house: House) -> None:
    house.stand(2)
    topic, payload = house.posted[-1]
    assert topic.endswith("/acked")
    assert json.loads(payload) == {"boot": topic.split("/")[-2].join(["boot-", ""]), "seq": 2, "v": 1}
    (offset,) = gateways.offsets(house.store)
    assert (offset.seq, offset.messages, offset.rows) == (2, 2, 2)


def test_nothing_is_acknowledged_before_the_commit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    real = commits.commit

    def watched(store: Store, outcome: commits.Outcome) -> commits.Committed:
        if len(said) < 2:
            said.append(f"refused, {len(house.acknowledged)} acknowledged, {len(house.posted)} told")
            raise StoreError("disk full", temporary=True)
        return real(store, outcome)

    monkeypatch.setattr("proximity.service.commits.commit", watched)
    monkeypatch.setattr("proximity.service.COMMIT_RETRY", 0.0)
    house.stand(1)
    assert said == ["refused, 0 acknowledged, 0 told"] * 2
    assert house.acknowledged == [None]
    assert len(house.posted) == 1


def test_a_message_that_comes_again_has_no_effect(house: House) -> None:
    house.stand(6)
    before = dump(house.store)
    house.service.turn([house.heard(seq) for seq in (3, 6, 6)])
    assert house.acknowledged[-3:] == [None] * 3
    assert dump(house.store) == before


def test_devices_of_nobody_and_of_shoppers_without_consent_leave_no_trace(house: House) -> None:
    for shopper in house.configuration.people.shoppers:
        for purpose in shopper.consents:
            people.set_consent(house.store, shopper.id, purpose, False, START, "shopper")
    house.service.everybody_changed()
    house.stand(10)
    stranger = wire.Row("ibeacon:00000000-0000-0000-0000-000000000000:1:1", round(house.now * 1000), -50.0)
    message = wire.SightingsMessage("b", 1, "synced", [stranger])
    house.service.turn([house.say("proximity/v1/demo-store/door/sightings", wire.encode(message))])
    assert house.kinds() == []
    assert house.service.whereabouts() == []
    assert house.service.vitals.counts["identity", "nobody"] == 11
    for table in ("visits", "transitions", "decisions", "late_observations"):
        assert not [row for row in dump(house.store) if row.startswith(f"{table}:")]
    state = checkpoints.load_checkpoint(house.store)
    assert state is not None
    assert house.beacon("ada").encode() not in b"".join(
        checkpoint.encode(checkpoint.unpack(s)) for s in state.parts.values()
    )


BAD = [
    ("proximity/v1/demo-store/door/sightings", b"{", ("proximity", "json")),
    ("proximity/v1/demo-store/door/sightings", b"[]", ("proximity", "shape")),
    ("proximity/v1/demo-store/door/nonsense", b"{}", ("proximity", "topic")),
    ("owntracks/ada/phone", b"\x00\xff", ("owntracks", "json")),
    ("elsewhere/x", b"{}", ("other", "topic")),
]


@pytest.mark.parametrize(("topic", "payload", "counted"), BAD)
def test_bad_input_is_counted_named_and_dropped(
    house: House, topic: str, payload: bytes, counted: tuple[str, str]
) -> None:
    house.service.turn([house.say(topic, payload), house.heard(1)])
    assert house.service.vitals.counts[counted] == 1
    refused, taken = house.acknowledged
    assert isinstance(refused, BadMessage)
    assert taken is None
    assert house.service.vitals.counts["proximity", "sightings"] == 1


def test_a_message_with_rows_that_cannot_be_read_is_covered_all_the_same(house: House) -> None:
    topic = "proximity/v1/demo-store/door/sightings"
    house.service.turn([house.say(topic, b'{"boot":"b","seq":1,"clock":"synced","rows":[["x"]]}')])
    (offset,) = gateways.offsets(house.store)
    assert (offset.seq, offset.rows) == (1, 0)


def test_after_a_restart_nothing_is_repeated_and_the_dwell_is_not_lost(house: House) -> None:
    house.stand(5)
    assert house.kinds() == [("enter", "coffee-aisle")]
    house.restart()
    house.service.turn([house.heard(5)])  # what the broker had not seen acknowledged
    house.stand(12, first=6)
    kinds = house.kinds()
    assert kinds[0] == ("enter", "coffee-aisle")
    assert kinds.count(("enter", "coffee-aisle")) == 1
    assert ("dwell", "coffee-aisle") in kinds
    assert ("exit", "coffee-aisle") not in kinds


def test_after_a_long_stop_silence_is_not_taken_for_leaving(house: House) -> None:
    house.stand(5)
    house.restart()
    house.now += 100
    house.service.turn([])
    assert ("exit", "coffee-aisle") not in house.kinds()
    house.stand(3, first=6)
    assert house.kinds().count(("enter", "coffee-aisle")) == 1


def test_erasing_a_shopper_leaves_no_row_and_no_state(house: House) -> None:
    house.stand(15)
    assert house.service.erase("ada")
    assert not [row for row in dump(house.store) if "'ada'" in row or f"'{house.beacon('ada')}'" in row]
    assert house.service.inside("ada") == set()
    house.stand(5, first=16)
    assert not [row for row in dump(house.store) if "'ada'" in row]
    assert not house.service.erase("ada")


def test_who_takes_every_consent_back_is_forgotten_at_once(house: House) -> None:
    house.stand(5)
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}
    for purpose in people.consents(house.store, "ada"):
        people.set_consent(house.store, "ada", purpose.purpose, False, house.now, "shopper")
    house.service.everybody_changed()
    assert house.service.inside("ada") == set()
    last = history.transitions(house.store, shopper="ada")[0]
    assert (last.kind, last.cause) == ("exit", "withdrawn")
    house.stand(5, first=6)
    assert house.service.whereabouts("ada") == []


def test_who_was_erased_is_not_brought_back_by_the_file_that_names_him(house: House) -> None:
    house.service.erase("ada")
    people_files.seed(house.store, house.configuration.people, house.now)
    assert people.shopper(house.store, "ada") is None
    assert people.devices(house.store, "ada") == []
    (ada,) = [one for one in house.configuration.people.shoppers if one.id == "ada"]
    people.put_shopper(house.store, ada, at=house.now, source="api")  # who registers anew is welcome
    people_files.seed(house.store, house.configuration.people, house.now)
    assert people.devices(house.store, "ada") != []


def test_reading_the_file_again_leaves_the_moment_of_consent_alone(house: House) -> None:
    before = people.consents(house.store, "ada")
    people_files.seed(house.store, house.configuration.people, house.now + 1000)
    assert people.consents(house.store, "ada") == before


def test_a_gateway_that_says_goodbye_holds_its_visits(house: House) -> None:
    house.stand(5)
    (row,) = {topic.split("/")[3] for topic, _ in house.posted}
    status = wire.encode(wire.StatusMessage("offline"))
    house.service.turn([house.say(f"proximity/v1/demo-store/{row}/status", status)])
    for _ in range(60):
        house.now += 1
        house.service.turn([])
    assert ("exit", "coffee-aisle") not in house.kinds()
    assert [one.state for one in gateways.gateways(house.store) if one.gateway == row] == ["offline"]


def test_while_the_broker_is_away_visits_are_held(house: House) -> None:
    house.stand(5)
    house.connected = False
    for _ in range(60):
        house.now += 1
        house.service.turn([])
    assert ("exit", "coffee-aisle") not in house.kinds()
    house.connected = True
    house.stand(2, first=6)
    for _ in range(400):
        house.now += 1
        house.service.turn([])
    assert house.kinds()[-1] == ("exit", "coffee-aisle")


def test_phones_enter_by_the_same_door(house: House) -> None:
    site = house.configuration.sites[0]
    fix = {"_type": "location", "lat": site.lat, "lon": site.lon, "acc": 8, "tst": 0}
    for _ in range(4):
        house.now += 10
        fix["tst"] = int(house.now)
        house.service.turn([house.say("owntracks/ada/phone", json.dumps(fix).encode())])
    assert ("enter", "car-park") in house.kinds()


def test_a_changed_configuration_takes_effect_and_visits_go_on(
    house: House, tmp_path: Path, configuration: Configuration
) -> None:
    house.stand(5)
    house.service.configure(configuration)
    house.stand(3, first=6)
    assert house.kinds() == [("enter", "coffee-aisle")]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 29), max_size=8))
def test_any_cut_into_batches_causes_the_same(
    tmp_path_factory: pytest.TempPathFactory, configuration: Configuration, cuts: set[int]
) -> None:
    whole = caused(tmp_path_factory.mktemp("whole"), configuration, set(range(30)))
    cut = caused(tmp_path_factory.mktemp("cut"), configuration, cuts)
    assert cut == whole


def caused(folder: Path, configuration: Configuration, cuts: set[int]) -> list[str]:
    """Transitions and visits after thirty seconds that are taken in at the moments `cuts`, and one at the end.

    Observations wait at the door at most as long as late ones are taken; the decisions' own time is left out.
    """
    house = House(folder, configuration)
    waiting: list[Inbound] = []
    for second in range(30):
        house.now += 1
        zone = "coffee-aisle" if second < 15 else "bakery"
        waiting.append(house.heard(second + 1 if second < 15 else second - 14, zone))
        if second in cuts:
            house.service.turn(waiting)
            waiting = []
    house.service.turn(waiting)
    house.now += 2
    house.service.turn([])
    rows = [repr((t.kind, t.zone, t.at, t.id, t.confidence)) for t in history.transitions(house.store)]
    house.store.close()
    return rows


def dump(store: Store) -> list[str]:
    """Every row of every table as text, but for the moments of saving."""
    rows: list[str] = []
    with store.connect() as connection:
        for table in tables.metadata.sorted_tables:
            if table in (tables.checkpoints, tables.journal):  # how presence stands, not what it caused
                continue
            for row in connection.execute(sa.select(table)).mappings():
                shown = {name: value for name, value in row.items() if name != "at"}
                rows.append(f"{table.name}: {shown}")
    return sorted(rows)
