"""What presence knows of one device's zones at this moment: a look at the state that changes nothing."""

import math
from typing import Any

import msgspec
import numpy as np

from proximity.presence import fixes
from proximity.presence.catalogue import Catalogue
from proximity.presence.hearing import Hearing
from proximity.presence.people import Devices
from proximity.presence.tracking import Tracking
from proximity.presence.visits import FIX, RADIO, Claims, Phase

AROUND = 2_000.0  # m; fences farther away than this have nothing to do with a device
MOST = 12  # fences that are shown


class Evidence(msgspec.Struct, frozen=True):
    """One kind of evidence about one zone. Times are event times; None: there is none."""

    site: str
    zone: str
    source: str  # radio | fixes
    p: float  # probability of being inside, by the last evidence
    phase: str  # away | arriving | inside | leaving
    enter_after: float  # s that evidence of being inside has to be kept up
    leave_after: float  # s … of being outside
    since: float | None = None  # when arriving or leaving began
    lead: float | None = None  # radio: s of clear lead over the other zones gathered so far
    heard: float | None = None  # last evidence of any kind
    silent: float | None = None  # when silence ends it, if nothing more comes
    held: bool = False  # silent because its gateways are offline: it waits
    inward: float | None = None  # fixes: m inside the outline; negative: outside
    clear: float | None = None  # fixes: m outside that are clear evidence: accuracy and margin


def evidence(
    row: int, now: float, catalogue: Catalogue, devices: Devices, claims: Claims, hearing: Hearing, tracking: Tracking
) -> list[Evidence]:
    """Of one device: every indoor zone of the site where it is heard, and the fences around its last position. By
    site, zone and source."""
    found = {**_by_radio(row, now, devices, hearing), **_by_fix(row, catalogue, devices, tracking)}
    used = claims.rows()
    mine = {(int(claims.source[r]), int(claims.zone[r])): r for r in used[claims.device[used] == row].tolist()}
    told = []
    for key in sorted({*found, *mine}, key=lambda key: (*catalogue.name(key[1]), key[0])):
        p, inward, clear = found.get(key, (0.0, None, None))
        site, zone = catalogue.name(key[1])
        claim = mine.get(key)
        told.append(
            Evidence(
                site=site,
                zone=zone,
                source="radio" if key[0] == RADIO else "fixes",
                p=p if claim is None else float(claims.p[claim]),
                phase=Phase.AWAY.name.lower() if claim is None else Phase(int(claims.phase[claim])).name.lower(),
                enter_after=float(catalogue.enter_after[key[1]]),
                leave_after=float(catalogue.leave_after[key[1]]),
                inward=inward,
                clear=clear,
                **({} if claim is None else _claimed(claim, claims)),
            )
        )
    return told


def _claimed(row: int, claims: Claims) -> dict[str, Any]:
    pending = claims.phase[row] in (Phase.ARRIVING, Phase.LEAVING)
    return {
        "since": float(claims.since[row]) if pending else None,
        "lead": float(claims.lead[row]) if claims.source[row] == RADIO else None,
        "heard": float(claims.heard[row]),
        "silent": _finite(float(claims.heard[row] + claims.wait[row])),
        "held": bool(claims.held[row]),
    }


Measured = dict[tuple[int, int], tuple[float, float | None, float | None]]  # (source, zone) -> p, inward, clear


def _by_radio(row: int, now: float, devices: Devices, hearing: Hearing) -> Measured:
    if devices.site[row] < 0:
        return {}
    radio = hearing.radios[int(devices.site[row])]
    p = radio.probabilities(np.array([devices.slot[row]], dtype=np.int32), now)[0]
    return {(RADIO, zone): (chance, None, None) for zone, chance in zip(radio.zones.tolist(), p.tolist(), strict=True)}


def _by_fix(row: int, catalogue: Catalogue, devices: Devices, tracking: Tracking) -> Measured:
    if math.isnan(devices.fix_at[row]):
        return {}
    zones, inward = tracking.measured(row, AROUND)
    accuracy = np.full(len(zones), devices.accuracy[row])
    p = fixes.probability(inward, accuracy)
    clear = np.where(np.isnan(accuracy), fixes.UNKNOWN, accuracy) + catalogue.margin[zones]
    order = np.argsort(-inward, kind="stable").tolist()[:MOST]
    return {(FIX, int(zones[i])): (float(p[i]), float(inward[i]), float(clear[i])) for i in order}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
