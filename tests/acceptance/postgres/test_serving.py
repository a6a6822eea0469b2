"""What is in PostgreSQL answers; while it is away the upstream does, or nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import assert_nothing_waits, rows_of
from tests.acceptance.served import WAYS, asked_of, created, get, walk
from tests.fakes.answers import json_answer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.clients import Reply
    from tests.harness.line import Line
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine
    from tests.harness.proxy import Proxy


ENDINGS = ["", "?stream=true", "/input_items"]
MOMENT = 4.5  # seconds: the store is waited for 3 s long
PROMPT = 1.5


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


def get_all(proxy: Proxy, asked: list[tuple[str, str]], **how: str) -> list[Reply]:
    """Ask all of this at once, each for a tenant; nobody waits for longer than a moment."""
    begun = monotonic()
    with ThreadPoolExecutor(len(asked)) as pool:
        replies = list(pool.map(lambda one: get(proxy, *one, **how), asked))
    assert monotonic() - begun < MOMENT
    return replies


def test_only(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """The SDK's walk on every way; then an outage, in which nothing is said of what is stored.

    What came in it is there once the database is back, and what could not be deleted still is.
    """
    WebSocketSwitch(model_server, usual)
    other = f"{tenant}-other"
    with cut.proxy("only") as proxy:
        gone = [walk(proxy, tenant, way) for way in WAYS]
        before = created(proxy, tenant)
        assert get(proxy, tenant, before).status == 200
        cut.off()
        stays, deleted = created(proxy, tenant, "sse"), created(proxy, tenant)
        came = model_server.recordings.of(tenant)[-2].body
        asked = [(whose, f"{one}{after}") for whose, one in ((tenant, before), (tenant, stays),
                 (tenant, gone[0]), (other, stays)) for after in ENDINGS]  # fmt: skip
        for replies in (
            get_all(proxy, asked),
            get_all(
                proxy, [(tenant, before), (tenant, deleted), (other, deleted)], method="DELETE"
            ),
        ):
            assert {(one.status, one.header("retry-after")) for one in replies} == {(503, "1")}
        cut.line.accept()
        wait_until(lambda: get(proxy, tenant, before).status == 200, "the database is back")
        for after in ENDINGS:
            assert get(proxy, tenant, f"{stays}{after}").status == 200
            assert get(proxy, other, f"{stays}{after}").status == 404
        assert bytes(get(proxy, tenant, f"{stays}?stream=true").body) == came
        assert get(proxy, other, deleted, "DELETE").status == 404
        assert get(proxy, tenant, deleted, "DELETE").json["deleted"] is True
        for name in (deleted, *gone):
            for after in ENDINGS:
                assert get(proxy, tenant, f"{name}{after}").status == 404
            assert get(proxy, tenant, name, "DELETE").status == 404
    assert {row["id"] for row in cut.kept.responses(tenant)} == {before, stays}
    assert asked_of(model_server, tenant) == []


def test_prefer(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """In an outage the upstream answers for everything, and may delete it."""
    theirs = model_server.play(json_answer({"whose": "upstream"}))
    with cut.proxy("prefer") as proxy:
        before, deleted = created(proxy, tenant), created(proxy, tenant, "sse")
        assert get(proxy, tenant, before, x_scenario=theirs).json["id"] == before
        cut.off()
        waits = created(proxy, tenant)
        asked = [(tenant, f"{one}{after}") for one in (before, waits) for after in ENDINGS]
        replies = get_all(proxy, asked, x_scenario=theirs)
        assert [reply.json for reply in replies] == [{"whose": "upstream"}] * len(asked)
        for name in (deleted, waits):
            reply = get(proxy, tenant, name, "DELETE", x_scenario=theirs)
            assert reply.json == {"whose": "upstream"}
        cut.line.accept()
        assert_nothing_waits(proxy)
        assert {row["id"] for row in cut.kept.responses(tenant)} == {before}
        reply = get(proxy, tenant, before, x_scenario=theirs)
        assert reply.json.get("id") == before
        for name in (deleted, waits):
            reply = get(proxy, tenant, name, x_scenario=theirs)
            assert reply.json == {"whose": "upstream"}


def test_a_database_that_hangs(cut: Cut, model_server: ModelServer, tenant: str) -> None:
    """Nobody waits for it longer than a moment, and others do not wait at all."""
    with cut.proxy("only") as proxy:
        before = created(proxy, tenant)
        assert get(proxy, tenant, before).status == 200
        cut.line.hold()
        replies = get_all(proxy, [(tenant, before), (tenant, f"{before}/input_items")])
        begun = monotonic()
        waits = created(proxy, tenant)
        assert monotonic() - begun < PROMPT
        replies += get_all(proxy, [(tenant, before), (tenant, waits)])
        assert [one.status for one in replies] == [503] * 4
        cut.line.release()
        wait_until(lambda: get(proxy, tenant, before).status == 200, "it answers again", 40)
        assert get(proxy, tenant, waits).status == 200
