"""SQLite files, and stores on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget, TableNames
from tests.harness.records import NAMES

PRAXIS = """
CREATE TABLE openai_responses (tenant_id TEXT NOT NULL, id TEXT NOT NULL,
    created_at BIGINT NOT NULL, model TEXT NOT NULL, response_object TEXT NOT NULL,
    input TEXT NOT NULL, messages TEXT NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE openai_conversations (conversation_id TEXT NOT NULL, tenant_id TEXT NOT NULL,
    created_at BIGINT NOT NULL, metadata TEXT NOT NULL, messages TEXT NOT NULL,
    PRIMARY KEY (conversation_id, tenant_id));
CREATE INDEX idx_openai_conversations_tenant_id ON openai_conversations (tenant_id);
CREATE TABLE openai_responses_schema_version (version BIGINT NOT NULL PRIMARY KEY);
INSERT INTO openai_responses_schema_version VALUES (1);
INSERT INTO openai_responses VALUES ('t1', 'old', 1, 'm', '{"status":"queued"}', '[]', '[]');
"""


def store_on(
    path: Path,
    *,
    names: TableNames = NAMES,
    durability: Durability = Durability.PROCESS,
    before_reopening: Callable[[], None] = lambda: None,
    **how: Any,
) -> SqliteStore:
    """A store that is not open yet."""
    target = SqliteTarget(path, **how)
    return SqliteStore(target, names, durability, before_reopening=before_reopening)


@contextmanager
def opened(path: Path, **how: Any) -> Iterator[SqliteStore]:
    """A store that is open for as long as the block lasts."""
    with closing(store_on(path, **how)) as store:
        store.open()
        yield store


def script(path: Path, text: str) -> None:
    """Run statements."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(statement).fetchall()
