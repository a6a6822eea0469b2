"""What passes a proxy that writes to PostgreSQL is kept there, and what it says of that is true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.acceptance.postgres.looking import (
    STAYS,
    ask,
    assert_each_once,
    assert_nothing_waits,
    closing_line,
    journals_of,
    rows_of,
)
from tests.fakes import bodies
from tests.harness.clients import QUESTION, asking, fetch, sdk
from tests.harness.database import unpacked
from tests.harness.expected import assert_completed, assert_response
from tests.harness.journals import journals_in
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import PostgresDatabase

MODEL = "gpt-5"


def test_sdk(on_postgres: OnPostgres, plain_database: PostgresDatabase, tenant: str) -> None:
    """What the SDK creates and streams becomes rows, and the proxy says where they are."""
    kept = rows_of(plain_database)
    with on_postgres(plain_database.url()) as proxy:
        with sdk(proxy.url, tenant) as client:
            answer = client.responses.create(model=MODEL, input=QUESTION)
            with client.responses.create(model=MODEL, input=QUESTION, stream=True) as stream:
                events = list(stream)
        whole, streamed = kept.all_ended(tenant, 2)
        told, said = assert_nothing_waits(proxy), proxy.output()
        (journal,) = journals_of(proxy)
        finished = proxy.terminate()
        wait_until(lambda: journals_of(proxy) == [], "the journal is empty, and gone")
    assert answer.output_text == bodies.TEXT
    assert_completed(whole, streamed=False, model=MODEL)
    assert_completed(streamed, streamed=True, model=MODEL)
    assert [whole["response_id"], streamed["response_id"]] == [answer.id, events[-1].response.id]
    assert json.loads(unpacked(whole["request_body"])) == {"model": MODEL, "input": QUESTION}
    stored = {row["id"]: row for row in kept.responses(tenant)}
    assert set(stored) == {answer.id, events[-1].response.id}
    for row in stored.values():
        assert_response(row, json.loads(row["response_object"]))
    where = f"PostgreSQL postgres://127.0.0.1:{plain_database.server.port}/{plain_database.name}"
    (start,) = [line for line in said.splitlines() if "writing to" in line]
    for words in (where, "durability process", "acknowledge journal"):
        assert words in start
    assert told["store"] == f"{where}, ready"
    assert told["journal"] == f"{journal.path}, ready"
    assert told["journal holds"].endswith(" bytes, at most 1073741824")
    written = int(told["written"])
    assert written in (2, 3, 4), "each once, or before that as an open row"
    assert (finished.returncode, finished.stdout.count("WARN")) == (0, 0)
    assert f"{written} written, 0 lost" in closing_line(finished.stderr)
    assert STAYS not in finished.stderr


def test_what_is_unsafe(on_postgres: OnPostgres, plain_database: PostgresDatabase) -> None:
    """What is unsafe in the configuration is said once at start, and nothing else comes of it."""
    with on_postgres(plain_database.url(host="database.invalid")) as proxy:
        said = proxy.output()
    (warned,) = [line for line in said.splitlines() if "ssl_mode" in line]
    assert "response_store: " in warned


def test_flow_file(on_postgres: OnPostgres, plain_database: PostgresDatabase, tenant: str) -> None:
    """Reading a flow file ends when the database has all of it; once more changes nothing."""
    with on_postgres(plain_database.url(), "live", how={"arguments": ["-w", "flows"]}) as proxy:
        for streamed in (False, True):
            fetch(proxy.port, asking(stream=streamed), tenant)
        proxy.terminate()
    kept = rows_of(plain_database)
    live = kept.all_ended(tenant, 2, timeout=0)
    copy = plain_database.server.create_database()
    try:
        for _ in range(2):
            how = {"arguments": ["-n", "-r", str(proxy.folder / "flows")], "control": False}
            finished = on_postgres(copy.url(), "import", how=how).run()
            assert (finished.returncode, STAYS in finished.output) == (0, False)
            rows = rows_of(copy).all_ended(tenant, 2, timeout=0)
            assert [row["exchange_id"] for row in rows] == [row["exchange_id"] for row in live]
            assert sorted(row["id"] for row in rows_of(copy).responses(tenant)) == sorted(
                row["id"] for row in kept.responses(tenant)
            )
    finally:
        copy.drop()


def test_two_proxies_on_one_folder(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, tenant: str
) -> None:
    """Each has a journal of its own there, and leaves the other's alone."""
    url = plain_database.url()
    with on_postgres(url) as first:
        settings = journals_in(first.folder)
        with on_postgres(url, "second", **settings) as second:
            assert len(journals_of(first)) == 2
            ids = [*ask(first, tenant, 2), *ask(second, tenant, 2)]
            assert_nothing_waits(second)
            second.terminate()
        wait_until(lambda: len(journals_of(first)) == 1, "the second journal is gone")
        ids += ask(first, tenant, 2)
        assert_each_once(rows_of(plain_database), tenant, ids)
        assert_nothing_waits(first)
