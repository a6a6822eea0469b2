"""Drafts for tests: a request, and what came back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from response_store.capture.draft import Answer, Draft, Ending, Request
from response_store.capture.memory import Budget
from response_store.capture.stream import StreamedBody
from response_store.config import CaptureConfig, RawBodies, StoreFalse
from response_store.ingest.record_builder import RecordBuilder
from response_store.store.records import Api, EndedBy, ExchangeRow, Record, ResponseRow, Transport

STARTED = 1741476000.25
LIMIT = 1 << 20
QUESTION = {"model": "gpt-5", "input": [{"role": "user", "content": "Hi"}]}


def builder(
    raw: RawBodies = RawBodies.ON_ERROR,
    store_false: StoreFalse = StoreFalse.CAPTURE,
    limit: int = LIMIT,
    **how: Any,
) -> RecordBuilder:
    apis = frozenset(api.value for api in Api)
    return RecordBuilder(CaptureConfig(("*",), apis, store_false, raw, limit), "rec_1", **how)


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def request(body: Any = None, api: Api = Api.RESPONSES, encoding: str = "") -> Request:
    return Request(
        exchange_id="e1",
        tenant_id="t1",
        api=api,
        method="POST",
        scheme="https",
        host="api.example",
        path="/v1/responses",
        user_agent="tests",
        content_encoding=encoding,
        body=encoded(QUESTION if body is None else body),
        started_at=STARTED,
    )


def whole(
    body: Any, *, status: int = 200, encoding: str = "", by: EndedBy = EndedBy.BODY
) -> Ending:
    """An answer that came in one piece; None where its body was not kept."""
    chunks = None if body is None else (encoded(body),)
    return Ending(by, 12.5, None, Answer(Transport.HTTP, status, encoding, "req_1", chunks))


def streamed(
    chunks: Sequence[bytes],
    *,
    status: int = 200,
    encoding: str = "",
    by: EndedBy = EndedBy.BODY,
    api: Api = Api.RESPONSES,
) -> Ending:
    """An answer that was watched as it streamed; `by` counts where no terminal event passed."""
    body = StreamedBody(api, encoding, LIMIT, Budget(LIMIT))
    for chunk in chunks:
        if not body.passes(chunk):
            body.feed(chunk)
    ended_by = by if body.terminal is None else EndedBy.TERMINAL_EVENT
    answer = Answer(
        Transport.SSE, status, encoding, "req_1", tuple(chunks), body.terminal, body.too_large
    )
    return Ending(ended_by, 12.5, 3.5, answer)


def build(
    ending: Ending | None, body: Any = None, *, api: Api = Api.RESPONSES, **how: Any
) -> Record:
    record = builder(**how).build(Draft(request(body, api), ending))
    assert isinstance(record, Record), record
    return record


def rows(ending: Ending | None, body: Any = None, **how: Any) -> tuple[ExchangeRow, ResponseRow]:
    """The rows of an exchange that brought a response."""
    record = build(ending, body, **how)
    assert record.response is not None
    return record.exchange, record.response


def row(ending: Ending | None, body: Any = None, **how: Any) -> ExchangeRow:
    """The row of an exchange that brought no response."""
    record = build(ending, body, **how)
    assert record.response is None
    return record.exchange
