"""Records as a 2 KB JSON exchange brings them, each with ids of its own."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator

from benchmarks.payloads import MODEL, PLACEHOLDER, request_body, response_id, response_object
from response_store.model.records import (
    Api,
    EndedBy,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
    Transport,
)

TENANT = "default"
TEXT = "The quick brown fox jumps over the lazy dog. " * 18
REQUEST_BODY = random.Random(1).randbytes(280)  # about what the body's zstd frame has


def records(count: int, seed: int, text: str = TEXT) -> Iterator[Record]:
    """The same records for the same seed; ids in no order, as an API gives them."""
    chance = random.Random(seed)
    asked = json.dumps(request_body(stream=False)["input"])
    answer = json.dumps(response_object("completed", text))
    for _ in range(count):
        identifier = response_id(chance.getrandbits(190)).decode()
        exchange_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        yield Record(
            exchange_row(exchange_id, identifier, 1.764e9 + chance.random() * 1e6, text),
            response_row(identifier, answer.replace(PLACEHOLDER, identifier), asked),
        )


def response_row(identifier: str, answer: str, asked: str) -> ResponseRow:
    """The row of a complete response."""
    return ResponseRow(TENANT, identifier, 1764000000, MODEL, answer, asked, asked)


def exchange_row(exchange_id: str, identifier: str, started_at: float, text: str) -> ExchangeRow:
    """The row of a completed exchange."""
    return ExchangeRow(
        exchange_id=exchange_id,
        tenant_id=TENANT,
        response_id=identifier,
        api=Api.RESPONSES,
        transport=Transport.HTTP,
        state=State.COMPLETED,
        ended_by=EndedBy.BODY,
        status_code=200,
        started_at=started_at,
        duration_ms=12.5,
        requested_model="gpt-5.2",
        model=MODEL,
        input_tokens=81,
        cached_tokens=0,
        output_tokens=64,
        reasoning_tokens=0,
        total_tokens=145,
        method="POST",
        scheme="http",
        host="127.0.0.1",
        path="/v1/responses",
        user_agent="OpenAI/Python 3.54.0",
        upstream_request_id="req_benchmark",
        request_body=REQUEST_BODY,
        output_text=text,
        recorder_id="benchmark",
    )
