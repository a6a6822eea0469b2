"""What a session says of the exchanges it captured."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.session import log_line
from response_store.store.records import ExchangeRow


def row(**changes: Any) -> ExchangeRow:
    """An ended exchange."""
    usual: dict[str, Any] = {
        "exchange_id": "e-1",
        "tenant_id": "default",
        "api": "responses",
        "transport": "sse",
        "state": "completed",
        "started_at": 1.0,
        "method": "POST",
        "scheme": "https",
        "host": "api.openai.com",
        "path": "/v1/responses",
        "recorder_id": "r-1",
    }
    return ExchangeRow(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "completed unknown model, e-1"),
        ({"model": "gpt-5", "response_id": "resp_1"}, "completed gpt-5, resp_1"),
        ({"requested_model": "gpt-5", "duration_ms": 4.2}, "completed gpt-5, 4 ms, e-1"),
        (
            {"output_tokens": 7, "duration_ms": 1084},
            "completed unknown model, 0+7 tokens, 1.08 s, e-1",
        ),
        ({"model": "\x1b[2Jx\n"}, "completed \ufffd[2Jx\ufffd, e-1"),
    ],
)
def test_log_line(changes: dict[str, Any], line: str) -> None:
    """The line names state, model, tokens, time and id, and can't control a terminal."""
    assert log_line(row(**changes)) == f"response_store: {line}"
