"""What the keys of rule and test files have in common: how all models are configured, and the forms of single values.

Each form comes with its words of JSON Schema, so that an editor refuses what the loader refuses.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from rules import values

PUBLIC_HOLIDAYS = "public-holidays"

Duration = Annotated[float, BeforeValidator(values.duration), WithJsonSchema(values.DURATION_SCHEMA)]
TimeOfDay = Annotated[int, BeforeValidator(values.time_of_day), WithJsonSchema(values.TIME_SCHEMA)]
Slug = Annotated[str, BeforeValidator(values.slug), WithJsonSchema(values.SLUG_SCHEMA)]
Date = Annotated[datetime | None, BeforeValidator(values.moment), WithJsonSchema(values.DATE_SCHEMA)]
LastDate = Annotated[datetime | None, BeforeValidator(values.last_moment), WithJsonSchema(values.DATE_SCHEMA)]


def _one_or_more(value: Any) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"must be a name or a list of names, not {values.show(value)}")
    if len(set(found)) < len(found):
        raise ValueError("names something twice")
    return tuple(found)


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more), WithJsonSchema(values.NAMES_SCHEMA)]

Reach = Annotated[str, BeforeValidator(values.reach), WithJsonSchema(values.REACH_SCHEMA)]


def _event_names(value: Any) -> tuple[str, ...]:
    return tuple(values.event_name(name) for name in _one_or_more(value))


EventNames = Annotated[tuple[str, ...], BeforeValidator(_event_names), WithJsonSchema(values.EVENTS_SCHEMA)]


def _hundredths(percent: float) -> float:
    if not 0 < percent < 100:
        raise ValueError(f"must be between 0 and 100, not {percent:g}")
    if abs(percent * 100 - round(percent * 100)) > 1e-6:
        raise ValueError(f"has two decimals at most: write {percent:.2f}")
    return percent


Percent = Annotated[
    float,
    AfterValidator(_hundredths),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}),
]

# Shapes that validators check, in the words of JSON Schema.
LANGUAGES_SCHEMA = {
    "anyOf": [
        {"type": "array", "items": values.LANGUAGE_SCHEMA, "minItems": 1, "uniqueItems": True},
        {"type": "null"},
    ]
}
EXCEPT_SCHEMA = {
    "type": "array",
    "items": {"anyOf": [{"const": PUBLIC_HOLIDAYS}, {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}]},
}


# The configuration of every model: unknown keys are errors, and nothing is converted in silence.
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Model(BaseModel):
    """Unknown keys are errors, and nothing is converted in silence."""

    model_config = STRICT


def one_of(*names: str, unless: dict[str, Any] | None = None) -> ConfigDict:
    """For the JSON Schema: exactly one of these keys, and nothing of the form `unless`."""
    one: dict[str, Any] = {"oneOf": [{"required": [name]} for name in names]}
    return ConfigDict(json_schema_extra=one if unless is None else {**one, "not": unless})


def never(what: dict[str, Any]) -> ConfigDict:
    """For the JSON Schema: nothing of this form."""
    return ConfigDict(json_schema_extra={"not": what})


def some_of(*names: str, beside: dict[str, Any] | None = None) -> ConfigDict:
    """For the JSON Schema: at least one of these keys, and what else holds."""
    return ConfigDict(json_schema_extra={"anyOf": [{"required": [name]} for name in names], **(beside or {})})
