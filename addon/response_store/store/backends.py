"""From a configuration to the database that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from response_store.config import Config, SqliteTarget
from response_store.store.base import Store
from response_store.store.sqlite.store import SqliteStore


def store_of(config: Config, *, before_reopening: Callable[[], None] = lambda: None) -> Store:
    """Return the database of a configuration, not yet open.

    `before_reopening` is called where another file stands in the place of a SQLite one: who else
    has it open in this process must close it.
    """
    if isinstance(config.database, SqliteTarget):
        return SqliteStore(
            config.database,
            config.tables,
            config.durability,
            before_reopening=before_reopening,
        )
    # psycopg takes a fifth of a second to import.
    from response_store.store.postgres.connections import PoolLimits  # noqa: PLC0415
    from response_store.store.postgres.store import PostgresStore  # noqa: PLC0415

    limits = PoolLimits(**dataclasses.asdict(config.pool))
    return PostgresStore(config.database, config.tables, limits=limits)
