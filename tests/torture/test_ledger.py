"""The ledger of the torture can fail: each promise is broken once, in the database or outside, and is named."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Set
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from proximity.configuration import load_configuration
from tests.torture.day import Day, with_offer
from tests.torture.ledger import Audit, audit, undisturbed
from tests.torture.promises import Limit, Promises, hundredths, read_promises, seconds
from tests.torture.record import Record, Redeemed
from tests.torture.run import RULES, prepared
from tests.torture.violation import NAMES, Violation

FIRST = "For the first"
COFFEE = "At the coffee"


class Lived(NamedTuple):
    """An undisturbed run."""

    database: Path
    promises: Promises
    record: Record
    undisturbed: Set[str]  # transitions that a replay tells: the same for each tampering, and dear


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("day")
    configuration = load_configuration(prepared(folder / "config"))
    record = Day(configuration, folder / "day.db").live(50)
    with closing(sqlite3.connect(folder / "day.db")) as connection:
        told = undisturbed(connection, configuration)
    return Lived(folder / "day.db", read_promises(RULES), record, told)


def look(lived: Lived) -> Audit:
    return audit(lived.database, lived.promises, lived.record, lambda _: lived.undisturbed)


def test_what_went_well_is_found_in_order(lived: Lived) -> None:
    found = look(lived)
    assert found.violations == ()
    for what in ("gateway rows", "phone positions", "transitions", "offers received", "coupons", "coupons redeemed"):
        assert found.figures[what] > 0, what
    assert found.figures["withheld by limits"] > 0
    assert found.figures["withheld by budgets"] > 0


# -- tampering with the database --------------------------------------------------------------------------------------

RECEIVED_COFFEES = """SELECT offer FROM deliveries WHERE channel = 'mqtt' AND handed IS NOT NULL AND offer IN (
    SELECT id FROM offers WHERE rule = 'coffee') ORDER BY offer"""
A_COFFEE = f"{RECEIVED_COFFEES} LIMIT 1"
AN_EXIT = "SELECT id FROM transitions WHERE kind = 'exit' ORDER BY at LIMIT 1"
AN_ENTER = """SELECT id FROM transitions WHERE kind = 'enter' AND visit IN (
    SELECT visit FROM transitions WHERE kind = 'exit') ORDER BY at LIMIT 1"""
A_DWELL = "SELECT id FROM transitions WHERE kind = 'dwell' ORDER BY at LIMIT 1"
LAST = "SELECT max(number) FROM torture_journal"


def again(table: str, which: str, **changes: str) -> str:
    """One more row like the one whose id `which` selects; `changes`: column -> SQL."""
    copied = ", ".join(f"{name} = {value}" for name, value in {"id": "'forged'", **changes}.items())
    return f"""
        CREATE TEMP TABLE one AS SELECT * FROM {table} WHERE id = ({which});
        UPDATE one SET {copied};
        INSERT INTO {table} SELECT * FROM one;
    """


def given(rule: str, times: int, costs: int, shopper: str = "'nobody-' || number") -> str:
    """So many coupons given all at once."""
    return f"""
        INSERT INTO torture_coupons (id, rule, shopper, state, costs)
        SELECT 'forged-' || number, '{rule}', {shopper}, 'reserved', {costs} FROM torture_journal LIMIT {times};
    """


TAMPERED: list[tuple[str, str]] = [
    ("row_twice", f"INSERT INTO torture_journal SELECT number + 1, state FROM torture_journal WHERE number = ({LAST})"),
    ("message_miscounted", "UPDATE offsets SET messages = messages + 1 WHERE gateway = 'coffee-1'"),
    ("message_miscounted", "UPDATE offsets SET ahead = '99' WHERE gateway = 'coffee-1'"),
    ("acked_too_far", "UPDATE offsets SET seq = seq - 1, messages = messages - 1 WHERE gateway = 'coffee-1'"),
    ("journal_gap", f"UPDATE torture_journal SET number = number + 1 WHERE number = ({LAST})"),
    ("entered_twice", again("transitions", AN_ENTER, at="at + 0.01")),
    ("left_unentered", f"DELETE FROM transitions WHERE id = ({AN_ENTER})"),
    ("left_unentered", again("transitions", AN_EXIT, at="at + 0.01")),
    ("visit_open", f"UPDATE visits SET ended = NULL WHERE id = (SELECT visit FROM transitions WHERE id = ({AN_EXIT}))"),
    ("transition_lost", f"DELETE FROM transitions WHERE id = ({A_DWELL})"),
    ("transition_unknown", again("transitions", A_DWELL)),
    ("decided_twice", again("decisions", A_COFFEE)),
    ("offer_uncaused", f"UPDATE decisions SET outcome = 'withheld' WHERE id = ({A_COFFEE})"),
    ("limit_passed", again("offers", A_COFFEE, created="created + 5")),
    ("budget_passed", given("first-come", 7, 500)),
    ("spend_passed", given("spend", 8, 250)),
    ("held_too_many", given("first-come", 2, 500, "'one'")),
    ("budget_misread", "INSERT INTO torture_budgets (rule, coupons, spend) VALUES ('first-come', 7, 3500)"),
    ("budget_misread", "INSERT INTO torture_budgets (rule, coupons, spend) VALUES ('spend', -1, 0)"),
    ("budget_differs", "UPDATE budgets SET coupons = coupons - 1 WHERE rule = 'first-come'"),
    ("budget_differs", "UPDATE coupons SET discount = discount + 1 WHERE state = 'redeemed'"),
    ("coupon_missing", "DELETE FROM coupons WHERE rule = 'first-come'"),
    ("coupon_loose", "DELETE FROM offers WHERE rule = 'first-come'"),
    ("redeemed_lost", "UPDATE coupons SET state = 'issued' WHERE state = 'redeemed'"),
    ("received_unknown", f"DELETE FROM offers WHERE id = ({A_COFFEE})"),
    ("cause_twice", f"UPDATE decisions SET transition = 'one' WHERE id IN ({RECEIVED_COFFEES} LIMIT 2)"),
    ("received_code", "UPDATE coupons SET code = 'X' WHERE id = (SELECT id FROM coupons WHERE rule = 'first-come')"),
    (
        "received_unsent",
        "UPDATE deliveries SET state = 'skipped', handed = NULL; UPDATE offers SET state = 'withdrawn'",
    ),
    ("received_not_taken_back", "DELETE FROM deliveries WHERE kind = 'withdraw'"),
    (
        "received_unrecorded",
        "UPDATE deliveries SET handed = NULL; UPDATE offers SET state = 'withdrawn' WHERE rule = 'shoes'",
    ),
]


@pytest.mark.parametrize(("name", "script"), TAMPERED, ids=[name for name, _ in TAMPERED])
def test_a_database_that_was_tampered_with(lived: Lived, tmp_path: Path, name: str, script: str) -> None:
    forged = tmp_path / "forged.db"
    with closing(sqlite3.connect(lived.database)) as source, closing(sqlite3.connect(forged)) as target:
        source.backup(target)
        for trigger in ("gives", "moves", "spends"):  # who tampers keeps no book
            target.execute(f"DROP TRIGGER torture_{trigger}")
        before = target.total_changes
        target.executescript(script)
        target.commit()
        assert target.total_changes > before, "nothing was tampered with"
    assert name in names(look(lived._replace(database=forged)).violations)


# -- tampering with what was sent and received ------------------------------------------------------------------------


def more_rows(record: Record, seq: int) -> Record:
    mark = next(iter(record.marks))
    return replace(record, rows={**record.rows, ("ibeacon:none:1:1", f"{mark[0]}/{mark[1]}", 1): (mark, seq)})


def first_code_for_all(record: Record) -> Record:
    (code, *_) = [one.body for one in record.offers.values() if one.title == FIRST]
    return replace(record, offers={id_: replace(one, body=code) for id_, one in record.offers.items()})


def taken_again(record: Record) -> Record:
    return replace(record, redeemed={**record.redeemed, "other": next(iter(record.redeemed.values()))})


def seven_for_the_first(record: Record) -> Record:
    for _ in range(7):
        record = with_offer(record, FIRST)
    return record


RECEIVED: list[tuple[str, Callable[[Record], Record]]] = [
    ("row_lost", lambda record: more_rows(record, 1)),
    ("row_missing", lambda record: more_rows(record, 1_000_000)),
    ("row_unknown", lambda record: replace(record, rows=dict(list(record.rows.items())[1:]))),
    ("fix_lost", lambda record: replace(record, confirmed=record.confirmed | {("owntracks:nobody/phone", 1)})),
    ("acked_too_far", lambda record: replace(record, marks={mark: seq + 1 for mark, seq in record.marks.items()})),
    ("received_unknown", lambda record: with_offer(record, COFFEE)),
    ("received_unknown", lambda record: with_offer(record, COFFEE, shopper="nobody")),
    ("received_too_many", lambda record: with_offer(record, COFFEE)),
    ("received_twice", lambda record: replace(record, times=record.times + Counter(list(record.times)[:1]))),
    ("code_twice", first_code_for_all),
    ("received_code", first_code_for_all),
    ("received_over_budget", seven_for_the_first),
    ("redeemed_twice", taken_again),
    ("redeemed_lost", lambda record: replace(record, redeemed={"till": Redeemed("NONE", 10)})),
]


@pytest.mark.parametrize(("name", "forge"), RECEIVED, ids=[name for name, _ in RECEIVED])
def test_receivers_that_tell_something_else(lived: Lived, name: str, forge: Callable[[Record], Record]) -> None:
    forged = forge(lived.record)
    assert forged != lived.record
    assert name in names(look(lived._replace(record=forged)).violations)


def test_every_name_is_broken_once() -> None:
    assert {name for name, _ in [*TAMPERED, *RECEIVED]} == NAMES


def test_what_the_rules_promise() -> None:
    promises = read_promises(RULES)
    assert promises.limits == (Limit(60, 86_400.0), Limit(4, 120.0))
    first, spend = promises.rules["first-come"], promises.rules["spend"]
    assert (first.most_coupons, first.most_spend, first.per_shopper, first.keeps) == (6, None, 1, True)
    assert (spend.most_coupons, spend.most_spend, spend.per_shopper) == (None, 1900, 2)
    assert not promises.rules["bread"].keeps
    assert promises.titles[COFFEE] == "coffee"
    assert [seconds(text) for text in ("90s", "5m", "24h", "7d")] == [90.0, 300.0, 86_400.0, 604_800.0]
    assert [hundredths(text) for text in ("2.50 EUR", "19 EUR")] == [250, 1900]


def names(violations: tuple[Violation, ...]) -> set[str]:
    return {one.name for one in violations}
