"""docs/site-files.md names every key and every code that the files know, and its examples are right."""

import json
import re
from pathlib import Path

import pytest

from proximity.document import Diagnostic, parse
from proximity.site import shapes
from proximity.site.load import parse_people, parse_site
from proximity.site.radios import Claims

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "site-files.md").read_text(encoding="utf-8")
SHAPES = [shape for shape in vars(shapes).values() if isinstance(shape, type) and issubclass(shape, shapes.Shape)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_key_is_told(shape: type[shapes.Shape]) -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`\n]+`", prose))))
    assert [key for key in shape.model_fields if key not in words] == []


def test_every_code_is_told_and_none_that_is_not_there() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "proximity" / "site").glob("*.py"))
    used = set(re.findall(r'"([EW]3[0-9]{2})"', source))
    assert used == set(re.findall(r"\b[EW]3[0-9]{2}\b", TEXT))


def test_the_examples_are_right() -> None:
    yaml = {
        "site.yaml": "id: demo",
        "gateways.yaml": "gateways:",
        "beacons.yaml": "shelf:",
        "shoppers.yaml": "shoppers:",
    }
    blocks = re.findall(r"```(?:yaml|json)\n(.*?)```", TEXT, re.DOTALL)
    texts = {name: next(b for b in blocks if begin in b) for name, begin in yaml.items()}
    zones = json.loads(next(b for b in blocks if b.startswith("{")))
    for name in ("tills", "toys"):  # the gateways' example stands in these
        square = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
        geometry = {"type": "Polygon", "coordinates": square}
        zones["features"].append({"type": "Feature", "properties": {"id": name}, "geometry": geometry})
    texts["zones.geojson"] = json.dumps(zones)
    files = {name: parse(text, name) for name, text in texts.items()}
    claims = Claims()
    site, found = parse_site(files, claims)
    _, more = parse_people(
        [(files["shoppers.yaml"], lambda path: "secret")], [(files["beacons.yaml"], lambda path: "secret")], claims
    )
    wrong: list[Diagnostic] = [d for d in found + more if d.severity == "error"]
    assert [d.render() for d in wrong] == []
    assert site is not None
    assert [zone.id for zone in site.zones] == ["coffee-aisle", "car-park", "tills", "toys"]
