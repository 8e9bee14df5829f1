"""The shape of `say` and `deliver`: what the shopper reads, and how it reaches him."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

from rules import values
from rules.forms import Duration, Model, Slug

CHANNELS = ("push", "inbox", "webhook")


class Message(Model):
    """What is said in one language. All three are Liquid."""

    title: str = Field(min_length=1)
    body: str = Field(min_length=1)
    url: str | None = None
    """Where a tap leads; begins with `https://`."""


class Deliver(Model):
    """How it reaches the shopper. None: what fits the trigger."""

    channels: list[Literal["push", "inbox", "webhook"]] = Field(
        default=["push", "inbox"], min_length=1, json_schema_extra={"uniqueItems": True}
    )
    """In order of preference."""
    urgency: Literal["very-low", "low", "normal", "high"] = "normal"
    expires: Duration | None = None
    """Counted from the moment of the trigger; `5m` when not written, `30m` for an exit."""
    only_while: Literal["inside", "store", "anywhere"] | None = None
    """Where the shopper still has to be right before the send."""
    on_exit: Literal["withdraw", "keep"] | None = None
    """What becomes of the offer when the shopper leaves the zone."""

    @field_validator("channels")
    @classmethod
    def _no_doubles(cls, channels: list[str]) -> list[str]:
        if len(set(channels)) < len(channels):
            raise ValueError("names a channel twice")
        return channels


def _by_language(value: Any) -> Any:
    if isinstance(value, dict) and value and set(value) <= {"title", "body", "url"}:
        raise ValueError('name the language first: {en: {title: "…", body: "…"}}')
    return value


def _sort_of_say(value: Any) -> str:
    """By arm when a message stands one level deeper than the languages of a rule without an experiment."""
    arms = value.values() if isinstance(value, dict) else ()
    deeper = any(isinstance(one, dict) and any(isinstance(part, dict) for part in one.values()) for one in arms)
    return "arms" if deeper else "languages"


ByLanguage = Annotated[
    dict[str, Message],
    Field(min_length=1, json_schema_extra={"propertyNames": values.LANGUAGE_SCHEMA}),
    BeforeValidator(_by_language),
]
ByArm = Annotated[dict[Slug, ByLanguage], Field(min_length=1)]
Say = Annotated[
    Annotated[ByLanguage, Tag("languages")] | Annotated[ByArm, Tag("arms")],
    Discriminator(_sort_of_say),
]
