"""What it costs the stream when somebody registers, withdraws or is erased, while everybody else is in the shops."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from proximity.bench.house import Plan, rules_for, settle_in
from proximity.bench.report import Report, Row
from proximity.configuration import Configuration
from proximity.feed import Feed
from proximity.ingest.inbound import Inbound, Inbox
from proximity.model import Device, Shopper
from proximity.service import Service
from proximity.simulate.load import LOAD_UUID, sites_for_load, wire_batches
from proximity.site.load import People
from proximity.store import people
from proximity.store.database import open_store

PER_GATEWAY = 100  # devices
SECONDS = 6  # until everybody is in a zone
LOOK = 0.0005  # s between looks whether the pipeline could go on
PURPOSE = "in-store-offers"
PAUSE = "how long the pipeline had to wait at the longest"


def people_come_and_go(sizes: tuple[int, ...], times: int = 5) -> Report:
    """For each number of shoppers."""
    rows = [row for size in sizes for row in _rows(size, times)]
    return Report("people", "somebody registers, withdraws, is erased", rows, {"sizes": list(sizes), "times": times})


def _rows(size: int, times: int) -> Iterator[Row]:
    with _full_house(size) as service:
        store = service.store

        def register(number: int) -> None:
            people.put_shopper(store, Shopper(f"new-{number}", consents={PURPOSE: True}))
            people.put_device(store, Device(f"ibeacon:{LOAD_UUID}:65535:{number}", f"new-{number}", "ibeacon"))
            service.shopper_changed(f"new-{number}")

        def withdraw(number: int) -> None:
            people.set_consent(store, f"load-{number}", PURPOSE, False, time.time(), "api")
            service.shopper_changed(f"load-{number}")

        def erase(number: int) -> None:
            service.erase(f"load-{times + number}")

        for what, change in (("registers", register), ("withdraws", withdraw), ("is erased", erase)):
            spent, paused = zip(*(_timed(service, change, number) for number in range(times)), strict=True)
            note = (
                f"{what}, {size:,}, after {service.vitals.transitions['enter']:,} had entered a zone: {PAUSE}, median "
                f"of {times}; the call itself took {1000 * median(spent):.0f} ms"
            )
            yield Row(f"one of {size:,} {what}", 1000 * median(paused), "ms", note=note)


@contextmanager
def _full_house(size: int) -> Iterator[Service]:
    """A service in whose shops everybody is."""
    gateways = max(size // PER_GATEWAY, 1)
    with TemporaryDirectory(prefix="proximity-bench-") as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'p.db'}")
        store.migrate()
        settle_in(store, Plan(folder, gateways=gateways, devices=size))
        sites = sites_for_load(gateways)
        now = [float(int(time.time()))]
        configuration = Configuration(Path(folder), sites, People(), rules_for(sites))
        service = Service(store, configuration, lambda: now[0], Inbox(), Feed())
        service.start()
        for message in wire_batches(size, gateways, PER_GATEWAY, SECONDS, start=now[0]):
            sent = now[0] + 1.0
            service.inbox.put(Inbound(message.topic, message.payload, sent), 60.0)
        now[0] += SECONDS
        while len(service.inbox):
            time.sleep(0.1)
        try:
            yield service
        finally:
            service.stop()
            store.close()


def _timed(service: Service, change: Callable[[int], None], number: int) -> tuple[float, float]:
    """Seconds of the call, and for which others waited for the pipeline's lock meanwhile at the longest."""
    longest, over = 0.0, threading.Event()

    def look() -> None:
        nonlocal longest
        while not over.wait(LOOK):
            began = time.perf_counter()
            with service.lock:
                longest = max(longest, time.perf_counter() - began)

    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.perf_counter()
    change(number)
    spent = time.perf_counter() - began
    over.set()
    watcher.join()
    return spent, longest
