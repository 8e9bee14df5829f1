"""Accuracy at the doorway of Karoliny et al. 2021, Silicon Austria Labs (CC BY 4.0).

Untrained, only what an installer knows is used: the receivers' places, and that a car is called inside only when all of
it is, so that its zone begins a car's length behind the door. Fitted, zones are learned from the labels of other
recordings of the same group.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import shapely

from proximity.evaluate.danis import DataError
from proximity.evaluate.follow import Track, arrived, follow
from proximity.evaluate.methods import DEFAULT, Factory, method_named
from proximity.evaluate.metrics import (
    Calibration,
    Change,
    Events,
    Labels,
    calibration,
    changes,
    events,
    pooled,
)
from proximity.observations import Floats
from proximity.presence.locating.learned import LearnedZones, Lesson
from proximity.presence.locator import TICK
from proximity.recordings import Reading, Receiver, kind, read, receivers
from proximity.site.model import Anchor, PresenceOptions, Site, Zone

MARGIN = 1.0  # m around the outermost receivers that still belong to the yard and the hall
CALM = PresenceOptions(enter_after=0.5)  # s; the filters weigh evidence over time themselves, so two more ticks will do
LEARNED = PresenceOptions(enter_after=0.25)  # s; learned levels are smoothed over up to five seconds: one more tick
CAR = 4.5  # m, the length of an ordinary car
INSIDE, OUTSIDE, UNKNOWN = 0, 1, 2
ENTERS = frozenset({INSIDE})


class PassageReport(msgspec.Struct, frozen=True):
    """One recording."""

    file: str
    group: str  # "car" or "walk", the first word of the file's name
    fitted_on: list[str]  # other recordings of the group; none: untrained
    seconds: float
    readings: int
    malformed: int
    right: float  # share of time in which the reported side is the true one
    right_belief: float  # the same for the likelier side at each moment, without confirmation
    events: Events


class GroupReport(msgspec.Struct, frozen=True):
    """All recordings of a group."""

    files: int
    right: float
    right_belief: float
    events: Events
    calibration: Calibration


class SalReport(msgspec.Struct, frozen=True):
    """Over all recordings, by group, and each."""

    campaign: str
    method: str
    mode: str  # "untrained" or "fitted"
    car_length: float  # m behind the door at which the zone of cars begins, untrained
    right: float
    right_belief: float
    events: Events
    calibration: Calibration
    groups: dict[str, GroupReport]
    files: list[PassageReport]


class Passed(msgspec.Struct, frozen=True):
    """What a plot needs of one recording."""

    file: str
    group: str
    track: Track
    truth: Labels  # (N,) INSIDE or OUTSIDE


class _Taught(NamedTuple):
    file: str
    group: str
    content: int
    lesson: Lesson


def sal_rb_site(data: Path, behind: float = 0.0) -> Site:
    """Two zones that meet `behind` metres inside of the door, which is halfway between the nearest inside and outside
    receivers; the inner one stays at least `MARGIN` deep. RecordingError: no places."""
    places = receivers(data)
    inside = [r for slug, r in places.items() if slug.startswith("i-")]
    outside = [r for slug, r in places.items() if slug.startswith("o-")]
    if not inside or not outside:
        raise DataError(f"{data}: measurement_config.txt must place receivers inside (I-…) and outside (O-…).")
    door = (max(r.x for r in inside) + min(r.x for r in outside)) / 2
    low_x, high_x, low_y, high_y = _reach([*inside, *outside])
    border = max(door - behind, low_x + MARGIN)
    zones = (
        Zone(id="inside", site="sal-rb", name="inside", outline=shapely.box(low_x, low_y, border, high_y)),
        Zone(id="outside", site="sal-rb", name="outside", outline=shapely.box(border, low_y, high_x, high_y)),
    )
    anchors = tuple(
        Anchor(
            id=slug,
            site="sal-rb",
            kind="gateway",
            zone="inside" if r.x <= border else "outside",
            x=r.x,
            y=r.y,
            z=r.z,
        )
        for slug, r in places.items()
    )
    return Site(
        id="sal-rb", name="Karoliny et al.", timezone="Europe/Vienna", zones=zones, anchors=anchors, presence=CALM
    )


def evaluate_sal_rb(
    data: Path | str, fit: Path | str | None = None, method: str = DEFAULT, car_length: float = CAR
) -> tuple[SalReport, list[Passed]]:
    """The report, and what plots need. `fit`: a folder of other recordings to fit on; a recording is never fitted on
    itself. `car_length`: m; 0: the zone of cars begins at the door. DataError, RecordingError: what is missing;
    UnknownMethodError."""
    data = Path(data)
    site, of_cars = sal_rb_site(data), sal_rb_site(data, car_length)
    factory = method_named(method)
    lessons = [] if fit is None else _lessons(Path(fit), site)
    results = [_pass(path, of_cars if _group_of(path) == "car" else site, factory, lessons) for path in _files(data)]
    passed = [p for _, p, _ in results]
    groups = {g: [r for r in results if r[0].group == g] for g in sorted({p.group for p in passed})}
    whole = _group(results)
    return SalReport(
        campaign="sal-rb",
        method=method,
        mode="untrained" if fit is None else "fitted",
        car_length=car_length,
        right=whole.right,
        right_belief=whole.right_belief,
        events=whole.events,
        calibration=whole.calibration,
        groups={name: _group(rows) for name, rows in groups.items()},
        files=[r for r, _, _ in results],
    ), passed


_Result = tuple[PassageReport, Passed, tuple[list[Change], list[Change]]]


def _group(results: Sequence[_Result]) -> GroupReport:
    truth = np.concatenate([p.truth for _, p, _ in results])
    reported = np.concatenate([p.track.reported for _, p, _ in results])
    belief = np.concatenate([_sides(p.track) for _, p, _ in results])
    return GroupReport(
        files=len(results),
        right=float(np.mean(reported == truth)),
        right_belief=float(np.mean(belief.argmax(axis=1) == truth)),
        events=pooled([part for _, _, part in results], ENTERS),
        calibration=calibration(belief, truth),
    )


def _pass(path: Path, site: Site, factory: Factory, lessons: Sequence[_Taught]) -> _Result:
    source = read(path)
    readings = list(source)
    group = _group_of(path)
    taught = [t for t in lessons if t.group == group and t.content != _content(readings)]
    try:
        site = replace(site, presence=LEARNED) if taught else site
        locator = LearnedZones(site, [t.lesson for t in taught]) if taught else factory(site, None, None)
        track = follow(locator, site, readings)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from None
    truth = true_sides(path, readings, track.at)
    side = _sides(track)
    reported = track.reported
    start = arrived(reported, UNKNOWN)
    part = (changes(track.at, truth), changes(track.at[start:], reported[start:]))
    report = PassageReport(
        file=path.name,
        group=group,
        fitted_on=[t.file for t in taught],
        seconds=float(track.at[-1] - track.at[0]),
        readings=len(readings),
        malformed=source.malformed,
        right=float(np.mean(reported == truth)),
        right_belief=float(np.mean(side.argmax(axis=1) == truth)),
        events=events(*part, ENTERS),
    )
    return report, Passed(path.name, report.group, track, truth), part


def true_sides(path: Path, readings: Sequence[Reading], at: Floats) -> Labels:
    """(N,) the label of the last row before each of the moments `at`. DataError: the file has none."""
    labelled = [(r.at, INSIDE if int(r.truth) > 0 else OUTSIDE) for r in readings if isinstance(r.truth, str)]
    if not labelled:
        raise DataError(f"{path}: has no column 'Label', so there is no truth to compare with.")
    times, side = (np.array(column) for column in zip(*labelled, strict=True))
    rows = np.searchsorted(times, at + 1e-6, side="right") - 1
    return np.asarray(side[np.maximum(rows, 0)], dtype=np.int64)


def _lessons(folder: Path, site: Site) -> list[_Taught]:
    """Every recording of a folder as a labelled walk."""
    index = {anchor.id: i for i, anchor in enumerate(site.anchors)}
    taught = []
    for path in _files(folder):
        readings = [r for r in read(path) if r.receiver in index]
        at = np.array([r.at for r in readings])
        moments = np.arange(np.ceil(at[0] / TICK), np.ceil(at[-1] / TICK) + 1) * TICK
        lesson = Lesson(
            at=at,
            anchor=np.array([index[r.receiver] for r in readings], dtype=np.int32),
            rssi=np.array([r.rssi for r in readings]),
            moments=moments,
            column=true_sides(path, readings, moments),
        )
        taught.append(_Taught(path.name, _group_of(path), _content(readings), lesson))
    return taught


def _content(readings: Sequence[Reading]) -> int:
    """Two files with the same readings are one recording, whatever they are called."""
    return hash(tuple((r.at, r.receiver, r.rssi) for r in readings))


def _group_of(path: Path) -> str:
    return path.name.split("_")[0]


def _sides(track: Track) -> Floats:
    """(N, 2) inside or outside, for there is nothing else."""
    sides = track.belief[:, [INSIDE, OUTSIDE]] + 1e-9
    return np.asarray(sides / sides.sum(axis=1, keepdims=True), dtype=np.float64)


def _reach(places: Sequence[Receiver]) -> tuple[float, float, float, float]:
    xs, ys = [r.x for r in places], [r.y for r in places]
    return min(xs) - MARGIN, max(xs) + MARGIN, min(ys) - MARGIN, max(ys) + MARGIN


def _files(data: Path) -> list[Path]:
    found = [p for p in sorted(data.glob("*.csv*")) if p.is_file() and kind(p) == "sal-rb"]
    if not found:
        raise DataError(f"{data}: holds no *.csv recording with receivers O-… and I-….")
    return found
