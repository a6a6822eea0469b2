"""Asking proxies, and a look from outside at what they keep in PostgreSQL and their journals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from response_store.store.journal.reading import JournalReading
from tests.harness.clients import asking, fetch
from tests.harness.database import Database, Row, as_text
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from response_store.store.journal.level import JournalStatus
    from tests.harness.postgres import PostgresDatabase
    from tests.harness.proxy import Proxy

JOURNAL = "response-store-journal.db"
STAYS = "stay in the journal"
AWAY = "records wait, attempts go on"
BACK = "the database is back"


@dataclass(frozen=True)
class PostgresRows(Database):
    """As `Database`, of a database on a server: nothing but SQL, as the superuser."""

    path: Path = Path()
    database: PostgresDatabase | None = None

    def rows(self, sql: str, *values: Any) -> list[Row]:
        assert self.database is not None
        try:
            return self.database.execute(sql.replace("?", "%s"), *values)
        except psycopg.errors.UndefinedTable:
            return []

    def exchanges(self, tenant: str | None = None) -> list[Row]:
        rows = self.rows(f"SELECT * FROM {self.exchanges_table} ORDER BY started_at, exchange_id")
        return [row for row in rows if tenant in (None, row["tenant_id"])]

    def dump(self) -> str:
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(
            as_text(value)
            for table in tables
            for row in self.rows(f"SELECT * FROM {table['tablename']}")
            for value in row.values()
        )


def rows_of(database: PostgresDatabase) -> PostgresRows:
    """The rows of a database."""
    return PostgresRows(database=database)


def status(proxy: Proxy) -> dict[str, str]:
    """The lines of `response_store.status`, by name."""
    lines = proxy.command("response_store.status").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def journal(proxy: Proxy) -> JournalStatus:
    """What the journal of a proxy holds by its file, whether the proxy runs or not."""
    with JournalReading(proxy.folder / JOURNAL) as reading:
        return reading.status()


def wait_for_store(proxy: Proxy, phase: str, timeout: float = 15.0) -> None:
    """Wait until the proxy says that its database is "ready", "waiting" or "failed"."""
    wait_until(
        lambda: status(proxy)["store"].endswith(f", {phase}"), f"the store is {phase}", timeout
    )


def ask(proxy: Proxy, tenant: str, count: int, *, streamed: bool | None = None) -> list[str]:
    """Ask so many times, whole and streamed by turns or as is said; the ids of what came whole."""
    ids = []
    for at in range(count):
        stream = at % 2 == 1 if streamed is None else streamed
        reply = fetch(proxy.port, asking(stream=stream), tenant)
        assert (reply.status, reply.whole) == (200, True)
        found = re.search(rb'"id": ?"(resp_\w+)"', reply.body)
        assert found is not None
        ids.append(found[1].decode())
    return ids


def assert_each_once(kept: PostgresRows, tenant: str, ids: list[str], timeout: float = 15) -> None:
    """Each of these responses comes, is completed, and there is no other row."""
    rows = kept.all_ended(tenant, len(ids), timeout)
    assert {row["state"] for row in rows} == {"completed"}
    assert sorted(row["response_id"] for row in rows) == sorted(ids)
    assert sorted(row["id"] for row in kept.responses(tenant)) == sorted(ids)


def closing_line(said: str) -> str:
    """What the last proxy that ended said at its end."""
    return [line for line in said.splitlines() if " written, " in line][-1]
