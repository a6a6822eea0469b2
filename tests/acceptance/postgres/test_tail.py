"""`response-store tail -f` beside a proxy that writes to PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.acceptance.postgres.looking import ask, wait_for_store
from tests.harness.following import Tail

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine


SETTINGS = "database_url: {url}\nssl_mode: disable\nallow_private_database_url: true\n"


def test_outages(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    plain_database: PostgresDatabase,
    make_line: MakeLine,
    tenant: str,
    tmp_path: Path,
) -> None:
    """Each is told once: at its end, when the journal brings it, when the database is back."""
    writing, reader = make_line(plain_postgres.port), make_line(plain_postgres.port)
    config = tmp_path / "reader.yaml"
    config.write_text(SETTINGS.format(url=plain_database.url(port=reader.port)))
    options = ["--config", str(config), "--tenant", tenant, "--json"]
    with on_postgres(plain_database.url(port=writing.port)) as proxy:
        ids = ask(proxy, tenant, 2)
        proxy.flush()
        with Tail(tmp_path / "tail", *options) as tail:
            tail.wait_for(2)
            ids += ask(proxy, tenant, 2)
            tail.wait_for(4)
            writing.refuse()
            writing.cut()
            ids += ask(proxy, tenant, 2)
            wait_for_store(proxy, "waiting")
            reader.refuse()
            reader.cut()
            tail.wait_for_word("Waiting until the database can be read again")
            writing.accept()
            proxy.flush()
            ids += ask(proxy, tenant, 1)
            proxy.flush()
            assert len(tail.lines()) == 4
            reader.accept()
            told = [json.loads(line) for line in tail.wait_for(7)]
            tail.wait_for_word("Note: the database can be read again.")
            ids += ask(proxy, tenant, 1)
            told.append(json.loads(tail.wait_for(8)[7]))
            assert tail.interrupt() == 130
            assert tail.said().count("Note:") == 2
            assert len(tail.lines()) == 8
    assert [one["response_id"] for one in told] == ids
