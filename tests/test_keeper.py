"""Presence over a stop: killed after any batch, the service goes on as if nothing had happened."""

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proximity.configuration import Configuration
from proximity.ingest.inbound import Inbound
from proximity.presence import checkpoint as states
from proximity.service import Service
from proximity.store import checkpoints, gateways, history, tables
from proximity.store import commit as commits
from proximity.store.database import Store, StoreError
from tests import test_service
from tests.test_service import House

SECONDS = 40
NEVER = float("inf")


configuration, house = test_service.configuration, test_service.house


# -- the law ----------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """In place of `kill -9`: nothing that is only in memory is left."""


class Tape:
    """Forty seconds of a shop: Ada goes from the coffee to the bakery and back, Ben stands at the coffee."""

    def __init__(self, house: House) -> None:
        self.house, self.unacknowledged = house, []  # type: ignore[var-annotated]
        self.seq: dict[str, int] = {}

    def second(self, number: int) -> None:
        """What gateways send in this second reaches the broker."""
        self.house.now += 1.0
        zone = "bakery" if 14 <= number < 27 else "coffee-aisle"
        for shopper, where in (("ada", zone), ("ben", "coffee-aisle")):
            self.seq[where] = self.seq.get(where, 0) + 1
            self.unacknowledged.append(self.house.heard(self.seq[where], where, shopper))

    def deliver(self, kill: bool = False) -> None:
        """The broker hands out what nobody has acknowledged yet, and forgets what is acknowledged now."""
        done: list[Inbound] = []
        said = [dataclasses.replace(one, done=lambda _error, m=one: done.append(m)) for one in self.unacknowledged]
        if kill:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(commits, "commit", killed)
                with pytest.raises(Killed):
                    self.house.service.turn(said)
        else:
            self.house.service.turn(said)
        self.unacknowledged = [one for one in self.unacknowledged if one not in done]


def killed(_store: Store, _outcome: commits.Outcome) -> commits.Committed:
    raise Killed


def always(house: House, every: float = 0.0) -> None:
    """A checkpoint after every turn, or after none."""
    keeper = house.service._keeper
    keeper.every, keeper.share, keeper._due = every, 0.0, every


def lived(folder: Path, configuration: Configuration, kills: dict[int, bool], every: float) -> dict[str, list[object]]:
    """What the store holds at the end. `kills`: after the turn of that second, or in the middle of it (True)."""
    house = House(folder, configuration)
    always(house, every)
    tape = Tape(house)
    for number in range(SECONDS):
        tape.second(number)
        tape.deliver(kill=kills.get(number, False))
        if number in kills:
            house.restart()
            always(house, every)
    house.now += 1.0
    tape.deliver()
    rows: dict[str, list[object]] = {}
    with house.store.connect() as connection:
        for table in (tables.transitions, tables.visits, tables.decisions, tables.offers, tables.deliveries):
            names = [c for c in table.c if c.name not in TAKEN_AT.get(table.name, ())]
            rows[table.name] = sorted(map(repr, connection.execute(sa.select(*names))))
        covered = sa.select(tables.offsets.c.seq, tables.offsets.c.messages, tables.offsets.c.ahead)
        rows["offsets"] = sorted(map(repr, connection.execute(covered)))
    inside = {shopper: house.service.inside(shopper) for shopper in ("ada", "ben")}
    house.store.close()
    return {**rows, "inside": [inside]}


# The moment of a decision is that of its turn, and texts and deadlines that stand on it follow.
TAKEN_AT = {"decisions": ("at", "trace"), "offers": ("created", "expires"), "deliveries": ("created", "due")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, configuration: Configuration) -> dict[str, list[object]]:
    return lived(tmp_path_factory.mktemp("whole"), configuration, {}, 1.0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.dictionaries(st.integers(0, SECONDS - 2), st.booleans(), max_size=6),
    every=st.sampled_from([0.0, NEVER]),
)
def test_killed_at_any_turn_the_rows_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    configuration: Configuration,
    undisturbed: dict[str, list[object]],
    kills: dict[int, bool],
    every: float,
) -> None:
    """With a checkpoint after every turn, and with none at all: what the broker had not heard acknowledged comes again
    in larger pieces."""
    assert lived(tmp_path_factory.mktemp("killed"), configuration, kills, every) == undisturbed


# -- what is written when ---------------------------------------------------------------------------------------------


def entries(house: House) -> list[int]:
    saved = checkpoints.load_checkpoint(house.store)
    assert saved is not None
    return [entry.number for entry in checkpoints.load_journal(house.store, saved.number)]


def test_turns_add_to_the_journal_and_a_checkpoint_empties_it(house: House) -> None:
    always(house, NEVER)
    house.stand(5)
    assert len(entries(house)) == 5
    always(house)
    house.stand(1, first=6)
    assert entries(house) == []


def test_only_sites_where_something_changed_are_written(house: House) -> None:
    always(house)
    house.stand(3)
    written = parts(house)
    fix = b'{"_type":"location","lat":45.0,"lon":4.0,"acc":8,"tst":%d}' % house.now
    house.service.turn([house.say("owntracks/ada/phone", fix)])
    after = parts(house)
    assert after[states.HOUSE] > written[states.HOUSE]
    assert after["demo-store"] == written["demo-store"]


def parts(house: House) -> dict[str, int]:
    with house.store.connect() as connection:
        table = tables.checkpoints.c
        return dict(map(tuple, connection.execute(sa.select(table.part, table.number))))


def test_a_last_checkpoint_is_written_at_the_end(house: House) -> None:
    always(house, NEVER)
    house.stand(5)
    house.service.start()
    house.service.stop()
    assert entries(house) == []
    house.restart()
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}


def test_no_last_checkpoint_holds_what_was_never_committed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between presence and commit: the message comes again, and must not find itself known already."""
    always(house, NEVER)
    house.stand(2)
    with monkeypatch.context() as patch:
        patch.setattr(commits, "commit", killed)
        house.service.inbox.put(house.heard(3))
        house.service.start()
        assert house.service.turns._thread is not None
        house.service.turns._thread.join(60)
        house.service.stop()
    assert house.service.turns.failure is not None
    house.restart()
    house.stand(13, first=3)
    assert house.kinds()[:2] == [("enter", "coffee-aisle"), ("dwell", "coffee-aisle")]
    offsets = [(one.seq, one.messages) for one in gateways.offsets(house.store)]
    assert offsets == [(15, 15)]


def test_a_store_that_refuses_a_checkpoint_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    always(house)
    house.stand(3)
    saved = checkpoints.load_checkpoint(house.store)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", full)
        house.stand(3, first=4)
    assert checkpoints.load_checkpoint(house.store) == saved
    house.restart()
    house.stand(9, first=7)
    assert house.kinds()[:2] == [("enter", "coffee-aisle"), ("dwell", "coffee-aisle")]


def full(_store: Store, _checkpoint: checkpoints.Checkpoint) -> None:
    raise StoreError("disk full", temporary=True)


def test_an_edit_of_the_sites_hurries_a_checkpoint(house: House) -> None:
    always(house, NEVER)
    house.stand(3)
    house.service.configure(house.configuration)
    assert entries(house) == []


# -- states that cannot be read ---------------------------------------------------------------------------------------


def damage(house: House, table: sa.Table) -> None:
    with house.store.begin() as connection:
        connection.execute(sa.update(table).values(state=b"garbage"))


@pytest.mark.parametrize("table", [tables.checkpoints, tables.journal], ids=["checkpoint", "journal"])
def test_what_cannot_be_read_is_given_up_and_its_visits_end(house: House, table: sa.Table) -> None:
    always(house, NEVER)
    house.stand(5)
    damage(house, table)
    house.restart()
    assert house.service.inside("ada") == set()
    assert house.kinds() == [("enter", "coffee-aisle"), ("exit", "coffee-aisle")]
    (left,) = history.transitions(house.store, kind="exit")
    assert left.cause == "zone_changed"
    assert history.visits(house.store, open_only=True) == []
    house.stand(5, first=6)
    assert house.kinds()[-1] == ("enter", "coffee-aisle")
    house.restart()
    assert house.service.inside("ada") == {("demo-store", "coffee-aisle")}


def test_a_zone_removed_between_a_kill_and_the_start_ends_its_visits(house: House) -> None:
    always(house, NEVER)
    house.stand(5)
    site = house.configuration.sites[0]
    closed = dataclasses.replace(
        site,
        zones=tuple(zone for zone in site.zones if zone.id != "coffee-aisle"),
        anchors=tuple(dataclasses.replace(a, zone=None) if a.zone == "coffee-aisle" else a for a in site.anchors),
    )
    house.configuration = dataclasses.replace(house.configuration, sites=(closed,))
    house.restart()
    assert house.service.inside("ada") == set()
    (left,) = history.transitions(house.store, kind="exit")
    assert (left.zone, left.cause) == ("coffee-aisle", "zone_removed")


def test_a_second_service_on_the_same_partition_ends_with_a_sentence(house: House) -> None:
    house.stand(3)
    second = Service(house.store, house.configuration, lambda: house.now, house.service.inbox, house.service.feed)
    house.stand(1, first=4)
    with pytest.raises(StoreError, match="another service writes to partition"):
        second.turn([house.heard(5)])
