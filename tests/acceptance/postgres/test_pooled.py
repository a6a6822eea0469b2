"""A proxy whose database is behind a real PgBouncer, in either mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import rows_of
from tests.acceptance.searching import ids, search, stream, wait_indexed
from tests.harness.pgbouncer import PROGRAM, pgbouncer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import Postgres, PostgresDatabase

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer on this machine"),
]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_two_proxies(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tmp_path_factory: pytest.TempPathFactory,
    tenant: str,
    mode: str,
) -> None:
    """Both write, one of them indexes, commands read: as without it, and nothing fails."""
    kept = rows_of(plain_database)
    folder: Path = tmp_path_factory.mktemp("pgbouncer")
    with pgbouncer(plain_postgres, folder, mode) as port:
        url = f"postgres://owner@127.0.0.1:{port}/{plain_database.name}"
        with on_postgres(url, "one") as one, on_postgres(url, "two") as two:
            made = {stream(proxy, model_server, tenant) for _ in range(8) for proxy in (one, two)}
            kept.all_ended(tenant, 16)
            assert set(ids(search(one, tenant, "Köln"))) <= made
            wait_indexed(kept, 16)
        for proxy in (one, two):
            assert ", 0 lost" in proxy.output()
            assert "store.failed" not in proxy.output()
