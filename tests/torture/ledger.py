"""What has to hold after any number of kills, checked against what was sent and what was told to be safe."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from proximity.configuration import Configuration
from proximity.presence import checkpoint
from proximity.presence.journal import Reader, Recorded, Replay
from tests.torture.load import Load

WINDOW = 16  # deliveries of a channel in the worker's hands at a kill: see proximity.delivery.worker


def check(database: Path, configuration: Configuration, load: Load, kills: int) -> dict[str, int]:
    """AssertionError that names what is broken; else the figures of the run."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        heard, fixes = observations(connection)
        every_row_once(heard, load)
        every_fix_at_least_once(fixes, load)
        every_number_once(connection)
        transitions = alternate(connection)
        same_as_undisturbed(connection, configuration)
        offers = limits_hold(connection)
        known = {id_ for (id_,) in connection.execute("SELECT id FROM offers")}
        assert set(load.offers) <= known, "the app was sent an offer that the database does not know"
        # A kill between hand-over and record sends again what was in hand, under the same id: apps tell by it.
        twice = sum(load.offers.values()) - len(load.offers)
        assert twice <= kills * WINDOW, f"{twice} offers came twice after {kills} kills"
    return {
        "gateway rows": len(load.rows),
        "phone positions": len(load.told),
        "transitions": transitions,
        "offers": offers,
        "offers received": len(load.offers),
        "received twice": twice,
    }


def observations(connection: sqlite3.Connection) -> tuple[Counter[tuple[str, str, int]], Counter[tuple[str, int]]]:
    """Every sighting (device, anchor, ms) and every fix (device, s) that was ever committed."""
    heard: Counter[tuple[str, str, int]] = Counter()
    fixes: Counter[tuple[str, int]] = Counter()
    for method, arguments in notes(connection):
        if method != "step":
            continue
        batch = arguments[0]
        seen, placed = batch.sightings, batch.fixes
        for device, anchor, at in zip(seen.device, seen.anchor, seen.at, strict=True):
            heard[batch.devices[device], batch.anchors[anchor], round(at * 1000)] += 1
        for device, at in zip(placed.device, placed.at, strict=True):
            fixes[batch.devices[device], round(at)] += 1
    return heard, fixes


def notes(connection: sqlite3.Connection) -> Iterator[tuple[str, tuple]]:  # type: ignore[type-arg]
    reader = Reader()
    for (state,) in connection.execute("SELECT state FROM torture_journal ORDER BY number"):
        yield from reader.read(state)


def every_row_once(heard: Counter[tuple[str, str, int]], load: Load) -> None:
    lost = load.rows - heard.keys()
    assert not lost, f"{len(lost)} rows of gateways were acknowledged and never committed, as {sorted(lost)[:3]}"
    strange = heard.keys() - load.rows
    assert not strange, f"{len(strange)} committed rows were never sent, as {sorted(strange)[:3]}"
    twice = [row for row, times in heard.items() if times > 1]
    assert not twice, f"{len(twice)} rows of gateways were committed twice, as {twice[:3]}"


def every_fix_at_least_once(fixes: Counter[tuple[str, int]], load: Load) -> None:
    lost = load.told - fixes.keys()
    assert not lost, f"{len(lost)} positions of phones were confirmed and never committed, as {sorted(lost)[:3]}"


def every_number_once(connection: sqlite3.Connection) -> None:
    """Each message of each gateway was counted once."""
    for site, gateway, seq, ahead, messages in connection.execute(
        "SELECT site, gateway, seq, ahead, messages FROM offsets"
    ):
        assert (messages, ahead) == (seq, ""), f"{site}/{gateway}: {messages} messages up to {seq}, beyond: {ahead!r}"
    numbers = [number for (number,) in connection.execute("SELECT number FROM torture_journal ORDER BY number")]
    assert all(after == before + 1 for before, after in pairwise(numbers)), "the journal has a gap"


def alternate(connection: sqlite3.Connection) -> int:
    """Enter and exit follow one another for each shopper and zone; the visits say the same."""
    inside: dict[tuple[str, str], str] = {}
    count = 0
    # Within one instant an exit comes before an enter.
    query = "SELECT shopper, zone, kind, visit FROM transitions WHERE kind IN ('enter', 'exit') ORDER BY at, kind DESC"
    for shopper, zone, kind, visit in connection.execute(query):
        count += 1
        if kind == "enter":
            assert (shopper, zone) not in inside, f"{shopper} entered {zone} twice"
            inside[shopper, zone] = visit
        else:
            assert inside.pop((shopper, zone), None) == visit, f"{shopper} left {zone} without having entered it"
    still_open = {visit for (visit,) in connection.execute("SELECT id FROM visits WHERE ended IS NULL")}
    assert still_open == set(inside.values()), "open visits are not those that were entered and not left"
    return count


def same_as_undisturbed(connection: sqlite3.Connection, configuration: Configuration) -> None:
    """An engine that was never killed, told all that was ever committed, tells the very same transitions."""
    engine = Recorded(configuration.sites, configuration.ruleset.thresholds())
    engine.set_reaches(configuration.ruleset.reaches())
    parts = connection.execute("SELECT part, state FROM torture_start")
    engine.resume(checkpoint.join({part: checkpoint.unpack(state) for part, state in parts}))
    replay, wanted = Replay(engine, configuration.sites), set()
    for (state,) in connection.execute("SELECT state FROM torture_journal ORDER BY number"):
        wanted.update(one.id for step in replay.tell(state) for one in step.transitions)
    found = {id_ for (id_,) in connection.execute("SELECT id FROM transitions")}
    assert found == wanted, f"{len(found - wanted)} transitions too many, {len(wanted - found)} too few"


def limits_hold(connection: sqlite3.Connection) -> int:
    """The limits of torture.rules.yaml: each rule at most once a day, three offers in fifteen minutes, four a day."""
    query = """
        SELECT shopper, rule, created FROM offers WHERE state IN ('queued', 'sent') OR EXISTS (
            SELECT 1 FROM deliveries WHERE offer = offers.id AND kind = 'offer' AND handed IS NOT NULL)
        ORDER BY created
    """
    sent = connection.execute(query).fetchall()
    for (shopper, rule), times in Counter((shopper, rule) for shopper, rule, _ in sent).items():
        assert times == 1, f"{shopper} was sent {rule} {times} times"
    for shopper in {shopper for shopper, _, _ in sent}:
        times = [at for who, _, at in sent if who == shopper]
        assert len(times) <= 4, f"{shopper} was sent {len(times)} offers in a day"
        assert all(last - first > 900.0 for first, last in zip(times, times[3:], strict=False)), (
            f"four at once: {shopper}"
        )
    return len(sent)
