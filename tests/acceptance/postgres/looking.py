"""Asking proxies, and a look from outside at what they keep in PostgreSQL and their journals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from response_store.journal.directory import JournalDirectory, list_journals
from response_store.journal.reader import JournalReader
from tests.harness.clients import asking, fetch
from tests.harness.database import Database, Row, as_text
from tests.harness.journals import JOURNALS
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.harness.postgres import PostgresDatabase
    from tests.harness.proxy import Proxy

MANY = 1_000_000
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

    def dump(self, tenant: str | None = None) -> str:
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(
            as_text(value)
            for table in tables
            for row in self.rows(f"SELECT * FROM {table['tablename']}")
            if tenant in (None, row.get("tenant_id", tenant))
            for value in row.values()
        )


def rows_of(database: PostgresDatabase) -> PostgresRows:
    """The rows of a database."""
    return PostgresRows(database=database)


def status(proxy: Proxy) -> dict[str, str]:
    """The lines of `response_store.status`, by name."""
    lines = proxy.command("response_store.status").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def assert_nothing_waits(proxy: Proxy) -> dict[str, str]:
    """Wait until all has arrived, and return the status, which says so."""
    proxy.flush()
    told = status(proxy)
    assert told["store"].endswith(", ready")
    assert told["journal"].endswith(", ready")
    assert told["last error"] == "none"
    assert told["attempts"] == "0 failed in a row"
    assert told["ingester"] == "running"
    assert told["not in the database yet"] == "0 frames"
    assert told["waiting for the journal"] == "0 frames"
    assert told["waiting to be cleaned"] == "0 frames, 0 bytes"
    assert_nothing_lost(told)
    return told


def assert_nothing_lost(told: dict[str, str]) -> None:
    """Nothing was dropped, refused or found damaged, by the status."""
    assert told["dead letters"] == "0 records, 0 bytes"
    lost = ("dropped", "dead_letters", "frames_gone", "journal.damaged", "fault")
    assert [name for name in told if name.startswith(lost)] == []


def journals_of(proxy: Proxy) -> list[JournalDirectory]:
    """The journals in the folder of a proxy, whether it runs or not."""
    return list_journals(proxy.folder / JOURNALS)


def positions(kept: PostgresRows) -> dict[str, int]:
    """How far the database has the journals."""
    rows = kept.rows("SELECT journal_id, position FROM openai_exchanges_journals")
    return {row["journal_id"]: row["position"] for row in rows}


def waiting(proxy: Proxy, before: Mapping[str, int]) -> Counter[str]:
    """How many frames of each kind the journals of a proxy hold behind these positions."""
    found: Counter[str] = Counter()
    for directory in journals_of(proxy):
        position = before.get(directory.journal_id, 0)
        with closing(JournalReader(directory)) as reader:
            refs = list(reader.next(MANY))
        found.update(ref.kind.name for ref in refs if ref.seq > position)
    return found


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
