"""Where recorded data lies, and small recordings made by hand for tests without it."""

import gzip
import math
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PROXIMITY_TEST_DATA", ROOT.parent / "shared" / "data"))
DANIS, SAL_RB = DATA / "danis_ble_rpi", DATA / "sal_rb_doorway"

needs_data = pytest.mark.skipif(
    not (DANIS.is_dir() and SAL_RB.is_dir()),
    reason=f"recorded data is not at {DATA}; set PROXIMITY_TEST_DATA to the folder that holds danis_ble_rpi",
)

RECEIVERS = {
    "aa0000000001": (1.0, 1.0),
    "aa0000000002": (1.0, 7.0),
    "aa0000000003": (9.0, 7.0),
    "aa0000000004": (9.0, 1.0),
}
BEACON = "e78f135624ce"


def write_danis(folder: Path) -> Path:
    """A room of 10 m x 8 m with four receivers, one walk along its south wall, one stand, no survey."""
    (folder / "tracks").mkdir(parents=True)
    (folder / "stationary").mkdir()
    dongles = ", ".join(
        f'"{mac}": [[{x}, {y}, 2.0], 255, "sensor{k}0"]' for k, (mac, (x, y)) in enumerate(RECEIVERS.items(), 1)
    )
    (folder / "tetam.dev").write_text(f"Dongles:{{{dongles}}}\nBeacons:{{}}\n")
    (folder / "tetam.par").write_text('{"limits": [0.0, 0.0, 10.0, 8.0], "parity": 0.1}[[0, 0], [10, 8]]::0.5\n')
    walk = [(1000.0 + k * 0.5, 1.0 + k * 0.2, 1.5) for k in range(41)]
    lines = [
        f"{at + n * 0.001},{mac},{BEACON},{loudness(x, y, mac)},{x},{y},1.2,1,0,0,0,1,0,0,0,1"
        for at, x, y in walk
        for n, mac in enumerate(RECEIVERS)
    ]
    (folder / "tracks" / "along.mbd").write_text("\n".join(lines) + "\n")
    with gzip.open(folder / "stationary" / "set_1_1.50_1.50.mbd.gz", "wt") as file:
        file.writelines(
            f"{2000 + k * 0.5},{mac},{BEACON},{loudness(1.5, 1.5, mac)}\n" for k in range(40) for mac in RECEIVERS
        )
    return folder


def loudness(x: float, y: float, mac: str) -> int:
    """dBm by free space from 1 m at -60 dBm."""
    there_x, there_y = RECEIVERS[mac]
    away = ((x - there_x) ** 2 + (y - there_y) ** 2 + 0.64) ** 0.5
    return round(-60 - 20 * math.log10(max(away, 0.5)))


SAL_CONFIG = """Label,Description,X,Y,Z

O-D,outside door,2.0,1.0,1.0
O-E,outside end,8.0,1.0,1.0
I-D,inside door,-2.0,1.0,1.0
I-E,inside end,-8.0,1.0,1.0
"""
SAL_PLACES = {"O-D": 2.0, "O-E": 8.0, "I-D": -2.0, "I-E": -8.0}


def write_sal_rb(folder: Path, names: tuple[str, ...] = ("walk_sensor_1_measurement_1.csv",)) -> Path:
    """A doorway with four receivers, and passages in and out again at 0.8 m/s; each file starts a little later."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measurement_config.txt").write_text(SAL_CONFIG)
    for n, name in enumerate(names):
        rows = ["superframe," + ",".join(SAL_PLACES) + ",Label,raw_photosensor_door"]
        for k in range(600):
            s = (k + 7 * n) / 10
            x = 6.0 - 0.8 * max(0.0, min(s - 5, 15)) + 0.8 * max(0.0, min(s - 35, 15))
            heard = (round(-60 - 20 * math.log10(max(abs(x - there), 0.7))) for there in SAL_PLACES.values())
            rows.append(f"{k}," + ",".join(map(str, heard)) + f",{int(x < 0)},0")
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder
