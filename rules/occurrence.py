"""What rules fire on besides the transitions of presence: events, schedules, absences, sequences, and what was held."""

from typing import Any

import msgspec

from proximity.model import Transition, derive_id


class Occurrence(msgspec.Struct, frozen=True):
    """Something that happened to one shopper. The fields that a transition has too mean the same here.

    Its id is derived from what caused it, so that the same cause decides nothing twice.
    """

    id: str
    kind: str  # event | schedule | absence | sequence; of what was held, the kind it had
    shopper: str
    at: float  # event time
    observed: float  # event time of the observation that completed it
    started: float  # event time at which the visit began; of an absence, the last time seen
    site: str = ""  # empty: in no store
    zone: str = ""  # empty: in no zone
    visit: str = ""
    confidence: float = 1.0
    dwell: float | None = None
    forgive: float = 0.0
    reach: str | None = None
    distance: float | None = None
    eta: float | None = None
    initial: bool = False
    name: str = ""  # of an event
    data: dict[str, Any] = msgspec.field(default_factory=dict)  # what events brought, and the last one's name
    only: tuple[str, ...] | None = None  # the rules it is for; None: all that listen
    released: float | None = None  # held by quiet hours until then


Happening = Transition | Occurrence


def event_occurrence(
    event_id: str, name: str, shopper: str, at: float, site: str = "", data: dict[str, Any] | None = None
) -> Occurrence:
    """A named event from the shop's systems. The same id is the same event."""
    return Occurrence(
        id=derive_id("event", event_id),
        kind="event",
        shopper=shopper,
        at=at,
        observed=at,
        started=at,
        site=site,
        name=name,
        data={**(data or {}), "name": name},
    )


def scheduled(rule: str, planned: float, shopper: str, site: str = "", zone: str = "") -> Occurrence:
    """A schedule that has come, for one shopper. Derived from the planned time, not from when it was noticed."""
    return Occurrence(
        id=derive_id("schedule", rule, planned, shopper),
        kind="schedule",
        shopper=shopper,
        at=planned,
        observed=planned,
        started=planned,
        site=site,
        zone=zone,
        only=(rule,),
    )


def held(happening: Happening, rules: tuple[str, ...], until: float) -> Occurrence:
    """The same, to be looked at again when quiet hours end."""
    values: dict[str, Any] = {name: getattr(happening, name) for name in _SHARED}
    if isinstance(happening, Occurrence):
        values |= {"name": happening.name, "data": happening.data}
    values["observed"] = until  # what lets it go; before that nobody was waiting
    return Occurrence(**values, id=derive_id(happening.id, "held", until), only=rules, released=until)


_SHARED = tuple(name for name in Occurrence.__struct_fields__ if name in Transition.__struct_fields__ and name != "id")
