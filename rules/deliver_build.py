"""How an offer reaches the shopper when the rule does not say: what fits the trigger; and what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rules.triggers import AnyTrigger, Schedule, Sequence

if TYPE_CHECKING:
    from rules.build import Builder


class Usual(NamedTuple):
    """What is meant when `deliver` says nothing."""

    expires: float  # s
    only_while: str
    on_exit: str


HERE = Usual(300.0, "inside", "withdraw")  # five minutes later a shopper is in another aisle
ELSEWHERE = Usual(300.0, "anywhere", "keep")
USUAL = {
    "enter": HERE,
    "dwell": HERE,
    # A phone's exit is known only after a quarter of an hour of silence, and must still count.
    "exit": Usual(1800.0, "anywhere", "keep"),
    "approach": ELSEWHERE,
    "cross": ELSEWHERE,
    "event": ELSEWHERE,
    "absence": Usual(86400.0, "anywhere", "keep"),
    "zone": Usual(300.0, "inside", "keep"),  # a schedule to those inside a zone …
    "store": Usual(300.0, "store", "keep"),  # … or inside a store …
    "segment": Usual(43200.0, "anywhere", "keep"),  # … or to a segment, until the evening
}
_WHY = {
    "exit": "an exit offer cannot wait for the shopper to be inside the zone just left",
    "approach": "whoever approaches is not inside yet",
    "cross": "whoever went through a zone is not inside it any more",
    "event": "an event happens in no zone",
    "absence": "who is absent is inside of nothing",
    "store": "those in the store may be in any zone",
    "segment": "a segment may be anywhere",
}
_NOWHERE = ("absence", "segment")  # happen in no store


def sort_of(trigger: AnyTrigger) -> str:
    """A key of `USUAL`: for a sequence that of its last step."""
    if isinstance(trigger, Sequence):
        return trigger.steps[-1].kind
    if isinstance(trigger, Schedule):
        return "segment" if trigger.inside is None else "store" if trigger.inside.anywhere else "zone"
    return trigger.kind


def build_deliver(builder: Builder, trigger: AnyTrigger) -> dict[str, Any]:
    """The fields of a rule that say how long its offers live and where the shopper has to be."""
    given, sort = builder.rule.deliver, sort_of(trigger)
    usual = USUAL[sort]
    if builder.sure("when"):
        _fits(builder, sort)
    return {
        "expires": given.expires or usual.expires,
        "expires_stated": given.expires is not None,
        "only_while": given.only_while or usual.only_while,
        "on_exit": given.on_exit or usual.on_exit,
    }


def _fits(builder: Builder, sort: str) -> None:
    """What is asked for and cannot be after such a trigger."""
    given = builder.rule.deliver
    if given.only_while == "inside" and sort in _WHY:
        builder.say_at(("deliver", "only_while"), "E109", _WHY[sort],
                       "write `anywhere`" if sort in _NOWHERE else "write `store` or `anywhere`")  # fmt: skip
    if given.only_while == "store" and sort in _NOWHERE:
        builder.say_at(("deliver", "only_while"), "E109", f"{_WHY[sort]}, so no store is meant", "write `anywhere`")
    if given.on_exit == "withdraw" and USUAL[sort] != HERE:
        after = "an exit offer is sent after the exit" if sort == "exit" else "there is no visit that could end"
        builder.say_at(
            ("deliver", "on_exit"), "E109", f"`on_exit: withdraw` has no effect: {after}", "remove this line"
        )
