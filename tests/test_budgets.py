"""Budgets and limits are exact, however many commit at once: threads and processes, SQLite and PostgreSQL."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from proximity.model import Cap, Shopper
from proximity.store import budgets, history, people, tables
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, open_store
from tests.store_house import NOW, claim, rows, story

pytest_plugins = ["tests.store_fixtures"]

CROWD = 1_000
COUPONS = 100
WRITERS = 4
PROCESSES = 3
NAMES = ("transitions", "visits", "decisions", "offers", "deliveries", "coupons", "exposures", "staff")


def together(stories: list[Outcome], **changes: object) -> Outcome:
    """Several stories as one batch, each claiming a coupon of a budget of 100 and 100 × 2.50."""
    parts = {name: [one for each in stories for one in getattr(each, name)] for name in NAMES}
    claims = [claim(one, **{"most_coupons": COUPONS, **changes}) for one in parts["decisions"]]
    return Outcome(**parts, claims=claims, at=NOW)


def crowd(store: Store, number: int = CROWD) -> list[str]:
    names = [f"shopper-{n}" for n in range(number)]
    with store.begin() as connection:
        connection.execute(
            tables.shoppers.insert(),
            [{"id": n, "languages": [], "attributes": {}, "token_hash": n, "created": NOW} for n in names],
        )
    return names


def reasons(store: Store) -> Counter[str | None]:
    return Counter(one.reason for one in history.decisions(store, limit=10 * CROWD))


def test_a_thousand_shoppers_at_one_instant(store: Store) -> None:
    """In one batch, as when a whole hall gets the same second."""
    stories = [story(name) for name in crowd(store)]
    committed = commit(store, together(stories))
    assert len(committed.turned) == CROWD - COUPONS
    assert reasons(store) == {None: COUPONS, "budget_spent": CROWD - COUPONS}
    assert budgets.used(store) == {"welcome": (COUPONS, COUPONS * 250)}
    assert len(rows(store, tables.coupons)) == len(rows(store, tables.offers)) == COUPONS


def test_threads_that_commit_at_once(store: Store) -> None:
    names = crowd(store, 400)
    batches = [together([story(name) for name in names[start : start + 10]]) for start in range(0, len(names), 10)]
    with ThreadPoolExecutor(WRITERS) as pool:
        turned = sum(len(one.turned) for one in pool.map(lambda batch: commit(store, batch), batches))
    assert turned == 400 - COUPONS
    assert budgets.used(store) == {"welcome": (COUPONS, COUPONS * 250)}
    assert len(rows(store, tables.coupons)) == COUPONS


def test_money_is_exact_too(store: Store) -> None:
    stories = [story(name) for name in crowd(store, 50)]
    committed = commit(store, together(stories, most_coupons=None, most_spend=2_499))
    assert len(committed.turned) == 41
    assert budgets.used(store) == {"welcome": (9, 2_250)}


def process(url: str, writer: int) -> "subprocess.Popen[str]":
    code = "from tests.test_budgets import write; import sys; write(sys.argv[1], int(sys.argv[2]))"
    return subprocess.Popen([sys.executable, "-c", code, url, str(writer)], stdout=subprocess.PIPE, text=True)


def write(url: str, writer: int) -> None:
    """One process of several: its own batches for the same shoppers, as fast as it can; prints how many were turned."""
    store = open_store(url)
    cap = Cap("all", 1, NOW - 86_400.0, "1 in all every 24h")
    turned: Counter[str | None] = Counter()
    for start in range(0, 200, 25):
        stories = [story(f"shopper-{n}", f"zone-{writer}") for n in range(start, start + 25)]
        committed = commit(store, together(stories, caps=(cap,)))
        turned.update(one.reason for one in committed.turned.values())
    store.close()
    print(json.dumps(turned))  # noqa: T201 - read by the test


def test_processes_that_commit_at_once(url: str, store: Store) -> None:
    """Three processes see the same two hundred shoppers: each gets one offer at most, and a hundred get a coupon."""
    crowd(store, 200)
    writers = [process(url, number) for number in range(PROCESSES)]
    turned: Counter[str] = Counter()
    for one in writers:
        out, _ = one.communicate(timeout=240)
        assert one.returncode == 0
        turned.update(json.loads(out))
    sent = Counter(one["shopper"] for one in rows(store, tables.offers))
    assert len(sent) == COUPONS
    assert set(sent.values()) == {1}
    assert budgets.used(store) == {"welcome": (COUPONS, COUPONS * 250)}
    # Who has an offer is refused the others by the limit; everybody else by the budget, every time.
    assert turned == {"limit_reached": (PROCESSES - 1) * COUPONS, "budget_spent": PROCESSES * (200 - COUPONS)}


def test_shoppers_of_a_limit_without_a_budget(store: Store) -> None:
    people.put_shopper(store, Shopper("ada"), at=NOW)
    cap = Cap("all", 3, NOW - 86_400.0, "3 in all every 24h")

    def batch(number: int) -> Outcome:
        return together([story("ada", f"zone-{number}")], caps=(cap,), most_coupons=None)

    with ThreadPoolExecutor(WRITERS) as pool:
        turned = sum(len(one.turned) for one in pool.map(lambda n: commit(store, batch(n)), range(20)))
    assert turned == 17
    assert len(rows(store, tables.offers)) == 3


@pytest.mark.parametrize("change", [{"coupon": False, "worth": 0}])
def test_without_a_coupon_nothing_is_taken(store: Store, change: dict[str, object]) -> None:
    made = together([story("ada")], **change)
    commit(store, Outcome(**{**{n: getattr(made, n) for n in (*NAMES, "claims")}, "coupons": [], "at": NOW}))
    assert budgets.used(store) == {}
