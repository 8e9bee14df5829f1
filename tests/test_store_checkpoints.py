"""Checkpoints in parts, and the journal of what came after them."""

import pytest

from proximity.store import checkpoints, tables
from proximity.store.checkpoints import Checkpoint, Entry, load_checkpoint, load_journal, save
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError
from tests.store_house import NOW, rows, story

pytest_plugins = ["tests.store_fixtures"]


def note(store: Store, *numbers: int, partition: str = "default") -> None:
    for number in numbers:
        commit(store, Outcome(entry=Entry(number, b"entry %d" % number, partition)))


def numbers(store: Store, after: int = 0, partition: str = "default") -> list[int]:
    return [entry.number for entry in load_journal(store, after, partition)]


def test_what_is_told_is_there_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PIECE", 2)
    note(store, 1, 2, 3, 4, 5)
    assert list(load_journal(store, 3)) == [Entry(4, b"entry 4"), Entry(5, b"entry 5")]
    assert numbers(store) == [1, 2, 3, 4, 5]


def test_a_checkpoint_takes_the_place_of_the_journal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PIECE", 2)
    assert load_checkpoint(store) is None
    note(store, 1, 2, 3, 4, 5, 6)
    save(store, Checkpoint(5, NOW, {"": b"house", "lyon": b"\x00radios"}))
    assert load_checkpoint(store) == Checkpoint(5, NOW, {"": b"house", "lyon": b"\x00radios"})
    assert numbers(store, 5) == [6]
    assert [row["number"] for row in rows(store, tables.journal)] == [6]


def test_only_what_changed_is_written(store: Store) -> None:
    save(store, Checkpoint(1, NOW, {"": b"one", "lyon": b"l1", "nice": b"n1", "brest": b"b1"}))
    save(store, Checkpoint(2, NOW + 1, {"": b"two", "nice": b"n2"}, kept={"lyon"}))  # Brest was closed
    found = load_checkpoint(store)
    assert found == Checkpoint(2, NOW + 1, {"": b"two", "lyon": b"l1", "nice": b"n2"})
    assert {row["part"]: row["number"] for row in rows(store, tables.checkpoints)} == {"": 2, "lyon": 1, "nice": 2}


def test_an_older_checkpoint_changes_nothing(store: Store) -> None:
    save(store, Checkpoint(7, NOW, {"": b"new"}))
    save(store, Checkpoint(6, NOW, {"": b"old", "lyon": b"old"}))
    assert load_checkpoint(store) == Checkpoint(7, NOW, {"": b"new"})


def test_partitions_are_apart(store: Store) -> None:
    note(store, 1, 2)
    note(store, 1, partition="east")
    save(store, Checkpoint(1, NOW, {"": b"e"}, partition="east"))
    assert load_checkpoint(store) is None
    assert numbers(store) == [1, 2]
    assert numbers(store, partition="east") == []


def test_a_commit_whose_answer_was_lost_is_tried_again(store: Store) -> None:
    note(store, 1)
    note(store, 1)
    assert numbers(store) == [1]


def test_two_services_in_one_partition_stop_each_other(store: Store) -> None:
    note(store, 1)
    told = story()
    with pytest.raises(StoreError, match="another service writes to partition 'default'") as raised:
        commit(store, Outcome(transitions=told.transitions, entry=Entry(1, b"of another")))
    assert not raised.value.temporary
    assert rows(store, tables.transitions) == []  # the whole commit is refused


def test_a_gap_in_the_journal_is_told(store: Store) -> None:
    note(store, 1, 2, 4)
    with pytest.raises(StoreError, match="has no entry 3"):
        numbers(store)
