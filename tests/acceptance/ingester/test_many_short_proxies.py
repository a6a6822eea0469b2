"""Many proxies that live for one exchange each leave every row, and no journal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.postgres import PostgresDatabase
from tests.unit.ingest.proxy_side import id_of, rows

pytestmark = [pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).parents[3]
PROXIES = "tests.acceptance.ingester.many_proxies"
ROWS = "SELECT exchange_id, state, response_id FROM openai_exchanges"


def run(folder: Path, how_many: int, *more: str) -> list[int]:
    """Run the proxies; return the keys of exchanges that were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-m", PROXIES, str(folder), str(how_many), *more],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["errors"] == []
    left = [path for path in (folder / "journals").iterdir() if path.is_dir()]
    assert {path.name for path in left} <= {"damaged"}
    assert len(result["acknowledged"]) > 0.6 * how_many
    return [int(key) for key in result["acknowledged"]]


def check(acknowledged: Iterable[int], found: Iterable[tuple[Any, ...]]) -> None:
    """See that each exchange that was acknowledged has its row, and no row is anything else."""
    states = {name: (state, response) for name, state, response in found}
    whole = {id_of(key): ("completed", f"resp_{key}") for key in acknowledged}
    assert whole.keys() - states.keys() == set()
    assert {name: states[name] for name in whole} == whole
    assert {state for state, _ in states.values()} == {"completed"}


def test_sqlite(tmp_path: Path) -> None:
    """75 of them, eight at once, one in five killed."""
    check(run(tmp_path, 75, "1"), rows(tmp_path / "responses.db", ROWS))


def test_postgres(tmp_path: Path, plain_database: PostgresDatabase) -> None:
    """40 of them with PostgreSQL."""
    acknowledged = run(tmp_path, 40, "2", plain_database.url())
    check(acknowledged, [tuple(row.values()) for row in plain_database.execute(ROWS)])


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_500(tmp_path: Path) -> None:
    """500 of them."""
    acknowledged = run(tmp_path, 500, "3")
    found = rows(tmp_path / "responses.db", ROWS)
    check(acknowledged, found)
    print(len(acknowledged), "acknowledged,", len(found), "rows")
