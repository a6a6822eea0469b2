"""Whoever is away, the database, the proxy or both: traffic goes on, and each row comes once."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import (
    AWAY,
    BACK,
    STAYS,
    ask,
    assert_each_once,
    assert_nothing_lost,
    assert_nothing_waits,
    closing_line,
    journals_of,
    positions,
    rows_of,
    status,
    wait_for_store,
    waiting,
)
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.ingesters import kill_both
from tests.harness.proxy import Proxy, wait_until
from tests.harness.streams import HALF_TEXT, LAST_DELTA, halfway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.harness.line import Line
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine


STOPPED = {"state": "interrupted", "ended_by": "proxy_stopped"}


@pytest.fixture
def line(plain_postgres: Postgres, make_line: MakeLine) -> Line:
    """A line to the shared server."""
    return make_line(plain_postgres.port)


@pytest.fixture
def mortal_database(mortal: Postgres) -> Iterator[PostgresDatabase]:
    """A database on the server that may be killed."""
    database = mortal.create_database()
    yield database
    database.drop()


def hang_up(line: Line) -> None:
    """Have the server look as if it were not there."""
    line.refuse()
    line.cut()


@pytest.mark.parametrize("kill", [Proxy.kill9, kill_both], ids=["alone", "with its ingester"])
def test_kill_of_the_proxy(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    line: Line,
    tenant: str,
    kill: Callable[[Proxy], None],
) -> None:
    """`kill -9` while the database hangs: what clients saw complete comes with the next start."""
    kept, proxy = rows_of(plain_database), on_postgres(plain_database.url(port=line.port))
    with proxy:
        ids = ask(proxy, tenant, 3)
        proxy.flush()
        line.hold()
        ids += ask(proxy, tenant, 5)
        kill(proxy)
    assert len(kept.exchanges(tenant)) == 3
    assert waiting(proxy, positions(kept))["END"] == 5
    line.release()  # what was held may arrive now, beside what the next start brings
    with proxy.open():
        assert_each_once(kept, tenant, ids)
        wait_until(lambda: len(journals_of(proxy)) == 1, "the journal of the first is gone", 20)
        assert_nothing_waits(proxy)


def test_kill_of_the_database(
    on_postgres: OnPostgres, mortal: Postgres, mortal_database: PostgresDatabase, tenant: str
) -> None:
    """`kill -9` of the database: records wait, which is seen, and drain once it is back."""
    kept = rows_of(mortal_database)
    with on_postgres(mortal_database.url()) as proxy:
        ids = ask(proxy, tenant, 2)
        proxy.flush()
        before = positions(kept)
        mortal.kill9()
        try:
            ids += ask(proxy, tenant, 4)
            assert waiting(proxy, before)["END"] == 4
            wait_for_store(proxy, "waiting")
            told = status(proxy)
        finally:
            mortal.start()
        assert_each_once(kept, tenant, ids)
        after, said = assert_nothing_waits(proxy), proxy.output()
    assert told["last error"].startswith("PostgreSQL postgres://127.0.0.1:")
    assert int(told["journal holds"].split()[0]) > 1000
    frames, oldest = told["not in the database yet"].split(" frames, the oldest for ")
    assert int(frames) >= 4
    assert 0 <= float(oldest.removesuffix(" s")) < 60
    assert told["waiting for the journal"] == "0 frames"
    assert int(told["attempts"].split()[0]) >= 1
    assert_nothing_lost(told)
    assert int(after["written"]) >= 6
    assert said.count(BACK) == 1
    assert "Traceback" not in said


def test_kill_of_both(
    on_postgres: OnPostgres,
    mortal: Postgres,
    mortal_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """After `kill -9` of both nothing is missing; what was open is closed as interrupted."""
    kept, proxy = rows_of(mortal_database), on_postgres(mortal_database.url())
    cut, later = f"{tenant}-cut", f"{tenant}-later"
    with ExitStack() as stack:
        stack.enter_context(proxy)
        ids = ask(proxy, tenant, 2)
        begin(stack, proxy, model_server, cut)
        wait_until(lambda: kept.exchanges(cut), "the open row is in the database")
        proxy.flush()
        before = positions(kept)
        mortal.kill9()
        try:
            ids += ask(proxy, tenant, 4)
            begin(stack, proxy, model_server, later)
            wait_until(lambda: waiting(proxy, before)["OPEN"], "the open row is in the journal")
            assert waiting(proxy, before)["END"] == 4
            kill_both(proxy)
        finally:
            mortal.start()
    assert len(kept.exchanges(tenant)) == 2
    with proxy.open():
        assert_each_once(kept, tenant, ids)
        for interrupted in (cut, later):
            assert_holds(kept.ended(interrupted), STOPPED | {"output_text": HALF_TEXT})


def begin(stack: ExitStack, proxy: Proxy, server: ModelServer, tenant: str) -> None:
    """Start a stream that never ends."""
    client = stack.enter_context(RawClient(proxy.port))
    model = server.play(halfway(Gate(), go_on=True))
    reply = client.ask(asking(model, stream=True), x_tenant=tenant)
    client.read_until(reply, LAST_DELTA)


def test_start_without_the_database(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, line: Line, tenant: str
) -> None:
    """A proxy that starts before its database serves and says so once; later it catches up."""
    line.refuse()
    with on_postgres(plain_database.url(port=line.port)) as proxy:
        wait_for_store(proxy, "waiting")
        ids = ask(proxy, tenant, 4)
        assert proxy.output().count(AWAY) == 1
        line.accept()
        assert_each_once(rows_of(plain_database), tenant, ids)
        proxy.flush()
        said = proxy.output()
    assert (said.count(AWAY), said.count(BACK)) == (1, 1)


def test_stop_without_the_database(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, line: Line, tenant: str
) -> None:
    """SIGTERM says what stays in the journal, and is quick; the next start brings it."""
    proxy, kept = on_postgres(plain_database.url(port=line.port)), rows_of(plain_database)
    with proxy:
        proxy.flush()
        hang_up(line)
        ids = ask(proxy, tenant, 3)
        begun = monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        finished = proxy.wait()
        took = monotonic() - begun
    assert (finished.returncode, kept.exchanges(tenant)) == (0, [])
    said, waits = closing_line(finished.stderr), waiting(proxy, positions(kept))
    (journal,) = journals_of(proxy)
    assert "0 written, 0 lost" in said
    assert f"; {waits.total()} frames, {journal.bytes_on_disk()} bytes {STAYS} for the" in said
    assert waits["END"] == 3
    assert took < 7
    line.accept()
    with proxy.open():
        assert_each_once(kept, tenant, ids)
        finished = proxy.terminate()
    assert STAYS not in closing_line(finished.stderr)


def test_flow_file_without_the_database(
    on_postgres: OnPostgres,
    make_proxy: MakeProxy,
    plain_database: PostgresDatabase,
    line: Line,
    tenant: str,
) -> None:
    """The end of a flow file waits for a database that is away for the moment."""
    with make_proxy("live", arguments=["-w", "flows"]) as live:
        ids = ask(live, tenant, 3)
        live.terminate()
    line.refuse()
    how = {"arguments": ["-n", "-r", str(live.folder / "flows")], "control": False}
    proxy = on_postgres(plain_database.url(port=line.port), how=how).open(ready=False)
    wait_until(lambda: waiting(proxy, {})["END"] == 3, "the file is read", 20)
    line.accept()
    finished = proxy.wait()
    assert (finished.returncode, STAYS in finished.output) == (0, False)
    assert_each_once(rows_of(plain_database), tenant, ids, timeout=0)


def test_acknowledged_by_the_database(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, line: Line, tenant: str
) -> None:
    """With `acknowledge: database` a whole answer ends after PostgreSQL's commit, a stream at once.

    A database that hangs holds up one answer for `completion_wait_ms`, one that is away none:
    then the journal's commit is waited for.
    """
    kept = rows_of(plain_database)
    settings = {"acknowledge": "database", "completion_wait_ms": 2500}
    with on_postgres(plain_database.url(port=line.port), **settings) as proxy:
        ask(proxy, f"{tenant}-before", 1)
        proxy.flush()
        line.delay(100)
        ask(proxy, tenant, 1, streamed=False)
        assert_completed(kept.ended(tenant, timeout=0), streamed=False, model="gpt-5")
        ask(proxy, tenant, 1, streamed=True)
        assert len(kept.exchanges(tenant)) == 1
        proxy.flush()
        line.hold()
        assert [timed(proxy, tenant) > 2.4 for _ in range(2)] == [True, False]
        hang_up(line)
        line.release()
        wait_for_store(proxy, "waiting")
        assert timed(proxy, tenant) < 1
        line.restore()
        rows = kept.all_ended(tenant, 5, timeout=15)
        proxy.flush()
        assert_each_once(kept, tenant, [row["response_id"] for row in rows])
        told = status(proxy)
    assert told["last error"] == "none"
    assert told["wait.ran_out"] == "1"


def timed(proxy: Proxy, tenant: str) -> float:
    """The seconds that a whole answer took."""
    begun = monotonic()
    ask(proxy, tenant, 1, streamed=False)
    return monotonic() - begun


def test_reject(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, line: Line, tenant: str
) -> None:
    """With `reject` requests are refused while the database is away, and served one pause later."""
    kept, refused = rows_of(plain_database), f"{tenant}-refused"
    with on_postgres(plain_database.url(port=line.port), on_store_failure="reject") as proxy:
        ids = ask(proxy, tenant, 1)
        proxy.flush()
        hang_up(line)
        ids += ask(proxy, tenant, 1)  # by which it is noticed
        wait_for_store(proxy, "waiting")
        reply = fetch(proxy.port, asking(), refused)
        assert reply.status == 503
        assert reply.json["error"]["code"] == "response_store_unavailable"
        assert fetch(proxy.port, None, tenant, method="GET", path="/v1/models").status == 200
        line.accept()
        pause = int(fetch(proxy.port, asking(), refused).header("retry-after"))
        assert 1 <= pause <= 6
        wait_until(
            lambda: fetch(proxy.port, asking(), f"{tenant}-after").status == 200,
            "service again",
            pause + 1.0,
        )
        ids += ask(proxy, tenant, 2)
        assert_each_once(kept, tenant, ids)
        proxy.flush()
        refusals = kept.exchanges(refused)
    assert [row["status_code"] for row in refusals] == [503, 503]


def test_interrupted_text_is_kept(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """SIGTERM closes what is in flight, and brings its text to the database before it ends."""
    with on_postgres(plain_database.url()) as proxy, ExitStack() as stack:
        begin(stack, proxy, model_server, tenant)
        finished = proxy.terminate()
    row = rows_of(plain_database).ended(tenant, timeout=0)
    assert_holds(row, STOPPED | {"output_text": HALF_TEXT})
    assert STAYS not in finished.stderr
