"""What is in PostgreSQL answers, and so does what waits for it in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import journal, rows_of
from tests.acceptance.served import WAYS, asked_of, created, get, walk
from tests.fakes.answers import json_answer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.line import Line
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine
    from tests.harness.proxy import Proxy

pytestmark = pytest.mark.one_python

ENDINGS = ["", "?stream=true", "/input_items"]


class Cut:
    """A database behind a line that can be cut, and a proxy that writes to it."""

    def __init__(self, line: Line, database: PostgresDatabase, make: OnPostgres) -> None:
        self.line = line
        self.kept = rows_of(database)
        self._url = database.url(port=line.port)
        self._make = make

    def proxy(self, serve: str) -> Proxy:
        return self._make(self._url, serve=serve, capture={"raw_bodies": "always"})

    def off(self) -> None:
        self.line.refuse()
        self.line.cut()


@pytest.fixture
def cut(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    make_line: MakeLine,
    plain_database: PostgresDatabase,
) -> Cut:
    """A database of the test's own."""
    return Cut(make_line(plain_postgres.port), plain_database, on_postgres)


def test_only(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """The SDK's walk on every way; then an outage, in which the journal answers for what it holds.

    A deletion wins over the capture before it, whichever side of the outage they are written on.
    """
    WebSocketSwitch(model_server, usual)
    with cut.proxy("only") as proxy:
        gone = [walk(proxy, tenant, way) for way in WAYS]
        before = created(proxy, tenant)
        proxy.flush()
        assert get(proxy, tenant, before).status == 200
        cut.off()
        stays, deleted = created(proxy, tenant, "sse"), created(proxy, tenant)
        came = model_server.recordings.of(tenant)[-2].body
        for after in ENDINGS:
            assert get(proxy, tenant, f"{stays}{after}").status == 200
            assert get(proxy, tenant, f"{before}{after}").status == 503
            assert get(proxy, f"{tenant}-other", f"{stays}{after}").status == 503
        assert bytes(get(proxy, tenant, f"{stays}?stream=true").body) == came
        assert get(proxy, tenant, before, "DELETE").header("retry-after") == "1"
        assert get(proxy, f"{tenant}-other", deleted, "DELETE").status == 503
        assert get(proxy, tenant, deleted, "DELETE").json["deleted"] is True
        for method, after in [*(("GET", one) for one in ENDINGS), ("DELETE", "")]:
            assert get(proxy, tenant, f"{deleted}{after}", method).status == 404
        cut.line.accept()
        wait_until(lambda: get(proxy, tenant, before).status == 200, "the database is back")
        proxy.flush()
        for after in ENDINGS:
            assert get(proxy, tenant, f"{stays}{after}").status == 200
            assert get(proxy, f"{tenant}-other", f"{stays}{after}").status == 404
            for name in (deleted, *gone):
                assert get(proxy, tenant, f"{name}{after}").status == 404
    assert {row["id"] for row in cut.kept.responses(tenant)} == {before, stays}
    assert asked_of(model_server, tenant) == []


def test_prefer(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """In an outage the upstream answers for what only the database knows, and may delete it."""
    theirs = model_server.play(json_answer({"whose": "upstream"}))
    with cut.proxy("prefer") as proxy:
        before, deleted = created(proxy, tenant), created(proxy, tenant, "sse")
        proxy.flush()
        assert get(proxy, tenant, before, x_scenario=theirs).json["id"] == before
        cut.off()
        waits = created(proxy, tenant)
        for after in ENDINGS:
            reply = get(proxy, tenant, f"{before}{after}", x_scenario=theirs)
            assert reply.json == {"whose": "upstream"}
            assert get(proxy, tenant, f"{waits}{after}", x_scenario=theirs).status == 200
        for name in (deleted, waits):
            reply = get(proxy, tenant, name, "DELETE", x_scenario=theirs)
            assert reply.json == {"whose": "upstream"}
        cut.line.accept()
        proxy.flush()
        assert {row["id"] for row in cut.kept.responses(tenant)} == {before}
        wait_until(
            lambda: get(proxy, tenant, before, x_scenario=theirs).json.get("id") == before,
            "the database is asked again",
        )
        reply = get(proxy, tenant, deleted, x_scenario=theirs)
        assert reply.json == {"whose": "upstream"}


def test_a_database_that_hangs(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """Nobody waits for it longer than a moment, and others do not wait at all."""
    with cut.proxy("only") as proxy:
        before = created(proxy, tenant)
        proxy.flush()
        assert get(proxy, tenant, before).status == 200
        cut.line.hold()
        waits = created(proxy, tenant)
        assert get(proxy, tenant, before).status == 503
        assert get(proxy, tenant, waits).status == 200
        assert journal(proxy).records >= 1
        cut.line.release()
        wait_until(lambda: get(proxy, tenant, before).status == 200, "it answers again", 20)
