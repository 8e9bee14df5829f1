"""Accuracy on the room of Danis, Naskali, Cemgil, Ersoy (Pervasive and Mobile Computing 81, 2022; CC0).

Nothing is fitted but the survey: `fingerprint_rssi_counts.csv.gz`, taken on other days than the tracks.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import shapely
from numpy.typing import NDArray

from proximity.errors import ProximityError
from proximity.evaluate.follow import Track, arrived, follow
from proximity.evaluate.methods import DEFAULT, method_named
from proximity.evaluate.metrics import (
    Calibration,
    Change,
    Errors,
    Events,
    Labels,
    calibration,
    changes,
    distance_errors,
    events,
    pooled,
    summarise,
)
from proximity.observations import Floats
from proximity.presence.locating.survey import Survey, survey_of
from proximity.presence.locator import Locator
from proximity.recordings import Reading, read, receivers
from proximity.site.model import Anchor, PresenceOptions, Site, Zone

SURVEY_FILE = "fingerprint_rssi_counts.csv.gz"
CALM = PresenceOptions(enter_after=0.5)  # s; the filters weigh evidence over time themselves, so two more ticks will do
QUADRANTS = ("south-west", "north-west", "north-east", "south-east")
CLEAR = 0.5  # m, half the width of a person with a basket: nearer to a border nobody could tell the side by eye
Split = Literal["room", "receivers"]
ENTERS = frozenset(range(len(QUADRANTS)))


class DataError(ProximityError):
    """A folder of recordings that lacks something."""


class TrackReport(msgspec.Struct, frozen=True):
    """One walk."""

    file: str
    seconds: float
    readings: int
    malformed: int
    position: Errors  # m
    zone_right: float  # share of time in which the reported quadrant is the true one
    zone_right_belief: float  # the same for the likeliest quadrant at each moment, without confirmation
    zone_right_clear: float | None  # zone_right while truth is `CLEAR` or more from the border of its quadrant
    events: Events


class StationaryReport(msgspec.Struct, frozen=True):
    """One log of a beacon that stands still."""

    file: str
    seconds: float
    readings: int
    malformed: int
    zone_changes: int  # all of them false
    zone_right: float | None  # None: the file's name holds no place
    position: Errors | None


class DanisReport(msgspec.Struct, frozen=True):
    """Over all tracks, and each."""

    campaign: str
    method: str
    survey: bool
    split: Split  # where the quadrants meet: in the middle of the "room", or of the "receivers"
    position: Errors
    zone_right: float
    zone_right_belief: float
    zone_right_clear: float | None
    clear_share: float  # of time in which truth is that far from a border
    events: Events
    calibration: Calibration
    stationary_zone_changes: int
    stationary_files: int
    tracks: list[TrackReport]
    stationary: list[StationaryReport]


class Walked(msgspec.Struct, frozen=True):
    """What a plot needs of one track."""

    file: str
    track: Track
    truth: Floats  # (N, 2)
    zone: Labels  # (N,) true


def danis_site(data: Path, split: Split = "room") -> Site:
    """The room with its four quadrants and twelve receivers. The quadrants meet in the middle of the room, or of the
    receivers. DataError, RecordingError: a file is missing."""
    width, depth = _room(data)
    found = receivers(data)
    middle_x, middle_y = width / 2, depth / 2
    if split == "receivers":
        middle_x, middle_y = (
            sum(axis) / len(found) for axis in ([r.x for r in found.values()], [r.y for r in found.values()])
        )
    boxes = (
        (0.0, 0.0, middle_x, middle_y),
        (0.0, middle_y, middle_x, depth),
        (middle_x, middle_y, width, depth),
        (middle_x, 0.0, width, middle_y),
    )
    zones = tuple(
        Zone(id=name, site="danis", name=name, outline=shapely.box(*box))
        for name, box in zip(QUADRANTS, boxes, strict=True)
    )
    places = {slug: QUADRANTS[_quadrant(middle_x, middle_y, r.x, r.y)] for slug, r in found.items()}
    anchors = tuple(
        Anchor(id=slug, site="danis", kind="gateway", zone=places[slug], x=r.x, y=r.y, z=r.z)
        for slug, r in found.items()
    )
    return Site(
        id="danis", name="Danis et al.", timezone="Europe/Istanbul", zones=zones, anchors=anchors, presence=CALM
    )


def danis_survey(data: Path, site: Site) -> Survey | None:
    """None when the folder has no survey. DataError: it cannot be read."""
    path = data / SURVEY_FILE
    if not path.is_file():
        return None
    anchors = {a.id: i for i, a in enumerate(site.anchors)}
    sessions: dict[str, int] = {}
    rows = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                anchor = anchors.get(row["sensor_alias"].lower())
                if anchor is not None:
                    session = sessions.setdefault(row["set"], len(sessions))
                    x, y, rssi, count = (float(row[k]) for k in ("x_m", "y_m", "rssi_dbm", "count"))
                    rows.append((session, x, y, anchor, rssi, count))
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as set,sensor_alias,x_m,y_m,z_m,rssi_dbm,count ({error!r}).") from None
    if not rows:
        raise DataError(f"{path}: holds no count of a receiver that tetam.dev names.")
    return survey_of(rows, len(anchors))


def danis_walkable(data: Path) -> Floats | None:
    """(C, 2) centres of the free cells of `tetam_0.5.occ`; None when there is none. DataError: unreadable."""
    path = next(iter(sorted(data.glob("tetam*.occ"))), None)
    if path is None:
        return None
    free = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"\s*\[([^,\]]+),([^\]]+)\]::([01])\s*", line)
        if found and found[3] == "0":
            free.append((float(found[1]), float(found[2])))
    if len(free) < 2:
        raise DataError(f"{path}: holds no free cells; expected lines of '[x, y]::0'.")
    return np.array(free)


def evaluate_danis(data: Path | str, method: str = DEFAULT, split: Split = "room") -> tuple[DanisReport, list[Walked]]:
    """The report, and what plots need. DataError, RecordingError: what is missing; UnknownMethodError."""
    data = Path(data)
    factory = method_named(method)
    site = danis_site(data, split)
    survey = danis_survey(data, site)
    locator = factory(site, survey, danis_walkable(data))
    locator.grow(1)
    new = locator.state()
    walks = [_walk(path, site, locator, new) for path in _files(data / "tracks", required=True)]
    still = [_stand(path, site, locator, new) for path in _files(data / "stationary", required=False)]
    tracks, walked, parts = zip(*walks, strict=True)
    truth = np.concatenate([w.zone for w in walked])
    belief = np.concatenate([w.track.belief for w in walked])
    errors = np.concatenate([distance_errors(w.track.position, w.truth) for w in walked])
    right = np.concatenate([w.track.reported for w in walked]) == truth
    clear = _clear(site, np.concatenate([w.truth for w in walked]))
    report = DanisReport(
        campaign="danis",
        method=method,
        survey=survey is not None,
        split=split,
        position=summarise(errors),
        zone_right=float(np.mean(right)),
        zone_right_belief=float(np.mean(belief.argmax(axis=1) == truth)),
        zone_right_clear=_share(right[clear]),
        clear_share=float(np.mean(clear)),
        events=pooled(parts, ENTERS),
        calibration=calibration(belief, truth),
        stationary_zone_changes=sum(s.zone_changes for s in still),
        stationary_files=len(still),
        tracks=list(tracks),
        stationary=still,
    )
    return report, list(walked)


def _walk(
    path: Path, site: Site, locator: Locator, new: Mapping[str, Any]
) -> tuple[TrackReport, Walked, tuple[list[Change], list[Change]]]:
    readings, malformed = _readings(path)
    locator.restore(new)
    true = [(r.at, *r.truth) for r in readings if isinstance(r.truth, tuple)]
    if not true:
        raise DataError(f"{path}: a track without true positions; expected x, y, z after the RSSI of each line.")
    track = _followed(path, site, locator, readings)
    columns = np.array(sorted(true))
    truth = np.stack([np.interp(track.at, columns[:, 0], columns[:, k]) for k in (1, 2)], axis=1)
    zone = _true_zones(site, truth)
    part = (changes(track.at, zone), _reported_changes(track))
    report = TrackReport(
        file=path.name,
        seconds=float(track.at[-1] - track.at[0]),
        readings=len(readings),
        malformed=malformed,
        position=summarise(distance_errors(track.position, truth)),
        zone_right=float(np.mean(track.reported == zone)),
        zone_right_belief=float(np.mean(track.belief.argmax(axis=1) == zone)),
        zone_right_clear=_share((track.reported == zone)[_clear(site, truth)]),
        events=events(*part, ENTERS),
    )
    return report, Walked(path.name, track, truth, zone), part


def _stand(path: Path, site: Site, locator: Locator, new: Mapping[str, Any]) -> StationaryReport:
    readings, malformed = _readings(path)
    locator.restore(new)
    track = _followed(path, site, locator, readings)
    place = re.search(r"_(\d+\.?\d*)_(\d+\.?\d*)\.mbd", path.name)
    truth = np.array([[float(place[1]), float(place[2])]]) if place else None
    return StationaryReport(
        file=path.name,
        seconds=float(track.at[-1] - track.at[0]),
        readings=len(readings),
        malformed=malformed,
        zone_changes=len(_reported_changes(track)),
        zone_right=None if truth is None else float(np.mean(track.reported == _true_zones(site, truth))),
        position=None if truth is None else summarise(distance_errors(track.position, truth)),
    )


def _reported_changes(track: Track) -> list[Change]:
    start = arrived(track.reported, len(QUADRANTS))
    return changes(track.at[start:], track.reported[start:])


def _readings(path: Path) -> tuple[list[Reading], int]:
    source = read(path)
    readings = list(source)
    return readings, source.malformed


def _followed(path: Path, site: Site, locator: Locator, readings: list[Reading]) -> Track:
    try:
        return follow(locator, site, readings)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from None


def _true_zones(site: Site, truth: Floats) -> Labels:
    """(N,) quadrant of each place; a place beyond the room's limits counts to the nearest."""
    middle_x, middle_y = _middle(site)
    return np.array([_quadrant(middle_x, middle_y, x, y) for x, y in truth], dtype=np.int64)


def _middle(site: Site) -> tuple[float, float]:
    """Where the quadrants meet."""
    x, y, _, _ = site.zone("north-east").outline.bounds
    return float(x), float(y)


def _clear(site: Site, truth: Floats) -> NDArray[np.bool_]:
    """(N,) whether a place is `CLEAR` or more from the lines between the quadrants."""
    return np.asarray((np.abs(truth - np.array(_middle(site))) >= CLEAR).all(axis=1))


def _share(right: NDArray[np.bool_]) -> float | None:
    return float(np.mean(right)) if len(right) else None


def _quadrant(middle_x: float, middle_y: float, x: float, y: float) -> int:
    """Index into QUADRANTS; places beyond the room's limits count to the nearest."""
    north = y >= middle_y
    return (2 if north else 3) if x >= middle_x else (1 if north else 0)


def _room(data: Path) -> tuple[float, float]:
    """Width and depth in metres."""
    path = data / "tetam.par"
    try:
        text = io.StringIO(path.read_text(encoding="utf-8")).readline()
        low_x, low_y, high_x, high_y = json.JSONDecoder().raw_decode(text)[0]["limits"]
    except OSError:
        raise DataError(
            f"{path}: missing; it holds the limits of the room. DIR is laid out as danis_ble_rpi."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f'{path}: expected {{"limits": [0, 0, width, depth], …}}.') from None
    return float(high_x) - float(low_x), float(high_y) - float(low_y)


def _files(folder: Path, *, required: bool) -> list[Path]:
    found = sorted(p for p in folder.glob("*.mbd*") if p.is_file())
    if required and not found:
        raise DataError(f"{folder}: holds no *.mbd file. DIR is a danis_ble_rpi folder, with tracks/ in it.")
    return found
