"""A deletion keeps its place through an outage, and through the death of the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.postgres.looking import (
    ask,
    assert_nothing_waits,
    positions,
    rows_of,
    waiting,
)
from tests.fakes.answers import json_answer
from tests.harness.clients import CREATE, fetch
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine
    from tests.harness.proxy import Proxy


def delete(proxy: Proxy, server: ModelServer, tenant: str, response_id: str) -> None:
    """Have the API delete a response."""
    model = server.play(json_answer({"id": response_id, "deleted": True}))
    how = {"method": "DELETE", "path": f"{CREATE}/{response_id}", "x_scenario": model}
    assert fetch(proxy.port, None, tenant, **how).status == 200


def test_across_an_outage(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    make_line: MakeLine,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """What was stored before an outage, and what came in it, is deleted; the rest arrives."""
    line, kept = make_line(plain_postgres.port), rows_of(plain_database)
    proxy = on_postgres(plain_database.url(port=line.port))
    with proxy:
        stored, stays = ask(proxy, tenant, 2)
        proxy.flush()
        line.hold()
        delete(proxy, model_server, tenant, stored)
        came, comes = ask(proxy, tenant, 2)
        delete(proxy, model_server, tenant, came)
        proxy.kill9()
    assert {row["id"] for row in kept.responses(tenant)} == {stored, stays}
    assert waiting(proxy, positions(kept))["END"] == 4
    line.release()
    with proxy.open():
        wait_until(
            lambda: {row["id"] for row in kept.responses(tenant)} == {stays, comes},
            "the deletions arrive",
        )
        assert_nothing_waits(proxy)
        rows = kept.all_ended(tenant, 4)
    assert {row["response_id"] for row in rows} == {stored, stays, came, comes}
    assert {row["id"] for row in kept.responses(tenant)} == {stays, comes}
