"""Work in Python is per batch, message, device, site and tick, and never per observation."""

import sys
from collections import Counter
from types import FrameType
from typing import Any

import msgspec
import pytest

from proximity import wire
from proximity.errors import BadMessage
from proximity.ingest.admission import Admission
from proximity.ingest.decode import Decoder
from proximity.ingest.inbound import Inbound
from proximity.ingest.offsets import Offsets
from proximity.model import Device
from proximity.presence.engine import Engine
from proximity.simulate.load import load_device, sites_for_load

START = 1_764_155_040.0
DEVICES, GATEWAYS = 200, 20


class Way:
    """Decoder, admission and engine in a row, as in a turn."""

    def __init__(self) -> None:
        sites = sites_for_load(GATEWAYS)
        devices = [Device(load_device(i), f"shopper-{i}", "ibeacon") for i in range(DEVICES)]
        self.decoder = Decoder(Offsets(), lambda _device: None)
        self.admission = Admission(sites, devices)
        self.engine = Engine(sites, now=START)
        self.seq = 0

    def second(self, number: int, rows: int, channel: str = "sightings") -> list[Inbound]:
        """One message a gateway; every device stands at its own, and `rows` is of all messages together."""
        self.seq += 1
        each = rows // DEVICES  # rows a device
        messages = []
        for gateway in range(GATEWAYS):
            told: list[Any] = []
            for device in range(gateway, DEVICES, GATEWAYS):
                for turn in range(each):
                    at = round((START + number + turn / each) * 1000)
                    if channel == "sightings":
                        told.append([load_device(device), at, -55.0 - turn % 3, 3, -59.0])
                    else:
                        told.append([load_device(device), at, 48.2, 16.37, 8.0])
            body = {"boot": f"{channel}-1", "seq": self.seq, "clock": "synced", "rows": told}
            topic = wire.gateway_topic(f"load-{gateway // 10 + 1}", f"gw-{gateway % 10 + 1}", channel)
            messages.append(Inbound(topic, msgspec.json.encode(body), START + number + 1))
        return messages

    def take(self, messages: list[Inbound], number: int) -> Counter[str]:
        read = self.decoder.read(messages)
        batch, _words, _refused = self.admission.admit(read, START + number + 1)
        step = self.engine.step(batch, START + number + 1)
        return Counter({"transitions": len(step.transitions), "rows": len(batch.sightings) + len(batch.fixes)})


def calls(way: Way, messages: list[Inbound], number: int) -> tuple[int, Counter[str]]:
    """How many functions were called, in Python and from Python, to take the messages."""
    found = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        took = way.take(messages, number)
    finally:
        sys.setprofile(before)
    return found, took


@pytest.mark.parametrize("channel", ["sightings", "fixes"])
def test_ten_times_the_observations_are_not_more_calls(channel: str) -> None:
    way = Way()
    for number in range(10):  # everybody has entered, and nothing is new
        way.take(way.second(number, DEVICES), number)
        way.take(way.second(number, 2_000, channel), number)
    # Ten rows a device are several a tick, which take their mean: so both ways lead through the same code.
    few, took_few = calls(way, way.second(10, 2_000, channel), 10)
    many, took_many = calls(way, way.second(11, 20_000, channel), 11)
    assert (took_few["rows"], took_many["rows"]) == (2_000, 20_000)
    assert took_few["transitions"] == took_many["transitions"] == 0
    assert many < 1.2 * few, f"{few} calls for 2,000 rows, {many} for 20,000"


def test_rows_that_leave_out_what_may_be_left_out_are_read_too() -> None:
    way = Way()
    rows = [[load_device(0), round(START * 1000), -60.5], [load_device(1), round(START * 1000), -61, 2]]
    body = {"boot": "b", "seq": 1, "clock": "synced", "rows": rows}
    message = Inbound("proximity/v1/load-1/gw-1/sightings", msgspec.json.encode(body), START)
    read = way.decoder.read([message])
    assert read.refused == [None]
    assert read.sightings.rssi().tolist() == [-60.5, -61.0]
    assert read.sightings.at().tolist() == [START, START]


AGES = [("synced", START - 2.0), ("unsynced", START + 98.0)]


@pytest.mark.parametrize(("clock", "at"), AGES)
@pytest.mark.parametrize("channel", ["sightings", "fixes"])
def test_times_are_of_the_gateways_clock_or_ages(channel: str, clock: str, at: float) -> None:
    way = Way()
    time = round((START - 2.0) * 1000) if clock == "synced" else 2_000
    row = [load_device(0), time, -60.5, 1, None] if channel == "sightings" else [load_device(0), time, 1.0, 2.0, None]
    body = {"boot": "b", "seq": 1, "clock": clock, "rows": [row]}
    message = Inbound(f"proximity/v1/load-1/gw-1/{channel}", msgspec.json.encode(body), START + 100.0)
    read = way.decoder.read([message])
    rows = read.sightings if channel == "sightings" else read.fixes
    assert rows.at().tolist() == [at]


@pytest.mark.parametrize("time", [2**53 + 1, -(2**60), 10**300])
def test_a_time_beyond_all_time_is_refused(time: int) -> None:
    body = f'{{"boot":"b","seq":1,"clock":"synced","rows":[["mac:aa",{time},-60.5,1,null]]}}'
    way = Way()
    read = way.decoder.read([Inbound("proximity/v1/load-1/gw-1/sightings", body.encode(), START)])
    (refused,) = read.refused
    assert isinstance(refused, BadMessage)
    assert refused.reason == "shape"


def test_strangers_are_looked_up_once_each_and_counted_by_row() -> None:
    way = Way()
    rows = [["ibeacon:00000000-0000-0000-0000-000000000000:1:1", round(START * 1000), -60.0, 1, None]] * 50
    rows += [[load_device(3).upper().replace("IBEACON", "ibeacon"), round(START * 1000), -60.0, 1, None]] * 3
    body = {"boot": "b", "seq": 1, "clock": "synced", "rows": rows}
    message = Inbound("proximity/v1/load-1/gw-1/sightings", msgspec.json.encode(body), START)
    batch, _words, counts = way.admission.admit(way.decoder.read([message]), START)
    assert counts["identity", "nobody"] == 50
    assert batch.compact().devices == (load_device(3),)
    assert batch.compact().sightings.device.tolist() == [0, 0, 0]
