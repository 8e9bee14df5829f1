"""From what happened to what the rules say of it: gathers the facts of a batch and asks every rule that listens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from proximity.delivery.routes import RouteSettings, reachable
from proximity.model import Coupon, Sent
from proximity.registry import Registry
from proximity.store import budgets, coupons, history
from proximity.store.context import Context, Value
from proximity.store.database import Store
from rules.decide import Facts, Verdict, decide
from rules.occurrence import Happening, Occurrence
from rules.offers import Used
from rules.ruleset import Candidates, RuleSet


class Decider:
    """Decides for one pipeline. Not for several threads at once."""

    def __init__(self, store: Store, routes: RouteSettings) -> None:
        self._store, self._routes = store, routes
        self.context = Context(store)
        self._key = coupons.key(store)

    def use(self, ruleset: RuleSet, registry: Registry, given: Sequence[Value] = ()) -> None:
        """Rules, people and the folder's values to go by from now on."""
        self._ruleset, self._registry = ruleset, registry
        self._channels: dict[str, frozenset[str]] = {}  # by shopper, as asked for so far
        self.context.use(given, ruleset.catalog.attributes)

    def shopper_changed(self, shopper: str) -> None:
        """He may be reached in other ways."""
        self._channels.pop(shopper, None)

    def decide(
        self, transitions: Sequence[Happening], now: float, inside: Callable[[str], Iterable[tuple[str, str]]]
    ) -> list[Verdict]:
        """All verdicts of a batch. What one transition sends counts against the limits of the next. `inside`: (site,
        zone) pairs in which a shopper is now."""
        verdicts: list[Verdict] = []
        heard = [(one, found) for one in transitions if (found := self._ruleset.candidates(one)).rules]
        if not heard:
            return verdicts
        wanted = {one.shopper for one, _ in heard}
        window = self._ruleset.history_window()
        sent: dict[str, list[Sent]] = {shopper: [] for shopper in wanted}
        for one in history.sends(self._store, wanted, now - window) if window else ():
            sent[one.shopper].append(one)
        self.context.prepare(wanted, now)
        gone = self._gone(heard, wanted)
        for transition, candidates in heard:
            shopper = transition.shopper
            facts = Facts(
                now=now,
                shopper=self._registry.shoppers.get(shopper),
                history=sent[shopper],
                reachable=self._reached(shopper),
                attributes=self.context.of(transition.site, shopper, now),
                spent=gone.spent,
                held=gone.held.get(shopper, {}),
                coupon_key=self._key,
                inside=frozenset(inside(shopper)) if isinstance(transition, Occurrence) else frozenset(),
            )
            for verdict in decide(self._ruleset, transition, facts, candidates):
                verdicts.append(verdict)
                if (counted := verdict.counted) is not None:
                    sent[shopper].append(counted)
                if verdict.coupon is not None:
                    gone.take(verdict.coupon)
        return verdicts

    def _reached(self, shopper: str) -> frozenset[str]:
        """The channels by which the shopper can be reached."""
        found = self._channels.get(shopper)
        if found is None:
            found = self._channels[shopper] = reachable(self._registry.carried_by(shopper), self._routes)
        return found

    def _gone(self, heard: Sequence[tuple[Happening, Candidates]], wanted: set[str]) -> "_Gone":
        """What is gone of the budgets and coupons that these may ask for."""
        rules = {rule.id: rule for _, candidates in heard for rule in candidates.rules}
        giving = {rule.id for rule in rules.values() if rule.offer is not None and rule.offer.coupon is not None}
        if not giving:
            return _Gone({}, {})
        spent = {rule: Used(*used) for rule, used in budgets.used(self._store, giving).items()}
        return _Gone(spent, coupons.held(self._store, wanted))


@dataclass(frozen=True, slots=True)
class _Gone:
    """Budgets and coupons as they stand, and as this batch goes on taking from them."""

    spent: dict[str, Used]  # by rule
    held: dict[str, dict[str, int]]  # shopper -> rule -> coupons

    def take(self, coupon: Coupon) -> None:
        """One more."""
        used = self.spent.get(coupon.rule, Used())
        self.spent[coupon.rule] = Used(used.coupons + 1, used.spend + coupon.worth)
        mine = self.held.setdefault(coupon.shopper, {})
        mine[coupon.rule] = mine.get(coupon.rule, 0) + 1
