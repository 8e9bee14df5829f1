"""Memory of presence: what a tracked device costs. Each size runs in a process of its own, so that one does not
leave its traces in the next."""

import gc
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from proximity.bench.report import Report, Row
from proximity.observations import Batch
from proximity.presence.engine import Engine
from proximity.simulate.load import load_device, observations, sites_for_load

START = 1_764_000_000.0
CHUNK = 50_000  # devices a batch: the load itself must not fill the memory that is measured


def memory(sizes: tuple[int, ...], gateways: int) -> Report:
    """ValueError when a size cannot be measured, with what the process said."""
    rows = []
    for devices in sizes:
        command = [sys.executable, "-m", "proximity.bench.memory", str(devices), str(gateways)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
        if done.returncode:
            raise ValueError(f"{devices:,} devices: {done.stderr.strip().splitlines()[-1]}")
        told = json.loads(done.stdout)
        size, kept = told["resident"] / 1e6, told["checkpoint"] / 1e6
        note = f"{devices:,} devices: the process {size:,.0f} MB, a checkpoint {kept:,.1f} MB"
        rows.append(Row(f"{devices:,} devices", told["bytes"], "bytes a device", note=note))
    return Report("memory", f"presence, {gateways:,} gateways", rows, {"gateways": gateways})


def measure(devices: int, gateways: int) -> dict[str, float]:
    """Every device heard for three seconds, and so with an open visit."""
    names = [load_device(i) for i in range(devices)]
    shoppers = [f"load-{i}" for i in range(devices)]
    engine = Engine(sites_for_load(gateways))
    warm = list(observations(100, gateways, 1, start=START))
    engine.step(warm[0], START)
    del warm
    gc.collect()
    before = resident()
    for second in range(3):
        for first in range(0, devices, CHUNK):
            for batch in observations(min(CHUNK, devices - first), gateways, 1, seed=first, start=START + second):
                engine.step(_named(batch, names, shoppers, first), START + second)
    engine.step(Batch(), START + 4.0)
    gc.collect()
    after = resident()
    held = sum(sys.getsizeof(text) for text in (*names, *shoppers))  # they live here, whoever else refers to them
    size = len(engine.checkpoint())
    return {"bytes": (after - before + held) / devices, "resident": after, "checkpoint": size}


def _named(batch: Batch, names: list[str], shoppers: list[str], first: int) -> Batch:
    last = first + len(batch.devices)
    return replace(batch, devices=names[first:last], shoppers=shoppers[first:last])


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
