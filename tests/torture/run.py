"""Kills at random moments: `python -m tests.torture.run --kills 200 --seed 7` (or `make torture KILLS=200 SEED=7`)."""

import argparse
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from proximity.broker import free_port
from proximity.configuration import load_configuration
from proximity.examples import example_config
from tests.torture.house import Served, wait
from tests.torture.ledger import audit, undisturbed
from tests.torture.load import Load
from tests.torture.promises import read_promises
from tests.torture.till import TillThread
from tests.torture.violation import Violation

VICTIMS = ("service", "service", "broker", "both")
SOON = 1.5  # s; longest life after a start that came through
EARLY = 0.2  # of the kills come while the service is still starting
CROWD = 20  # shoppers beside those of the example
RULES = Path(__file__).with_name("torture.rules.yaml")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one run."""

    seed: int
    kills: dict[str, int]  # by victim
    seconds: float
    seconds_a_kill: float
    violations: tuple[Violation, ...]
    figures: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """One line's worth."""
        return {
            "verdict": "broken" if self.violations else "held",
            "violations": [str(one) for one in self.violations],
            "seed": self.seed,
            "kills": sum(self.kills.values()),
            "victims": self.kills,
            "seconds": round(self.seconds, 1),
            "seconds a kill": round(self.seconds_a_kill, 2),
            **self.figures,
        }


def torture(folder: Path, kills: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Verdict:
    """Serve, load, kill, and check the books. AssertionError, with the seed, when it does not come up or come to an
    end; what the ledger finds is in the verdict."""
    began = time.monotonic()
    random = Random(seed)
    config = prepared(folder / "config")
    configuration = load_configuration(config)
    served = Served(config, folder / "data", free_port())
    served.prepare()
    load = Load(configuration, served.port, seed)
    till = TillThread(load, served.pages, configuration.sites[0].id, seed)
    try:
        served.start()
        served.wait_ready()
        load.start()
        till.start()
        killed, spent = kill(served, kills, random, lambda line: tell(f"{line}; {load.progress()}"))
        served.wait_ready()
        load.stop()
        till.stop()
        wait(load.drained, "that everything sent is covered")
        status = served.stop()
        assert status == 0, f"the service ended with {status}"
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    finally:
        load.close()
        if served.process is not None and served.process.poll() is None:
            served.process.kill()
            served.process.wait()
        pid = served.broker_pid()
        if pid is not None:
            served.kill("broker")
    tell(f"all is covered; reading the books of {len(load.rows):,} rows")
    record = load.record(till.redeemed, kills)
    found = audit(served.database, read_promises(RULES), record, lambda book: undisturbed(book, configuration))
    return Verdict(seed, killed, time.monotonic() - began, spent / max(kills, 1), found.violations, found.figures)


def kill(served: Served, kills: int, random: Random, tell: Callable[[str], None]) -> tuple[dict[str, int], float]:
    """Victims by kind, and the seconds it took."""
    killed = dict.fromkeys(VICTIMS, 0)
    began = time.monotonic()
    for number in range(1, kills + 1):
        if random.random() > EARLY:
            served.wait_ready()
        time.sleep(random.uniform(0.05, SOON))
        victim = random.choice(VICTIMS)
        served.kill(victim)
        killed[victim] += 1
        if number % 10 == 0 or number == kills:
            spent = time.monotonic() - began
            tell(f"kill {number} of {kills}, {spent / number:.1f} s each, {spent * (kills / number - 1):.0f} s to go")
    return killed, time.monotonic() - began


def prepared(folder: Path) -> Path:
    """The example's shop and people and a crowd more, with rules of our own."""
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("rules", "examples"))
    (folder / "rules").mkdir()
    shutil.copy(RULES, folder / "rules")
    names = [f"guest-{number}" for number in range(CROWD)]
    shoppers, beacons = (
        yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in ("shoppers.yaml", "beacons.yaml")
    )
    guest = {"languages": ["en"], "consents": {"in-store-offers": True}}
    shoppers["shoppers"] += [
        {"id": name, **guest, "devices": [{"owntracks": {"user": name, "device": "phone", "password": f"of-{name}"}}]}
        for name in names
    ]
    beacons["tags"] += [
        {"shopper": name, "ibeacon": {"major": 1, "minor": 1000 + number}} for number, name in enumerate(names)
    ]
    for name, content in (("shoppers.yaml", shoppers), ("beacons.yaml", beacons)):
        (folder / name).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return folder


def main() -> int:
    """The large run, by hand: progress while it goes on, and one JSON line at the end. 1 when something is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = parser.parse_args()
    say(f"seed {given.seed}, {given.kills} kills")
    folder = Path(tempfile.mkdtemp(prefix="proximity-torture-"))
    try:
        verdict = torture(folder, given.kills, given.seed, say)
    except AssertionError as error:
        say(f"the data and the logs are kept in {folder}")
        say(json.dumps({"verdict": "broken", "violations": [str(error)], "seed": given.seed}))
        return 1
    if verdict.violations:
        say(f"the data and the logs are kept in {folder}")
    else:
        shutil.rmtree(folder)
    say(json.dumps(verdict.as_json()))
    return 1 if verdict.violations else 0


def say(line: str) -> None:
    """To who watches."""
    print(line, flush=True)  # noqa: T201 - a command line prints


if __name__ == "__main__":
    sys.exit(main())
