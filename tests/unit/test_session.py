"""What a session says of the exchanges it captured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from response_store.resources import script_path
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


def test_psycopg_is_for_postgresql_alone(tmp_path: Path) -> None:
    """A session on SQLite imports neither the driver nor the modules that use it."""
    code = """
import asyncio, sys
from response_store.config import load_config
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.session import Session

counts = Counts()
session = Session(load_config(None, {}), counts, Faults(counts), asyncio.new_event_loop())
print(session.open(), session.close().ending.summary.lost)
names = [name.removeprefix("response_store.store.") for name in sys.modules]
print([name for name in names if name.startswith(("psycopg", "postgres", "journal"))])
"""
    path = os.pathsep.join([str(script_path().parent), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert said.stdout.splitlines()[-2:] == ["None 0", "[]"]
