"""From the shape of a rule to a rule that runs, with every mistake of meaning named in place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from proximity.document import Diagnostic, Document, did_you_mean, is_stranger
from rules import schema
from rules.catalog import Catalog
from rules.deliver_build import build_deliver
from rules.experiments import Experiment, Holdout
from rules.expressions import Expression
from rules.header import Shared, at_faults, check_clock, where
from rules.limits_build import build_limits
from rules.offers_build import build_goal, build_offer, build_tasks
from rules.ruleset import Check, Conditions, Policy, Quiet, Rule
from rules.schedule import Runs, Window
from rules.trigger_build import TriggerBuilder, check_sometimes
from rules.wording import Wording

Loc = tuple[str | int, ...]


class Builder:
    """Builds one rule. `diagnostics` holds what is wrong; `build` gives None when some of it is an error.

    `unsure`: keys of which parts were wrong and are left out of `rule`, or that may stand under an unknown name.
    """

    def __init__(
        self,
        document: Document,
        index: int,
        rule: schema.Rule,
        shared: Shared,
        catalog: Catalog,
        unsure: frozenset[str] = frozenset(),
    ) -> None:
        self.document = document
        self.index = index
        self.loc: Loc = ("rules", index)
        self.rule = rule
        self.shared = shared
        self.catalog = catalog
        self.diagnostics: list[Diagnostic] = []
        self.used: set[tuple[str, str]] = set()  # windows and segments
        self._unsure = unsure

    def sure(self, *keys: str) -> bool:
        """Whether these keys are known as they are meant: what compares them with others may be said."""
        return self._unsure.isdisjoint(keys)

    def build(self) -> Rule | None:
        """The rule, or None."""
        rule = self.rule
        service = rule.class_ == "service"
        trigger = TriggerBuilder(self).build()
        conditions = self._conditions()
        during = self._windows()
        deliver = build_deliver(self, trigger)
        limits = build_limits(self, service=service)
        quiet = self._quiet(service=service)
        holdout, experiment = self._compared(service=service)
        score = self._score()
        certain = self.certain(conditions)
        say = Wording(self).build(certain, service=service)
        offer = build_offer(self, deliver["expires"])
        tasks, goal = build_tasks(self, certain), build_goal(self)
        if self.sure("when"):
            check_sometimes(self, trigger)
        if any(one.severity == "error" for one in self.diagnostics):
            return None
        return Rule(
            id=rule.id,
            title=rule.title or rule.id,
            owner=rule.owner,
            status=rule.status,
            runs=Runs(rule.runs.from_, rule.runs.until, self.shared.clock) if rule.runs else None,
            service=service,
            trigger=trigger,
            conditions=conditions,
            store=rule.where.store,
            during=during,
            purpose=rule.consent.purpose,
            group=rule.compete.group if rule.compete else None,
            priority=rule.compete.priority if rule.compete else 0,
            score=score,
            limits=limits,
            quiet=quiet,
            holdout=holdout,
            experiment=experiment,
            say=say,
            channels=tuple(rule.deliver.channels),
            urgency=rule.deliver.urgency,
            clock=self.shared.clock,
            places=self._places(),
            where=where(self.document, self.loc),
            offer=offer,
            tasks=tasks,
            goal=goal,
            **deliver,
        )

    def certain(self, conditions: Conditions) -> frozenset[str]:
        """The attributes that the conditions have made sure of, for the texts."""
        types = self.catalog.attributes.types
        return frozenset(
            name
            for check in conditions.all
            for name in check.expression.certain
            if check.policies[name] != "pass" and types[name].shape != "map"
        )

    def say_at(
        self,
        loc: Sequence[str | int],
        code: str,
        message: str,
        hint: str | None = None,
        *,
        key: bool = False,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note what is wrong with a part of the rule."""
        self.diagnostics.append(
            self.document.diagnostic((*self.loc, *loc), code, message, hint, key=key, severity=severity)
        )

    def place_of(self, *loc: str | int) -> str:
        """`file:line` of a part of the rule."""
        return where(self.document, (*self.loc, *loc))

    def _places(self) -> Mapping[str, str]:
        """Lines of the keys that the rule writes; a stage whose key is not written has no line."""
        own, inner = self.rule.model_fields_set, self.rule.where.model_fields_set
        places = {key: self.place_of(key) for key in ("status", "runs", "consent", "compete", "deliver") if key in own}
        return places | {key: self.place_of("where", key) for key in ("store", "during") if key in inner}

    # Where and when

    def names(
        self,
        loc: Loc,
        key: str,
        names: Sequence[str],
        known: frozenset[str],
        code: str,
        words: str,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        """Refuse the names of a list, or the one name, that are not known. `refused`: see `is_stranger`."""
        for i, name in enumerate(names):
            if is_stranger(name, known, refused):
                self.say_at(self.item((*loc, key), i), code, f"{words} `{name}`", did_you_mean(name, known - refused))

    def item(self, loc: Loc, number: int) -> Loc:
        """The place of an item of a list, where a single one may be written without the list."""
        data = self.document.data
        for part in (*self.loc, *loc):
            data = data[part]
        return (*loc, number) if isinstance(data, list) else loc

    def _windows(self) -> tuple[Window, ...]:
        names = self.rule.where.during
        self._known_windows(("where", "during"), names)
        return tuple(self.shared.windows[name] for name in names if name in self.shared.windows)

    def _known_windows(self, loc: Loc, names: Sequence[str]) -> None:
        self.used |= {("windows", name) for name in names}
        if not self.shared.complete:
            return
        known = self.shared.windows
        for i, name in enumerate(names):
            if name not in known:
                place = self.item(loc, i)
                hint = did_you_mean(name, known) or "define it under `windows`"
                self.say_at(place, "E205", f"unknown window `{name}`", hint)

    def _quiet(self, *, service: bool) -> tuple[Quiet, ...]:
        found: list[tuple[schema.Quiet, str]] = [self.shared.quiet] if self.shared.quiet and not service else []
        if self.rule.quiet is not None:
            if service:
                self.say_at(("quiet",), "E109", "`quiet` has no effect: service rules have no quiet hours",
                             "remove it, or remove `class: service`", key=True)  # fmt: skip
            self._known_windows(("quiet", "window"), [self.rule.quiet.window])
            if "clock" in self.rule.quiet.model_fields_set:
                self.diagnostics += check_clock(self.document, (*self.loc, "quiet", "clock"), self.rule.quiet.clock)
            found.append((self.rule.quiet, self.place_of("quiet")))
        return tuple(
            Quiet(replace(self.shared.windows[quiet.window], clock=quiet.clock), place, quiet.then == "hold")
            for quiet, place in found
            if quiet.window in self.shared.windows
        )

    # Conditions

    def _conditions(self) -> Conditions:
        given = self.rule.where
        segments = given.segments or schema.SegmentChoice.model_construct(any=(), none=())
        found = Conditions(
            any_segment=self._segments("any", segments.any),
            no_segment=self._segments("none", segments.none),
            all=self._checks("all", given.all or []),
            any=self._checks("any", given.any or []),
            none=self._checks("none", given.none or []),
            where=self.place_of("where") if "where" in self.rule.model_fields_set else None,
        )
        both = set(segments.any) & set(segments.none)
        if both and set(segments.any) <= set(segments.none):
            self.say_at(
                ("where", "segments"), "E110", f"nobody is in `{min(both)}` and not in it: the rule never sends"
            )
        checks = (*found.any_segment, *found.no_segment, *found.all, *found.any, *found.none)
        used = {name for check in checks for name in check.expression.attributes}
        self._missing(used)
        return replace(found, attributes=tuple(sorted(used)))

    def _checks(self, key: str, texts: Sequence[str]) -> tuple[Check, ...]:
        checks = []
        for i, text in enumerate(texts):
            loc = ("where", key, i)
            expression, faults = self.shared.compiler.compile(text)
            self.diagnostics += at_faults(self.document, (*self.loc, *loc), text, faults)
            if expression is not None:
                checks.append(self._check(expression, self.place_of(*loc), " ".join(text.split())))
        return tuple(checks)

    def _check(self, expression: Expression, place: str, label: str) -> Check:
        own = self.rule.where.missing
        policies: dict[str, Policy] = {name: own.get(name, self.shared.missing) for name in expression.attributes}
        return Check(expression, policies, place, label)

    def _segments(self, key: str, names: Sequence[str]) -> tuple[Check, ...]:
        loc = ("where", "segments", key)
        self.known_segments(loc, names)
        found = ((name, self.shared.segments.get(name)) for name in names)
        return tuple(
            self._check(segment.expression, self.place_of(*loc), name)
            for name, segment in found
            if segment is not None and segment.expression is not None
        )

    def known_segments(self, loc: Loc, names: Sequence[str]) -> None:
        """Refuse segments that no file defines, and note that the others are used."""
        known = self.shared.segments
        self.used |= {("segments", name) for name in names}
        for i, name in enumerate(names):
            if name not in known and self.shared.complete:
                place = self.item(loc, i)
                hint = did_you_mean(name, known) or "define it under `segments`"
                self.say_at(place, "E206", f"unknown segment `{name}`", hint)

    def _missing(self, used: set[str]) -> None:
        for name in self.rule.where.missing:
            loc = ("where", "missing", name)
            known = self.catalog.attributes.types
            if name not in known:
                self.say_at(loc, "E204", f"unknown attribute `{name}`", did_you_mean(name, known), key=True)
            elif not self.catalog.attributes.may_be_absent(name):
                self.say_at(loc, "E109", f"`{name}` is never missing", "remove this line", key=True)
            elif (
                name not in used
                and self.sure("where")
                and not any(one.code.startswith("E2") for one in self.diagnostics)
            ):
                self.say_at(loc, "E109", f"no condition of this rule uses `{name}`", "remove this line", key=True)

    # Delivery

    def _compared(self, *, service: bool) -> tuple[Holdout | None, Experiment | None]:
        """Who is held out, and which wordings are tried."""
        given, holdout, experiment = self.rule, None, None
        if given.holdout is not None:
            holdout = Holdout(given.holdout.name, round(given.holdout.percent * 100), self.place_of("holdout"))
            if service:
                self.say_at(("holdout",), "E109", "`holdout` has no effect: nobody is held out from service rules",
                             "remove it, or remove `class: service`", key=True)  # fmt: skip
        if given.experiment is not None:
            shares = given.experiment.arms
            arms = tuple((arm, round(shares[arm] * 100)) for arm in sorted(shares))
            experiment = Experiment(given.experiment.name, arms, self.place_of("experiment"))
        return holdout, experiment

    def _score(self) -> Expression | None:
        if self.rule.compete is None or self.rule.compete.score is None:
            return None
        text, loc = self.rule.compete.score, ("compete", "score")
        expression, faults = self.shared.compiler.compile(text, number=True)
        self.diagnostics += at_faults(self.document, (*self.loc, *loc), text, faults)
        return expression
