"""What came of the rules: by arm, with the lift over those who were held out."""

from dataclasses import asdict
from datetime import timedelta

from fastapi import APIRouter
from pydantic import BaseModel, Field

from proximity.api.problems import responses
from proximity.api.security import Context, operator_only
from proximity.api.values import Filter, Since, Until
from proximity.store import results as stored
from proximity.store.results import HELD_OUT, ArmResult
from rules import lift
from rules.experiments import CONTROL
from rules.lift import Interval

router = APIRouter(tags=["results"], dependencies=operator_only, responses=responses(401, 422))
MONTH = timedelta(days=30).total_seconds()


class Estimate(BaseModel):
    """A figure, and between which values the truth lies 19 times out of 20."""

    value: float
    low: float
    high: float


class ArmOut(BaseModel):
    """One arm of a rule, or all of it."""

    arm: str = Field(description="`holdout`: held out; `everybody`: the rule has neither holdout nor experiment.")
    held: bool = Field(description="These shoppers got nothing, for comparison.")
    shoppers: int = Field(description="Who met the rule at a moment at which it would send.")
    met: int = Field(description="Such moments.")
    sent: int
    seen: int
    redeemed: int
    discount: float = Field(description="What redeemed coupons took off, in the currency's unit.")
    points: int
    reached: int = Field(description="Shoppers whose goal was reached.")
    value: float = Field(description="What those goals were worth together.")
    share: Estimate | None = Field(description="Of shoppers whose goal was reached.")
    difference: Estimate | None = Field(description="Of that share from the control's.")
    lift: Estimate | None = Field(description="The same in proportion: 0.25 is a quarter more often.")


class RuleResult(BaseModel):
    """What came of one rule."""

    rule: str
    arms: list[ArmOut]
    control: str | None = Field(description="The arm that the others are compared with; null: there is none.")


class Results(BaseModel):
    since: float
    until: float
    items: list[RuleResult]


class MemberOut(BaseModel):
    """An arm of an experiment or a holdout."""

    kind: str = Field(description="experiment or holdout.")
    name: str
    arm: str
    shoppers: int
    met: int


class SplitOut(BaseModel):
    """Whether people fell into the arms as the rules say."""

    kind: str
    name: str
    chance: float | None = Field(description="Of a split at least as uneven; below 0.001 do not trust the results.")
    suspicious: bool


class Experiments(BaseModel):
    items: list[MemberOut]
    splits: list[SplitOut]


@router.get("/results")
def list_results(context: Context, rule: Filter = None, since: Since = None, until: Until = None) -> Results:
    """Per rule and arm: sent, seen, redeemed, goals and their value. Without `since`: of the last 30 days."""
    until = context.clock() if until is None else until
    since = until - MONTH if since is None else since
    rules = [rule] if rule is not None else stored.measured(context.store, since, until)
    return Results(since=since, until=until, items=[_rule(context, one, since, until) for one in rules])


def _rule(context: Context, rule: str, since: float, until: float) -> RuleResult:
    arms = stored.results(context.store, rule, since, until)
    control = next((one for name in (HELD_OUT, CONTROL) for one in arms if one.arm == name and one.held), None)
    return RuleResult(
        rule=rule, arms=[_arm(one, control) for one in arms], control=None if control is None else control.arm
    )


def _arm(arm: ArmResult, control: ArmResult | None) -> ArmOut:
    figures = {**asdict(arm), "discount": arm.discount / 100}
    compared = None
    if control is not None and control is not arm and arm.shoppers and control.shoppers:
        compared = (arm.reached, arm.shoppers, control.reached, control.shoppers)
    return ArmOut(
        **figures,
        share=_estimate(lift.share(arm.reached, arm.shoppers)) if arm.shoppers else None,
        difference=None if compared is None else _estimate(lift.difference(*compared)),
        lift=None if compared is None else _estimate(lift.ratio(*compared)),
    )


def _estimate(interval: Interval | None) -> Estimate | None:
    return None if interval is None else Estimate(**interval._asdict())


@router.get("/experiments")
def list_experiments(context: Context, since: Since = None, until: Until = None) -> Experiments:
    """Who met experiments and holdouts, by arm, and whether the split is what it should be."""
    until = context.clock() if until is None else until
    since = until - MONTH if since is None else since
    members = stored.membership(context.store, since, until)
    splits = []
    for (kind, name), shares in sorted(context.live.splits().items()):
        counts = {row["arm"]: row["shoppers"] for row in members if (row["kind"], row["name"]) == (kind, name)}
        chance = lift.split_chance(counts, shares)
        suspicious = chance is not None and chance < lift.SUSPICIOUS
        splits.append(SplitOut(kind=kind, name=name, chance=chance, suspicious=suspicious))
    return Experiments(items=[MemberOut(**row) for row in members], splits=splits)
