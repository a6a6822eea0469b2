"""Names in rows: bounded, and still different where what they stand for is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.config import load_config
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.record_builder import RecordBuilder
from response_store.limits import NAME, limit_name
from response_store.model.records import Api, EndedBy, Record, Transport

LONG = "n" * 50_000
NAMES = ("response_id", "previous_response_id", "conversation_id", "requested_model", "model")


def record(request: dict[str, object], response: dict[str, object], **head: Any) -> Record:
    """Return what an exchange comes to."""
    facts = {"scheme": "http", "host": "h", "path": "/v1/responses"} | head
    asked = Request(
        exchange_id="e",
        tenant_id="t",
        api=Api.RESPONSES,
        method="POST",
        body=json.dumps(request).encode(),
        started_at=1.0,
        **facts,  # type: ignore[arg-type]
    )
    answer = AnswerDraft(Transport.HTTP, 200, "i" * 5000, json.dumps(response).encode())
    change = RecordBuilder(load_config(None, {}).capture, "x").build(
        Draft(asked, Ending(EndedBy.BODY, 1.0, None, answer))
    )
    assert isinstance(change, Record)
    return change


def test_names_in_rows_are_bounded() -> None:
    """Ids and models of any length come to 1,000 characters, the end of which tells them apart."""
    request = {"model": LONG, "input": "x", "previous_response_id": LONG, "conversation": LONG}
    response = {"id": LONG, "object": "response", "model": LONG, "output": [], "created_at": 1}
    made = record(request, response, path="/" * 5000, headers={"user_agent": LONG}, host=LONG)
    row = made.exchange
    assert made.response is not None
    assert [getattr(row, name) for name in NAMES] == [limit_name(LONG)] * 5
    assert (made.response.id, made.response.model) == (limit_name(LONG),) * 2
    texts = (row.path, row.user_agent or "", row.host, row.upstream_request_id or "")
    assert [len(text) for text in texts] == [NAME] * 4


def test_codes_are_bounded() -> None:
    """The code of an error is a name like others; its message is clipped."""
    error = {"error": {"code": LONG, "message": LONG}}
    row = record({"model": "m", "input": "x"}, error).exchange
    assert row.error_code == limit_name(LONG)
    assert len(row.error_message or "") == 2000


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
def test_a_bounded_name(size: int) -> None:
    """A name up to the bound stays; of a longer one the start, and a hash that tells it apart."""
    name = limit_name("n" * size)
    assert len(name) == min(size, NAME)
    assert (name == "n" * size) == (size <= NAME)
    assert limit_name("n" * size + "a" * NAME) != limit_name("n" * size + "b" * NAME)
