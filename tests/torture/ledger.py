"""What has to hold after any number of kills, checked against what was sent, told to be safe, and received.

Each page of the ledger gives the violations that it finds, by name. What was observed and caused is on these pages;
what was given away is in tests/torture/giving.py.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from proximity.configuration import Configuration
from proximity.presence import checkpoint
from proximity.presence.journal import Reader, Recorded, Replay
from tests.torture import giving
from tests.torture.promises import Promises
from tests.torture.record import Record, Row
from tests.torture.violation import Violation, some

Found = Iterator[Violation]


@dataclass(frozen=True, slots=True)
class Audit:
    """The verdict: nothing in `violations`, or what was broken; and how much was looked at."""

    violations: tuple[Violation, ...]
    figures: dict[str, int]


def audit(
    database: Path, promises: Promises, record: Record, undisturbed: Callable[[sqlite3.Connection], Set[str]]
) -> Audit:
    """Every page, over the database that is left and what was recorded outside. `undisturbed`: see below."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        heard, fixes = observations(connection)
        pages = (
            rows_once(heard, record),
            fixes_kept(fixes, record),
            numbers_once(connection, record),
            alternate(connection),
            as_undisturbed(connection, undisturbed(connection)),
            giving.causes_once(connection),
            giving.limits_kept(connection, promises),
            giving.budgets_kept(connection, promises),
            giving.coupons_once(connection, promises),
            giving.tills_answered(connection, record),
            giving.received(connection, promises, record),
        )
        violations = tuple(one for page in pages for one in page)
        figures = {
            "gateway rows": len(record.rows),
            "phone positions": len(record.confirmed),
            **giving.figures(connection, record),
        }
    return Audit(violations, figures)


def observations(connection: sqlite3.Connection) -> tuple[Counter[Row], Counter[tuple[str, int]]]:
    """Every sighting and every fix (device, s) that was ever committed."""
    heard: Counter[Row] = Counter()
    fixes: Counter[tuple[str, int]] = Counter()
    reader = Reader()
    for (state,) in connection.execute("SELECT state FROM torture_journal ORDER BY number"):
        for method, arguments in reader.read(state):
            if method != "step":
                continue
            batch = arguments[0]
            seen, placed = batch.sightings, batch.fixes
            for device, anchor, at in zip(seen.device, seen.anchor, seen.at, strict=True):
                heard[batch.devices[device], batch.anchors[anchor], round(at * 1000)] += 1
            for device, at in zip(placed.device, placed.at, strict=True):
                fixes[batch.devices[device], round(at)] += 1
    return heard, fixes


def rows_once(heard: Counter[Row], record: Record) -> Found:
    """What a gateway was told is safe is there; nothing is there twice, or that nobody sent."""
    lost = record.rows.keys() - heard.keys()
    safe = {row for row in lost if record.rows[row][1] <= record.marks.get(record.rows[row][0], 0)}
    yield from some("row_lost", safe, "rows of gateways were acknowledged and never committed")
    yield from some("row_missing", lost - safe, "rows of gateways were sent and never committed")
    yield from some("row_unknown", heard.keys() - record.rows.keys(), "committed rows were never sent")
    twice = {row for row, times in heard.items() if times > 1}
    yield from some("row_twice", twice, "rows of gateways were committed twice")


def fixes_kept(fixes: Counter[tuple[str, int]], record: Record) -> Found:
    """What a phone has a PUBACK for is there. It may be there twice: a phone has no numbers."""
    lost = record.confirmed - fixes.keys()
    yield from some("fix_lost", lost, "positions of phones were confirmed and never committed")


def numbers_once(connection: sqlite3.Connection, record: Record) -> Found:
    """Each message of each gateway was counted once, up to what the gateway was told at least."""
    covered: dict[tuple[str, str, str], int] = {}
    for site, gateway, boot, seq, ahead, messages in connection.execute(
        "SELECT site, gateway, boot, seq, ahead, messages FROM offsets"
    ):
        covered[site, gateway, boot] = seq
        if (messages, ahead) != (seq, ""):
            detail = f"{site}/{gateway}: {messages} messages counted up to {seq}, beyond: {ahead!r}"
            yield Violation("message_miscounted", detail)
    beyond = {mark for mark, seq in record.marks.items() if seq > covered.get(mark, 0)}
    yield from some("acked_too_far", beyond, "gateways were told that more is safe than is covered")
    numbers = [number for (number,) in connection.execute("SELECT number FROM torture_journal ORDER BY number")]
    gaps = [before for before, after in pairwise(numbers) if after != before + 1]
    yield from some("journal_gap", gaps, "entries of the journal have no successor")


def alternate(connection: sqlite3.Connection) -> Found:
    """Enter and exit follow one another for each shopper and zone; the visits say the same."""
    inside: dict[tuple[str, str], str] = {}
    # Within one instant an exit comes before an enter.
    query = "SELECT shopper, zone, kind, visit FROM transitions WHERE kind IN ('enter', 'exit') ORDER BY at, kind DESC"
    for shopper, zone, kind, visit in connection.execute(query):
        if kind == "enter":
            if (shopper, zone) in inside:
                yield Violation("entered_twice", f"{shopper} entered {zone} twice")
            inside[shopper, zone] = visit
        elif inside.pop((shopper, zone), None) != visit:
            yield Violation("left_unentered", f"{shopper} left {zone} without having entered it")
    still_open = {visit for (visit,) in connection.execute("SELECT id FROM visits WHERE ended IS NULL")}
    strange = still_open ^ set(inside.values())
    yield from some("visit_open", strange, "visits are open and were left, or ended and were not left")


def undisturbed(connection: sqlite3.Connection, configuration: Configuration) -> Set[str]:
    """Ids of the transitions that an engine tells that was never killed, and is told all that was ever committed."""
    engine = Recorded(configuration.sites, configuration.ruleset.thresholds())
    engine.set_reaches(configuration.ruleset.reaches())
    parts = connection.execute("SELECT part, state FROM torture_start")
    engine.resume(checkpoint.join({part: checkpoint.unpack(state) for part, state in parts}))
    replay = Replay(engine, configuration.sites)
    wanted: set[str] = set()
    for (state,) in connection.execute("SELECT state FROM torture_journal ORDER BY number"):
        wanted.update(one.id for step in replay.tell(state) for one in step.transitions)
    return wanted


def as_undisturbed(connection: sqlite3.Connection, wanted: Set[str]) -> Found:
    """The transitions are the very same."""
    found = {id_ for (id_,) in connection.execute("SELECT id FROM transitions")}
    yield from some("transition_lost", wanted - found, "transitions are missing that an undisturbed engine tells")
    yield from some(
        "transition_unknown", found - wanted, "transitions are there that an undisturbed engine never tells"
    )
