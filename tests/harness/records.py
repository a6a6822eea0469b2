"""Records as a test needs them: what must be there gets a value, the rest is named by the test."""

from __future__ import annotations

import json
from typing import Any

from response_store.config import TableNames
from response_store.model.records import ExchangeRow, Record, ResponseRow

NAMES = TableNames("openai_responses", "openai_conversations", "openai_exchanges")
ANSWER = {"type": "message", "role": "assistant", "content": "hi"}
QUESTION = {"type": "message", "role": "user", "content": "hello"}


def exchange(exchange_id: str = "e1", state: str = "completed", **columns: Any) -> ExchangeRow:
    """An exchange."""
    required = {
        "tenant_id": "t1",
        "api": "responses",
        "transport": "http",
        "started_at": 1767225600.25,
        "method": "POST",
        "scheme": "https",
        "host": "api.openai.com",
        "path": "/v1/responses",
        "recorder_id": "recorder",
    }
    return ExchangeRow(exchange_id=exchange_id, state=state, **(required | columns))


def response(
    response_id: str = "r1",
    status: str = "completed",
    *,
    tenant_id: str = "t1",
    asked: list[Any] | None = None,
    answered: list[Any] | None = None,
    model: str = "gpt-5",
    **members: Any,
) -> ResponseRow:
    """A response; without `asked` it is a snapshot that does not repeat the input."""
    known, output = asked or [], answered or []
    return ResponseRow(
        tenant_id=tenant_id,
        id=response_id,
        created_at=1767225600,
        model=model,
        response_object=_json({"id": response_id, "status": status, **members}),
        input=_json(known),
        messages=_json(known + output),
        final=status not in ("queued", "in_progress"),
        has_input=asked is not None,
    )


def record(
    exchange_id: str = "e1",
    answer: ResponseRow | None = None,
    state: str = "completed",
    **more: Any,
) -> Record:
    """A record: an exchange and, where there is one, its response."""
    if answer is not None:
        more = {"tenant_id": answer.tenant_id, "response_id": answer.id} | more
    return Record(exchange(exchange_id, state, **more), answer)


def numbered(count: int, start: int = 0) -> list[Record]:
    """Records of different exchanges and responses."""
    return [
        record(f"e{at}", response(f"r{at}", asked=[QUESTION], answered=[ANSWER]))
        for at in range(start, start + count)
    ]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
