"""What rules have given away: how many coupons hold a place in a budget, and what they can cost or have cost.

The caps stand in the rules; here is what is gone. `reserve` takes, and the end of a coupon gives back.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.store import tables
from proximity.store.database import Store, chunks

_budgets = tables.budgets


class Share(NamedTuple):
    """What one coupon holds of its rule's budget, or how much that changes."""

    rule: str
    coupons: int
    spend: int  # hundredths of the currency's unit


def used(store: Store, rules: Iterable[str] | None = None) -> dict[str, tuple[int, int]]:
    """Rule -> (coupons, hundredths) that are gone, of those that gave a coupon. None: of all."""
    query = sa.select(_budgets.c.rule, _budgets.c.coupons, _budgets.c.spend)
    found: dict[str, tuple[int, int]] = {}
    with store.connect() as connection:
        for some in [None] if rules is None else chunks(sorted(set(rules))):
            asked = query if some is None else query.where(_budgets.c.rule.in_(some))
            found.update({rule: (coupons, spend) for rule, coupons, spend in connection.execute(asked)})
    return found


def change(connection: Connection, shares: Iterable[Share]) -> None:
    """Add to what is gone, or take away from it, within the caller's transaction; rules by name, so that two
    transactions wait for one another in a line."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in shares:
        sums[one.rule][0] += one.coupons
        sums[one.rule][1] += one.spend
    rows = [{"of": rule, "n": n, "s": s} for rule, (n, s) in sorted(sums.items()) if n or s]
    if rows:
        connection.execute(
            sa.update(_budgets)
            .where(_budgets.c.rule == sa.bindparam("of"))
            .values(coupons=_budgets.c.coupons + sa.bindparam("n"), spend=_budgets.c.spend + sa.bindparam("s")),
            rows,
        )
