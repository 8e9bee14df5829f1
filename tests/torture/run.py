"""Kills at random moments: `python -m tests.torture.run --kills 200 --seed 7` (or `make torture`)."""

import argparse
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from proximity.broker import free_port
from proximity.configuration import load_configuration
from proximity.examples import example_config
from tests.torture.house import Served, wait
from tests.torture.ledger import check
from tests.torture.load import Load

VICTIMS = ("service", "service", "broker", "both")
SOON = 1.5  # s; longest life after a start that came through
EARLY = 0.2  # of the kills come while the service is still starting


def torture(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Serve, load, kill, and check the books. AssertionError names the seed and what is broken."""
    random = Random(seed)
    config = prepared(folder / "config")
    configuration = load_configuration(config)
    served = Served(config, folder / "data", free_port())
    served.prepare()
    load = Load(configuration, served.port, seed)
    try:
        served.start()
        served.wait_ready()
        load.start()
        for _ in range(kills):
            if random.random() > EARLY:
                served.wait_ready()
            time.sleep(random.uniform(0.05, SOON))
            served.kill(random.choice(VICTIMS))
        served.wait_ready()
        load.stop()
        wait(load.drained, "that everything sent is covered")
        status = served.stop()
        assert status == 0, f"the service ended with {status}"
        return check(served.database, configuration, load, kills)
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


def prepared(folder: Path) -> Path:
    """The example's shop and people, with rules of our own."""
    shutil.copytree(example_config(), folder, ignore=shutil.ignore_patterns("rules", "examples"))
    (folder / "rules").mkdir()
    shutil.copy(Path(__file__).with_name("torture.rules.yaml"), folder / "rules")
    return folder


def main() -> None:
    """The large run, by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.kills} kills", flush=True)  # noqa: T201 - a command line prints
    folder = Path(tempfile.mkdtemp(prefix="proximity-torture-"))
    began = time.monotonic()
    try:
        figures = torture(folder, given.kills, given.seed)
    except AssertionError:
        print(f"the data and the logs are kept in {folder}")  # noqa: T201
        raise
    shutil.rmtree(folder)
    for name, number in figures.items():
        print(f"{name:16} {number}")  # noqa: T201
    print(f"nothing lost, nothing repeated, no limit passed; {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
