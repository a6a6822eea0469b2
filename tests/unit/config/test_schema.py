"""The schema as a document of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from response_store.config import (
    Acknowledge,
    Backend,
    Durability,
    InputColumns,
    OnStoreFailure,
    RawBodies,
    Serve,
    StoreFalse,
)
from response_store.config.schema import load_schema
from response_store.config.tls import SslMode
from response_store.model.records import Api
from tests.harness.each import each


def keys(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, rules in node["properties"].items():
        yield f"{prefix}{key}", rules
        if "properties" in rules:
            yield from keys(rules, f"{prefix}{key}.")


KEYS = dict(keys(load_schema()))


def test_the_schema_is_valid() -> None:
    """It obeys JSON Schema 2020-12."""
    Draft202012Validator.check_schema(load_schema())


@each("key", KEYS)
def test_every_key_explains_itself(key: str) -> None:
    """Editors show a title, a description and a default for each key, and the default is valid."""
    rules = KEYS[key]
    assert {"title", "description", "default", "type"} <= rules.keys()
    assert Draft202012Validator(rules).is_valid(rules["default"])
    assert rules["description"].endswith(".")


@pytest.mark.parametrize("key", [key for key, rules in KEYS.items() if "properties" in rules])
def test_no_mapping_takes_unknown_keys(key: str) -> None:
    """Unknown keys are refused at every depth."""
    assert KEYS[key]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("capture.store_false", StoreFalse),
        ("capture.raw_bodies", RawBodies),
        ("capture.input_columns", InputColumns),
        ("durability", Durability),
        ("on_store_failure", OnStoreFailure),
        ("backend", Backend),
        ("acknowledge", Acknowledge),
        ("ssl_mode", SslMode),
    ],
)
def test_enums_and_schema_agree(key: str, values: Any) -> None:
    """What the schema allows is what the program knows."""
    without = [None] if KEYS[key]["default"] is None else []
    assert KEYS[key]["enum"] == [*values, *without]


def test_ways_of_serving_and_schema_agree() -> None:
    """As for the others, and `off` as YAML reads it."""
    assert KEYS["serve"]["enum"] == [*Serve, False]


def test_the_apis_are_those_that_are_captured() -> None:
    """The schema names every API, and captures all but embeddings by default."""
    assert KEYS["capture.apis"]["items"]["enum"] == list(Api)
    assert KEYS["capture.apis"]["default"] == [api for api in Api if api is not Api.EMBEDDINGS]
