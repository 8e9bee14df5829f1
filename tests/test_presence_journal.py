"""A checkpoint and a journal of what came after it: whoever is told the same stands where the other stood."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.errors import BadMessage
from proximity.model import DwellThreshold
from proximity.observations import Batch
from proximity.presence import checkpoint, journal
from proximity.presence.engine import Step
from proximity.presence.journal import Recorded, Replay
from tests.presence_shop import INDOOR, T0, batch, circle, fix, heard, kinds, run, shop
from tests.test_presence_laws import SITE, Row, _cut, outages, streams

THRESHOLDS = {("shop", zone): frozenset({DwellThreshold(2.0), DwellThreshold(7.5, 4.0)}) for zone in INDOOR}


def engine() -> Recorded:
    return Recorded([SITE], THRESHOLDS, now=T0 - 1)


def packed(snapshot: dict[str, object]) -> bytes:
    return checkpoint.encode(snapshot)


def resumed(kept: bytes, entries: Sequence[bytes]) -> Recorded:
    """A new engine with a checkpoint and what was noted since."""
    made = engine()
    made.resume(checkpoint.decode(kept))
    replay = Replay(made, [SITE])
    for entry in entries:
        replay.tell(entry)
    return made


def told(step: Step) -> tuple[list[object], ...]:
    return list(step.transitions), sorted(step.visits, key=repr), list(step.late), sorted(step.counts.items())


@settings(max_examples=40)
@given(streams, st.lists(st.integers(0, 300), max_size=8), outages, st.sets(st.integers(0, 8)), st.integers(0, 8))
def test_checkpoint_and_replay_give_the_identical_state(
    rows: list[Row], cuts: list[int], switches: list[tuple[str, bool, float]], keep: set[int], killed: int
) -> None:
    """Checkpoints at some batches, killed after one of them: the successor goes on as the first would have."""
    first = engine()
    kept, entries = packed(first.snapshot()), []
    pieces = _cut(rows, cuts)
    for number, (piece, watermark) in enumerate(pieces[: killed + 1]):
        for switch in switches[number::8]:
            first.gateway_state(*switch)
        first.step(batch(piece), watermark)
        first.step(Batch(), watermark)  # idle turns between the batches
        entry = first.entry()
        assert entry is not None
        entries.append(entry)
        if number in keep:
            kept, entries = packed(first.snapshot()), []
    second = resumed(kept, entries)
    assert second.whereabouts() == first.whereabouts()
    assert sorted(second.open_visits(), key=repr) == sorted(first.open_visits(), key=repr)
    assert second.watermark == first.watermark
    for piece, watermark in pieces[killed + 1 :]:
        assert told(second.step(batch(piece), watermark)) == told(first.step(batch(piece), watermark))


def test_a_snapshot_shares_nothing_with_the_engine() -> None:
    first = engine()
    run(first, 10, heard("door", 0, 10), [fix(t, 10.0) for t in range(8)])
    first.gateway_state("shop/g-aisle", False, T0 + 30)
    snapshot = first.snapshot()
    before = packed(snapshot)
    first.gateway_state("shop/g-door", False, T0 + 11)
    run(first, 60, heard("aisle", 10, 60), [fix(t, 90.0) for t in range(10, 50)])
    first.set_sites(
        [
            shop(circle("park", 40)),
        ],
        T0 + 61,
    )
    assert packed(snapshot) == before


def test_the_parts_of_a_state_make_the_whole_again() -> None:
    first = engine()
    run(first, 10, heard("door", 0, 10))
    state = first.snapshot()
    parts = checkpoint.split(state)
    assert list(parts) == [checkpoint.HOUSE, "shop"]
    assert packed(checkpoint.join(parts)) == packed(state)
    with pytest.raises(BadMessage, match="house is missing"):
        checkpoint.join({"shop": parts["shop"]})


def test_an_idle_shop_notes_only_the_time() -> None:
    first = engine()
    run(first, 10, heard("door", 0, 10))
    first.entry()
    for second in range(1000):
        run(first, 10 + second / 10)
    entry = first.entry()
    assert entry is not None
    assert len(entry) < 100
    assert first.entry() is None


def test_names_are_written_once() -> None:
    first = engine()
    sizes = []
    for second in range(3):
        run(first, second + 0.9, heard("door", second, second + 1))
        sizes.append(len(first.entry() or b""))
    assert sizes[1] == sizes[2] < sizes[0] - len("ibeacon:ada")


def test_a_change_of_sites_is_a_step_in_time() -> None:
    first = engine()
    kept = packed(first.snapshot())
    run(first, 10, heard("door", 0, 10))
    told = first.set_sites([SITE], T0 + 400).transitions
    assert kinds(told) == [("exit", "door"), ("exit", "store")]  # of silence
    second = resumed(kept, [first.entry() or b""])
    assert second.open_visits() == first.open_visits() == []


AWKWARD = [
    ("at", [T0 + 0.1234567, T0 + 0.2]),
    ("rssi", [-60.123456, -60.0]),
    ("rssi", [np.nan, -59.0]),
    ("rssi", [np.nan, np.nan]),
]


@pytest.mark.parametrize(("column", "values"), AWKWARD)
def test_columns_come_back_exactly(column: str, values: list[float]) -> None:
    whole = batch(heard("door", 0, 1)[:2])
    getattr(whole.sightings, column)[:] = values
    written = journal._write(whole.sightings, journal._SIGHTINGS, {n: np.arange(9) for n in ("device", "anchor")})
    back = journal._read(checkpoint.decode(checkpoint.encode(written)), journal._SIGHTINGS)
    for name, found in back.items():
        np.testing.assert_array_equal(found, getattr(whole.sightings, name), err_msg=name)
        assert found.dtype == getattr(whole.sightings, name).dtype


DAMAGED = [
    (b"", "damaged"),
    (b"garbage", "damaged"),
    (checkpoint.encode([9, True, [[], [], []], []]), "version 9"),
    (checkpoint.encode([journal.VERSION, True, [[]], []]), "damaged"),
    (
        checkpoint.encode(
            [journal.VERSION, False, [[], [], []], [["batch", T0, np.array([7]), np.array([7]), [], [], []]]]
        ),
        "damaged",
    ),
]


@pytest.mark.parametrize(("entry", "text"), DAMAGED)
def test_what_is_no_entry_is_refused_by_name(entry: bytes, text: str) -> None:
    with pytest.raises(BadMessage, match=text) as caught:
        Replay(engine(), [SITE]).tell(entry)
    assert caught.value.reason == "checkpoint"
