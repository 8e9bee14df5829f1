"""A whole service under load, in a process of its own, with everything on: broker, store, rules, outbox, pages.

`python -m proximity.bench.house` reads a `Plan` as JSON from its first line, prints an `Opened`, then answers each
further line with `Counts`, until its input ends. Who will be heard is put into the store by a process before it
(`python -m proximity.bench.house settle`): most of those whom a service knows were told to an earlier run of it, and
what telling takes would stay in the memory that is measured.
"""

import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from proximity.bench.geofence import CENTRE, circles
from proximity.bench.memory import resident
from proximity.configuration import Configuration, catalog_of
from proximity.ingest.mqtt import BrokerAddress
from proximity.logs import set_up_logs
from proximity.runtime import Running, running
from proximity.settings import Settings, read_settings
from proximity.simulate.load import load_device, sites_for_load
from proximity.site.load import People
from proximity.site.model import Site
from proximity.store import offers, outbox, tables
from proximity.store.database import Store, open_store
from proximity.store.offers import HandOver
from rules.attributes import Attributes
from rules.load import load_rules
from rules.ruleset import RuleSet

DWELL = 5  # s
RULES = """
version: 1
rules:
  - id: stay-a-while
    when: {{dwell: {{zone: [{zones}], for: {dwell}s}}}}
    say: {{en: {{title: "Hello", body: "Good to see you at {{{{ zone.name }}}}"}}}}
    deliver: {{expires: 1m, on_exit: keep}}
"""
ONE_A_DAY = "    limits: [{scope: all, max: 1, every: 1d}]\n"


class Plan(msgspec.Struct):
    """What kind of chain."""

    data: str  # folder
    gateways: int = 0
    devices: int = 0  # beacons carried by as many shoppers who agreed
    phones: int = 0
    fences: bool = False  # 23,000 circles
    one_a_day: bool = False  # at most one offer a shopper; else one at every stop


class Opened(msgspec.Struct):
    """Where it is."""

    host: str
    port: int


class Counts(msgspec.Struct):
    """What has been committed so far, and what it took."""

    sightings: int
    fixes: int
    transitions: int
    waiting: int  # messages in the inbox
    cpu: float  # s
    memory: int  # bytes now
    peak: int
    unsent: float  # s for which the longest due delivery has waited in the outbox
    handed: list[HandOver]  # of offers made after `since`


def open_house(plan: Plan) -> None:
    """Serve until the input ends."""
    data = Path(plan.data)
    settle = [sys.executable, "-m", "proximity.bench.house", "settle"]
    subprocess.run(settle, input=msgspec.json.encode(plan) + b"\n", check=True)  # noqa: S603 - ourselves
    settings, folder = _settings(data), data / "config"
    sites: tuple[Site, ...] = sites_for_load(plan.gateways)
    if plan.fences:
        sites += (Site("outdoors", "Outdoors", "UTC", lat=CENTRE[0], lon=CENTRE[1], zones=circles()),)
    with running(settings, Configuration(folder, sites, People(), rules_for(sites, plan.one_a_day))) as service:
        address = BrokerAddress.parse(service.broker_url)
        _say(Opened(address.host, address.port))
        for line in sys.stdin:
            _say(_counts(service, float(line)))


def _settings(data: Path) -> Settings:
    return read_settings(config=data / "config", data=data, mqtt_port=0, http_port=0)


def _settle(plan: Plan) -> None:
    """Make the folder of the configuration and the store, with everybody in it."""
    data = Path(plan.data)
    (data / "config").mkdir(parents=True, exist_ok=True)
    store = open_store(_settings(data).database_url)
    store.migrate()
    settle_in(store, plan)
    store.close()


def rules_for(sites: tuple[Site, ...], one_a_day: bool = False) -> RuleSet:
    """One rule for every zone that a gateway stands in."""
    zones = sorted({zone.id for site in sites if site.anchors for zone in site.zones})
    if not zones:
        return _loaded("version: 1\nrules: []\n", sites)
    text = RULES.format(zones=", ".join(zones), dwell=DWELL)
    return _loaded(text + ONE_A_DAY if one_a_day else text, sites)


def _loaded(text: str, sites: tuple[Site, ...]) -> RuleSet:
    loaded = load_rules({"bench.rules.yaml": text}, catalog_of(sites, Attributes()))
    assert loaded.ruleset is not None, loaded.errors[0].render()
    return loaded.ruleset


def settle_in(store: Store, plan: Plan) -> None:
    """Everybody who will be heard, in three statements."""
    now = time.time()
    names = [f"load-{i}" for i in range(max(plan.devices, plan.phones))]
    blank: dict[str, Any] = {"name": None, "languages": ["en"], "timezone": None, "attributes": {}, "created": now}
    carried = [(load_device(i), name, "ibeacon") for i, name in enumerate(names[: plan.devices])]
    carried += [(f"app:{name}", name, "app") for name in names[: plan.devices]]
    carried += [(f"owntracks:load/{i}", name, "owntracks") for i, name in enumerate(names[: plan.phones])]
    said = {"purpose": "in-store-offers", "granted": True, "at": now, "source": "file"}
    with store.begin() as connection:
        connection.execute(sa.insert(tables.shoppers), [{"id": n, "token_hash": n, **blank} for n in names])
        connection.execute(sa.insert(tables.consents), [{"shopper": n, **said} for n in names])
        rows = [{"id": device, "shopper": n, "kind": kind} for device, n, kind in carried]
        connection.execute(sa.insert(tables.devices), rows)


def _counts(service: Running, since: float) -> Counts:
    vitals, usage = service.service.vitals, resource.getrusage(resource.RUSAGE_SELF)
    return Counts(
        sightings=vitals.taken("sightings"),
        fixes=vitals.taken("fixes"),
        transitions=sum(vitals.transitions.values()),
        waiting=len(service.service.inbox),
        cpu=usage.ru_utime + usage.ru_stime,
        memory=resident(),
        peak=usage.ru_maxrss * 1024,
        unsent=max(time.time() - (outbox.next_due(service.store) or math.inf), 0.0),
        handed=offers.hand_overs(service.store, since) if since else [],
    )


def _say(words: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    set_up_logs(quiet=True)
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    if sys.argv[1:] == ["settle"]:
        _settle(plan)
    else:
        open_house(plan)
