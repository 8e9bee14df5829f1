"""Memory: what a tracked device costs in presence, and what a whole service holds. Each size runs in a process of its
own, so that one does not leave its traces in the next."""

import gc
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from proximity.bench.report import Report, Row
from proximity.collecting import give_back
from proximity.errors import ProximityError
from proximity.observations import Batch
from proximity.presence.engine import Engine
from proximity.simulate.load import load_device, observations, sites_for_load

START = 1_764_000_000.0
CHUNK = 50_000  # devices a batch: the load itself must not fill the memory that is measured
SECONDS = 30  # of a service under load before its memory is read: by then the first checkpoints are written


class Tracked(msgspec.Struct):
    """Presence with so many devices. Bytes."""

    bytes: float  # a device
    resident: int  # of the process
    checkpoint: int


def memory(sizes: tuple[int, ...], gateways: int, service: tuple[int, ...] = (), seconds: int = SECONDS) -> Report:
    """Presence alone with `sizes` devices, and whole services with as many as `service` says. ProximityError when a
    size cannot be measured, with what the process said."""
    rows = []
    for devices in sizes:
        told = tracked(devices, gateways)
        size, kept = told.resident / 1e6, told.checkpoint / 1e6
        note = f"{devices:,} devices: the process {size:,.0f} MB, a checkpoint {kept:,.1f} MB"
        rows.append(Row(f"presence, {devices:,} devices", told.bytes, "bytes a device", note=note))
    rows += [_service(devices, max(gateways // 10, 10), seconds) for devices in service]
    return Report("memory", f"presence, {gateways:,} gateways; a whole service", rows, {"gateways": gateways})


def tracked(devices: int, gateways: int) -> Tracked:
    """Measured in a process of its own. ProximityError when that ends."""
    command = [sys.executable, "-m", "proximity.bench.memory", str(devices), str(gateways)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it was ended, as by a system out of memory"])[-1]
        raise ProximityError(f"the memory of {devices:,} devices cannot be measured: {said}")
    return msgspec.json.decode(done.stdout, type=Tracked)


def _service(devices: int, gateways: int, seconds: int) -> Row:
    """A whole service, in which every device belongs to a shopper who agreed and is heard each second."""
    from proximity.bench.house import Plan
    from proximity.bench.processes import house, scratch, sending, until
    from proximity.bench.sender import Load

    with scratch() as folder, house(Plan(str(folder), gateways=gateways, devices=devices)) as service:
        empty = service.counts().memory
        address = service.opened
        messages = gateways * seconds
        load = Load(address.host, address.port, "gateways", devices, messages, gateways, rate=gateways)
        with sending(load) as sender:
            until(lambda: service.counts().sightings, sender.rows)
        time.sleep(1.0)
        counts = service.counts()
    note = (
        f"a service with {devices:,} devices, {gateways:,} gateways: {empty / 1e6:,.0f} MB before the first message, "
        f"peak {counts.peak / 1e6:,.0f} MB; {counts.sightings:,} sightings and {counts.transitions:,} transitions in "
        f"{seconds} s; the broker is a process beside it"
    )
    return Row(f"whole service, {devices:,} devices", counts.memory / 1e6, "MB", note=note)


def measure(devices: int, gateways: int) -> Tracked:
    """Every device heard for three seconds, and so with an open visit."""
    names = [load_device(i) for i in range(devices)]
    shoppers = [f"load-{i}" for i in range(devices)]
    engine = Engine(sites_for_load(gateways))
    warm = list(observations(100, gateways, 1, start=START))
    engine.step(warm[0], START)
    del warm
    gc.collect()
    give_back()
    before = resident()
    for second in range(3):
        for first in range(0, devices, CHUNK):
            for batch in observations(min(CHUNK, devices - first), gateways, 1, seed=first, start=START + second):
                engine.step(_named(batch, names, shoppers, first), START + second)
    engine.step(Batch(), START + 4.0)
    gc.collect()
    give_back()  # as a service does each minute
    after = resident()
    held = sum(sys.getsizeof(text) for text in (*names, *shoppers))  # they live here, whoever else refers to them
    return Tracked((after - before + held) / devices, after, len(engine.checkpoint()))


def _named(batch: Batch, names: list[str], shoppers: list[str], first: int) -> Batch:
    last = first + len(batch.devices)
    return replace(batch, devices=names[first:last], shoppers=shoppers[first:last])


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(int(sys.argv[1]), int(sys.argv[2]))))
