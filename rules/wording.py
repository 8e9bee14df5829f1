"""What a rule says: by language, or by arm and language, with every template checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proximity.document import did_you_mean
from rules.experiments import CONTROL
from rules.header import at_faults
from rules.offers_build import coupon_attributes
from rules.ruleset import Message
from rules.say_schema import Message as Written
from rules.schema import Experiment
from rules.templates import check_template, literal_size
from rules.values import language

if TYPE_CHECKING:
    from rules.build import Builder, Loc

PUSH_BYTES = 3000  # what push services take for certain: their 4096 bytes hold keys, ids and padding too


def by_language(say: Mapping[str, Any]) -> dict[str, Written] | None:
    """What is said, when it is by language."""
    found = {key: one for key, one in say.items() if isinstance(one, Written)}
    return found if len(found) == len(say) else None


def by_arm(say: Mapping[str, Any]) -> dict[str, dict[str, Written]] | None:
    """What is said, when it is by arm, then by language."""
    found = {key: one for key, one in say.items() if not isinstance(one, Written)}
    return found if len(found) == len(say) else None


class Wording:
    """Builds the messages of a rule; what is wrong with them goes to the builder."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._rule = builder.rule
        self._attributes = coupon_attributes(builder, builder.catalog.attributes)

    def build(self, certain: frozenset[str], *, service: bool) -> dict[str, Mapping[str, Message]]:
        """What is said by arm, then by language; without an experiment the only arm is ``. Empty: nothing is said.

        `certain`: attributes that the conditions have made sure of.
        """
        builder, say, experiment = self._builder, self._rule.say, self._rule.experiment
        if say is None:
            if builder.sure("say") and (experiment or self._rule.holdout or self._rule.offer):
                message = "the rule says nothing to the shopper, so it can have no `offer`, `holdout` or `experiment`"
                builder.say_at(("do",), "E111", message, "add a `say`, or remove them", key=True)
            return {}
        said = by_arm(say)
        if builder.sure("say", "experiment") and (said is None) is not (experiment is None):
            self._not_by_arm(experiment)
            return {}
        if said is None:
            return {"": self._languages(("say",), by_language(say) or {}, certain)}
        if experiment is not None and builder.sure("experiment"):
            self._arms(said, experiment, service=service)
        return {arm: self._languages(("say", arm), messages, certain) for arm, messages in said.items()}

    def _not_by_arm(self, experiment: Experiment | None) -> None:
        """What is said is by arm without an experiment, or not by arm with one."""
        message, hint = (
            "`say` is by arm, and the rule has no `experiment`",
            "name the languages first, or add an `experiment`",
        )
        if experiment is not None:
            message = "the rule has an `experiment`, and `say` is not by arm"
            hint = f"name the arm first: say: {{{min(experiment.arms)}: {{en: {{title: …, body: …}}}}, …}}"
        self._builder.say_at(("say",), "E111", message, hint, key=True)

    def _arms(self, said: Mapping[str, Any], experiment: Experiment, *, service: bool) -> None:
        """Arms that say something and are none, and arms that say nothing."""
        builder, arms = self._builder, experiment.arms
        strangers = {arm: did_you_mean(arm, arms) for arm in said if arm not in arms}
        for arm, meant in strangers.items():
            message = f"`{arm}` is not an arm of {experiment.name}"
            builder.say_at(("say", arm), "E111", message, meant, key=True)
        # Also those whose messages have errors of their own.
        named = {*builder.document.data["rules"][builder.index]["say"]}
        silent = [arm for arm in arms if arm not in named and f"did you mean `{arm}`?" not in strangers.values()]
        for arm in silent:
            if arm != CONTROL or service:
                why = (
                    "a service rule always says something" if arm == CONTROL else "only an arm `control` may be silent"
                )
                builder.say_at(("say",), "E111", f"the arm `{arm}` says nothing", why, key=True)

    def _languages(self, loc: Loc, said: Mapping[str, Written], certain: frozenset[str]) -> dict[str, Message]:
        order = [code for code in self._builder.shared.languages if code in said]
        order += [code for code in said if code not in order]
        messages = {code: self._message((*loc, code), code, said[code], certain) for code in order}
        for code in self._builder.shared.languages:
            if code not in said:
                self._builder.say_at(loc, "W020", f"nothing is said in `{code}`",
                             f"who reads only that gets `{order[0]}`", key=True, severity="warning")  # fmt: skip
        return {code: message for code, message in messages.items() if message is not None}

    def _message(self, loc: Loc, code: str, given: Written, certain: frozenset[str]) -> Message | None:
        try:
            language(code)
        except ValueError as error:
            self._builder.say_at(loc, "E104", str(error), key=True)
        parts: dict[str, Any] = {}
        for part in ("title", "body", "url"):
            text = getattr(given, part)
            if text is None:
                continue
            template, faults = check_template(text, self._attributes, certain)
            self._builder.diagnostics += at_faults(
                self._builder.document, (*self._builder.loc, *loc, part), text, faults
            )
            parts[part] = template
        if given.url is not None and not given.url.startswith(("https://", "http://", "{{", "{%")):
            self._builder.say_at((*loc, "url"), "E309", "the url must begin with `https://`")
        texts = (given.title, given.body, given.url or "")
        size = sum(map(literal_size, texts)) if sum(map(len, texts)) > PUSH_BYTES // 4 else 0  # UTF-8: 4 bytes at most
        if size > PUSH_BYTES and "push" in self._rule.deliver.channels:
            message = f"the message has {size} bytes; push services take about {PUSH_BYTES}"
            self._builder.say_at(
                loc, "W041", message, "shorten it, or put the long text behind a `url`", key=True, severity="warning"
            )
        if None in parts.values():
            return None
        return Message(parts["title"], parts["body"], parts.get("url"), self._builder.place_of(*loc))
