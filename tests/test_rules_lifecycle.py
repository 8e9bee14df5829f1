"""The life of rules: versions that are published, approved, rolled back and paused, while the service goes on."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proximity import people_files, wire
from proximity.api.app import create_app
from proximity.api.server import ApiServer
from proximity.commands.rules import app as commands
from proximity.configuration import Configuration, load_configuration
from proximity.errors import ConfigurationError, ProximityError
from proximity.examples import example_config
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.reload import Watcher
from proximity.rulebook import RuleBook, at_the_start
from proximity.runtime import _apply
from proximity.service import Service
from proximity.store import history, rulesets
from proximity.store.database import Store, open_store
from proximity.store.rulesets import RefusedError, UnknownError
from tests.api_house import RULES, TOKEN
from tests.api_house import House as ApiHouse

pytest_plugins = ["tests.store_fixtures"]
NOW = 1_764_155_040.0  # 2025-11-26 12:04 in Paris
SAY = "    say: {en: {title: T, body: B}}\n"


def rule(name: str, when: str, extra: str = "") -> str:
    return f"  - id: {name}\n    when: {when}\n{extra}{SAY}"


def texts(*rules: str) -> dict[str, str]:
    return {"rules/a.rules.yaml": "rules:\n" + "".join(rules)}


DOOR = rule("door", "{enter: {zone: entrance}}")
LATE = rule("late", "{enter: {zone: entrance}}")


@pytest.fixture(scope="module")
def folder() -> Configuration:
    return load_configuration(example_config())


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def book(store: Store, folder: Configuration) -> RuleBook:
    made = RuleBook(store, Clock(), folder)
    made.in_force(folder)
    return made


def demanding(folder: Configuration) -> Configuration:
    """The same where a second person has to agree."""
    return replace(folder, sites=tuple(replace(site, approval=True) for site in folder.sites))


def ids(configuration: Configuration) -> list[str]:
    return [one.id for one in configuration.ruleset.rules]


# -- versions -----------------------------------------------------------------------------------------------------


def test_the_folder_is_a_version_until_somebody_publishes(book: RuleBook, folder: Configuration) -> None:
    assert [(one.author, one.state) for one in rulesets.versions(book.store)] == [("folder", "live")]
    assert book.overview().detail is None
    new = book.publish(texts(DOOR), author="ada", note="only the door")
    assert (new.author, new.note, new.state) == ("ada", "only the door", "live")
    assert ids(book.in_force(folder)) == ["door"]
    assert book.read(new.id).files == texts(DOOR)
    seen = book.overview()
    assert (seen.current, seen.pinned, seen.folder) == (new.id, True, folder.ruleset.version)
    assert seen.detail is not None
    assert "is pinned until `proximity rules follow`" in seen.detail
    book.follow(by="ada")
    assert ids(book.in_force(folder)) == ids(folder)
    assert [(one.action, one.actor) for one in rulesets.changes(book.store)] == [
        ("load", "folder"),
        ("follow", "ada"),
        ("publish", "ada"),
        ("load", "folder"),
    ]


def test_a_rollback_brings_back_what_was_and_says_so(book: RuleBook, folder: Configuration) -> None:
    one = book.publish(texts(DOOR), author="ada")
    two = book.publish(texts(LATE), author="ben")
    assert book.roll_back("previous", by="cem", note="complaints").id == one.id
    assert ids(book.in_force(folder)) == ["door"]
    assert book.roll_back(two.id[:6], by="cem").id == two.id
    assert {one.state for one in rulesets.versions(book.store)} == {"live", "past"}
    (change, *_) = rulesets.changes(book.store)
    assert (change.action, change.actor, change.version) == ("rollback", "cem", two.id)
    with pytest.raises(RefusedError, match="in force already"):
        book.roll_back(two.id, by="cem")
    with pytest.raises(RefusedError, match="in force already"):
        book.publish(texts(LATE), author="ben")
    with pytest.raises(UnknownError, match="there is no version `zzz`"):
        book.roll_back("zzz", by="cem")


def test_what_was_in_force_at_a_moment_is_known(book: RuleBook) -> None:
    own = rulesets.standing(book.store).version
    one = book.publish(texts(DOOR), author="ada")
    at = one.loaded or 0.0
    book.pause("door", by="ben")
    assert rulesets.standing(book.store, at - 0.5).version == own
    assert rulesets.standing(book.store, at).version == one.id
    assert rulesets.standing(book.store, at).paused == {}
    assert set(rulesets.standing(book.store).paused) == {"door"}


def test_rules_with_mistakes_are_not_stored(book: RuleBook) -> None:
    with pytest.raises(ConfigurationError) as raised:
        book.publish(texts(rule("door", "{enter: {zone: entrence}}")), author="ada")
    assert [one.code for one in raised.value.diagnostics] == ["E201"]
    assert len(rulesets.versions(book.store)) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x07b", "Folder"])
def test_who_does_it_is_a_person(book: RuleBook, name: str) -> None:
    with pytest.raises(RefusedError):
        book.publish(texts(DOOR), author=name)


# -- a second person ----------------------------------------------------------------------------------------------


def test_a_second_person_approves(store: Store, folder: Configuration) -> None:
    there = demanding(folder)
    book = RuleBook(store, Clock(), there)
    book.in_force(there)  # the first rules ever need nobody: there is nothing else to run with
    new = book.publish(texts(DOOR), author="Ada")
    assert new.state == "review"
    assert ids(book.in_force(there)) == ids(folder)
    for by in ("Ada", " ada "):
        with pytest.raises(RefusedError, match="a second person has to approve it"):
            book.approve(new.id, by=by)
    with pytest.raises(RefusedError, match=r"wait for approval already, as version .* by Ada"):
        book.publish(texts(DOOR), author="ben")
    with pytest.raises(RefusedError, match="never in force"):
        book.roll_back(new.id, by="ben")
    assert book.approve(new.id, by="ben").state == "live"
    assert ids(book.in_force(there)) == ["door"]
    with pytest.raises(RefusedError, match="does not wait for approval: it is live"):
        book.approve(new.id, by="ben")
    actions = [(one.action, one.actor) for one in rulesets.changes(store)]
    assert actions == [("approve", "ben"), ("submit", "Ada"), ("load", "folder")]


def test_where_approval_is_demanded_the_folder_is_no_way_around_it(store: Store, folder: Configuration) -> None:
    book = RuleBook(store, Clock(), demanding(folder))
    book.in_force(book.folder)
    other = replace(book.folder, ruleset=folder.ruleset.having({}))
    other = replace(other, ruleset=replace(other.ruleset, version="edited"))
    assert ids(book.in_force(other)) == ids(folder)
    assert "they need approval" in (book.overview().detail or "")
    book.publish(texts(DOOR), author="ada")
    book.approve(book.overview().versions[0].id, by="ben")
    with pytest.raises(RefusedError, match="need a second person"):
        book.follow(by="ada")
    book.roll_back("previous", by="ada")  # it was in force: a mistake is taken back at once, by whoever sees it
    assert ids(book.in_force(other)) == ids(folder)


# -- in the service -----------------------------------------------------------------------------------------------


class House:
    """A service whose rules have a life; time moves when told to."""

    def __init__(self, data: Path, folder: Configuration, *rules: str) -> None:
        self.now = NOW
        self.store: Store = open_store(f"sqlite:///{data / 'p.db'}")
        self.store.migrate()
        people_files.seed(self.store, folder.people, NOW)
        self.folder = folder
        self.start()
        self.book.publish(texts(*rules), author="ada")

    def start(self) -> None:
        """As after `kill -9`: only the store is left."""
        self.book = RuleBook(self.store, lambda: self.now, self.folder)
        self.service = Service(self.store, at_the_start(self.book), lambda: self.now, Inbox(), Feed())
        Watcher(self.book, lambda configuration: _apply(self.service, configuration))

    def stand(self, zone: str, seconds: int) -> None:
        site = self.folder.sites[0]
        gateway = next(a.id for a in site.anchors if a.kind == "gateway" and a.zone == zone)
        beacon = next(d.id for d in self.folder.people.devices if d.shopper == "ada" and d.kind == "ibeacon")
        for _ in range(seconds):
            self.now += 1
            row = wire.Row(beacon, round(self.now * 1000) - 200, -50.0, 3)
            said = wire.SightingsMessage(f"boot-{gateway}", round(self.now), "synced", [row])
            self.service.turn([Inbound(wire.gateway_topic(site.id, gateway, "sightings"), wire.encode(said), self.now)])

    def tell(self, name: str) -> None:
        self.now += 1
        said = json.dumps([{"shopper": "ada", "name": name, "id": f"{name}-{self.now}"}]).encode()
        self.service.turn([Inbound(wire.events_topic("demo-store"), said, self.now)])

    def outcomes(self, name: str) -> list[str]:
        found = history.decisions(self.store, rule=name, limit=1000)
        return [one.reason or "sent" for one in reversed(found)]


@pytest.fixture
def house(tmp_path: Path, folder: Configuration) -> Iterator[Any]:
    made: list[House] = []

    def make(*rules: str) -> House:
        made.append(House(tmp_path, folder, *rules))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


BASKET = rule("basket", "{event: {name: basket_add}}")
LIMITED = rule("basket", "{event: {name: basket_add}}", "    limits: [{scope: rule, max: 1, every: 24h}]\n")
LINGER = rule("linger", "{dwell: {zone: coffee-aisle, for: 10s}}")
PAIR = rule("pair", "{sequence: {within: 1h, steps: [{event: {name: qr_scanned}}, {event: {name: purchase}}]}}")


def test_a_paused_rule_says_who_paused_it(house: Any) -> None:
    shop = house(BASKET)
    shop.tell("basket_add")
    shop.book.pause("basket", by="ben")
    shop.tell("basket_add")
    shop.start()  # and stays paused after a restart
    shop.tell("basket_add")
    shop.book.resume("basket", by="cem")
    shop.tell("basket_add")
    assert shop.outcomes("basket") == ["sent", "not_live", "not_live", "sent"]
    one = history.decisions(shop.store, reason="not_live")[0]
    assert one.detail.startswith("paused by ben at 2025-11-26 12:04:0")
    with pytest.raises(RefusedError, match="rule basket is not paused"):
        shop.book.resume("basket", by="cem")
    with pytest.raises(UnknownError, match="there is no rule nobody in force"):
        shop.book.pause("nobody", by="cem")


def test_a_dwell_that_has_begun_goes_on_through_a_publish(house: Any) -> None:
    shop = house(LINGER)
    shop.stand("coffee-aisle", 6)
    shop.book.publish(texts(LINGER, BASKET), author="ada")
    shop.stand("coffee-aisle", 8)
    assert shop.outcomes("linger") == ["sent"]
    (dwell,) = [one for one in history.transitions(shop.store) if one.kind == "dwell"]
    assert dwell.at - dwell.started == pytest.approx(10.0)


def test_a_sequence_that_has_begun_goes_on_through_a_pause_and_a_publish(house: Any) -> None:
    shop = house(PAIR, BASKET)
    shop.tell("qr_scanned")
    shop.book.pause("basket", by="ada")
    shop.book.publish(texts(PAIR, DOOR), author="ada")
    shop.tell("purchase")
    assert shop.outcomes("pair") == ["sent"]


def test_a_rule_that_is_paused_goes_on_remembering(house: Any) -> None:
    shop = house(PAIR)
    shop.book.pause("pair", by="ada")
    shop.tell("qr_scanned")
    shop.book.resume("pair", by="ada")
    shop.tell("purchase")
    assert shop.outcomes("pair") == ["sent"]


def test_limits_count_what_an_earlier_version_sent(house: Any) -> None:
    shop = house(LIMITED)
    shop.tell("basket_add")
    shop.book.publish(texts(LIMITED, DOOR), author="ben")
    shop.tell("basket_add")
    shop.book.roll_back("previous", by="ben")
    shop.tell("basket_add")
    assert shop.outcomes("basket") == ["sent", "limit_reached", "limit_reached"]


def test_a_pinned_version_that_does_not_fit_is_told_at_the_start(house: Any, folder: Configuration) -> None:
    shop = house(DOOR)
    site = replace(folder.sites[0], zones=())
    from proximity.configuration import catalog_of
    from rules.load import load_rules

    empty = load_rules({}, catalog_of([site], folder.ruleset.catalog.attributes)).ruleset
    assert empty is not None
    other = Configuration(folder.folder, (site,), folder.people, empty)
    with pytest.raises(ProximityError, match=r"do not fit the folder .*:\n.*error\[E201\](.|\n)*rules follow"):
        at_the_start(RuleBook(shop.store, lambda: NOW, other))


# -- the API ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[ApiServer, ApiHouse]]:
    house = ApiHouse(tmp_path)
    made = ApiServer(create_app(house.context), port=0)
    made.start()
    yield made, house
    made.stop()
    house.close()


def run(*words: object) -> Result:
    return CliRunner().invoke(commands, [str(word) for word in words])


def test_the_commands_through_the_api(server: tuple[ApiServer, ApiHouse], tmp_path: Path) -> None:
    api, house = server
    there = ["--url", api.url, "--token", TOKEN, "--author", "ada"]
    rules = tmp_path / "drafts"
    rules.mkdir()
    (rules / "shop.rules.yaml").write_text(RULES.replace("60s", "90s"))
    told = run("publish", rules, *there, "--note", "longer")
    assert told.exit_code == 0, told
    current = rulesets.standing(house.store).version or ""
    assert told.stdout.startswith(f"version {current[:8]} is in force")
    assert rulesets.files(house.store, current) == {"rules/shop.rules.yaml": RULES.replace("60s", "90s")}
    assert run("pause", "welcome", *there).stdout == "rule welcome is paused\n"
    listed = run("versions", *there[:4]).stdout
    for words in ("live", "longer", "paused: welcome, by ada", "pinned", "is pinned until `proximity rules follow`"):
        assert words in listed
    seen = json.loads(run("versions", *there[:4], "--json").stdout)
    assert [(one["action"], one["rule"]) for one in seen["changes"][:2]] == [("pause", "welcome"), ("publish", None)]
    assert run("resume", "welcome", *there).stdout == "rule welcome goes on\n"
    assert "is in force again" in run("rollback", "previous", *there).stdout
    assert run("follow", *there).stdout == "the configuration folder's rules are in force\n"

    (rules / "shop.rules.yaml").write_text(RULES.replace("entrance", "entrence"))
    mistakes: list[tuple[list[object], str]] = [
        (["publish", rules, *there], "no store has a zone `entrence` (did you mean `entrance`?)"),
        (["approve", current, *there], "does not wait for approval"),
        (["pause", "nobody", *there], "there is no rule nobody in force"),
        (["rollback", "zzz", *there], "there is no version `zzz`"),
        (["versions", "--url", api.url, "--token", "wrong"], "give it with --token"),
        (["versions", "--url", "http://127.0.0.1:9", "--token", "x"], "http://127.0.0.1:9 does not answer"),
        (["versions", "--url", api.url, "--data", tmp_path], "the service wants the operator's token"),
        (["publish", tmp_path / "nowhere", *there], "no such folder"),
    ]  # fmt: skip
    for wrong, message in mistakes:
        problem = run(*wrong).exception
        assert isinstance(problem, ProximityError), wrong
        assert message in str(problem)


def test_the_commands_on_a_database(tmp_path: Path) -> None:
    shop, data = tmp_path / "shop", tmp_path / "data"
    shutil.copytree(example_config(), shop, ignore=shutil.ignore_patterns("examples", "systemd"))
    here = ["--data", data, "--config", shop, "--author", "ada"]
    problem = run("publish", shop, *here).exception
    assert "no database there" in str(problem)
    store = open_store(f"sqlite:///{data / 'proximity.db'}")
    store.migrate()
    assert "is in force" in run("publish", shop, *here).stdout
    with (shop / "site.yaml").open("a") as file:
        file.write("approval: required\n")
    (shop / "rules" / "fresh.rules.yaml").unlink()
    said = run("publish", shop / "rules", "--data", data, "--author", "ada").stdout
    assert "waits for approval by somebody else: proximity rules approve" in said
    waiting = said.split()[1]
    assert "a second person has to approve" in str(run("approve", waiting, *here).exception)
    # A mistake in the folder is no reason why an earlier version could not be put in force.
    (shop / "rules" / "shop.rules.yaml").write_text("rules: nonsense")
    approved = run("approve", waiting, *here[:4], "--author", "ben")
    assert approved.stdout == f"version {waiting} by ada is in force\n"
    assert "approval is required" in run("versions", *here[:4]).stdout
    assert [one.action for one in rulesets.changes(store)] == ["approve", "submit", "publish"]
    store.close()


# -- explain ------------------------------------------------------------------------------------------------------


def test_explain_shows_the_lines_that_were_in_force(house: Any, tmp_path: Path) -> None:
    where = "    where:\n      all:\n        - shopper.visits_30d >= 99\n"
    shop = house(rule("basket", "{event: {name: basket_add}}", where), LINGER)
    shop.tell("basket_add")
    at = "2025-11-26T12:04"
    shop.now += 3600
    shop.book.publish(texts("\n\n", BASKET), author="ben")  # other lines by now
    here = ["--database", f"sqlite:///{tmp_path / 'p.db'}", "--config", example_config()]
    lines = run("explain", "ada", "--at", at, *here).stdout.splitlines()
    (no,) = [number for number, line in enumerate(lines) if line.startswith("  NO   conditions")]
    assert lines[no].endswith("[rules/a.rules.yaml:6]")
    assert lines[no + 1].strip() == "6 | - shopper.visits_30d >= 99"
    assert lines[no + 2].strip() == "|   ^^^^^^^^^^^^^^^^^^^^^^^^"
    assert lines[no + 2].index("^") == lines[no + 1].index("shopper")
    assert lines[no + 3].strip().startswith("shopper.visits_30d = ")
    assert "  yes  trigger     event basket_add  [rules/a.rules.yaml:3]" in lines
    last = lines.index("not considered for ada, for no trigger matched:")
    assert lines[last + 1 :] == [
        "  linger  waits for dwell 10s in coffee-aisle  [rules/a.rules.yaml:8]",
        "ada was seen to come and go nowhere then",
    ]
    alone = run("explain", "ada", "--at", at, "--rule", "linger", *here).stdout.splitlines()
    assert alone == lines[last:]
    problem = run("explain", "ada", "--at", at, "--rule", "nobody", *here).exception
    assert str(problem).startswith("there was no rule `nobody` in force then; version ")
