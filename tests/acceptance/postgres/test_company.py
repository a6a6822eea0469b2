"""Others use the same database: proxies that start together, and the program that made it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner

from response_store.cli import main
from tests.acceptance.postgres.looking import (
    AWAY,
    ask,
    assert_each_once,
    assert_nothing_waits,
    positions,
    rows_of,
    waiting,
)
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking
from tests.harness.proxy import Proxy, wait_until
from tests.harness.streams import LAST_DELTA, before_the_last

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_fixtures import MakeLine


PROXIES = 8
EACH = 6
START_TOGETHER = 60.0  # seconds: a start takes one of a core's
TABLES = "openai_responses", "openai_conversations", "openai_responses_schema_version"

# The tables as the other program makes them, and one more column than it needs.
MADE_BEFORE = """
CREATE TABLE openai_responses (
    tenant_id TEXT NOT NULL, id TEXT NOT NULL, created_at BIGINT NOT NULL, model TEXT NOT NULL,
    response_object TEXT NOT NULL, input TEXT NOT NULL, messages TEXT NOT NULL,
    remark VARCHAR(20) DEFAULT 'none', PRIMARY KEY (tenant_id, id)
);
CREATE TABLE openai_conversations (
    conversation_id TEXT NOT NULL, tenant_id TEXT NOT NULL, created_at BIGINT NOT NULL,
    metadata TEXT NOT NULL, messages TEXT NOT NULL, PRIMARY KEY (conversation_id, tenant_id)
);
CREATE INDEX idx_openai_conversations_tenant_id ON openai_conversations (tenant_id);
CREATE TABLE openai_responses_schema_version (version BIGINT NOT NULL PRIMARY KEY);
INSERT INTO openai_responses_schema_version VALUES (1);
"""
ANSWER = {
    "id": "resp_before", "object": "response", "created_at": 1700000000, "model": "gpt-5",
    "status": "completed",
    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Kept before.", "annotations": []}]}],
}  # fmt: skip
ASKED = [{"type": "message", "role": "user", "content": "Who was here first?"}]
COLUMNS = """
SELECT * FROM information_schema.columns WHERE table_name = ANY(%s)
ORDER BY table_name, ordinal_position"""
KEYS = """
SELECT k.*, c.constraint_type
FROM information_schema.key_column_usage k
JOIN information_schema.table_constraints c USING (constraint_name, table_name)
WHERE k.table_name = ANY(%s) ORDER BY k.constraint_name, k.ordinal_position"""
INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE tablename = ANY(%s) ORDER BY 1, 2"


@pytest.mark.timeout(150)
def test_eight_proxies(
    on_postgres: OnPostgres,
    plain_postgres: Postgres,
    plain_database: PostgresDatabase,
    make_line: MakeLine,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """They start at once on an empty database and write at once; one is killed and comes again."""
    kept, way = rows_of(plain_database), make_line(plain_postgres.port)
    line = make_line(plain_postgres.port)
    url, how = plain_database.url, {"connect_timeout": 60}
    others = [on_postgres(url(port=way.port, **how), f"proxy-{at}") for at in range(1, PROXIES)]
    doomed = on_postgres(url(port=line.port, **how), "doomed")
    proxies, living, gate = [*others, doomed], f"{tenant}-living", Gate()
    with ThreadPoolExecutor(PROXIES) as pool, ExitStack() as stack:
        stack.callback(lambda: list(pool.map(Proxy.close, proxies)))
        for held in (way, line):
            held.hold()
        for proxy in proxies:
            proxy.open(ready=False)
        wait_until(
            lambda: way.connections + line.connections == PROXIES, "all knock", START_TOGETHER
        )
        for held in (way, line):
            held.release()
        for proxy in proxies:
            proxy._wait_ready()
        ids = asked_of_all(pool, proxies, tenant)
        doomed.flush()
        line.hold()
        client = stack.enter_context(RawClient(others[0].port))
        asked = asking(model_server.play(before_the_last(gate)), stream=True)
        reply = client.ask(asked, x_tenant=living)
        client.read_until(reply, LAST_DELTA)
        wait_until(lambda: kept.exchanges(living), "the open row is in the database")
        ids += asked_of_all(pool, proxies, tenant)
        doomed.kill9()
        assert waiting(doomed, positions(kept))["END"] == EACH
        line.restore()
        doomed.open()
        assert_each_once(kept, tenant, ids)
        assert kept.exchange(living)["state"] == "open", "its proxy lives: nobody closes it"
        gate.open()
        client.read_to_end(reply)
        assert kept.ended(living)["state"] == "completed"
        for proxy in proxies:
            assert_nothing_waits(proxy)
        said = [proxy.output() for proxy in others]
    assert not any("Traceback" in text or AWAY in text for text in said)
    for table in ("openai_responses_schema_version", "openai_exchanges_schema_version"):
        assert len(kept.rows(f"SELECT * FROM {table}")) == 1


def asked_of_all(pool: ThreadPoolExecutor, proxies: list[Proxy], tenant: str) -> list[str]:
    """Ask all of them at once."""
    asking_each = pool.map(lambda proxy: ask(proxy, tenant, EACH), proxies)
    return [response_id for ids in asking_each for response_id in ids]


def test_a_database_that_was_there(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, tenant: str
) -> None:
    """What another program made is used, extended and left as it is; its rows can be read."""
    kept = rows_of(plain_database)
    row = {
        "tenant_id": tenant, "id": ANSWER["id"], "created_at": 1700000000, "model": "gpt-5",
        "response_object": json.dumps(ANSWER), "input": json.dumps(ASKED),
        "messages": json.dumps(ASKED + ANSWER["output"]), "remark": "ours",
    }  # fmt: skip
    with psycopg.connect(plain_database.url()) as connection:
        connection.execute(MADE_BEFORE)
        places = ", ".join("%s" for _ in row)
        connection.execute(
            f"INSERT INTO openai_responses ({', '.join(row)}) VALUES ({places})", [*row.values()]
        )
    before = looks_of(plain_database)
    with on_postgres(plain_database.url()) as proxy:
        ids = ask(proxy, tenant, 2)
        rows = kept.all_ended(tenant, 2)
        shown = CliRunner().invoke(
            main,
            ["show", row["id"], "--tenant", tenant, "--config", str(proxy.folder / "config.yaml")],
        )
    assert sorted(one["response_id"] for one in rows) == sorted(ids)
    assert looks_of(plain_database) == before
    stored = {one["id"]: one for one in kept.responses(tenant)}
    assert stored[row["id"]] == row
    assert {one["remark"] for key, one in stored.items() if key in ids} == {"none"}
    assert len(stored) == 3
    assert kept.rows("SELECT * FROM openai_responses_schema_version") == [{"version": 1}]
    assert shown.exit_code == 0, shown.output
    assert "Who was here first?" in shown.output
    assert "Kept before." in shown.output


def looks_of(database: PostgresDatabase) -> list[list[dict[str, Any]]]:
    """Columns, keys and indexes of the tables that both programs have."""
    return [database.execute(statement, list(TABLES)) for statement in (COLUMNS, KEYS, INDEXES)]
