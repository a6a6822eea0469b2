"""JSON Schema that does not take 1.0 for an integer."""

from __future__ import annotations

from typing import Any, cast

from jsonschema import Draft202012Validator, TypeChecker, validators


def build_strict_validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of a schema, with the usual types, but 1.0 is no integer."""
    usual: TypeChecker = Draft202012Validator.TYPE_CHECKER
    types = usual.redefine("integer", lambda _, value: type(value) is int)
    strict = validators.extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    return cast("Draft202012Validator", strict(schema))
