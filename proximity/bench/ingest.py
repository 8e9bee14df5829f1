"""From MQTT to committed state, with the embedded broker and everything on; beside it the broker and our reader alone
with the same bytes, and the decoder alone."""

import time
from contextlib import ExitStack
from itertools import islice

import msgspec

from proximity.bench.geofence import CENTRE, circles_side
from proximity.bench.house import Plan
from proximity.bench.processes import LOOK, House, house, rate, scratch, sending, until
from proximity.bench.report import Report, Row
from proximity.bench.sender import Load, gateway_messages
from proximity.ingest.decode import Decoder
from proximity.ingest.inbound import Inbound, Inbox
from proximity.ingest.link import broker_link
from proximity.ingest.mqtt import BrokerAddress
from proximity.ingest.offsets import Offsets
from proximity.settings import read_settings

ROWS = 100  # of a gateway's message
HEARD = 3  # rows a device and second, about
# Rows that may wait for the service: half a second of what it takes. More would wait until they are late, and late rows
# go to history one by one, which is not what is measured here.
AHEAD = 60_000
ENTER = 12  # messages of each gateway until everybody has entered and stayed for long enough


def ingest(gateways: int, phones: int, messages: int, fixes: int) -> Report:
    """`messages` of gateways, then `fixes` of phones as one message each."""
    load = Load("", 0, "gateways", gateways * ROWS // HEARD, messages, gateways)
    rows, decoded = _decoder_alone(load)
    alone = _broker_alone(load) * rows
    about = f"broker and reader alone with the same bytes; the decoder alone made {decoded:,.0f} sightings a second"
    found = []
    for what, one_a_day in ((f"sightings, {rows:.0f} a message", True), ("… an offer at every stop", False)):
        plan = Plan("", gateways=gateways, devices=load.devices, one_a_day=one_a_day)
        committed, note = _committed(load, plan, "sightings")
        found.append(Row(what, committed, "a second", alone, about, note))
    phone = Load("", 0, "phones", phones, fixes, side=circles_side(), centre=CENTRE)
    alone = _broker_alone(phone)
    committed, note = _committed(phone, Plan("", phones=phones, fences=True), "fixes")
    about = "broker and reader alone with the same bytes"
    found.append(Row("phone fixes, one a message", committed, "a second", alone, about, note))
    settings = {"gateways": gateways, "phones": phones, "messages": messages, "fixes": fixes}
    return Report(
        "ingest", "MQTT to committed state, embedded broker, the load from a process beside it", found, settings
    )


def _committed(load: Load, plan: Plan, what: str) -> tuple[float, str]:
    """Rows a second, and what it took."""
    with scratch() as folder:
        plan.data = str(folder)
        with house(plan) as service:
            load.host, load.port = service.opened.host, service.opened.port
            load.ahead = AHEAD
            if what == "sightings":
                _enter(load, service)
            before = service.counts()
            had = getattr(before, what)
            with sending(load) as sender:
                seen = until(lambda: sender.taken(getattr(service.counts(), what) - had), sender.rows)
                sent = sender.sent()
            after = service.counts()
        told = (
            f"{what}: {sent.messages:,} messages of {sent.bytes / sent.messages:,.0f} bytes, "
            f"{after.transitions - before.transitions:,} transitions; "
            f"service: {after.cpu - before.cpu:.1f} s of a core, {after.memory / 1e6:,.0f} MB, "
            f"peak {after.peak / 1e6:,.0f} MB"
        )
        return rate(seen), told


def _enter(load: Load, service: House) -> None:
    """Everybody is heard for some seconds, enters at once, and gets a first offer at once, as in no shop: that is done
    before the measurement, up to the last of those offers."""
    first = msgspec.structs.replace(load, messages=ENTER * load.gateways, boot="enter")
    with sending(first) as sender:
        until(lambda: sender.taken(service.counts().sightings), sender.rows)
    while service.counts().unsent:
        time.sleep(LOOK)


def _broker_alone(load: Load) -> float:
    """Messages a second through broker and reader, thrown away at once."""
    with scratch() as folder, ExitStack() as stack:
        (folder / "config").mkdir()
        inbox = Inbox()
        settings = read_settings(config=folder / "config", data=folder, mqtt_port=0, http_port=0)
        url, link = broker_link(settings, inbox, time.time, stack)
        link.start()
        stack.callback(link.stop)
        address = BrokerAddress.parse(url)
        load.host, load.port = address.host, address.port
        taken, began = 0, time.perf_counter()
        seen = [(0.0, 0)]
        with sending(load):
            while taken < load.messages:
                some = inbox.take(0.5).messages
                for message in some:
                    message.done(None)
                taken += len(some)
                seen.append((time.perf_counter() - began, taken))
        return rate(seen)


def _decoder_alone(load: Load) -> tuple[float, float]:
    """Rows of a message, and rows a second."""
    some = list(islice(gateway_messages(load), min(load.gateways, 500)))
    rows = sum(count for _, _, count in some)
    now = time.time()
    inbound = [Inbound(topic.decode(), payload, now) for topic, payload, _ in some]
    decoder = Decoder(Offsets({}), lambda _device: None)
    began = time.perf_counter()
    read = decoder.read(inbound)
    spent = time.perf_counter() - began
    assert read.refused.count(None) == len(inbound)
    return rows / len(some), rows / spent
