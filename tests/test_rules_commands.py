"""`proximity rules check | list | schema | explain`, as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proximity.commands.rules import app
from proximity.errors import ConfigurationError, ProximityError
from proximity.model import Shopper
from proximity.store import commit, people
from proximity.store.database import open_store
from tests.store_house import NOW, story

ROOT = Path(__file__).parent.parent
ZONES = """
{"type": "FeatureCollection", "features": [
 {"type": "Feature", "properties": {"id": "entrance"}, "geometry": {"type": "Polygon", "coordinates":
  [[[4.832, 45.757], [4.833, 45.757], [4.833, 45.758], [4.832, 45.758], [4.832, 45.757]]]}}]}
"""
FRAME = 'id: shop\nname: Shop\ntimezone: Europe/Paris\nopening_hours: "24/7"\nplace: {lat: 45.757, lon: 4.832}\n'
RULE = "rules:\n  - id: {}\n    when: {{enter: {{zone: {}}}}}\n    {}say: {{en: {{title: T, body: B}}}}\n"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A configuration folder with two rule files; the second uses a window of the first."""
    (tmp_path / "site.yaml").write_text(FRAME)
    (tmp_path / "zones.geojson").write_text(ZONES)
    (tmp_path / "rules").mkdir()
    header = 'windows: {midday: {from: "11:30", to: "14:00"}}\n'
    (tmp_path / "rules/a.rules.yaml").write_text(header + RULE.format("a", "entrance", ""))
    (tmp_path / "rules/b.rules.yaml").write_text(RULE.format("b", "entrance", "where: {during: midday}\n    "))
    return tmp_path


def test_the_example_shop_is_right() -> None:
    result = run("check", ROOT / "config")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "0 errors, 0 warnings in 3 files; 8 rules\n"


def test_a_file_is_read_with_its_neighbours_and_told_of_alone(shop: Path) -> None:
    one = run("check", shop / "rules/b.rules.yaml")
    assert (one.exit_code, one.stdout, one.stderr) == (0, "", "0 errors, 0 warnings in 1 file; 1 rule\n")
    (shop / "rules/a.rules.yaml").write_text(RULE.format("a", "entrace", ""))
    again = run("check", shop / "rules/b.rules.yaml")
    assert again.exit_code == 1
    assert [line for line in again.stdout.splitlines() if "error[" in line] == [
        f'{shop}/rules/b.rules.yaml:4:21: error[E205]: rule "b": unknown window `midday`'
    ]
    whole = run("check", shop)
    assert whole.exit_code == 1
    assert "error[E201]" in whole.stdout
    assert whole.stderr == "2 errors, 0 warnings in 2 files\n"


def test_errors_of_neighbours_are_counted(shop: Path) -> None:
    (shop / "rules/c.rules.yaml").write_text(RULE.format("c", "entrace", ""))
    result = run("check", shop / "rules/b.rules.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "1 error in other files of the folder, so nothing of it can be loaded" in result.stderr


def test_formats(shop: Path) -> None:
    (shop / "rules/a.rules.yaml").write_text(RULE.format("a", "entrace", ""))
    (shop / "rules/b.rules.yaml").unlink()
    (found,) = json.loads(run("check", shop, "--format", "json").stdout)
    assert (found["line"], found["code"], found["hint"]) == (3, "E201", "did you mean `entrance`?")
    annotation = run("check", shop, "--format", "github").stdout
    assert annotation.startswith(f"::error file={shop}/rules/a.rules.yaml,line=3,col=26,title=E201::")


def test_list(shop: Path) -> None:
    assert [line.split() for line in run("list", shop).stdout.splitlines()] == [
        ["a", "live", "enter", "entrance", f"{shop}/rules/a.rules.yaml:3"],
        ["b", "live", "enter", "entrance", f"{shop}/rules/b.rules.yaml:2"],
    ]
    rows = json.loads(run("list", shop / "rules/b.rules.yaml", "--format", "json").stdout)
    assert [(row["id"], row["trigger"]) for row in rows] == [("b", "enter entrance")]
    assert run("list", shop, "--status", "paused").stdout == ""


def test_schema() -> None:
    assert run("schema").stdout == (ROOT / "config/schema/rules-v1.json").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere"], "nowhere: no such file or folder"),
        (["check", "config", "--format", "xml"], "--format xml: write one of text, json, github"),
        (["check", "tests/rules/good"], "tests/rules/good lies in no configuration folder"),
        (["check", "config", "config/examples/danis"], "belong to several shops"),
        (["check", "docs", "--config", "config"], "docs: no file there ends in .rules.yaml"),
        (["list", "config", "--status", "lively"], "--status lively: write one of draft, review, approved, live"),
        (["explain", "ada", "--data", "docs"], "docs: no database there; name the folder with --data"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    problem = run(*words).exception
    assert isinstance(problem, ProximityError)
    assert message in str(problem)


def test_a_shop_with_errors_of_its_own_is_mended_first(shop: Path) -> None:
    (shop / "site.yaml").write_text(FRAME.replace("Europe/Paris", "Europe/Pairs"))
    (shop / "attributes.yaml").write_text("attributes: {shopper: {visits: integer}}")
    problem = run("check", shop).exception
    assert isinstance(problem, ConfigurationError)
    assert {one.mark.file for one in problem.diagnostics if one.severity == "error"} == {"site.yaml", "attributes.yaml"}


def test_explain(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'proximity.db'}")
    store.migrate()
    people.put_shopper(store, Shopper("ada", ("en",), consents={"in-store-offers": True}), at=NOW)
    commit.commit(store, story())
    store.close()
    here = ["--data", tmp_path, "--config", ROOT / "config"]
    text = run("explain", "ada", *here).stdout
    assert text.splitlines()[0] == "welcome for ada at lyon/coffee, 2025-11-26 12:04:00 CET"
    assert "limits   0 of 1  [welcome.rules.yaml:4]" in text
    assert run("explain", "ada", "--at", "2025-11-26T12:06", *here).stdout == text
    assert run("explain", "ada", "--at", "2025-11-26T11:06Z", "--rule", "welcome", *here).stdout == text
    for words, message in [
        (["--at", "2025-11-26T12:30"], "nothing was decided for ada within 5m of 2025-11-26T12:30"),
        (["--rule", "other"], "nothing was decided for ada by other"),
        (["--at", "noon"], "--at noon: write a time as 2026-11-24T12:04"),
        (["--at", "2025-11-26T12:30", "--around", "soon"], '--around: "soon" is not a duration'),
    ]:
        assert message in str(run("explain", "ada", *words, *here).exception)
