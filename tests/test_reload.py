"""A watched configuration folder: all of it in force, or none."""

import shutil
from pathlib import Path

import pytest

from proximity.configuration import Configuration
from proximity.examples import example_config
from proximity.reload import Watcher


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("examples", "systemd"))
    return folder


def test_a_mistake_keeps_what_is_in_force_and_its_correction_takes_effect(shop: Path) -> None:
    applied: list[Configuration] = []
    watcher = Watcher(shop, applied.append)
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


def test_a_file_that_is_added_or_removed_counts(shop: Path) -> None:
    applied: list[Configuration] = []
    watcher = Watcher(shop, applied.append)
    (shop / "rules" / "coffee.rules.yaml").unlink()
    assert watcher.look()
    assert watcher.refused is None
    assert len(applied) == 1
