"""Frequency caps: how many offers a shopper may get."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from proximity.model import Sent
from rules.schedule import period_start
from rules.values import show_duration

SLACK = 7200.0  # s; a calendar day with a change of the clock is up to an hour longer, a week too


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` offers to a shopper per `every` seconds, counted for the rule, the store, or everywhere."""

    scope: Literal["rule", "store", "all"]
    max: int
    every: float  # s
    window: Literal["rolling", "calendar"]
    where: str = ""  # file:line

    def used(self, sent: Iterable[Sent], rule: str, site: str, now: float, local: datetime) -> int:
        """How many sends count against it now. `local` is the wall clock that calendar windows go by.

        A send exactly `every` ago is no longer in a rolling window. A rule counts all that it sent; service messages
        and words to the staff are nothing that a limit over several rules could count.
        """
        after = self.after(now, local)
        count = 0
        for one in sent:
            if one.at <= after:
                continue
            if self.scope == "rule":
                count += one.rule == rule
            elif not one.service and not one.silent and (self.scope == "all" or one.site == site):
                count += 1
        return count

    def after(self, now: float, local: datetime) -> float:
        """Sends later than this moment count now, epoch seconds."""
        if self.window == "rolling":
            return now - self.every
        return math.nextafter(period_start(local, self.every), -math.inf)  # midnight itself is in the day

    def implies(self, other: "Limit") -> bool:
        """Whether `other` can never be reached where this one holds, and so has no effect."""
        wider = self.scope in ("all", other.scope)
        if not wider or self.max > other.max:
            return False
        if self.window == other.window:
            return other.every == self.every or (self.window == "rolling" and other.every < self.every)
        # A calendar day can be 25 hours long, so only a longer rolling window holds it in any case.
        return self.window == "rolling" and other.every + SLACK <= self.every

    @property
    def reach(self) -> float:
        """Seconds of history it needs."""
        return self.every if self.window == "rolling" else self.every + SLACK

    def __str__(self) -> str:
        period = show_duration(self.every)
        if self.window == "calendar":
            period = "calendar day" if self.every == 86400 else "calendar week"
        over = {"rule": "of this rule", "store": "of this store", "all": "in all"}[self.scope]
        return f"{self.max} {over} every {period}"
