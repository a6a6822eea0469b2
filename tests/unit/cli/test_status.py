"""`response-store status`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.cli import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command
    from tests.unit.query.stored import Stored


def test_a_pipe_gets_name_and_value(stored: Stored, run: Command) -> None:
    """Piped output is a line a fact: name, tab, value."""
    rows.all_kinds(stored)
    kib = stored.path.stat().st_size / 1024
    assert run("status").stdout == (
        f"database\t{stored.path}\n"
        f"size\t{kib:.1f} KiB, write-ahead log 0 B\n"
        "schema\tresponses version 1, exchanges version 1\n"
        "exchanges\t5: 2 completed, 1 interrupted, 1 open, 1 refused\n"
        "apis\t4 responses, 1 chat_completions\n"
        "responses\t1\n"
        "tenants\t1\n"
        "open\t1, the oldest since 2026-01-01 02:06:40\n"
        "first\t2026-01-01 02:00:00\n"
        "last\t2026-01-01 02:06:40\n"
    )


def test_json_has_the_counts(stored: Stored, run: Command) -> None:
    """A program gets the same as numbers."""
    rows.all_kinds(stored)
    found = json.loads(run("status", "--json").stdout)
    assert found["by_state"] == {"completed": 2, "interrupted": 1, "open": 1, "refused": 1}
    assert found["exchanges"] == 5
    assert found["last_started_at"] == 1767226000.0
    assert found["database"] == str(stored.path)


def test_an_empty_store_has_a_status(stored: Stored, run: Command) -> None:
    """Nothing captured yet is a status, not an error."""
    lines = dict(line.split("\t") for line in run("status").stdout.splitlines())
    assert (lines["exchanges"], lines["apis"], lines["open"], lines["last"]) == (
        "0",
        "none",
        "0",
        "-",
    )
