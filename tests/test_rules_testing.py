"""The runner of rule tests: what a simulated shop does, what a failure shows, and what is said of wrong test files."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from proximity.commands.rules import app
from proximity.errors import ConfigurationError, ProximityError
from rules.catalog import Catalog
from rules.testing.judge import Failure, judge
from rules.testing.read import read_suite
from rules.testing.report import render
from rules.testing.shape import offset

ROOT = Path(__file__).parent.parent
BAD = sorted((ROOT / "tests/rules/bad_tests").glob("*.test.yaml"))

HEAD = """
clock: "2026-11-24T11:58:00+01:00"
fixtures:
  stores:
    - {id: paris, timezone: Europe/Paris, country: FR, zones: [entrance, coffee-aisle, {id: tills, tags: [x]}, garden]}
  shoppers: [{id: ada, languages: [fr, en], attributes: {visits_30d: 5}, consents: {in-store-offers: true}}]
  attributes: attributes.yaml
"""
ATTRIBUTES = "attributes: {weather: {temp_c: float}, shopper: {visits_30d: int}, stock: 'map<string, int>'}"
RULES = """
defaults: {limits: [{scope: all, max: 2, every: 24h}]}
windows:
  night: {from: "21:00", to: "08:30"}
  working: {days: [mon, tue, wed, thu, fri], from: "09:00", to: "17:00", except: [public-holidays], clock: store}
rules:
  - id: linger
    when: {dwell: {zone: coffee-aisle, for: 60s}}
    where:
      all: [weather.temp_c < 12.0, 'stock["KONA"] > 0']
      none: [shopper.visits_30d > 50]
      missing: {shopper.visits_30d: pass}
    say:
      fr: {title: "Kona : -20 %", body: "Il en reste {{ stock['KONA'] | default: 0 }}."}
      en: {title: "20% off Kona", body: "Today."}
    deliver: {expires: 3m}
  - id: hello
    when: {enter: {zone: entrance, initial: false}}
    where: {during: working}
    quiet: {window: night}
    say: {en: {title: "Hello", body: "Good to see you"}}
    deliver: {channels: [inbox, push], only_while: store, on_exit: keep}
  - id: till
    when: {enter: {zone: garden}}
    holdout: {percent: 99.99, name: global}
    experiment: {name: copy, arms: {cool: 40, warm: 40, control: 20}}
    say: {cool: {en: {title: Cool, body: B}}, warm: {en: {title: Warm, body: B}}}
    deliver: {only_while: anywhere}
  - id: bye
    when: {exit: {zone: tills}}
    say: {en: {title: "Bye", body: "See you"}}
    deliver: {channels: [push]}
"""
LINGER = "given: {weather: {temp_c: 7}, stock: {KONA: 4}}"
STAY = "{at: 0s, enter: coffee-aisle}, {at: 5s, seen: coffee-aisle, every: 5s, until: 90s}"


def play(folder: Path, text: str, rules: str = RULES) -> list[tuple[Failure, ...]]:
    """The failures of each test of a file."""
    (folder / "shop.rules.yaml").write_text(rules)
    (folder / "attributes.yaml").write_text(ATTRIBUTES)
    (folder / "shop.test.yaml").write_text(HEAD + text)
    suite = read_suite(folder / "shop.test.yaml", Catalog(), {})
    assert [one.render() for one in suite.diagnostics] == []
    return [result.failures for result in judge(suite)]


# Each row: what it shows, keys of the test, its events, what is expected.
STORIES: list[tuple[str, str, str, str]] = [
    ("a minute in the aisle sends one push", f"shopper: ada, {LINGER}", STAY,
     '{at: 59s, sent: []}, {at: 60s, sent: [{rule: linger, channel: push, language: fr, title: "Kona : -20 %", '
     'body: "Il en reste 4.", at: 60s}]}, {at: 1h, sent: [{rule: linger}]}'),
    ("seen keeps a visit alive, silence ends it", LINGER,
     "{at: 0s, enter: coffee-aisle}, {at: 19s, seen: coffee-aisle}",
     "{at: 1h, sent: []}"),
    ("silence lets a dwell time within it pass", LINGER,
     "{at: 0s, enter: coffee-aisle}, {at: 19s, seen: coffee-aisle}, {at: 38s, seen: coffee-aisle}, "
     "{at: 41s, seen: coffee-aisle}", "{at: 1h, sent: [{rule: linger, at: 60s}]}"),
    ("an exit at the very moment comes too late to prevent it", f"{LINGER}", f"{STAY}, {{at: 60s, exit: coffee-aisle}}",
     "{at: 60s, sent: [{rule: linger}], withdrawn: [linger]}"),
    ("leaving before the send", f"faults: {{push_delay: 40s}}, {LINGER}", f"{STAY}, {{at: 61s, exit: coffee-aisle}}",
     "{at: 5m, sent: [], not_sent: [{rule: linger, because: left_zone}], withdrawn: []}"),
    ("leaving and coming back is another visit", f"faults: {{push_delay: 10s}}, {LINGER}",
     f"{STAY}, {{at: 61s, exit: coffee-aisle}}, {{at: 62s, enter: coffee-aisle}}",
     "{at: 5m, sent: [], not_sent: [{rule: linger, because: left_zone}]}"),
    ("staying until the send", f"faults: {{push_delay: 40s}}, {LINGER}", f"{STAY}, {{at: 101s, exit: coffee-aisle}}",
     "{at: 99s, sent: []}, {at: 100s, sent: [{rule: linger, at: 100s}]}"),
    ("too late to send", f"faults: {{push_delay: 3m}}, {LINGER}", STAY.replace("90s", "5m"),
     "{at: 5m, sent: [], not_sent: [{rule: linger, because: expired}]}"),
    ("what nobody saw does not count", f"faults: {{push_delay: 40s}}, {LINGER}",
     f"{STAY}, {{at: 61s, exit: coffee-aisle}}, {{at: 70s, enter: entrance}}, {{at: 80s, enter: tills}}",
     "{at: 5m, sent: [{rule: hello}, {rule: bye}]}"),
    ("a missing value", "given: {stock: {KONA: 4}}", STAY,
     "{at: 2m, sent: [], not_sent: [{rule: linger, because: attribute_missing}]}"),
    ("an attribute of the shopper", LINGER.replace("stock", "shopper: {visits_30d: 51}, stock"), STAY,
     "{at: 2m, not_sent: [{rule: linger, because: condition_false}]}"),
    ("a consent withdrawn", "shopper: ada, given: {consents: {in-store-offers: false}}", "{at: 0s, enter: entrance}",
     "{at: 0s, not_sent: [{rule: hello, because: no_consent}]}"),
    ("a channel that is not there", "given: {channels: [push]}", "{at: 0s, enter: entrance}",
     "{at: 0s, sent: [{rule: hello, channel: push}]}"),
    ("earlier sends count", "given: {sent: [{rule: linger, ago: 2h}, {rule: bye, ago: 1h}]}",
     "{at: 0s, enter: entrance}", "{at: 0s, not_sent: [{rule: hello, because: limit_reached}]}"),
    ("seen without an enter is initial", "shopper: ada", "{at: 0s, seen: entrance}",
     "{at: 0s, not_sent: [{rule: hello, because: initial_presence}]}"),
    ("an enter can be initial", "shopper: ada", "{at: 0s, enter: entrance, initial: true}",
     "{at: 0s, not_sent: [{rule: hello, because: initial_presence}]}"),
    ("another clock", 'clock: "2026-11-24T18:00:00+01:00"', "{at: 0s, enter: entrance}",
     "{at: 0s, not_sent: [{rule: hello, because: outside_window}]}"),
    ("an exit is known after the silence", "shopper: ada", "{at: 10s, enter: tills}",
     "{at: 29s, sent: []}, {at: 30s, sent: [{rule: bye}]}"),
    ("an arm by name", "shopper: ada, given: {arm: {copy: warm}}", "{at: 0s, enter: garden}",
     "{at: 0s, sent: [{rule: till, title: Warm}]}"),
    ("the arm that gets nothing", "shopper: ada, given: {arm: {copy: control}}", "{at: 0s, enter: garden}",
     "{at: 0s, not_sent: [{rule: till, because: holdout}]}"),
    ("a holdout by name", "shopper: ada, given: {arm: {copy: warm}, holdout: [global]}", "{at: 0s, enter: garden}",
     "{at: 0s, sent: [], not_sent: [{rule: till, because: holdout}]}"),
    ("ghosts use up limits", "shopper: ada, given: {holdout: [global]}",
     "{at: 0s, enter: garden}, {at: 10s, exit: garden}, {at: 20s, enter: garden}, {at: 30s, exit: garden}, "
     "{at: 40s, enter: entrance}",
     "{at: 40s, sent: [], not_sent: [{rule: hello, because: limit_reached}]}"),
    ("an exit of a zone never entered is nothing", "shopper: ada", "{at: 10s, exit: tills}", "{at: 1m, sent: []}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "events", "expect"), STORIES, ids=[row[0] for row in STORIES])
def test_a_story(name: str, keys: str, events: str, expect: str, tmp_path: Path) -> None:
    text = f"tests: [{{name: '{name}', {keys}, events: [{events}], expect: [{expect}]}}]\n"
    assert play(tmp_path, text) == [()]


@pytest.mark.parametrize(
    ("case", "is_open"),
    [
        ('window: night, zone: Europe/Paris, at: "2026-03-29T08:29:00+02:00"', True),  # the clock went forward
        ('window: night, zone: Europe/Paris, at: "2026-03-29T08:30:00+02:00"', False),
        ('window: night, zone: America/New_York, at: "2026-03-29T08:29:00+02:00"', True),
        ('window: working, at: "2026-11-11T10:00:00+01:00"', False),  # a public holiday
        ('window: working, at: "2026-11-12T10:00:00+01:00", store: paris', True),
    ],
)
def test_windows(case: str, is_open: bool, tmp_path: Path) -> None:
    assert play(tmp_path, f"windows: [{{{case}, open: {str(is_open).lower()}}}]\n") == [()]
    ((failure,),) = play(tmp_path, f"windows: [{{{case}, open: {str(not is_open).lower()}}}]\n")
    assert failure.diff == (("- closed", "+ open") if is_open else ("- open", "+ closed"))
    assert "the clock shows" in failure.trace[0]


GUIDED = """
rules:
  - id: coffee-linger
    when: {dwell: {zone: coffee-aisle, for: 60s}}
    where: {all: [weather.temp_c < 12.0, 'stock["KONA-250"] > 0']}
    say: {fr: {title: "Kona : -20 %", body: B}, en: {title: "Kona: 20% off", body: B}}
"""


def test_the_tests_of_the_guide_can_be_played(tmp_path: Path) -> None:
    guide = (ROOT / "docs/rules.md").read_text()
    (block,) = re.findall(r"```yaml\n(clock:.*?)```", guide, re.DOTALL)
    assert play(tmp_path, block.partition("\n")[2], GUIDED) == [(), ()]


def test_a_failure_shows_wanted_and_got_and_the_trace(tmp_path: Path) -> None:
    text = f"""
tests:
  - name: everything is different
    shopper: ada
    {LINGER}
    events: [{STAY}, {{at: 70s, enter: entrance}}]
    expect:
      - {{at: 60s, sent: [{{rule: linger, title: "Kona : -30 %"}}, {{rule: bye}}]}}
      - {{at: 70s, sent: [{{rule: linger}}], not_sent: [{{rule: bye, because: no_consent}}], withdrawn: [linger]}}
"""
    ((first, second, third, fourth),) = play(tmp_path, text)
    assert (first.what, first.line) == ("at 60s: sent", 15)
    assert first.diff == (
        '- {rule: linger, title: "Kona : -30 %"}',
        '+ {rule: linger, title: "Kona : -20 %"}',
        "- {rule: bye}",
    )
    assert first.trace[0] == "linger for ada at paris/coffee-aisle, 2026-11-24 11:59:00 CET"
    assert first.trace[-2] == "bye: nothing was decided, for its trigger did not come"
    assert first.trace[-1] == "presence: 0s enter coffee-aisle; 60s dwell 60s coffee-aisle"
    assert second.diff == (
        "  {rule: linger}",
        '+ {rule: hello, channel: inbox, language: en, title: "Hello"}',
    )
    assert third.diff == ("- bye not sent: no_consent", "+ bye not sent: nothing was decided")
    assert fourth.diff == ("- [linger]", "+ []")


def test_not_sent_of_a_rule_that_sent(tmp_path: Path) -> None:
    text = """
tests:
  - {name: a, events: [{at: 0s, enter: entrance}], expect: [{at: 0s, not_sent: [{rule: hello, because: no_consent}]}]}
"""
    ((failure,),) = play(tmp_path, text)
    assert failure.diff == ("- hello not sent: no_consent", "+ hello sent")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_test_file_gives_exactly_its_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    suite = read_suite(Path(path.name), Catalog(), {})
    assert suite.ruleset is None
    expected = (path.parent / (path.name.removesuffix(".yaml") + ".txt")).read_text()
    assert "".join(f"{one.render()}\n" for one in suite.diagnostics) == expected


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0.0), ("90s", 90.0), ("1m 30s", 90.0), ("2h5m", 7500.0)])
def test_times_of_a_test(text: str, seconds: float) -> None:
    assert offset(text) == seconds


# The command


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, words)])


def test_the_tests_of_the_example_shop_pass() -> None:
    result = run(ROOT / "config/rules")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("tests passed\n")
    tested = re.findall(r"(\w+)\.test\.yaml$", result.stdout, re.MULTILINE)
    assert tested == sorted(path.name.split(".")[0] for path in (ROOT / "config/rules").glob("*.rules.yaml"))
    for rule in re.findall(
        r"- id: (\S+)", "".join(p.read_text() for p in (ROOT / "config/rules").glob("*.rules.yaml"))
    ):
        sends = [
            re.findall(rf"sent: \[.*rule: {rule}\b", p.read_text()) for p in (ROOT / "config/rules").glob("*.test.yaml")
        ]
        assert any(sends), f"no test lets {rule} send"


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A folder with one test that passes and one that fails."""
    play(tmp_path, """
tests:
  - {name: Morning hello, events: [{at: 0s, enter: entrance}], expect: [{at: 0s, sent: [{rule: hello}]}]}
  - {name: silent <morning>, events: [{at: 0s, enter: entrance}], expect: [{at: 0s, sent: []}]}
""")  # fmt: skip
    return tmp_path


def test_text(failing: Path) -> None:
    result = run(failing)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        f"{failing}/shop.test.yaml",
        "  ok    Morning hello",
        "  FAIL  silent <morning>",
        f"        at 0s: sent  (- wanted, + got)  [{failing}/shop.test.yaml:11]",
    ]
    assert lines[4] == '          + {rule: hello, channel: inbox, language: en, title: "Hello"}'
    assert lines[-1] == "1 of 2 tests failed"


def test_json(failing: Path) -> None:
    first, second = json.loads(run(failing, "--format", "json").stdout)
    assert (first["name"], first["passed"], first["failures"]) == ("Morning hello", True, [])
    assert (second["line"], second["passed"], second["failures"][0]["what"]) == (11, False, "at 0s: sent")


def test_junit(failing: Path) -> None:
    root = ElementTree.fromstring(run(failing, "--format", "junit").stdout)
    assert (root.tag, root.attrib) == ("testsuites", {"tests": "2", "failures": "1"})
    (suite,) = root
    assert [case.attrib["name"] for case in suite] == ["Morning hello", "silent <morning>"]
    assert len(suite[0]) == 0
    assert suite[1][0].attrib == {"message": "at 0s: sent"}
    assert "+ {rule: hello" in (suite[1][0].text or "")


def test_run_takes_a_pattern(failing: Path) -> None:
    result = run(failing, "--run", "^morning")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 test passed")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "nothing"], "no test has a name that `nothing` finds"),
        (["--run", "("], "--run (: not a regular expression"),
        (["--format", "xml"], "--format xml: write one of text, json, junit"),
        (["nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], message: str, failing: Path) -> None:
    problem = run(failing, *words).exception
    assert isinstance(problem, ProximityError)
    assert message in str(problem)


def test_a_folder_without_tests_and_a_file_with_errors(tmp_path: Path) -> None:
    assert "no file there ends in .test.yaml" in str(run(tmp_path).exception)
    (tmp_path / "a.test.yaml").write_text("tests: []")
    problem = run(tmp_path).exception
    assert isinstance(problem, ConfigurationError)
    assert [one.code for one in problem.diagnostics] == ["E104"]


def test_a_report_of_nothing() -> None:
    assert render([], "text") == "0 tests passed\n"
