"""`proximity check`: one mistake in the shop's files is told once, not again by every rule that stands on it."""

import shutil
from pathlib import Path

import pytest

from proximity.configuration import check_configuration
from proximity.document import is_stranger
from proximity.examples import example_config


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    skip = shutil.ignore_patterns("cookbook", "examples", "systemd", "schema", "*.test.yaml")
    return shutil.copytree(example_config(), tmp_path / "shop", ignore=skip)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def errors(shop: Path) -> list[tuple[str, str, str | None]]:
    found = check_configuration(shop)[1]
    return [(one.mark.file, one.code, one.hint) for one in found if one.severity == "error"]


CHANGES = [
    ("site.yaml", "id: demo-store", "id: Demo Store", [("site.yaml", "E104")]),
    ("site.yaml", "id: demo-store", "", [("site.yaml", "E102")]),
    ("zones.geojson", '"features"', '"featurs"', [("zones.geojson", "E310"), ("zones.geojson", "E101")]),
    ("zones.geojson", '"id": "bakery"', '"id": "bakery", "kind": "zoon"', [("zones.geojson", "E317")]),
    ("zones.geojson", '"id": "bakery"', '"id": "bakery", "tagz": []', [("zones.geojson", "E101")]),
    ("zones.geojson", '"id": "coffee-aisle"', '"id": "Coffee-aisle"', [("zones.geojson", "E104")]),
    ("zones.geojson", '"outdoor": true', '"outdoor": "yes"', [("zones.geojson", "E103")]),
]


@pytest.mark.parametrize(("file", "old", "new", "wanted"), CHANGES)
def test_told_once(shop: Path, file: str, old: str, new: str, wanted: list[tuple[str, str]]) -> None:
    replace(shop / file, old, new)
    assert [one[:2] for one in errors(shop)] == wanted


def test_zones_that_are_not_there_at_all(shop: Path) -> None:
    (shop / "zones.geojson").unlink()
    assert [one[:2] for one in errors(shop)] == [("zones.geojson", "E300")]


ASKED = """
rules:
  - {id: a, when: {enter: {ZONE}}, do: &do [{staff: {desk: d, text: "somebody"}}]}
"""


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("zone: collect-desk", None),  # refused, and there: said once, in zones.geojson
        ("zone: collect_desk", None),  # perhaps it will be called so
        ("zone: entrnce", "did you mean `entrance`?"),
        ("zone: moon", "known here: bakery, car-park, coffee-aisle, entrance, shoe-fitting, tills"),
        ("tag: services", None),  # its tags are not known
    ],
)
def test_a_refused_zone_is_neither_missed_nor_offered(shop: Path, zone: str, hint: str | None) -> None:
    replace(shop / "zones.geojson", '"id": "collect-desk"', '"id": "collect-desk", "floor": "first"')
    (shop / "rules" / "more.rules.yaml").write_text(ASKED.replace("ZONE", zone))
    found = [one for one in errors(shop) if one[0] != "zones.geojson"]
    assert found == ([] if hint is None else [("rules/more.rules.yaml", "E201", hint)])
    assert len(errors(shop)) == len(found) + 1


def test_windows_and_segments_are_missed_also_without_attributes(shop: Path) -> None:
    replace(shop / "attributes.yaml", "first_name: string", "first_name: strng")
    text = ASKED.replace("ZONE", "zone: entrance").replace("id: a,", "id: a, where: {during: nigth},")
    (shop / "rules" / "more.rules.yaml").write_text(text)
    assert [one[:2] for one in errors(shop)] == [("attributes.yaml", "E103"), ("rules/more.rules.yaml", "E205")]


@pytest.mark.parametrize(
    ("word", "known", "refused", "stranger"),
    [
        ("tills", {"tills"}, set(), False),
        ("till", {"tills"}, set(), True),
        ("till", {"tills"}, {"tills"}, False),
        ("till", {"till-1", "tills"}, {"till-1"}, True),  # nearer to what is right
        ("garden", {"tills"}, {"tills"}, True),
    ],
)
def test_a_stranger(word: str, known: set[str], refused: set[str], *, stranger: bool) -> None:
    assert is_stranger(word, known, refused) is stranger
