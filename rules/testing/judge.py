"""Play a suite and compare what happened with what was expected."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rules.explain import explain
from rules.ruleset import RuleSet
from rules.schedule import local_time, zone_info
from rules.testing import shape
from rules.testing.read import Suite, Test
from rules.testing.simulate import Delivered, Played, SimulatedShop, Told
from rules.values import show

_ALWAYS = ("rule",)
_USUAL = ("rule", "channel", "language", "title")


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold. Lines of `diff` begin with `-` (wanted), `+` (got) or a space (both)."""

    line: int  # of the test file
    what: str  # "at 60s: sent"
    diff: tuple[str, ...]
    trace: tuple[str, ...] = ()  # the decisions that surprised, and what presence told


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test."""

    file: str
    line: int
    name: str
    failures: tuple[Failure, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


def judge(suite: Suite, pattern: "re.Pattern[str] | None" = None) -> list[Result]:
    """The results of a suite's tests, of those whose names `pattern` finds; none of a suite that cannot be played."""
    if suite.ruleset is None:
        return []
    results = []
    for line, case in suite.windows:
        name = f"{case.window} is {_state(case.open)} at {case.at.isoformat()}"
        if pattern is None or pattern.search(name):
            results.append(Result(suite.file, line, name, _judge_window(suite.ruleset, line, case)))
    for test in suite.tests:
        if pattern is None or pattern.search(test.name):
            results.append(Result(suite.file, test.line, test.name, _judge_test(test.ruleset or suite.ruleset, test)))
    return results


def _state(is_open: bool) -> str:
    return "open" if is_open else "closed"


def _judge_window(ruleset: RuleSet, line: int, case: shape.WindowCase) -> tuple[Failure, ...]:
    window = ruleset.windows[case.window]
    place = ruleset.places[case.store or min(ruleset.places)]
    zone = zone_info(case.zone) if case.zone else None
    now = case.at.timestamp()
    local = datetime.fromtimestamp(now, zone) if zone else local_time(now, window.clock, place, None)
    got = window.is_open(local, place.store.country)
    if got is case.open:
        return ()
    reading = f"the clock shows {local:%a %Y-%m-%d %H:%M}; {window.label}, written at {window.where}"
    return (Failure(line, "window", (f"- {_state(case.open)}", f"+ {_state(got)}"), (reading,)),)


def _judge_test(ruleset: RuleSet, test: Test) -> tuple[Failure, ...]:
    last = max(one.at for one in test.shape.expect)
    played = SimulatedShop(ruleset, test.given, test.shape.crowd).play(test.shape.events, last)
    failures: list[Failure] = []
    for expected, line in zip(test.shape.expect, test.expect_lines, strict=True):
        judged = _Judged(played, expected, line, zone_info(ruleset.places[test.given.store].store.timezone))
        judged.sent()
        judged.not_sent()
        judged.withdrawn()
        judged.told()
        judged.numbers()
        failures += judged.failures
    return tuple(failures)


@dataclass(slots=True)
class _Judged:
    """One expectation against what was played."""

    played: Played
    expected: shape.Expectation
    line: int
    clock: Any
    failures: list[Failure] = field(default_factory=list)

    def _fail(self, what: str, diff: Sequence[str], rules: Sequence[str]) -> None:
        trace: list[str] = []
        for rule in dict.fromkeys(rules):
            trace += self._decision(rule)
        events = "; ".join(f"{_time(at)} {what}" for at, what in self.played.happened if at <= self.expected.at)
        trace.append(f"presence: {events or 'nothing'}")
        self.failures.append(Failure(self.line, f"at {_time(self.expected.at)}: {what}", tuple(diff), tuple(trace)))

    def _decision(self, rule: str) -> list[str]:
        """The last decision of a rule, in words."""
        made = [(one.at, one.decision) for one in self._delivered() if one.offer.rule == rule]
        made += [
            (one.at, one.decision) for one in self.played.told if one.message.rule == rule and self._by_now(one.at)
        ]
        made += [(one.at, one.decision) for one in self.played.withheld if one.rule == rule and self._by_now(one.at)]
        if not made:
            return [f"{rule}: nothing was decided, for its trigger did not come"]
        return explain(max(made, key=lambda pair: pair[0])[1], self.clock).splitlines()

    def _by_now(self, at: float) -> bool:
        return at <= self.expected.at

    def _delivered(self) -> list[Delivered]:
        return [one for one in self.played.delivered if self._by_now(one.at)]

    def sent(self) -> None:
        """All that was sent by now, and nothing else."""
        if self.expected.sent is None:
            return
        left = self._delivered()
        lines: list[str] = []
        rules: list[str] = []
        missing: list[shape.Sent] = []
        for wanted in self.expected.sent:
            found = next((one for one in left if _fits(wanted, one)), None)
            if found is None:
                missing.append(wanted)
            else:
                left.remove(found)
                lines.append(f"  {_flow(_got(found, _keys(wanted)))}")
        for wanted in missing:
            lines.append(f"- {_flow(_wanted(wanted))}")
            rules.append(wanted.rule)
            near = next((one for one in left if one.offer.rule == wanted.rule), None)
            if near is not None:
                left.remove(near)
                lines.append(f"+ {_flow(_got(near, _keys(wanted)))}")
        for surplus in left:
            lines.append(f"+ {_flow(_got(surplus, _USUAL))}")
            rules.append(surplus.offer.rule)
        if missing or left:
            self._fail("sent", lines, rules)

    def not_sent(self) -> None:
        """Each of these rules sent nothing the last time it was asked, for the reason given."""
        for wanted in self.expected.not_sent:
            answers = self._answers(wanted.rule)
            if wanted.because in answers:
                continue
            got = "sent" if answers == ["sent"] else f"not sent: {', '.join(answers) or 'nothing was decided'}"
            diff = (f"- {wanted.rule} not sent: {wanted.because}", f"+ {wanted.rule} {got}")
            self._fail("not_sent", diff, [wanted.rule])

    def _answers(self, rule: str) -> list[str]:
        """What became of a rule at the last moment at which it was asked: `sent`, or reasons."""
        found = [(one.at, "sent") for one in self._delivered() if one.offer.rule == rule]
        found += [(one.at, "sent") for one in self.played.told if one.message.rule == rule and self._by_now(one.at)]
        found += [(one.at, one.reason) for one in self.played.withheld if one.rule == rule and self._by_now(one.at)]
        last = max((at for at, _ in found), default=None)
        return list(dict.fromkeys(answer for at, answer in found if at == last))

    def numbers(self) -> None:
        """How many offers and coupons there were, and how many decisions were withheld, by reason."""
        expected, delivered = self.expected, self._delivered()
        got = {"offers_sent": len(delivered), "coupons_issued": sum(one.coupon is not None for one in delivered)}
        for name, number in got.items():
            wanted = getattr(expected, name)
            if wanted is not None and wanted != number:
                self._fail(name, (f"- {name}: {wanted}", f"+ {name}: {number}"), [])
        if expected.not_sent_because:
            reasons = Counter(one.reason for one in self.played.withheld if self._by_now(one.at))
            if any(reasons[reason] != wanted for reason, wanted in expected.not_sent_because.items()):
                lines = (
                    "- " + _flow(dict(sorted(expected.not_sent_because.items()))),
                    "+ " + _flow(dict(sorted(reasons.items()))),
                )
                self._fail("not_sent_because", lines, [])

    def withdrawn(self) -> None:
        """These rules' offers, and no others, were taken back by now."""
        if self.expected.withdrawn is None:
            return
        got = sorted({rule for at, rule in self.played.withdrawn if self._by_now(at)})
        wanted = sorted(set(self.expected.withdrawn))
        if got != wanted:
            diff = (f"- [{', '.join(wanted)}]", f"+ [{', '.join(got)}]")
            self._fail("withdrawn", diff, sorted(set(got) ^ set(wanted)))

    def told(self) -> None:
        """All that the staff was told by now, and nothing else."""
        if self.expected.told is None:
            return
        left = [one for one in self.played.told if self._by_now(one.at)]
        lines: list[str] = []
        rules: list[str] = []
        for wanted in self.expected.told:
            given = {key: getattr(wanted, key) for key in ("desk", *sorted(wanted.model_fields_set - {"desk"}))}
            found = next((one for one in left if _of_told(one, given) == given), None)
            if found is None:
                lines.append(f"- {_flow(given)}")
                rules += [wanted.rule] if wanted.rule else []
            else:
                left.remove(found)
                lines.append(f"  {_flow(given)}")
        for surplus in left:
            lines.append(f"+ {_flow(_of_told(surplus, ('rule', 'desk', 'text')))}")
            rules.append(surplus.message.rule)
        if any(not line.startswith(" ") for line in lines):
            self._fail("told", lines, rules)


def _of_told(one: Told, keys: Iterable[str]) -> dict[str, Any]:
    have = {"rule": one.message.rule, "desk": one.message.desk, "text": one.message.text, "at": one.at}
    return {key: have[key] for key in keys}


def _keys(wanted: shape.Sent) -> tuple[str, ...]:
    return (*_ALWAYS, *sorted(wanted.model_fields_set - set(_ALWAYS)))


def _wanted(wanted: shape.Sent) -> dict[str, Any]:
    return {key: getattr(wanted, key) for key in _keys(wanted)}


def _got(one: Delivered, keys: Sequence[str]) -> dict[str, Any]:
    offer = one.offer
    have = {
        "rule": offer.rule,
        "channel": one.channel,
        "language": offer.language,
        "title": offer.title,
        "body": offer.body,
        "url": offer.url,
        "at": one.at,
    }
    return {key: have[key] for key in keys}


def _fits(wanted: shape.Sent, one: Delivered) -> bool:
    return _wanted(wanted) == _got(one, _keys(wanted))


def _flow(values: dict[str, Any]) -> str:
    """As one would write it in the file."""
    parts = []
    for key, value in values.items():
        plain = key in ("rule", "channel", "language", "desk") and isinstance(value, str)
        parts.append(f"{key}: {value if plain else _time(value) if key == 'at' else show(value)}")
    return "{" + ", ".join(parts) + "}"


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
