"""A service reduced to store and outbox, to be killed: `python -m tests.crash_child URL LEDGER LAST`.

It goes on where the store's journal ends, commits one story after another up to number LAST, says "<number>" on
standard output when a commit has returned, and writes every hand-over to LEDGER before it returns to the worker.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from proximity.delivery.worker import OutboxWorker
from proximity.model import Offer, Shopper
from proximity.store import outbox, people
from proximity.store.checkpoints import Entry, load_journal
from proximity.store.commit import commit
from proximity.store.database import Store, open_store
from proximity.store.outbox import Delivery
from tests.store_house import NOW, story


class Ledger:
    """A channel whose receiver never forgets: one line per hand-over."""

    name = "mqtt"
    parallel = 2

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def send(self, delivery: Delivery, offer: Offer) -> None:
        os.write(self._file, f"{offer.id}\n".encode())

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        raise AssertionError("nobody leaves in this story")

    def close(self) -> None:
        os.close(self._file)


class Everywhere:
    """Ada is wherever she should be."""

    def zones_of(self, shoppers: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        return {shopper: {("lyon", "coffee")} for shopper in shoppers}


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    store.migrate()
    people.put_shopper(store, Shopper("ada", consents={"in-store-offers": True}), at=NOW)
    yield store
    store.close()


def main(url: str, ledger: str, last: int) -> None:
    with opened(url) as store:
        worker = OutboxWorker(store, [Ledger(ledger)], Everywhere(), lambda: NOW + last + 1)
        worker.start()
        # One step back: what was committed and not yet acknowledged is processed again.
        first = max(sum(1 for _ in load_journal(store, 0)) - 1, 0)
        for number in range(first, last):
            told = story(started=NOW + number, channels=("mqtt",), expires=NOW + 1e9)
            commit(store, dataclasses.replace(told, entry=Entry(number + 1, b"story %d" % number)))
            worker.wake()
            print(number, flush=True)  # noqa: T201 - the acknowledgement
        while outbox.counts(store)["queued"]:
            time.sleep(0.01)
        worker.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
