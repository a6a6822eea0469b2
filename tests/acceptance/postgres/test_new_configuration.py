"""A configuration that is set while the proxy runs takes over, whatever the old one hangs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.acceptance.postgres.looking import ask, assert_each_once, journal, rows_of, status
from tests.acceptance.postgres.traffic import Traffic
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine

pytestmark = pytest.mark.one_python

STALL = 4.0  # seconds that the change may hold up the traffic: the old session gets one or two


def test_while_the_old_one_connects(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    plain_database: PostgresDatabase,
    make_line: MakeLine,
    tenant: str,
) -> None:
    """The journal changes hands though the old session still hangs; nothing is lost or twice."""
    line, kept = make_line(plain_postgres.port), rows_of(plain_database)
    line.hold()
    with on_postgres(plain_database.url(port=line.port)) as proxy:
        ids = ask(proxy, tenant, 3)
        configured = yaml.safe_load((proxy.folder / "config.yaml").read_text())
        configured["database_url"] = plain_database.url()
        (proxy.folder / "mended.yaml").write_text(yaml.safe_dump(configured))
        with Traffic(proxy, tenant) as traffic:
            traffic.passes(3)
            proxy.command("set", "response_store_config", "mended.yaml")
            traffic.passes(3)
        ids += traffic.ids
        assert_each_once(kept, tenant, ids)
        assert line.connections > 0, "the old session hangs all the while"
        line.restore()
        wait_until(lambda: line.connections == 0, "the old session has ended", 20)
        proxy.flush()
        told, said = status(proxy), proxy.output()
        assert journal(proxy).records == 0
    assert_each_once(kept, tenant, ids)
    assert traffic.slowest < STALL
    assert (told["last error"], told["journal last error"]) == ("none", "none")
    assert "belongs to another proxy" not in said
    assert "Traceback" not in said
