"""Every test here runs on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.backends import BACKENDS, Backend
from tests.contract.contents import Contents
from tests.harness.pgbouncer import PROGRAM

POOLED = [
    pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer on this machine"),
]
# A session of a pooler is one of the server; `test_pooled` has both modes before real proxies.
MARKS = {
    "pgbouncer-transaction": POOLED,
    "pgbouncer-session": [*POOLED, pytest.mark.soak],
}
PARAMETERS = [pytest.param(name, marks=MARKS.get(name, [])) for name in BACKENDS]


@pytest.fixture(params=PARAMETERS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty database; for a test of its contents it may have empty tables already."""
    made = BACKENDS[request.param](tmp_path)
    if "contents" not in request.fixturenames:
        made.drop_tables()
    yield made
    made.close()


@pytest.fixture
def contents(backend: Backend) -> Contents:
    """A store that is open, and what it holds."""
    return Contents(backend)
