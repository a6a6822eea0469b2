"""A configuration that is set while the proxy runs takes over, whatever the old one hangs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.acceptance.postgres.looking import (
    ask,
    assert_each_once,
    assert_nothing_waits,
    journals_of,
    rows_of,
)
from tests.acceptance.postgres.traffic import Traffic
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine


PROMPT = 2.0  # seconds within which every answer ends: nobody waits for the change


def test_while_the_old_one_connects(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    plain_database: PostgresDatabase,
    make_line: MakeLine,
    tenant: str,
) -> None:
    """What begins goes to the new one though the old one still hangs, which keeps what it has."""
    line, kept = make_line(plain_postgres.port), rows_of(plain_database)
    line.hold()
    with on_postgres(plain_database.url(port=line.port)) as proxy:
        ids = ask(proxy, tenant, 3)
        configured = yaml.safe_load((proxy.folder / "config.yaml").read_text())
        configured["database_url"] = plain_database.url()
        (proxy.folder / "fixed.yaml").write_text(yaml.safe_dump(configured))
        with Traffic(proxy, tenant) as traffic:
            traffic.passes(3)
            proxy.command("set", "response_store_config", "fixed.yaml")
            wait_until(lambda: kept.exchanges(tenant), "the new one writes")
            traffic.passes(3)
        assert line.connections > 0, "the old session hangs all the while"
        assert len(kept.exchanges(tenant)) < len(ids + traffic.ids), "what it has waits"
        assert len(journals_of(proxy)) == 2
        line.restore()
        assert_each_once(kept, tenant, ids + traffic.ids)
        wait_until(lambda: line.connections == 0, "the old session has ended", 20)
        wait_until(lambda: len(journals_of(proxy)) == 1, "and so has its journal")
        assert_nothing_waits(proxy)
        said = proxy.output()
    assert_each_once(kept, tenant, ids + traffic.ids)
    assert traffic.slowest < PROMPT
    assert "Traceback" not in said
