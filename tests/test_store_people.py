"""Shoppers, consents, devices; and that erasing leaves nothing."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from proximity.model import Device, Shopper
from proximity.store import context, coupons, people, rule_state, tables
from proximity.store.checkpoints import Entry
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, StoreError, open_store
from proximity.store.people import Consent
from rules.stateful import Row
from tests.outbox_marks import mark_sent
from tests.store_house import NOW, ending, everything, rows, story

pytest_plugins = ["tests.store_fixtures"]

CLEO = Shopper(
    "cleo",
    languages=("fr", "en-GB"),
    timezone="Europe/Paris",
    name="Cléo",
    attributes={"visits_30d": 4, "bought_90d": {"coffee": 2}, "wishlist": ["tea"]},
    consents={"in-store-offers": True, "service": False},
)


def test_a_shopper_comes_back_as_it_went(store: Store) -> None:
    token = people.put_shopper(store, CLEO, at=NOW)
    assert people.shopper(store, "cleo") == CLEO
    assert people.by_token(store, token) == CLEO
    assert people.by_token(store, "guessed") is None
    assert people.shopper(store, "nobody") is None


def test_a_token_has_128_bits_and_only_its_hash_is_kept(store: Store) -> None:
    token = people.put_shopper(store, CLEO, at=NOW)
    assert len(token) == 22  # 16 bytes in base64
    assert token != people.new_token(store, "cleo")
    assert token not in str(everything(store))
    given = people.put_shopper(store, Shopper("dora"), token="demo-dora", at=NOW)
    assert given == "demo-dora"
    (row,) = [row for row in rows(store, tables.shoppers) if row["id"] == "dora"]
    assert row["token_hash"] == hashlib.sha256(b"demo-dora").hexdigest()


def test_a_new_token_voids_the_old(store: Store) -> None:
    old = people.put_shopper(store, CLEO, at=NOW)
    new = people.new_token(store, "cleo")
    assert people.by_token(store, old) is None
    assert people.by_token(store, new) == CLEO
    with pytest.raises(StoreError, match="there is no shopper 'nobody'"):
        people.new_token(store, "nobody")


def test_a_change_keeps_token_and_creation(store: Store) -> None:
    token = people.put_shopper(store, CLEO, at=NOW)
    assert people.put_shopper(store, Shopper("cleo", name="C."), at=NOW + 60) == ""
    changed = people.by_token(store, token)
    assert changed == Shopper("cleo", name="C.", consents=CLEO.consents)
    (row,) = [row for row in rows(store, tables.shoppers) if row["id"] == "cleo"]
    assert row["created"] == NOW


def test_loading_the_file_again_takes_back_nobodys_word(store: Store) -> None:
    people.put_shopper(store, CLEO, at=NOW)
    people.set_consent(store, "cleo", "in-store-offers", False, NOW + 60, "shopper")
    people.put_shopper(store, CLEO, at=NOW + 120)
    assert people.consents(store, "cleo") == [
        Consent("in-store-offers", False, NOW + 60, "shopper"),
        Consent("service", False, NOW, "file"),
    ]


def test_the_latest_word_counts_whatever_comes_last(store: Store) -> None:
    people.set_consent(store, "ada", "service", True, NOW + 9, "api")
    people.set_consent(store, "ada", "service", False, NOW + 5, "shopper")  # said before, heard after
    assert people.consents(store, "ada")[-1] == Consent("service", True, NOW + 9, "api")
    with pytest.raises(StoreError, match="there is no shopper 'nobody'"):
        people.set_consent(store, "nobody", "service", True, NOW, "api")


def test_lists_and_pages(store: Store) -> None:
    people.put_shopper(store, CLEO, at=NOW)
    assert [one.id for one in people.list_shoppers(store)] == ["ada", "ben", "cleo"]
    assert [one.id for one in people.list_shoppers(store, limit=1, after="ada")] == ["ben"]
    assert people.list_shoppers(store, after="cleo") == []
    assert people.shoppers(store, ["cleo", "nobody", "cleo"]) == {"cleo": CLEO}
    assert people.shoppers(store, []) == {}
    assert list(people.everybody(store)) == ["ada", "ben", "cleo"]
    assert people.everybody(store)["cleo"] == CLEO


def test_devices(store: Store) -> None:
    phone = Device("owntracks:ada/phone", "ada", "owntracks", secret="s3cret", password="knock")
    tag = Device("ibeacon:00000000-0000-0000-0000-000000000001:1:1", "ben", "ibeacon")
    for device in (phone, tag):
        people.put_device(store, device)
    assert people.devices(store) == [tag, phone]
    assert people.devices(store, "ada") == [phone]
    assert people.device(store, phone.id) == phone
    handed_on = Device(tag.id, "ada", "ibeacon")
    people.put_device(store, handed_on)
    assert people.devices(store, "ada") == [handed_on, phone]
    assert people.remove_device(store, tag.id)
    assert not people.remove_device(store, tag.id)
    assert people.device(store, tag.id) is None
    with pytest.raises(StoreError, match="there is no shopper 'nobody'"):
        people.put_device(store, Device("app:nobody", "nobody", "app"))


# -- erasure ----------------------------------------------------------------------------------------------------------


def fill(store: Store) -> None:
    """Ada and Ben in every table that knows shoppers."""
    for name in ("ada", "ben"):
        people.put_device(store, Device(f"app:{name}", name, "app"))
        first = story(name)
        commit(store, first)
        mark_sent(store, {one.id: NOW + 1 for one in first.deliveries})
        commit(store, ending(first, NOW + 60))
        coupons.redeem(store, coupons.Till(f"till-1 {name}", first.coupons[0].code, "lyon", NOW + 70))
        context.put(store, [context.Value("cart", "total", 12.5, shopper=name)], NOW, "api")
        row = Row(f"row-{name}", "absence", "away", "key", name, NOW + 86_400.0)
        commit(store, Outcome(memory=rule_state.Memory(rows=[row])))
    commit(store, Outcome(entry=Entry(1, b"as presence stands without her")))


def columns_of_text() -> list[sa.Column[object]]:
    return [
        column
        for table in tables.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, (sa.String, sa.JSON, sa.LargeBinary))
    ]


def tables_that_name(store: Store, word: str) -> set[str]:
    """Every table of the metadata in which `word` stands, in whatever column."""
    with store.connect() as connection:
        return {
            column.table.name
            for column in columns_of_text()
            for value in connection.execute(sa.select(column)).scalars()
            if word in (value.decode(errors="replace") if isinstance(value, bytes) else str(value))
        }


def test_erasing_leaves_no_row_in_any_table(store: Store) -> None:
    fill(store)
    personal = {table.name for table in tables.metadata.sorted_tables if "shopper" in table.c}
    personal |= {"shoppers", "observations"}
    assert tables_that_name(store, "ada") == personal
    of_ben = {table: [row for row in found if "ben" in str(row)] for table, found in everything(store).items()}

    assert people.erase(store, "ada")
    assert tables_that_name(store, "ada") == set()
    assert tables_that_name(store, "ben") == personal
    left = {table: [row for row in found if "ben" in str(row)] for table, found in everything(store).items()}
    assert left == of_ben
    assert not people.erase(store, "ada")


def test_what_is_erased_cannot_be_read_from_the_file(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'proximity.db'}")  # PostgreSQL overwrites rows when it vacuums
    store.migrate()
    people.put_shopper(store, Shopper("erasable", name="Greta-Unmistakable"), at=NOW)
    people.erase(store, "erasable")
    store.close()  # folds the log into the file
    file = Path(str(store.engine.url.database))
    assert b"Unmistakable" not in file.read_bytes()
    assert not file.with_name(file.name + "-wal").exists()


def test_a_batch_under_way_brings_nobody_back(store: Store) -> None:
    outcomes = [story("ada", f"zone-{n}", NOW + n) for n in range(60)]
    with ThreadPoolExecutor(2) as pool:
        commits = pool.submit(lambda: [commit(store, one) for one in outcomes])
        erased = pool.submit(people.erase, store, "ada")
        assert erased.result()
        committed = commits.result()
    assert tables_that_name(store, "ada") == set()
    assert committed[-1].unknown == {"ada"}
