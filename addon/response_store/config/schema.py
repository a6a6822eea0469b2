"""Apply the schema: the default of each key, the names of keys, and what breaks it.

The messages are ours: those of jsonschema quote the value. It is imported where values are checked,
so that the process that gets a checked configuration goes without.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from response_store.config.problems import Problem
from response_store.config.yaml_reader import KeyPath
from response_store.resources import read_schema

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, TypeChecker

_SchemaError: TypeAlias = (
    Any  # jsonschema's ValidationError, whose fields are typed as perhaps unset
)

# Rules of ours judge these as well, and say more.
_LEFT_TO_RULES = {"pattern", "minLength", "maxLength"}
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@functools.cache
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration."""
    loaded: dict[str, Any] = json.loads(read_schema("config.schema.json"))
    return loaded


def fill_defaults(
    settings: Mapping[str, Any], node: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the given values, and the default of each key that is absent or null."""
    filled = {}
    for key, rules in (node or load_schema())["properties"].items():
        value = settings.get(key)
        if "properties" in rules:
            filled[key] = fill_defaults(value or {}, rules)
        else:
            filled[key] = rules["default"] if value is None else value
    return filled


def format_key(path: KeyPath) -> str:
    """Return the key path as a text such as `capture.hosts[2]`, as far as it may be shown.

    It ends where the schema's knowledge ends: what is nested under an unknown key or a text may be
    anything, a password too.
    """
    name, rules = "", load_schema()
    for part in path:
        if isinstance(part, int):
            if "items" not in rules:
                break
            name, rules = f"{name}[{part}]", rules["items"]
            continue
        rules = rules.get("then", rules)  # where a mapping is one of several forms
        if "properties" not in rules:
            break
        shown = part if _PLAIN_KEY.fullmatch(part) else "(a key that is not a plain word)"
        name = f"{name}.{shown}" if name else shown
        rules = rules["properties"].get(part, {})
    return name


def find_schema_problems(values: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Problem]]:
    """Yield what breaks the schema, with the path of the key; at most one fault a key."""
    judged = set()
    for error in _build_validator().iter_errors(values):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from _find_unknown_keys(path, error)
        elif error.validator not in _LEFT_TO_RULES and path not in judged:
            judged.add(path)
            yield path, _describe_error(error)


@functools.cache
def _build_validator() -> Draft202012Validator:
    return build_strict_validator(load_schema())


def _find_unknown_keys(path: KeyPath, error: _SchemaError) -> Iterator[tuple[KeyPath, Problem]]:
    known = list(error.schema["properties"])
    for key in error.instance:
        if key not in known:
            yield (*path, key), Problem("the key is unknown", _suggest_nearest(key, known))


def _suggest_nearest(key: str, known: list[str]) -> str:
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.6)
    return f"Did you mean {folded[near[0]]}?" if near else f"The keys here are {', '.join(known)}."


def _describe_error(error: _SchemaError) -> Problem:
    limit = error.validator_value
    match error.validator:
        case "type":
            return _describe_type_error(error)
        case "enum":
            allowed = ", ".join(value for value in limit if isinstance(value, str))
            return Problem("the value is not one of those allowed", f"It is one of {allowed}.")
        case "minimum":
            return Problem(f"the number must be at least {limit}", f"Write {limit} or more.")
        case "maximum":
            return Problem(f"the number must be at most {limit}", f"Write {limit} or less.")
        case "required":
            missing = [key for key in limit if key not in error.instance]
            return Problem(f"{' and '.join(missing)} missing here", f"Write {missing[0]}: as well.")
        case "minItems":
            return Problem("the list is empty", "Name at least one, or leave the key out.")
        case "uniqueItems":
            return Problem("the list names something twice", "Name it once.")
        case _:
            return Problem("the value breaks a rule of the schema", "See docs/configuration.md.")


_TYPE_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "object": "a mapping",
    "array": "a list",
    "boolean": "a boolean",
    "null": "null",
}


def _describe_type_error(error: _SchemaError) -> Problem:
    expected = error.validator_value
    name = _TYPE_NAMES[expected if isinstance(expected, str) else expected[0]]
    rule = f"the type must be {name}, not {_name_type(error.instance)}"
    if name == "a string" and isinstance(error.instance, bool | int | float):
        return Problem(rule, "Put the value in quotes.")
    return Problem(rule, f"Write {name}, or take the key out.")


def _name_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a float"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a mapping"


def build_strict_validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of a schema, with the usual types, but 1.0 is no integer."""
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 (slow to load)

    usual: TypeChecker = Draft202012Validator.TYPE_CHECKER
    types = usual.redefine("integer", lambda _, value: type(value) is int)
    strict = validators.extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    return cast("Draft202012Validator", strict(schema))
