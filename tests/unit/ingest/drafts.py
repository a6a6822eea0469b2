"""Drafts for tests: a request, and what came back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from response_store.config import CaptureConfig, RawBodies, StoreFalse
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Api, EndedBy, ExchangeRow, Record, ResponseRow, Transport
from response_store.openai_api.sse import DONE, SSEDecoder, is_terminal, parse_events

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


def request(body: Any = None, api: Api = Api.RESPONSES) -> Request:
    return Request(
        exchange_id="e1",
        tenant_id="t1",
        api=api,
        method="POST",
        scheme="https",
        host="api.example",
        path="/v1/responses",
        headers={"user_agent": "tests"},
        body=encoded(QUESTION if body is None else body),
        started_at=STARTED,
    )


def whole(body: Any, *, status: int = 200, by: EndedBy = EndedBy.BODY, **how: Any) -> Ending:
    """An answer that came in one piece; None where its body was not kept."""
    kept = None if body is None else encoded(body)
    return Ending(by, 12.5, None, AnswerDraft(Transport.HTTP, status, "req_1", kept, **how))


def streamed(
    chunks: Sequence[bytes],
    *,
    status: int = 200,
    by: EndedBy = EndedBy.BODY,
    api: Api = Api.RESPONSES,
    **how: Any,
) -> Ending:
    """An answer that was watched as it streamed; `by` counts where no terminal event passed."""
    body = b"".join(chunks)
    ended = is_terminated(body, api)
    answer = AnswerDraft(Transport.SSE, status, "req_1", body, **({"is_terminated": ended} | how))
    return Ending(EndedBy.TERMINAL_EVENT if ended else by, 12.5, 3.5, answer)


def is_terminated(body: bytes, api: Api) -> bool:
    """Whether a terminal event passed, its blank line included, as the proxy sees it."""
    passed = parse_events(SSEDecoder().feed(body))
    if api is Api.CHAT_COMPLETIONS:
        return any(event.data.strip() == DONE for event in passed)
    return any(map(is_terminal, passed))


def undecodable(decoded: Any, raw: bytes | None, *, streams: bool = False, **how: Any) -> Ending:
    """An answer whose content encoding is broken behind `decoded`."""
    error = "bad content encoding (error)"
    if streams:
        return streamed([decoded], decode_error=error, raw=raw, **how)
    return whole(decoded, decode_error=error, raw=raw, **how)


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
