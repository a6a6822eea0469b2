"""Stores on databases of the tests' servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from response_store.backends.postgres.connection import PoolLimits
from response_store.backends.postgres.store import PostgresStore
from response_store.backends.postgres.watchdog import BatchDeadline
from response_store.config import TableNames
from tests.harness.postgres import PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES

SHORT = BatchDeadline(seconds=1.0, max_seconds=2.0)
LIMITS = PoolLimits(acquire_timeout_secs=3)
IDS = "SELECT exchange_id FROM openai_exchanges ORDER BY 1"


def store_on(
    database: PostgresDatabase,
    *,
    names: TableNames = NAMES,
    limits: PoolLimits = LIMITS,
    deadline: BatchDeadline | None = None,
    **url: Any,
) -> PostgresStore:
    """A store that is not open yet; the rest goes into its URL."""
    target = target_of(database.url(**url))
    return PostgresStore(target, names, limits=limits, deadline=deadline)


@contextmanager
def opened(database: PostgresDatabase, **how: Any) -> Iterator[PostgresStore]:
    """A store that is open for as long as the block lasts."""
    with closing(store_on(database, **how)) as store:
        store.open()
        yield store


def ids(database: PostgresDatabase) -> list[str]:
    """The exchanges that are there."""
    return [row["exchange_id"] for row in database.execute(IDS)]


def hang_up(database: PostgresDatabase, where: str = "true") -> int:
    """Have the server end sessions of the database, and return how many."""
    statement = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = %s AND pid <> pg_backend_pid() AND {where}"
    )
    return len(database.execute(statement, database.name))
