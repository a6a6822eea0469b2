"""`response-store status`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from response_store.queries.schema_state import MIGRATIONS
from tests.unit.cli import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored
    from tests.unit.queries.stored_in_postgres import StoredInPostgres

VERSIONS = f"responses version 1, exchanges version {len(MIGRATIONS)}"


def test_a_pipe_gets_name_and_value(stored: Stored, run: Command) -> None:
    """Piped output is a line a fact: name, tab, value."""
    rows.all_kinds(stored)
    kib = stored.path.stat().st_size / 1024
    assert run("status").stdout == (
        f"database\t{stored.path}\n"
        f"size\t{kib:.1f} KiB, write-ahead log 0 B\n"
        f"schema\t{VERSIONS}\n"
        "exchanges\t5: 2 completed, 1 interrupted, 1 open, 1 refused\n"
        "apis\t4 responses, 1 chat_completions\n"
        "responses\t1\n"
        "tenants\t1\n"
        "open\t1, the oldest since 2026-01-01 02:06:40\n"
        "first\t2026-01-01 02:00:00\n"
        "last\t2026-01-01 02:06:40\n"
        "journal\tnone\n"
    )


def test_a_pipe_gets_the_same_facts_of_postgresql(
    configured: StoredInPostgres, run: Command
) -> None:
    """The counts are as SQLite's are, the place is another one."""
    rows.all_kinds(configured)
    result = run("status")
    assert (result.exit_code, result.stderr) == (0, "")
    database, server, sizes, *counters = result.stdout.splitlines()
    assert database == f"database\t{configured.shown}"
    assert re.fullmatch(r"server\tPostgreSQL \d+[.\d]*( .*)?", server)
    assert re.fullmatch(
        r"size\t[\d.]+ [KM]iB: openai_responses [\d.]+ [KM]iB, "
        r"openai_conversations [\d.]+ [KM]iB, openai_exchanges [\d.]+ [KM]iB",
        sizes,
    )
    assert counters == [
        f"schema\t{VERSIONS}",
        "exchanges\t5: 2 completed, 1 interrupted, 1 open, 1 refused",
        "apis\t4 responses, 1 chat_completions",
        "responses\t1",
        "tenants\t1",
        "open\t1, the oldest since 2026-01-01 02:06:40",
        "first\t2026-01-01 02:00:00",
        "last\t2026-01-01 02:06:40",
        "journal\tnone",
    ]


def test_json_has_the_counts(anywhere: Anywhere, run: Command) -> None:
    """A program gets the same as numbers."""
    rows.all_kinds(anywhere)
    found = json.loads(run("status", "--json").stdout)
    assert found["by_state"] == {"completed": 2, "interrupted": 1, "open": 1, "refused": 1}
    assert found["exchanges"] == 5
    assert found["last_started_at"] == 1767226000.0
    assert found["database"] == anywhere.shown


def test_an_empty_store_has_a_status(anywhere: Anywhere, run: Command) -> None:
    """Nothing captured yet is a status, not an error."""
    lines = dict(line.split("\t") for line in run("status").stdout.splitlines())
    assert (lines["exchanges"], lines["apis"], lines["open"], lines["last"]) == (
        "0",
        "none",
        "0",
        "-",
    )
