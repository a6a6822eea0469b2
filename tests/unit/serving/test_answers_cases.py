"""The table of cases that other implementations of these endpoints share."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from response_store.serving.request import parse_request
from tests.harness.records import record, response
from tests.unit.serving.shelf import SqliteShelf, serve_from

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
TENANT = "default"
ITEMS = [{"id": f"item_{n}", "type": "message", "role": "user"} for n in range(1, 5)]


def cases(*, handled: bool) -> list[Any]:
    chosen = [case for case in CASES if case.get("handled", True) is handled]
    return [pytest.param(case, id=case["name"]) for case in chosen]


@pytest.mark.parametrize("case", cases(handled=False))
def test_what_is_not_ours_goes_on(case: dict[str, Any]) -> None:
    """A path that names nothing stored is not handled."""
    assert parse_request(case["method"], case["path"]) is None


@pytest.mark.parametrize("case", cases(handled=True))
def test_what_is_ours_is_answered(case: dict[str, Any], shelf: SqliteShelf, tmp_path: Path) -> None:
    """Each request gets the status, the headers, the error and the items that the table says."""
    text = store(shelf, case)
    if case.get("store") == "fails":
        with closing(sqlite3.connect(tmp_path / "responses.db")) as connection:
            connection.execute("ALTER TABLE openai_responses DROP COLUMN response_object")
    wanted = parse_request(case["method"], case["path"])
    assert wanted is not None
    answer = serve_from(shelf, case.get("tenant", TENANT), wanted)
    assert answer.status == case["status"], answer.body
    assert dict(answer.headers).items() >= case.get("headers", {}).items()
    if case.get("verbatim"):
        assert answer.body == text.encode()
    check_body(json.loads(answer.body), case)


def check_body(body: dict[str, Any], case: dict[str, Any]) -> None:
    """What the table says of a body."""
    assert body == case.get("body", body)
    assert case.get("message_contains", "") in body.get("error", {}).get("message", "")
    assert body.items() >= case.get("members", {}).items()
    assert sorted(body) == case.get("names", sorted(body))
    if "data" in case:
        assert [item["id"] for item in body["data"]] == case["data"]


def store(shelf: SqliteShelf, case: dict[str, Any]) -> str:
    """Store what a case is about; return the text of its response object."""
    tenant = case.get("stored_for", TENANT)
    text = ""
    for number, name in enumerate(("r", "resp_x")):
        row = response(name, tenant_id=tenant, asked=ITEMS)
        text = f'{{"id": "{name}",  "n": 1.50e3, "status":"completed"}}'
        given = json.dumps(case["input"]) if "input" in case else row.input
        row = msgspec.structs.replace(row, response_object=text, input=given)
        shelf.write(record(f"e{number}", row))
    return text


def test_a_delete_takes_one_row(shelf: SqliteShelf) -> None:
    """Who goes on from a response that is deleted keeps what it has of it."""
    first = response("resp_1", tenant_id=TENANT, asked=ITEMS)
    then = response("resp_2", tenant_id=TENANT, asked=ITEMS, previous_response_id="resp_1")
    shelf.write(record("e1", first), record("e2", then))
    wanted = parse_request("DELETE", "/v1/responses/resp_1")
    assert wanted is not None
    gone = serve_from(shelf, TENANT, wanted)
    told = {"id": "resp_1", "object": "response.deleted", "deleted": True}
    assert (gone.status, json.loads(gone.body)) == (200, told)
    assert serve_from(shelf, TENANT, wanted).status == 404
    after = parse_request("GET", "/v1/responses/resp_2/input_items")
    assert after is not None
    assert len(json.loads(serve_from(shelf, TENANT, after).body)["data"]) == len(ITEMS)


def test_the_table_is_whole() -> None:
    """Every case has a name of its own."""
    assert len({case["name"] for case in CASES}) == len(CASES) == 56
