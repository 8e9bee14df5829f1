"""The JSON Schemas (2020-12) of rule files and their tests, for editors that complete and check while one writes.

It is made from the models that the loader uses. It cannot know zones, attributes or templates: those the loader checks.
"""

import json
from typing import Any

from rules import schema
from rules.testing.shape import CaseFile, Words

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Proximity rules, version 1"
TESTS_TITLE = "Tests of Proximity rules, version 1"


def rules_schema() -> dict[str, Any]:
    """The schema as plain data."""
    whole = _tidied(schema.Header.model_json_schema(by_alias=True))
    rule = _tidied(schema.Rule.model_json_schema(by_alias=True))
    definitions = {**whole.pop("$defs"), **rule.pop("$defs"), "Rule": rule}
    whole["properties"]["rules"] = {"type": "array", "items": {"$ref": "#/$defs/Rule"}}
    whole["description"] = "A folder of such files is one set of rules."
    return {"$schema": DIALECT, "title": TITLE, **whole, "$defs": dict(sorted(definitions.items()))}


def schema_of_tests() -> dict[str, Any]:
    """The schema of test files."""
    whole = _tidied(CaseFile.model_json_schema(by_alias=True))
    given = _tidied(Words.model_json_schema(by_alias=True))
    whole["$defs"] |= {**given.pop("$defs"), "Given": {**given, "additionalProperties": True}}  # and attributes
    described = whole["$defs"]["Case"]["properties"]["given"]["description"]
    whole["$defs"]["Case"]["properties"]["given"] = {"$ref": "#/$defs/Given", "description": described}
    whole["description"] = "Stories with what is expected of the rules beside them."
    definitions = dict(sorted(whole.pop("$defs").items()))
    return {"$schema": DIALECT, "title": TESTS_TITLE, **whole, "$defs": definitions}


def schema_of_tests_text() -> str:
    """The schema as the file that is shipped."""
    return json.dumps(schema_of_tests(), ensure_ascii=False, indent=2) + "\n"


def rules_schema_text() -> str:
    """The schema as the file that is shipped."""
    return json.dumps(rules_schema(), ensure_ascii=False, indent=2) + "\n"


def _tidied(node: Any, *, names: bool = False) -> Any:
    """Without titles and defaults that say nothing, and with no key beside those whose names fit a pattern.

    `names`: the keys of this mapping are names of the language, not words of JSON Schema.
    """
    if isinstance(node, list):
        return [_tidied(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _tidied(value, names=key in ("properties", "$defs") and not names)
        for key, value in node.items()
        if names or not (key == "title" or (key == "default" and (value is None or isinstance(value, dict | list))))
    }
    if not names and "patternProperties" in found:
        found["additionalProperties"] = False
    return found
