"""Lines that are checked: the published schema and the quick look are of one mind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from response_store.model.tables import TABLES, ColumnKind
from response_store.transfer.jsonl import BadLineError, ExportLine, load_schema
from tests.harness.each import each
from tests.hypothesis_profiles import examples

COLUMNS = sorted({column.name for table in TABLES for column in table.columns})
SPELLINGS = [*COLUMNS, "row", "extra", "request_body_base64", "raw_response_stored_base64"]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**63, 2**63 - 1, 1.5, "", "AA==", "NaN", "Infinity", {}, [], {"a": 1}]
)
GOOD: dict[str, dict[str, Any]] = {
    "conversation": {
        "row": "conversation", "conversation_id": "c", "tenant_id": "t", "created_at": 1,
        "metadata": {}, "messages": [],
    },
    "response": {
        "row": "response", "tenant_id": "t", "id": "r", "created_at": 1, "model": "",
        "response_object": {}, "input": [], "messages": "[]",
    },
    "exchange": {
        "row": "exchange", "exchange_id": "e", "tenant_id": "t", "api": "a", "transport": "t",
        "state": "s", "started_at": 1.5, "method": "m", "scheme": "s", "host": "h", "path": "p",
        "recorder_id": "r",
    },
}  # fmt: skip


def is_good(line: dict[str, Any]) -> bool:
    try:
        ExportLine(json.dumps(line).encode())
    except BadLineError:
        return False
    return True


def test_the_schema_is_one() -> None:
    """It is a schema, and its rows have the columns of the tables."""
    Draft202012Validator.check_schema(load_schema())
    for table in TABLES:
        described = load_schema()["$defs"][table.row]
        names = [name for name in described["properties"] if not name.endswith("base64")]
        assert names == ["row", *table.names]
        needed = [column.name for column in table.columns if not column.nullable]
        assert described["required"] == ["row", *needed]


@pytest.mark.parametrize("row", GOOD)
def test_both_take_what_is_good(row: str) -> None:
    """A line with all that it must have is taken, and each of these columns is needed."""
    assert is_good(GOOD[row])
    for name in GOOD[row]:
        assert not is_good({key: value for key, value in GOOD[row].items() if key != name})


@settings(max_examples=examples(150))
@given(
    st.sampled_from(sorted(GOOD)), st.dictionaries(st.sampled_from(SPELLINGS), VALUES, max_size=3)
)
def test_the_quick_look_and_the_schema_are_of_one_mind(row: str, changed: dict[str, Any]) -> None:
    """What one takes the other takes, whatever a line holds."""
    line = GOOD[row] | changed
    if line.get("row") not in list(GOOD):
        return
    judged = Draft202012Validator(load_schema()).is_valid(line)
    assert is_good(line) == judged


@each(
    ("line", "told"),
    [
        (b"{", "not one JSON object"),
        (b"[]", "not one JSON object"),
        (b'{"row":"exchange"} {}', "more text after the end|not one JSON object"),
        (b'{"row":"\xff"}', "not UTF-8"),
        (b'{"row":"row"}', "row: the value must be header or conversation or"),
        (b"{}", "row is missing"),
        (b'{"row":"exchange","exchange_id":"e"}', "tenant_id is missing"),
        (
            b'{"row":"header","format":"response-store-export","version":2,"program":"x"}',
            "a newer release has made this file: upgrade",
        ),
        (
            json.dumps(GOOD["response"] | {"created_at": "x"}).encode(),
            "created_at: the type must be integer",
        ),
        (
            json.dumps(GOOD["response"] | {"created_at": 2**63}).encode(),
            "created_at: the value breaks a rule",
        ),
        (json.dumps(GOOD["response"] | {"colour": 1}).encode(), "'colour' is no column of a resp"),
        (
            json.dumps(GOOD["exchange"] | {"request_body": "", "request_body_base64": ""}).encode(),
            "a body stands there twice",
        ),
        (json.dumps(GOOD["exchange"] | {"raw_response_base64": "é"}).encode(), "no|not base64"),
        (
            json.dumps(GOOD["exchange"] | {"started_at": "later"}).encode(),
            "started_at: the value breaks a rule",
        ),
    ],
)
def test_a_bad_line_is_explained(line: bytes, told: str) -> None:
    """The message names the member and the rule, and holds nothing else of the line."""
    with pytest.raises(BadLineError, match=told):
        ExportLine(line)


def test_every_kind_of_column_is_described() -> None:
    """A kind that the schema takes for another would lose what a store holds."""
    types = {
        ColumnKind.TEXT: "string", ColumnKind.INTEGER: "integer", ColumnKind.REAL: "#/$defs/real",
        ColumnKind.JSON: "#/$defs/json", ColumnKind.PACKED: "#/$defs/json",
    }  # fmt: skip
    for table in TABLES:
        properties = load_schema()["$defs"][table.row]["properties"]
        for column in table.columns:
            found = properties[column.name]
            named = found.get("$ref") or found["type"]
            wanted = types[column.kind]
            if column.nullable:
                wanted = f"{wanted}_or_null" if wanted.startswith("#") else [wanted, "null"]
            assert named == wanted, column
