"""Recordings of real receivers, as a stream of readings. Standard library only: gateways replay them too.

Two kinds are known, told apart by content:

- `danis`, files of Danis, Naskali, Cemgil, Ersoy, Pervasive and Mobile Computing 81, 2022 (CC0): unix seconds,
  receiver MAC, beacon MAC, RSSI, and for tracks the true x, y, z in metres and an orientation. No header.
- `sal-rb`, files of Karoliny et al. 2021, Silicon Austria Labs (CC BY 4.0): a header, then one row per superframe
  of 100 ms with the RSSI of every receiver (-100: not heard) and the label of the place.
"""

import csv
import gzip
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from proximity.errors import ProximityError

Kind = Literal["danis", "sal-rb"]
Place = tuple[float, float, float]

SUPERFRAME = 0.1  # s, the cycle of the Silicon Austria Labs receivers
NOT_HEARD = -100.0  # dBm, what they write for silence
SAL_RB_DEVICE = "mac:5a:1b:00:00:00:01"  # the files name no sender; a locally administered address stands for it

_MAC = re.compile(r"[0-9a-f]{12}", re.IGNORECASE)
_RECEIVER_COLUMN = re.compile(r"[OI]-\w+")
_DANIS_FIELDS = 4  # time, receiver, beacon, RSSI
_DANIS_TRACK_FIELDS = 7  # and x, y, z


class RecordingError(ProximityError):
    """A recording that cannot be read: missing, or of a kind that is not known."""


class Reading(NamedTuple):
    """One receiver heard the sender once."""

    at: float  # s; danis: since the epoch; sal-rb: since the start of the recording
    receiver: str  # slug: "sensor10", "o-dr"; a MAC where no alias is known
    device: str  # canonical device id
    rssi: float  # dBm
    truth: Place | str | None  # where the sender truly was: metres, or the label of the file; None: not recorded


class Receiver(NamedTuple):
    """A radio and its place in metres."""

    name: str  # as the campaign calls it
    x: float
    y: float
    z: float


class Readings(Iterator[Reading]):
    """The readings of one file in the file's order, which may step back by some milliseconds.

    `malformed` counts the lines that were skipped so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind: Kind = kind(path)
        self.malformed = 0
        self._rows = self._danis() if self.kind == "danis" else self._sal_rb()

    def __iter__(self) -> "Readings":
        return self

    def __next__(self) -> Reading:
        return next(self._rows)

    def _danis(self) -> Iterator[Reading]:
        aliases = _danis_aliases(self.path)
        with _open(self.path) as lines:
            for line in lines:
                if not line.strip():
                    continue
                reading = _danis_reading(line.strip().split(","), aliases)
                if reading is None:
                    self.malformed += 1
                else:
                    yield reading

    def _sal_rb(self) -> Iterator[Reading]:
        with _open(self.path) as lines:
            rows = csv.reader(lines)
            header = next(rows)
            columns = [(i, name.lower()) for i, name in enumerate(header) if _RECEIVER_COLUMN.fullmatch(name)]
            label = header.index("Label") if "Label" in header else None
            for row in rows:
                if not row:
                    continue
                readings = _sal_rb_readings(row, len(header), columns, label)
                if readings is None:
                    self.malformed += 1
                else:
                    yield from readings


def kind(path: Path | str) -> Kind:
    """What a file holds, by its first line that is not blank. RecordingError: missing, or neither kind."""
    path = Path(path)
    with _open(path) as lines:
        try:
            for line in lines:
                fields = line.strip().split(",")
                if fields == [""]:
                    continue
                if fields[0] == "superframe" and any(_RECEIVER_COLUMN.fullmatch(f) for f in fields):
                    return "sal-rb"
                if _danis_reading(fields, {}) is not None:
                    return "danis"
                break
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError):
            pass
    raise RecordingError(
        f"{path}: not a recording that is known. Expected lines of 'time,receiver,beacon,RSSI[,x,y,z,…]' (danis), "
        f"or a table whose header starts with 'superframe' and names receivers such as 'O-DR' (sal-rb)."
    )


def read(path: Path | str) -> Readings:
    """The readings of a file, gzip or plain; RecordingError when it is missing or of neither kind.

    A danis receiver is called by its alias when a `tetam.dev` lies in the file's folder or the one above.
    """
    return Readings(Path(path))


def receivers(path: Path | str) -> dict[str, Receiver]:
    """The receivers of a campaign by slug, from `tetam.dev` or `measurement_config.txt`.

    `path`: that file, its folder, or a recording beside or one folder below it. RecordingError: none is there.
    """
    path = Path(path)
    found = _beside(path, "tetam.dev")
    if found is not None:
        return {_slug(r.name): r for r in _danis_receivers(found).values()}
    found = _beside(path, "measurement_config.txt")
    if found is not None:
        return _sal_rb_receivers(found)
    raise RecordingError(
        f"{path}: neither tetam.dev nor measurement_config.txt lies there or one folder above, "
        f"so the places of the receivers are not known."
    )


def _open(path: Path) -> io.TextIOBase:
    """Text of a plain or gzip file, by its first bytes."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if packed:
            return gzip.open(path, "rt", encoding="utf-8")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _danis_reading(fields: list[str], aliases: dict[str, str]) -> Reading | None:
    """None: malformed."""
    if len(fields) < _DANIS_FIELDS or not _MAC.fullmatch(fields[1]) or not _MAC.fullmatch(fields[2]):
        return None
    try:
        at, rssi = float(fields[0]), float(fields[3])
        truth = None
        if len(fields) >= _DANIS_TRACK_FIELDS:
            truth = (float(fields[4]), float(fields[5]), float(fields[6]))
    except ValueError:
        return None
    if not all(map(math.isfinite, (at, rssi, *(truth or ())))):
        return None
    receiver = fields[1].lower()
    return Reading(at, aliases.get(receiver, receiver), "mac:" + _colons(fields[2].lower()), rssi, truth)


def _sal_rb_readings(
    row: list[str], width: int, columns: list[tuple[int, str]], label: int | None
) -> list[Reading] | None:
    """None: malformed."""
    if len(row) != width:
        return None
    try:
        at = int(row[0]) * SUPERFRAME
        heard = [(name, float(row[i])) for i, name in columns]
    except ValueError:
        return None
    if not all(math.isfinite(rssi) for _, rssi in heard):
        return None
    truth = row[label] if label is not None else None
    return [Reading(at, name, SAL_RB_DEVICE, rssi, truth) for name, rssi in heard if rssi > NOT_HEARD]


def _colons(mac: str) -> str:
    return ":".join(mac[i : i + 2] for i in range(0, len(mac), 2))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _beside(path: Path, name: str) -> Path | None:
    """The file of that name: `path` itself, in it, beside it, or one folder above."""
    if path.name == name and path.is_file():
        return path
    folders = [path, path.parent] if path.is_dir() else [path.parent, path.parent.parent]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _danis_aliases(path: Path) -> dict[str, str]:
    found = _beside(path, "tetam.dev")
    return {} if found is None else {mac: _slug(r.name) for mac, r in _danis_receivers(found).items()}


def _danis_receivers(path: Path) -> dict[str, Receiver]:
    """By MAC. The file is `Dongles:{…}` and `Beacons:{…}`, each JSON."""
    with _open(path) as lines:
        for line in lines:
            title, _, body = line.partition(":")
            if title.strip() != "Dongles":
                continue
            try:
                rows = json.loads(body)
                return {mac.lower(): Receiver(alias, *map(float, place)) for mac, (place, _, alias) in rows.items()}
            except (ValueError, TypeError, AttributeError):
                break
    raise RecordingError(f'{path}: no line \'Dongles:{{"<mac>": [[x, y, z], colour, "alias"], …}}\' that can be read.')


def _sal_rb_receivers(path: Path) -> dict[str, Receiver]:
    found = {}
    with _open(path) as lines:
        for fields in csv.reader(lines):
            if len(fields) < 5 or not _RECEIVER_COLUMN.fullmatch(fields[0].strip()):
                continue
            try:
                x, y, z = map(float, fields[-3:])
            except ValueError:
                continue
            found[_slug(fields[0])] = Receiver(fields[0].strip(), x, y, z)
    if not found:
        raise RecordingError(f"{path}: no line 'O-…,description,x,y,z' that can be read.")
    return found
