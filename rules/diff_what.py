"""What a rule gives and says, how often and how, two rules at a time: what is other, in sentences that go on from the
rule's name."""

import re
from collections.abc import Sequence
from dataclasses import replace

from rules.diff_words import day_of, quote, span, text_of, was
from rules.limits import Limit
from rules.offers import Budget, CouponPlan, Money
from rules.ruleset import Message, Rule


def status(old: Rule, new: Rule) -> list[str]:
    """Whether it is live."""
    if old.status != new.status:
        return [f"is {new.status}, and was {old.status}"]
    return []


def names(old: Rule, new: Rule) -> list[str]:
    """What it is called, and whose it is."""
    found = []
    if old.title != new.title:
        found.append(f"is called {quote(new.title)} instead of {quote(old.title)}")
    if old.owner != new.owner:
        found.append(f"belongs to {new.owner or 'nobody'} instead of {old.owner or 'nobody'}")
    return found


def kind(old: Rule, new: Rule) -> list[str]:
    """Marketing or service."""
    if old.service == new.service:
        return []
    if new.service:
        limits = "only its own limits, and no" if new.limits else "no limits,"
        return [f"is a service message now: {limits} quiet hours or holdouts"]
    return ["is marketing now, and no service message: limits, quiet hours and holdouts hold"]


# How often, and for comparison


def competition(old: Rule, new: Rule) -> list[str]:
    """Which group it competes in, and how."""
    found = was("competes for {}", old.group or "nothing", new.group or "nothing")
    if old.group is not None and new.group is not None:
        found += was("has the priority {}", str(old.priority), str(new.priority))
    return found + was("is scored by {}", text_of(old.score) or "nothing", text_of(new.score) or "nothing")


def limits(old: Rule, new: Rule) -> list[str]:
    """Frequency caps: one that changed is told beside what it was."""
    before, after = _counted(old.limits), _counted(new.limits)
    gone = [one for one in before if one not in after]
    found = []
    for one in [one for one in after if one not in before]:
        was = next((other for other in gone if (other.scope, other.window) == (one.scope, one.window)), None)
        if was is not None:
            gone.remove(was)
        found.append(f"is sent at most {_rolls(one)}" + (f" instead of {_rolls(was)}" if was else ", which is new"))
    return found + [f"is no longer limited to {_rolls(one)}" for one in gone]


def _counted(some: Sequence[Limit]) -> list[Limit]:
    return sorted({replace(one, where="") for one in some}, key=str)


def _rolls(limit: Limit) -> str:
    return re.sub(r"every (\d+)([a-z])$", r"every \1 \2", str(limit))


def comparison(old: Rule, new: Rule) -> list[str]:
    """Holdout and experiment."""
    found = was("holds out {}", _held(old), _held(new))
    return found + was("tries {}", _tried(old), _tried(new))


def _held(rule: Rule) -> str:
    return "nobody" if rule.holdout is None else f"{rule.holdout.buckets / 100:g} % ({rule.holdout.name})"


def _tried(rule: Rule) -> str:
    if rule.experiment is None:
        return "one wording"
    arms = ", ".join(f"{arm} {buckets / 100:g} %" for arm, buckets in rule.experiment.arms)
    return f"{rule.experiment.name} ({arms})"


# What is offered and said


def offer(old: Rule, new: Rule) -> list[str]:
    """Coupon, budget and points."""
    before, after = old.offer, new.offer
    coupons = [one.coupon if one is not None else None for one in (before, after)]
    budgets = [one.budget if one is not None else None for one in (before, after)]
    points = [one.points if one is not None else 0 for one in (before, after)]
    found = was("gives {}", coupon_words(coupons[0]), coupon_words(coupons[1]))
    if coupons[1] is not None:
        found += was("has a budget of {}", _budget(budgets[0]), _budget(budgets[1]))
    return found + was("gives {}", *(f"{one or 'no'} points" for one in points))


def coupon_words(coupon: CouponPlan | None) -> str:
    """A coupon in words."""
    if coupon is None:
        return "no coupon"
    worth = f"{coupon.percent_off:g} % off" if coupon.percent_off is not None else None
    worth = worth or (f"{coupon.amount_off} off" if coupon.amount_off else None) or coupon.free or coupon.text
    thing = coupon.sku or coupon.category
    words = [f"{worth} {thing}" if thing else str(worth)]
    if coupon.at_most is not None:
        words.append(f"{coupon.at_most} at most")
    if coupon.valid_for is not None:
        words.append(f"valid for {span(coupon.valid_for)}")
    if coupon.valid_until is not None:
        words.append(f"valid until {day_of(coupon.valid_until)}")
    words += ["in every store"] if coupon.chain else []
    words += [f"{coupon.per_shopper} a shopper"] if coupon.per_shopper != 1 else []
    return ", ".join(words)


def _budget(budget: Budget | None) -> str:
    if budget is None:
        return "any number of coupons"
    bounds: list[tuple[int | Money | None, str]] = [(budget.coupons, " coupons"), (budget.spend, "")]
    words = " and ".join(f"{bound}{unit}" for bound, unit in bounds if bound is not None)
    kept = f", each kept for {span(budget.reserve_for)}" if budget.reserve_for is not None else ""
    return words + kept + (", and then goes out without a coupon" if budget.without else "")


def copy(old: Rule, new: Rule) -> list[str]:
    """What is said, language by language."""
    found = []
    for arm in sorted(old.say.keys() | new.say.keys()):
        before, after = old.say.get(arm, {}), new.say.get(arm, {})
        where = f" (arm {arm})" if arm else ""
        for language in sorted(before.keys() | after.keys()):
            found += _message(before.get(language), after.get(language), f"in {language}{where}")
        if before and after and next(iter(before)) != next(iter(after)):
            found.append(f"falls back to {next(iter(after))} instead of {next(iter(before))}{where}")
    return found


def _message(old: Message | None, new: Message | None, where: str) -> list[str]:
    if new is None:
        return [f"no longer says anything {where}"]
    if old is None:
        return [f"now says {where}: {quote(new.title.text)}, {quote(new.body.text)}"]
    found = []
    for part in ("title", "body", "url"):
        before, after = (text_of(getattr(one, part)) for one in (old, new))
        if before != after:
            found.append(f"{part} {where}: {quote(after)} instead of {quote(before)}")
    return found


def first_title(rule: Rule) -> str | None:
    """The title of the first language."""
    for languages in rule.say.values():
        for message in languages.values():
            return message.title.text
    return None


def tasks(old: Rule, new: Rule) -> list[str]:
    """Words to the staff."""
    before, after = ([(task.desk, task.text.text) for task in rule.tasks] for rule in (old, new))
    found = [f"tells the desk {desk}: {quote(text)}" for desk, text in after if (desk, text) not in before]
    return found + [f"no longer tells the desk {desk}: {quote(text)}" for desk, text in before
                    if (desk, text) not in after]  # fmt: skip


def delivery(old: Rule, new: Rule) -> list[str]:
    """How it reaches the shopper."""
    found = was("goes out by {}", ", ".join(old.channels), ", ".join(new.channels))
    found += was("goes out with the urgency {}", old.urgency, new.urgency)
    found += was("expires after {}", span(old.expires), span(new.expires))
    if old.expires == new.expires and old.expires_stated != new.expires_stated:
        found.append(
            "when it was held, expires counted from " + ("the trigger" if new.expires_stated else "its release")
        )
    found += was("is sent only while the shopper is {}", _where(old.only_while), _where(new.only_while))
    if old.on_exit != new.on_exit:
        found.append("is taken back when the shopper leaves" if new.on_exit == "withdraw"
                     else "stays when the shopper leaves")  # fmt: skip
    return found


def _where(only_while: str) -> str:
    return {"inside": "in the zone", "store": "in the store"}.get(only_while, only_while)


def goal(old: Rule, new: Rule) -> list[str]:
    """What counts as success."""
    return was("is measured by {}", _goal(old), _goal(new))


def _goal(rule: Rule) -> str:
    if rule.goal is None:
        return "nothing"
    worth = f", worth {rule.goal.value}" if rule.goal.value else ""
    return f"{rule.goal.event} within {span(rule.goal.within)}{worth}"
