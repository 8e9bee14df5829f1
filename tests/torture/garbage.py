"""A flood of messages that are none, and good ones among them: `python -m tests.torture.garbage --messages 1000000`
(or `make torture-garbage`)."""

import argparse
import json
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random

import httpx

from proximity import wire
from proximity.bench.sender import Publisher
from proximity.broker import free_port
from tests.torture.house import Served, wait
from tests.torture.run import prepared, say

TOPICS = (
    "proximity/v1/demo-store/coffee-1/sightings",
    "proximity/v1/{}/{}/sightings",
    "proximity/v1/demo-store/coffee-1/{}",
    "proximity/v1/demo-store/coffee-1/fixes",
    "owntracks/{}/{}",
    "{}/{}",
)
DRAINED = 900.0  # s for what the broker has kept meanwhile
BURST = 200  # garbage for each good message
GATEWAY = "bakery-1"  # sends the good ones
REASONS = ("json", "shape", "topic")  # that garbage is refused for
TAG = "ibeacon:7c0b0b52-3f0e-4a54-9b5f-2f1c6a7d8e90:1:1"


@dataclass(frozen=True, slots=True)
class Flooded:
    """What came of it. Memory in bytes."""

    garbage: int
    good: int
    taken: int  # of the good ones, as the database counts them
    refused: int  # as the service counts them; topics of nobody stay with the broker
    seconds: float
    service_before: int
    service_peak: int
    service_after: int
    broker_before: int
    broker_peak: int
    broker_after: int


def noise(seed: int) -> Iterator[tuple[str, bytes]]:
    """Topic and payload, without end: random bytes, messages cut off and gone on with noise, deep nests, wrong shapes,
    nothing at all; under topics of ours, of nobody, and of gateways that never were."""
    random = Random(seed)
    good = wire.encode(wire.SightingsMessage("b", 1, "synced", [wire.Row(TAG, 1764155040000, -50.0)]))
    while True:
        name = f"x{random.getrandbits(64):x}"
        junk = random.randbytes(random.randrange(200))
        at = random.randrange(len(good))
        payload = random.choice((junk, good[:at], good[:at] + junk, b"[" * 5000, b'{"rows":null}', b""))
        yield random.choice(TOPICS).format(name, name), payload


def flood(folder: Path, messages: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Flooded:
    """Through a real broker into a real service. AssertionError when it ends, or does not take what is good."""
    served = Served(prepared(folder / "config"), folder / "data", free_port())
    served.prepare()
    try:
        served.start()
        served.wait_ready()
        publisher = Publisher("127.0.0.1", served.port, "flood")
        broker = served.broker_pid()
        assert served.process is not None
        assert broker is not None
        service = served.process.pid
        publisher.publish([good(number) for number in range(1, 11)])  # it is warm then
        wait(all_taken(served.database, 10), "that the first are taken")
        before, peak, began, number = (memory(service), memory(broker)), [0, 0], time.monotonic(), 10
        source = noise(seed)
        for sent in range(0, messages, BURST):
            burst = [(topic.encode(), payload) for topic, payload in islice(source, min(BURST, messages - sent))]
            number += 1
            publisher.publish([*burst, good(number)])
            peak = [max(peak[0], memory(service)), max(peak[1], memory(broker))]
            if sent % 50_000 == 0:
                tell(f"{sent:,} sent, service {peak[0] / 1e6:.0f} MB, broker {peak[1] / 1e6:.0f} MB")
        publisher.finish()
        wait(all_taken(served.database, number), f"that all {number} good messages are taken", DRAINED)
        seconds = time.monotonic() - began
        while not entered(served.database):  # it is as lively as before: who is heard well is where he is heard
            number += 1
            publisher.publish([good(number)])
            publisher.finish()
            wait(all_taken(served.database, number), "that presence goes on")
        publisher.close()
        metrics = httpx.get(f"{served.pages()}/metrics").text
        after = (memory(service), memory(broker))
        assert served.stop() == 0
    finally:
        if served.process is not None and served.process.poll() is None:
            served.process.kill()
            served.process.wait()
    return Flooded(
        garbage=messages,
        good=number,
        taken=taken(served.database),
        refused=refused(metrics),
        seconds=seconds,
        service_before=before[0],
        service_peak=peak[0],
        service_after=after[0],
        broker_before=before[1],
        broker_peak=peak[1],
        broker_after=after[1],
    )


def good(number: int) -> tuple[bytes, bytes]:
    """A second of a gateway that hears Ada's tag well."""
    rows = [wire.Row(TAG, round(time.time() * 1000), -50.0, 3)]
    message = wire.SightingsMessage("good", number, "synced", rows)
    return wire.gateway_topic("demo-store", GATEWAY, "sightings").encode(), wire.encode(message)


def taken(database: Path) -> int:
    """Good messages that the database counts without a gap."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT seq, messages, ahead FROM offsets WHERE boot = 'good'").fetchall()
    return next((messages for seq, messages, ahead in rows if (seq, ahead) == (messages, "")), 0)


def all_taken(database: Path, number: int) -> Callable[[], bool]:
    """Whether it is so many by now."""
    return lambda: taken(database) == number


def entered(database: Path) -> bool:
    """Whether presence has seen what the good messages say."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM transitions WHERE kind = 'enter' AND zone = 'bakery' AND shopper = 'ada'"
        return bool(connection.execute(query).fetchone()[0])


def refused(metrics: str) -> int:
    """Messages that were refused, by the service's own count."""
    counted = re.findall(r'^proximity_observations_total{source="\w+",what="(\w+)"} (\S+)$', metrics, re.MULTILINE)
    return round(sum(float(number) for what, number in counted if what in REASONS))


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """By hand: progress, and one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="proximity-garbage-"))
    try:
        found = flood(folder, given.messages, given.seed, say)
    except AssertionError as error:
        say(f"the data and the logs are kept in {folder}")
        say(json.dumps({"verdict": "broken", "violations": [str(error)]}))
        return 1
    shutil.rmtree(folder)
    say(json.dumps({"verdict": "held", **asdict(found)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
