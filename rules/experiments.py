"""Who is held out and who gets which wording: by a salted hash, so that everybody stays where he is.

A shopper falls into one of 10,000 buckets per name. The bucket depends on the name and the shopper alone, so it is the
same in every store, after every restart, and for every rule that uses the name.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

BUCKETS = 10_000  # a bucket is 0.01 %
HOLDOUT_REASON = "holdout"
CONTROL = "control"  # an arm of this name may say nothing: who is in it gets nothing, for comparison


def bucket(name: str, shopper: str) -> int:
    """0 to 9,999, equally often each: blake2b over name and shopper, its first 64 bits modulo 10,000.

    What is left of 2^64 favours some buckets by less than one in 10^15.
    """
    digest = hashlib.blake2b(f"{name}\0{shopper}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


EVERYBODY = "everybody"  # the arm of those who are not held out


@dataclass(frozen=True, slots=True)
class Holdout:
    """A share of shoppers who get nothing from the rules that name it."""

    name: str
    buckets: int  # the first so many of 10,000
    where: str = ""  # file:line

    def holds(self, number: int) -> bool:
        """Whether the bucket is held out."""
        return number < self.buckets


@dataclass(frozen=True, slots=True)
class Experiment:
    """Arms with their shares. They follow one another in the order of their names, however they are written."""

    name: str
    arms: tuple[tuple[str, int], ...]  # (arm, buckets), by name; together 10,000
    where: str = ""  # file:line

    def arm(self, number: int) -> str:
        """The arm of a bucket."""
        for arm, buckets in self.arms:
            if number < buckets:
                return arm
            number -= buckets
        raise ValueError(f"bucket {number} lies beyond the last arm of {self.name}")


class Compared(Protocol):
    """A rule, as far as this module cares."""

    @property
    def holdout(self) -> Holdout | None: ...
    @property
    def experiment(self) -> Experiment | None: ...


def splits(rules: Iterable[Compared]) -> dict[tuple[str, str], dict[str, float]]:
    """("experiment" or "holdout", name) -> the share of each of its arms."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for rule in rules:
        if rule.holdout is not None:
            out = rule.holdout.buckets / BUCKETS
            found["holdout", rule.holdout.name] = {HOLDOUT_REASON: out, EVERYBODY: 1 - out}
        if rule.experiment is not None:
            found["experiment", rule.experiment.name] = {arm: n / BUCKETS for arm, n in rule.experiment.arms}
    return found
