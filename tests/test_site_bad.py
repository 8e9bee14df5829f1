"""Wrong site files, each paired with the exact words that are said of it.

A directory in `tests/site/bad` holds only the files that differ from `tests/site/good`, and `expected.txt`.
"""

import shutil
from pathlib import Path

import pytest

from proximity.site.load import load_sites

HERE = Path(__file__).parent / "site"
BAD = sorted(path for path in (HERE / "bad").iterdir() if path.is_dir())


def put(folder: Path, target: Path) -> Path:
    shutil.copytree(HERE / "good", target, dirs_exist_ok=True)
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected.txt"))
    return target


def said(target: Path) -> str:
    return "\n".join(diagnostic.render() for diagnostic in load_sites(target).diagnostics) + "\n"


@pytest.mark.parametrize("folder", BAD, ids=lambda folder: folder.name)
def test_what_is_said_of_a_wrong_file(folder: Path, tmp_path: Path) -> None:
    assert said(put(folder, tmp_path)) == (folder / "expected.txt").read_text(encoding="utf-8")


def test_nothing_is_said_of_the_right_files() -> None:
    assert load_sites(HERE / "good").diagnostics == []
