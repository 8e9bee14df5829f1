"""A watched configuration folder: all of it in force, or none; and the rules that are published beside it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from proximity.configuration import Configuration, load_configuration
from proximity.examples import example_config
from proximity.reload import Watcher
from proximity.rulebook import RuleBook
from proximity.store import rulesets
from proximity.store.database import Store, open_store
from tests.conftest import wait_until

NOW = 1_764_155_040.0


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("examples", "systemd"))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path / 'p.db'}")
    made.migrate()
    yield made
    made.close()


def watch(shop: Path, store: Store, applied: list[Configuration]) -> Watcher:
    book = RuleBook(store, lambda: NOW, load_configuration(shop))
    book.in_force(book.folder)
    return Watcher(book, applied.append)


def test_a_mistake_keeps_what_is_in_force_and_its_correction_takes_effect(shop: Path, store: Store) -> None:
    applied: list[Configuration] = []
    watcher = watch(shop, store, applied)
    assert not watcher.look()

    rules = shop / "rules" / "shop.rules.yaml"
    right = rules.read_text(encoding="utf-8")
    rules.write_text(right.replace("zone: entrance", "zone: entrence", 1), encoding="utf-8")
    assert watcher.look()
    assert applied == []
    assert watcher.refused is not None
    assert "did you mean `entrance`?" in watcher.refused
    assert not watcher.look()

    rules.write_text(right + "\n", encoding="utf-8")
    assert watcher.look()
    assert watcher.refused is None
    assert [one.folder for one in applied] == [shop]
    assert not watcher.look()


def test_a_file_that_is_added_or_removed_counts(shop: Path, store: Store) -> None:
    applied: list[Configuration] = []
    watcher = watch(shop, store, applied)
    (shop / "rules" / "coffee.rules.yaml").unlink()
    assert watcher.look()
    assert watcher.refused is None
    assert len(applied) == 1
    assert [one.author for one in rulesets.versions(store)] == ["folder", "folder"]


def test_what_another_process_does_is_seen(shop: Path, store: Store) -> None:
    applied: list[Configuration] = []
    watcher = watch(shop, store, applied)
    RuleBook(store, lambda: NOW, load_configuration(shop)).pause("welcome", by="ada")
    watcher.start()
    wait_until(lambda: bool(applied))
    watcher.stop()
    rule = applied[0].ruleset.by_id["welcome"]
    assert (rule.status, rule.paused) == ("paused", "by ada at 2025-11-26 12:04:00 CET")
    assert applied[0].ruleset.by_id["parking"].status == "live"


def test_a_mistake_in_the_folder_does_not_stop_a_pause(shop: Path, store: Store) -> None:
    applied: list[Configuration] = []
    watcher = watch(shop, store, applied)
    (shop / "rules" / "shop.rules.yaml").write_text("rules: nonsense")
    watcher.look()
    watcher.book.pause("welcome", by="ada")
    assert [one.ruleset.by_id["welcome"].status for one in applied] == ["paused"]
    assert watcher.refused is not None


def test_a_folder_that_the_pinned_rules_do_not_fit_is_not_taken(shop: Path, store: Store) -> None:
    applied: list[Configuration] = []
    watcher = watch(shop, store, applied)
    before = watcher.book.folder
    watcher.book.publish(before.ruleset.files, author="ada")
    assert len(applied) == 1
    # The folder goes on without the bakery and its rule; the pinned rules still speak of it.
    (shop / "zones.geojson").write_text((shop / "zones.geojson").read_text().replace('"bakery"', '"cakes"'))
    for file in [*(shop / "rules").glob("*.rules.yaml"), shop / "gateways.yaml", shop / "beacons.yaml"]:
        file.write_text(file.read_text().replace("zone: bakery", "zone: cakes"))
    watcher.look()
    assert watcher.refused is not None
    assert watcher.refused.startswith("the rules that are published do not fit the folder:\nrules/fresh.rules.yaml:6")
    assert watcher.book.folder is before
    assert len(applied) == 1
    watcher.book.pause("welcome", by="ada")
    assert applied[-1].ruleset.by_id["welcome"].status == "paused"
    watcher.book.follow(by="ada")
    assert watcher.refused is None
    assert applied[-1].ruleset.by_id["bakery-birthday"].trigger.area.zones == ("cakes",)
    assert applied[-1].ruleset.by_id["welcome"].status == "paused"
