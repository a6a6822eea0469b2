"""What the proxy is told of exchanges that are written."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.ingest.delivery import PendingChange, format_log_line, list_written_rows
from response_store.model.records import Deletion, ExchangeRow, Record


def row(**values: Any) -> ExchangeRow:
    fields: dict[str, Any] = {
        "exchange_id": "e1", "tenant_id": "t", "api": "responses", "transport": "http",
        "state": "completed", "started_at": 1.0, "method": "POST", "scheme": "https", "host": "h",
        "path": "/p", "recorder_id": "r",
    }  # fmt: skip
    return ExchangeRow(**fields | values)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "completed unknown model, e1"),
        ({"requested_model": "m", "response_id": "r1"}, "completed m, r1"),
        (
            {"model": "m", "input_tokens": 3, "output_tokens": 4, "duration_ms": 1234.0},
            "completed m, 3+4 tokens, 1.23 s, e1",
        ),
        (
            {"output_tokens": 4, "duration_ms": 12.3},
            "completed unknown model, 0+4 tokens, 12 ms, e1",
        ),
        ({"model": "m" * 999, "response_id": "r" * 999}, f"completed {'m' * 200}, {'r' * 200}"),
        ({"model": "a\x1b[31mb\n"}, "completed a\ufffd[31mb\ufffd, e1"),
    ],
)
def test_a_line_for_the_log(values: dict[str, Any], line: str) -> None:
    """State, model, tokens, time and id, as far as they are known, and nothing unprintable."""
    assert format_log_line(row(**values)) == line


def test_only_what_has_ended_is_announced() -> None:
    """Open rows and deletions are no news; the others come in order, with flow and turn."""
    items = [
        PendingChange(1, Record(row(exchange_id="e1")), "f1", 2),
        PendingChange(2, Record(row(exchange_id="e2", state="open")), "f2", 0),
        PendingChange(3, Deletion("t", "r"), "f3", 0),
        PendingChange(4, Record(row(exchange_id="e4", state="interrupted")), "f4", 0),
    ]
    found = list_written_rows(items)
    assert [(one.flow_id, one.turn, one.exchange_id) for one in found] == [
        ("f1", 2, "e1"), ("f4", 0, "e4"),
    ]  # fmt: skip
