"""Why a device was in a zone, or was not: told again by timelines, packed and unpacked, and through a real service."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity import cli
from proximity.commands.mount import mount
from proximity.errors import ProximityError
from proximity.explaining import UnexplainedError, explain, read_moment
from proximity.model import Fix, Shopper, Sighting
from proximity.observations import Batch
from proximity.observed import EVERY, Gathered, Observed, ObservedWriter
from proximity.presence.engine import Engine
from proximity.presence.probe import Said, Seen, State, Story, look
from proximity.presence.why import why
from proximity.store import history, observations, packing, people, retention
from proximity.store.commit import Committed, Outcome, commit
from proximity.store.database import Store, StoreError, open_store
from proximity.store.packing import Kept, lump_of, only, pack, story
from tests import test_service
from tests.presence_shop import INDOOR, PHONE, T0, TAG, batch, circle, fix, heard, run, shop, told
from tests.test_service import START, House

# -- told again -----------------------------------------------------------------------------------------------------


def seen(
    at: float, *rows: list[Sighting | Fix] | list[Sighting] | list[Fix], device: str = TAG, **more: object
) -> Seen:
    return look(Engine([shop(circle("park", 60))]), Story(batch(*rows), **more), device, T0 + at)  # type: ignore[arg-type]


def words(one: Seen) -> str:
    return "\n".join(why(one, lambda at: f"{at - T0:.1f}"))


def test_it_is_the_same_as_what_happened() -> None:
    rows = [*heard("door", 0, 30), *heard("aisle", 30, 60), *heard("door", 60, 90), fix(5, 0), fix(80, 200)]
    happened = run(Engine([shop(circle("park", 60))]), 100, rows).transitions
    again = seen(100, rows)
    assert told(again.transitions) == told(happened)
    assert [one.id for one in again.transitions] == [one.id for one in happened]


def test_what_was_heard_is_of_the_last_ten_seconds() -> None:
    one = seen(40, heard("door", 0, 41, rssi=-61.0))
    assert [(h.anchor, h.rssi, h.mean, h.count) for h in one.heard] == [
        ("shop/g-door", -61.0, -61.0, 10),
        ("shop/g-aisle", -83.0, -83.0, 10),
        ("shop/g-till", -83.0, -83.0, 10),
    ]
    assert one.begins == T0
    assert seen(60, heard("door", 0, 41)).heard == []


def test_nothing_comes_from_the_future() -> None:
    early, whole = seen(20, heard("door", 0, 20.5)), seen(20, heard("door", 0, 20.5), heard("till", 21, 60))
    assert early.evidence == whole.evidence
    assert early.transitions == whole.transitions


@pytest.mark.parametrize(
    ("at", "sentences"),
    [
        (0.5, ["door (radio): not entered yet: 0.9", "lead clearly for 1 s"]),
        (20.0, ["Entered door at 1.0", "likelier than anything else since 0.0", "door (radio): inside since 0.0"]),
        (
            45.0,
            ["Left door at", "aisle took over", "Entered aisle at", "door (radio): no enter", "aisle leads with 0.9"],
        ),
        (
            75.0,
            ["Left aisle at", "nothing was heard for 20 s, since 49.2", "nothing was heard of the device since 49.2"],
        ),
    ],
)
def test_the_way_through_the_shop_in_words(at: float, sentences: list[str]) -> None:
    text = words(seen(at, heard("door", 0, 25), heard("aisle", 25, 50)))
    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize(
    ("fixes", "at", "sentences"),
    [
        ([fix(0, 0)], 5.0, ["Entered park at 0.0: a position 60 m inside made it 1.00 likely, and one is enough"]),
        ([fix(0, 58)], 5.0, ["park (fixes): not entered yet: 0.62 likely", "another one has to agree"]),
        (
            [fix(0, 70)],
            5.0,
            ["park (fixes): no enter: a position 10 m outside makes it 0.06 likely, and 0.6 are needed"],
        ),
        (
            [fix(0, 0), fix(20, 130)],
            21.0,
            ["inside still, 0.00 likely; evidence of being outside since 20.0 ends it 3 s"],
        ),
        ([fix(0, 0), fix(20, 130)], 30.0, ["Left park at 23.0: evidence of being outside was kept up for 3 s"]),
        ([fix(0, 0), fix(40, 70)], 41.0, ["park (fixes): inside since 0.0, 0.06 likely; last heard 40.0"]),
    ],
)
def test_positions_in_words(fixes: list[Fix], at: float, sentences: list[str]) -> None:
    text = words(seen(at, fixes, device=PHONE))
    for sentence in sentences:
        assert sentence in text


def test_gateways_that_are_away_and_a_phones_own_word() -> None:
    away = [State(f"shop/g-{name}", False, T0 + 20) for name in INDOOR]
    one = seen(60, heard("door", 0, 20), states=away)
    assert "its gateways are offline, so the visit is held" in words(one)
    assert [e.held for e in one.evidence if e.zone == "door"] == [True]
    said = seen(30, [fix(0, 61)], device=PHONE, said=[Said(PHONE, "ada", "shop/park", True, T0 + 10)])
    assert "Entered park at 10.0" in words(said)


def test_a_zone_that_another_device_vouches_for() -> None:
    weak = [
        Sighting(f"shop/g-{name}", "ibeacon:ada2", -70.0 if name == "till" else -71.0, T0 + t)
        for t in range(10, 50)
        for name in ("till", "aisle")
    ]
    text = words(seen(45, heard("door", 0, 50), weak, device="ibeacon:ada2"))
    assert "the shopper counts as in door, which another device vouches for" in text
    assert "Entered door at 1.0 by ibeacon:ada" in text


def test_the_likeliest_moment_is_told_where_it_was_not_enough() -> None:
    text = words(seen(25, [fix(0, 61), fix(20, 130)], device=PHONE))
    assert "no enter: a position 70 m outside makes it 0.00 likely, and 0.6 are needed; it was 0.44 at most" in text


def test_a_device_that_is_not_in_the_story() -> None:
    with pytest.raises(ValueError, match="not in the story"):
        seen(5, heard("door", 0, 5), device="ibeacon:nobody")


# -- packed -----------------------------------------------------------------------------------------------------------

sightings = st.builds(
    Sighting,
    st.sampled_from([f"shop/g-{name}" for name in INDOOR]),
    st.sampled_from([TAG, "ibeacon:ada2", "ibeacon:bob"]),
    st.integers(-12000, 1000).map(lambda hundredth: hundredth / 100),
    st.integers(0, 10_000_000).map(lambda ms: T0 + ms / 1000),
)
fixes = st.builds(
    Fix,
    st.just(PHONE),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.integers(0, 10_000_000).map(lambda ms: T0 + ms / 1000),
    st.none() | st.integers(1, 5000).map(float),
)


def rows_of(one: Batch) -> list[tuple[object, ...]]:
    seen, fixed = one.sightings, one.fixes
    rows: list[tuple[object, ...]] = [
        (one.devices[d], one.shoppers[d], one.anchors[a], round(r, 2), round(t, 3))
        for d, a, r, t in zip(seen.device, seen.anchor, seen.rssi, seen.at, strict=True)
    ]
    rows += [
        (one.devices[d], one.shoppers[d], lat, lon, None if np.isnan(acc) else acc, round(t, 3))
        for d, lat, lon, acc, t in zip(fixed.device, fixed.lat, fixed.lon, fixed.accuracy, fixed.at, strict=True)
    ]
    return sorted(rows, key=repr)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(sightings | fixes, max_size=20), max_size=4))
def test_what_is_packed_is_what_comes_out(parts: list[list[Sighting | Fix]]) -> None:
    batches = [batch(part) for part in parts]
    kept = pack(batches)
    assert len({one.lump for one in kept}) == len(kept)
    again = story(kept).batch
    assert rows_of(again) == sorted((row for one in batches for row in rows_of(one)), key=repr)
    for one in kept:
        assert {lump_of(name) for name in one.shoppers()} == {one.lump}
        told = story([one]).batch
        mine = [row.at for part in parts for row in part if row.device in told.devices]
        assert (one.begins, one.ends) == pytest.approx((min(mine), max(mine)), abs=0.001)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(sightings | fixes, max_size=20), max_size=4))
def test_what_is_kept_of_a_shopper_is_taken_out_whole(parts: list[list[Sighting | Fix]]) -> None:
    batches = [batch(part) for part in parts]
    said = [Said(PHONE, "ada", "shop/park", True, T0 + 1.5), Said("app:bob", "bob", "shop/park", True, T0 + 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "LUMPS", 1)  # all in one
        kept = pack(batches, said)
    for shopper in ("ada", "bob"):
        mine = [part for one in kept if (part := only(one, shopper.__eq__)) is not None]
        others = [part for one in kept if (part := only(one, shopper.__ne__)) is not None]
        assert {name for one in mine for name in one.shoppers()} == {shopper}
        assert all(shopper not in one.shoppers() and shopper.encode() not in one.data for one in others)
        assert len(story(mine).said) == len(story(others).said) == 1
        rows = [row for part in (mine, others) for row in rows_of(story(part).batch)]
        assert sorted(rows, key=repr) == rows_of(story(kept).batch)
        for one in mine + others:
            again = story([one])
            times = [*again.batch.sightings.at, *again.batch.fixes.at, *(word.at for word in again.said)]
            assert (one.begins, one.ends) == (min(times), max(times))


def test_words_are_packed_too_and_broken_values_do_no_harm() -> None:
    said = [Said(PHONE, "ada", "shop/park", True, T0 + 1.5), Said(PHONE, "ada", "shop/park", False, T0 + 9)]
    broken = [Sighting("shop/g-door", TAG, value, T0) for value in (float("nan"), float("inf"), -1e9)]
    kept = pack([batch(broken)], said)
    again = story(kept, [State("shop/g-door", False, T0)])
    assert again.said == said
    assert len(again.batch.sightings) == 3
    assert again.states == [State("shop/g-door", False, T0)]


def lumps(gathered: Gathered) -> list[Kept]:
    return [one for share in gathered.packed() for one in share]


def test_observations_wait_for_company_and_not_too_long() -> None:
    engine, observed = Engine([shop()], now=T0), Observed(86_400.0)
    observed.take(batch(heard("door", 1, 2)), [], [], engine, T0)
    observed.take(batch(heard("door", 2, 3)), [], [], engine, T0 + 1)
    assert not observed.due(T0 + EVERY - 0.1)
    assert observed.due(T0 + EVERY)
    assert observed.due(T0 - 5)  # the clock was set back
    gathered = observed.flush()
    (kept,), states = lumps(gathered), gathered.states
    assert (kept.begins, kept.ends) == (T0 + 1, pytest.approx(T0 + 2.2))
    assert states == []
    assert observed.flush() == ([], [], [])
    observed.take(batch(heard("door", -500, -400), [fix(9e9, 0)]), [], [], engine, T0)  # late, and from the future
    assert not observed.due(T0 + EVERY)
    off = Observed(0.0)
    off.take(batch(heard("door", 1, 2)), [], [], engine, T0)
    assert off.flush() == ([], [], [])


@pytest.mark.parametrize(("devices", "kept"), [(100, 100), (101, 50), (400, 100), (401, 50), (1000, 62)])
def test_of_too_many_devices_always_the_same_share_is_kept(devices: int, kept: int) -> None:
    observed, engine = Observed(86_400.0, most=100), Engine([shop()], now=T0)
    names = [f"ibeacon:{i}" for i in range(devices)]
    found = []
    for second in (1, 2):
        for some in (names[::2], names[1::2]):  # in two batches: how many they are is known when all is written
            rows = [Sighting("shop/g-door", name, -60.0, T0 + second) for name in some]
            observed.take(batch(rows), [], [], engine, T0 + second)
        found.append(set(story(lumps(observed.flush())).batch.devices))
    assert found[0] == found[1]
    assert len(found[0]) == pytest.approx(kept, rel=0.35)
    few = [Sighting("shop/g-door", name, -60.0, T0 + 3) for name in names[:60]]
    observed.take(batch(few), [], [], engine, T0 + 3)
    observed.flush()
    observed.take(batch(few), [], [], engine, T0 + 3)
    assert len(story(lumps(observed.flush())).batch.devices) == 60  # all again, once they are few


def test_who_is_forgotten_leaves_what_waits() -> None:
    observed = Observed(86_400.0)
    observed.take(batch(heard("door", 1, 2), heard("till", 1, 2, device="ibeacon:bob")), [], [], Engine([], now=T0), T0)
    observed.forget("ada")
    assert [set(one.shoppers()) for one in lumps(observed.flush())] == [{"bob"}]


@pytest.fixture
def populated(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'p.db'}")
    store.migrate()
    people.put_shopper(store, Shopper("ada"), at=T0)
    yield store
    store.close()


def lot() -> Gathered:
    return Gathered([batch(heard("door", 1, 2))], [], [State("shop/g-door", True, T0)])


@pytest.mark.parametrize("beside", [False, True])
def test_what_was_gathered_is_written_as_soon_as_the_database_takes_it(
    populated: Store, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    refused: list[StoreError] = []

    def refusing(store: Store, outcome: Outcome) -> Committed:
        if len(refused) < 3:
            refused.append(StoreError("disk full", temporary=True))
            raise refused[-1]
        return commit(store, outcome)

    monkeypatch.setattr("proximity.observed.commit", refusing)
    monkeypatch.setattr("proximity.observed.RETRY", 0.0)
    writer = ObservedWriter(populated)
    if beside:
        writer.start()
    writer.write(lot(), T0)
    writer.settle()
    assert writer.idle
    (kept,), states = observations.load(populated, "ada", T0, T0 + 10)
    assert (kept.begins, len(states), len(refused)) == (T0 + 1, 1, 3)
    writer.close()


def test_a_service_that_ends_does_not_wait_for_a_database_that_is_gone(
    populated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def refusing(_store: Store, _outcome: Outcome) -> Committed:
        asked.set()
        raise StoreError("disk full", temporary=True)

    monkeypatch.setattr("proximity.observed.commit", refusing)
    writer = ObservedWriter(populated)
    writer.start()
    writer.write(lot(), T0)
    assert asked.wait(60)
    writer.close()
    assert writer.idle


# -- through a real service -------------------------------------------------------------------------------------------


configuration, house = test_service.configuration, test_service.house


@pytest.fixture
def visited(house: House) -> House:
    """Ada stood in the coffee aisle for half a minute, and then in the bakery."""
    house.stand(30)
    house.stand(30, "bakery")
    return house


def test_the_service_keeps_what_explains_its_transitions(visited: House) -> None:
    ada = visited.beacon("ada")
    (enter,) = [one for one in history.transitions(visited.store, kind="enter") if one.zone == "coffee-aisle"]
    found = explain(visited.store, visited.configuration.sites, ada, enter.at + 1)
    assert found.seen.heard[0].anchor.startswith("demo-store/")
    assert [one.id for one in found.seen.transitions if one.kind == "enter"] == [enter.id]
    assert any(one.startswith("Entered coffee-aisle at 12:04:0") for one in found.sentences)
    assert not any("does not follow" in one for one in found.sentences)
    later = explain(visited.store, visited.configuration.sites, ada, START + 48)
    text = "\n".join(later.sentences)
    assert "Left coffee-aisle at" in text
    assert "bakery (radio): inside since" in text
    assert "Dwelt 12 s in coffee-aisle at 12:04:12: the time counts from 12:04:00" in text


def test_a_row_is_written_every_ten_seconds_in_the_same_commit(visited: House) -> None:
    kept, states = observations.load(visited.store, "ada", START, START + 100)
    assert 5 <= len(kept) <= 7
    assert sum(len(story([one]).batch.sightings) for one in kept) >= 50
    assert {one.online for one in states} == {True}


def test_a_service_that_stops_writes_what_waits(house: House) -> None:
    house.stand(3)
    assert observations.span(house.store) is None
    house.service.start()
    house.service.stop()
    assert observations.span(house.store) is not None


@pytest.mark.parametrize(
    ("device", "second", "message"),
    [
        ("ibeacon:7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90:1:99", 20.0, "did you mean ibeacon:7c0b0b52"),
        ("ada", 20.0, "did you mean "),
        ("zzz", 20.0, "there is no device zzz"),
        ("ben", 20.0, "nothing was observed of ibeacon:"),
        (None, -5000.0, "not of 2025-11-26 10:4"),
        (None, 5000.0, "is written after ten seconds"),
    ],
)
def test_what_cannot_be_explained_says_why(visited: House, device: str | None, second: float, message: str) -> None:
    name = visited.beacon(device or "ada") if device in (None, "ben") else device or ""
    with pytest.raises(UnexplainedError, match=message):
        explain(visited.store, visited.configuration.sites, name, START + second)


def test_without_observations_that_is_said(house: House) -> None:
    with pytest.raises(UnexplainedError, match="no observations are kept"):
        explain(house.store, house.configuration.sites, house.beacon("ada"), START)


def test_an_hour_without_the_device_is_said(visited: House) -> None:
    late = [Said(visited.beacon("ben"), "ben", "shop/park", True, START + 9000)]
    with visited.store.begin() as connection:
        observations.put(visited.store, connection, pack([], late))
    with pytest.raises(UnexplainedError, match="in the hour before"):
        explain(visited.store, visited.configuration.sites, visited.beacon("ada"), START + 8000)


def test_a_shop_that_was_edited_since_is_said(visited: House) -> None:
    found = explain(visited.store, [shop()], visited.beacon("ada"), START + 20)
    assert "The store has what does not follow from these observations alone: enter coffee-aisle" in found.sentences[-1]


def test_consent_taken_back_and_erasure_take_the_observations_along(visited: House) -> None:
    for purpose in people.consents(visited.store, "ada"):
        people.set_consent(visited.store, "ada", purpose.purpose, False, visited.now, "shopper")
    visited.service.everybody_changed()
    visited.stand(15, "bakery", first=31)
    assert observations.load(visited.store, "ada", 0.0, 9e9)[0] == []


def test_observations_are_purged_after_hours_and_the_last_word_of_a_gateway_stays(visited: House) -> None:
    door = "demo-store/door"
    with visited.store.begin() as connection:
        states = [State(door, True, START - 90), State(door, False, START - 60), State(door, True, START + 20)]
        observations.put(visited.store, connection, [], states)
    removed = retention.purge_observations(visited.store, START + 10_000)
    assert removed["observations"] > 0
    assert observations.span(visited.store) is None
    left = observations.load(visited.store, "ada", START + 9_000, START + 10_000)[1]
    assert [one for one in left if one.anchor == door] == [State(door, True, START + 20)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1764155040", START),
        ("1764155040.5", START + 0.5),
        ("2025-11-26T12:04:00", START),
        ("2025-11-26 12:04", START),
        ("2025-11-26T11:04:00Z", START),
        ("12:04", START),
        ("12:03:30.5", START - 29.5),
        ("12:05", START + 60 - 86_400),  # of yesterday: today it is not yet that late
    ],
)
def test_moments_as_people_write_them(text: str, moment: float) -> None:
    assert read_moment(text, "Europe/Paris", START + 1) == moment


@pytest.mark.parametrize("text", ["", "noon", "25:00", "12:04:99", "2025-13-01", "1e999", "nan", "-5", "9" * 30, "12h"])
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(UnexplainedError, match="write a time of day"):
        read_moment(text, "Europe/Paris", START)


# -- the command ------------------------------------------------------------------------------------------------------


def command(*words: str) -> None:
    """As from a shell, less the exit status of success."""
    from typer import Typer

    app = Typer()
    mount(app)
    app(["presence", "explain", *words], standalone_mode=False)
    assert cli.app is not None


@pytest.fixture
def where(visited: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Beside the service, which goes on writing."""
    monkeypatch.setenv("PROXIMITY_DATABASE", f"sqlite:///{tmp_path / 'p.db'}")
    monkeypatch.setenv("COLUMNS", "160")
    return ["--data", str(tmp_path), "--config", str(visited.configuration.folder)]


def test_the_command_tells_it_as_text_and_as_json(
    visited: House, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command(visited.beacon("ada"), "--at", f"{START + 20:.0f}", *where)
    text = capsys.readouterr().out
    for part in ("of ada at 2025-11-26 12:04:20", "coffee-aisle", "inside", "• Entered coffee-aisle at", "silence for"):
        assert part in text
    command(visited.beacon("ada"), "--at", f"{START + 20:.0f}", "--json", *where)
    answer = json.loads(capsys.readouterr().out)
    assert answer["seen"]["looks"][-1]["at"] == START + 20
    assert answer["timezone"] == "Europe/Paris"
    assert {one["zone"] for one in answer["seen"]["looks"][-1]["evidence"]} >= {"coffee-aisle", "bakery"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--at", "noon"], "write a time of day"),
        (["--at", "1"], "observations are kept from"),
        (["--at", "12:04", "--url", "http://127.0.0.1:1", "--recording", "x"], "exclude one another"),
        (["--at", "12:04", "--url", "http://127.0.0.1:1", "--token", "t"], "does not answer as Proximity does"),
        (["--at", "12", "--recording", "missing.csv"], "missing.csv"),
    ],
)
def test_mistakes_of_the_command_line(visited: House, where: list[str], more: list[str], message: str) -> None:
    with pytest.raises(ProximityError, match=message):
        command(visited.beacon("ada"), *more, *where)


def test_a_folder_without_a_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProximityError, match="there is no database"):
        command("ada", "--at", "12:04", "--data", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "walk.csv"
    rows = ["superframe,O-DR,I-DR,Label", *(f"{i},{-50 - i // 10},{-70 + i // 10},{1}" for i in range(300))]
    file.write_text("\n".join(rows) + "\n")
    command("mac:5a:1b:00:00:00:01", "--at", "10", "--recording", str(file))
    text = capsys.readouterr().out
    assert "at second 10" in text
    assert "o-dr" in text
    with pytest.raises(ProximityError, match="the recording lasts 30 s"):
        command("mac:5a:1b:00:00:00:01", "--at", "100", "--recording", str(file))
    with pytest.raises(ProximityError, match="did you mean mac:5a:1b:00:00:00:01"):
        command("mac:5a:1b:00:00:00:02", "--at", "10", "--recording", str(file))
    with pytest.raises(ProximityError, match="seconds after its beginning"):
        command("mac:5a:1b:00:00:00:01", "--at", "12:04", "--recording", str(file))
