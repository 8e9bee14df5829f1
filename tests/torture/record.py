"""What those outside the service saw: what they sent, what they were told is safe, and what they received."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

Row = tuple[str, str, int]  # device, "<site>/<gateway>", ms
Mark = tuple[str, str, str]  # site, gateway, boot


@dataclass(frozen=True, slots=True)
class Received:
    """An offer as a shopper's app got it for the first time."""

    shopper: str
    title: str
    body: str
    created: float  # s


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a till was answered."""

    code: str
    discount: int  # hundredths


@dataclass(frozen=True, slots=True)
class Record:
    """Of one run, after everything sent was covered."""

    rows: Mapping[Row, tuple[Mark, int]]  # of every message that a gateway made: its boot, and the message's number
    marks: Mapping[Mark, int]  # up to which number a gateway was told that it is safe
    confirmed: frozenset[tuple[str, int]]  # (phone, s) of positions with a PUBACK
    offers: Mapping[str, Received]  # by id
    times: Counter[str]  # how often each id came
    redeemed: Mapping[str, Redeemed]  # what tills took, by the till's own key
    kills: int


def is_code(text: str) -> bool:
    """Whether a message's body is a coupon code."""
    return len(plain(text)) == 17 and plain(text).isalnum() and text.isupper()


def plain(code: str) -> str:
    """A coupon code without hyphens, as the database keeps it."""
    return code.replace("-", "")
