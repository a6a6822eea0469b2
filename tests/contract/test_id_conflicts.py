"""A final response yields only to itself, whichever host has said the other one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.model.records import Deletion, Record, ResponseRow
from tests.contract.contents import Contents
from tests.harness.records import ANSWER, QUESTION, record, response

OTHER = {**ANSWER, "content": "FORGED"}
REAL = response(asked=[QUESTION], answered=[ANSWER])


def spaced(row: ResponseRow) -> ResponseRow:
    """The same response, as a server writes it that puts blanks into its JSON."""
    texts = {
        name: json.dumps(json.loads(getattr(row, name)), indent=1)
        for name in ("response_object", "input", "messages")
    }
    return ResponseRow(row.tenant_id, row.id, row.created_at, row.model, **texts)


ANOTHER = {
    "another output": response(asked=[QUESTION], answered=[OTHER]),
    "another output, without the input": response(answered=[OTHER]),
    "no output": response(asked=[QUESTION]),
    "more output": response(asked=[QUESTION], answered=[ANSWER, OTHER]),
    "another input": response(asked=[{**QUESTION, "content": "?"}], answered=[ANSWER]),
    "another end": response(status="failed", asked=[QUESTION], answered=[ANSWER]),
}
ITSELF = {
    "the same": REAL,
    "blanks": spaced(REAL),
    "without the input": response(answered=[ANSWER]),
    "more members": response(asked=[QUESTION], answered=[ANSWER], usage={"total_tokens": 3}),
}


def write(contents: Contents, at_once: bool, *records: Record | Deletion) -> int:
    """Write records in one batch or in several; return how many conflicts the store counted."""
    batches: list[tuple[Any, ...]] = [records] if at_once else [(one,) for one in records]
    return sum(contents.store.write(batch) for batch in batches)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("incoming", ANOTHER.values(), ids=ANOTHER)
def test_another_response_of_the_same_id_keeps_out(
    contents: Contents, incoming: ResponseRow, at_once: bool
) -> None:
    """The stored one stays to the letter, the new one is in its exchange, and one is counted."""
    records = record("e1", REAL, host="a"), record("e2", incoming, host="b")
    assert write(contents, at_once, *records) == 1
    assert contents.response()["response_object"] == REAL.response_object
    assert contents.response()["messages"] == REAL.messages
    results = {row["exchange_id"]: row["result"] for row in contents.exchanges()}
    assert results == {"e1": None, "e2": incoming.response_object}
    assert write(contents, at_once, *records) == 1  # a batch that is written again
    assert {row["exchange_id"]: row["result"] for row in contents.exchanges()} == results


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("incoming", ITSELF.values(), ids=ITSELF)
def test_the_same_response_goes_on(
    contents: Contents, incoming: ResponseRow, at_once: bool
) -> None:
    """What says the same again, in other letters or with more beside it, is written."""
    assert write(contents, at_once, record("e1", REAL), record("e2", incoming)) == 0
    assert contents.response()["response_object"] == incoming.response_object
    assert json.loads(contents.response()["input"]) == [QUESTION]
    assert [row["result"] for row in contents.exchanges()] == [None, None]


@pytest.mark.parametrize("at_once", [True, False])
def test_one_that_runs_gives_way(contents: Contents, at_once: bool) -> None:
    """A response that is not final yet has any output afterwards; late ones do no harm."""
    runs = response(status="in_progress", asked=[QUESTION])
    assert write(contents, at_once, record("e1", runs), record("e2", REAL), record("e3", runs)) == 0
    assert contents.member("status") == "completed"


@pytest.mark.parametrize("at_once", [True, False])
def test_what_was_deleted_is_no_conflict(contents: Contents, at_once: bool) -> None:
    """Behind a deletion the id is free."""
    other = ANOTHER["another output"]
    gone = Deletion(REAL.tenant_id, REAL.id)
    assert write(contents, at_once, record("e1", REAL), gone, record("e2", other)) == 0
    assert contents.response()["response_object"] == other.response_object


def test_each_tenant_has_its_own(contents: Contents) -> None:
    """The same id of another tenant is another response."""
    theirs = response(tenant_id="t2", asked=[QUESTION], answered=[OTHER])
    assert write(contents, True, record("e1", REAL), record("e2", theirs)) == 0
    assert len(contents.responses()) == 2


def test_many_in_a_batch_keep_their_first(contents: Contents) -> None:
    """Of many responses with few ids the first of each stays; the others are in their exchanges."""
    records = [
        record(f"e{at:02}", response(f"r{at % 3}", asked=[QUESTION], answered=[f"output {at}"]))
        for at in range(30)
    ]
    assert write(contents, True, *records) == 27
    assert [json.loads(row["messages"])[-1] for row in contents.responses()] == [
        "output 0", "output 1", "output 2",
    ]  # fmt: skip
    results = [row["result"] for row in contents.exchanges()]
    assert results[:3] == [None] * 3
    assert None not in results[3:]


def test_an_output_that_can_not_be_read_is_compared_by_its_text(contents: Contents) -> None:
    """Nesting that no reader takes ends nothing: the same text is the same response."""
    deep = '{"id":"r1","status":"completed"}', "[]", "[" * 5000 + "]" * 5000
    one = ResponseRow("t1", "r1", 1, "m", *deep)
    other = ResponseRow("t1", "r1", 1, "m", *deep[:2], "[" * 5001 + "]" * 5001)
    records = record("e1", one), record("e2", one), record("e3", other)
    assert write(contents, False, *records) == 1
