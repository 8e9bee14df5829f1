"""The words of the house as values: what every part hands to the next.

Only the standard library and msgspec are imported here, so that a Raspberry Pi can load it. All times are
float seconds since the Unix epoch, UTC; all lengths are metres; all signal strengths are dBm.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

TransitionKind = Literal["enter", "dwell", "exit", "approach", "cross"]
Cause = Literal[
    "confirmed",  # evidence of being inside, kept up for the time of confirmation
    "threshold",  # a dwell threshold was reached
    "left",  # evidence of being outside, beyond the margin
    "silence",  # nothing heard for the zone's exit_after
    "moved",  # clearly in another exclusive zone
    "zone_changed",
    "zone_removed",
    "gateway_down",  # held through an offline gateway, then given up
    "withdrawn",  # the shopper took back every consent
    "erased",  # the shopper was erased, or the device is another shopper's now
]
Outcome = Literal["sent", "withheld"]


def derive_id(*parts: str | int | float) -> str:
    """An id derived from what caused the thing: the same parts always give the same 26 characters.

    blake2b over the parts, each with its length before it, 104 bits, in hexadecimal.
    """
    return blake2b(_joined(parts), digest_size=13).hexdigest()


def dated_id(at: float, *parts: str | int | float) -> str:
    """As `derive_id`, and ids of things that happened in the order of time follow one another, to the second.

    A table then takes its new rows side by side, and not each in a place of its own. The first 8 characters are `at` in
    whole seconds since the epoch (until 2106), the other 18 are 72 bits of blake2b.
    """
    return f"{int(at) & 0xFFFFFFFF:08x}{blake2b(_joined((at, *parts)), digest_size=9).hexdigest()}"


def child_id(parent: str, *parts: str | int | float) -> str:
    """As `derive_id`, of something that `parent` caused: it stands where its parent's id stands."""
    return parent[:8] + blake2b(_joined((parent, *parts)), digest_size=9).hexdigest()


def _joined(parts: Iterable[str | int | float]) -> bytes:
    return "".join([f"{len(text)}:{text}" for text in map(str, parts)]).encode()


class DwellThreshold(NamedTuple):
    """How long a stay has to last, and how long a time away does not end it."""

    seconds: float
    forgive: float = 0.0  # seconds away after which the time still counts from the first enter


class Sighting(msgspec.Struct, frozen=True):
    """An anchor and a moving device heard one another. Rows for edges and tests; the core works on columns."""

    anchor: str  # "<site>/<gateway>" or "<site>/<beacon>" of a radio at a known place
    device: str  # canonical device id, for instance "ibeacon:<uuid>:<major>:<minor>"
    rssi: float  # dBm, mean over the sample
    at: float  # seconds since the epoch


class Fix(msgspec.Struct, frozen=True):
    """A phone's own position."""

    device: str  # canonical device id, for instance "owntracks:ada/phone"
    lat: float  # degrees
    lon: float  # degrees
    at: float  # seconds since the epoch, when the phone was there
    accuracy: float | None = None  # metres, one standard circle as phones report it; None: unknown, never perfect
    speed: float | None = None  # m/s
    course: float | None = None  # degrees clockwise from north


class Transition(msgspec.Struct, frozen=True, gc=False):
    """A change of presence that rules listen to."""

    id: str  # derived from visit, kind and threshold
    kind: TransitionKind
    cause: str  # one of Cause
    site: str
    zone: str
    shopper: str
    device: str  # the device whose evidence completed it
    visit: str  # id of the visit
    at: float  # event time of the change
    observed: float  # event time of the observation that completed it; a dwell: its due time
    started: float  # event time at which the visit began
    confidence: float  # probability of being inside, 0 to 1
    dwell: float | None = None  # seconds of the threshold, for dwell only
    initial: bool = False  # the device's first observation ever was already inside
    jumped: bool = False  # came after a movement faster than the site's top speed
    forgive: float = 0.0  # seconds away that the dwell's threshold forgives, for dwell only
    reach: str | None = None  # the threshold that was met, for approach only: "400m" or "300s"
    distance: float | None = None  # metres to the place's outline, for approach only
    eta: float | None = None  # seconds to arrival at the closing speed, for approach only


class Visit(msgspec.Struct, frozen=True, gc=False):
    """One stay of one shopper in one zone."""

    id: str
    shopper: str
    device: str
    site: str
    zone: str
    started: float
    last_seen: float
    confidence: float
    ended: float | None = None
    cause: str | None = None  # of the end
    initial: bool = False


class Stage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a decision's trace: what was asked, what was seen, and where the rule says so."""

    name: str  # "status", "consent", "trigger", "conditions", "windows", "quiet", "limits", "render", …
    passed: bool
    detail: str = ""
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    where: str | None = None  # "coffee.rules.yaml:36"


class Decision(msgspec.Struct, frozen=True):
    """The outcome of one rule for one shopper at one transition."""

    id: str  # child_id(transition, rule)
    transition: str
    rule: str
    shopper: str
    site: str
    zone: str
    at: float  # the `now` it was taken at
    outcome: Outcome
    reason: str | None = None  # a code, for withheld: no_consent, limit_reached, …
    detail: str = ""
    trace: tuple[Stage, ...] = ()
    ghost: bool = False  # held out for comparison: would have been sent here and now, so limits count it


class Offer(msgspec.Struct, frozen=True):
    """What the shopper gets. Its id is its decision's id."""

    id: str
    rule: str
    shopper: str
    site: str
    zone: str
    visit: str
    title: str
    body: str
    language: str
    created: float
    observed: float  # event time of the observation that completed the trigger: latency is measured from here
    expires: float
    channels: tuple[
        str, ...
    ]  # in order of preference: "push" stands for mqtt, owntracks and web push; "inbox", "webhook"
    url: str | None = None
    urgency: str = "normal"  # very-low | low | normal | high
    only_while: str = "inside"  # inside | store | anywhere: presence checked again at the send
    on_exit: str = "withdraw"  # withdraw | keep
    purpose: str = "in-store-offers"  # the consent it stands on
    service: bool = False  # class: service


class Coupon(msgspec.Struct, frozen=True):
    """What an offer is worth at the till. Its id is its decision's id. Amounts are hundredths of the currency unit."""

    id: str
    code: str  # what the shopper shows: 17 letters and digits, the last one checks the others
    rule: str
    shopper: str
    site: str
    created: float
    expires: float  # from then on the till says no
    reserved_until: float  # from then on the budget has its share back
    worth: int = 0  # the most it can cost, set aside in the budget; 0: not known beforehand
    percent_off: float | None = None
    amount_off: int | None = None
    at_most: int | None = None  # of a percentage
    currency: str | None = None  # ISO 4217
    free: str | None = None  # what is given for nothing
    text: str | None = None  # any other promise, for the person at the till
    sku: str | None = None  # on this article
    category: str | None = None  # on articles of this category; neither of the two: on the whole basket
    chain: bool = False  # True: in every store; False: in the store where it was given


class Cap(msgspec.Struct, frozen=True):
    """A limit as one decision has to meet it: fewer than `max` sends later than `after`."""

    scope: Literal["rule", "store", "all"]
    max: int
    after: float
    text: str  # "1 of this rule every 7d"
    where: str = ""


class Claim(msgspec.Struct, frozen=True):
    """What a decision to send uses up. The commit takes all of it, or turns the decision into a no."""

    decision: str
    rule: str
    shopper: str
    site: str
    at: float
    caps: tuple[Cap, ...] = ()
    coupon: bool = False  # takes one coupon out of the rule's budget
    worth: int = 0  # and so much money, in hundredths
    most_coupons: int | None = None  # the rule's budget, as its file says now
    most_spend: int | None = None
    per_shopper: int | None = None  # coupons of this rule that one shopper may hold or have redeemed
    silent: bool = False  # says nothing to the shopper
    service: bool = False  # a service message: counts for its own rule alone
    ghost: bool = False  # held out: takes its place among the sends and nothing else
    order: int = 0  # among the claims of one shopper: the place in which they were decided
    where: str = ""


class Exposure(msgspec.Struct, frozen=True):
    """A shopper met a rule at the moment it would send: what results are counted from. Its id is its decision's id."""

    id: str
    rule: str
    shopper: str
    site: str
    at: float
    held: bool  # held out: a ghost, for comparison
    holdout: str | None = None  # names, where the rule has them
    experiment: str | None = None
    arm: str | None = None
    goal: str | None = None  # name of the event that the rule is after
    until: float | None = None  # the goal counts before this
    value: str | None = None  # path in the event's data: "basket.total"
    points: int = 0  # that the shopper earned with the offer


class StaffMessage(msgspec.Struct, frozen=True):
    """A word to the people at a desk of the store."""

    id: str  # derived from the decision and its place in `do`
    decision: str
    rule: str
    shopper: str
    site: str
    zone: str
    desk: str
    text: str
    created: float
    expires: float
    channel: str = "mqtt"  # mqtt | webhook


class Sent(msgspec.Struct, frozen=True):
    """One sent offer, as limits count them."""

    shopper: str
    rule: str
    site: str
    at: float
    service: bool = False  # a service message: only the rule's own limits count it
    silent: bool = False  # said nothing to the shopper: only the rule's own limits count it


class Shopper(msgspec.Struct, frozen=True):
    """A pseudonymous person."""

    id: str
    languages: tuple[str, ...] = ()  # BCP 47, most wanted first
    timezone: str | None = None  # IANA name; None: the store's
    name: str | None = None  # display name, shown only where allowed
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)  # "first_name", "visits_30d", …
    consents: dict[str, bool] = msgspec.field(default_factory=dict)  # purpose -> granted


class Device(msgspec.Struct, frozen=True):
    """Something a shopper carries."""

    id: str  # canonical device id
    shopper: str
    kind: str  # ibeacon | eddystone | altbeacon | irk | eid | mac | owntracks | traccar | app
    secret: str | None = None  # IRK, EID identity key, or OwnTracks encryption key
    password: str | None = None  # what a phone must say over HTTP


class Late(msgspec.Struct, frozen=True):
    """An observation that came too late for live presence; it goes to history."""

    device: str
    shopper: str
    at: float
    anchor: str | None = None
    rssi: float | None = None
    lat: float | None = None
    lon: float | None = None
    accuracy: float | None = None


class Whereabouts(msgspec.Struct, frozen=True):
    """Where one device is now, for maps and the API."""

    device: str
    shopper: str
    site: str | None  # None: not at any known site
    zones: tuple[str, ...]  # zones with an open visit of the shopper
    confidence: float
    at: float  # last observation
    x: float | None = None  # local metres in the site
    y: float | None = None
    lat: float | None = None
    lon: float | None = None
