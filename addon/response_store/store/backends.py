"""From a configuration to the storage that it names."""

from __future__ import annotations

import dataclasses

from response_store.config import Config, SqliteTarget
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.search.catching_up import open_index
from response_store.search.indexer import Indexer
from response_store.store.base import Store
from response_store.store.direct import Direct
from response_store.store.sqlite.store import SqliteStore
from response_store.store.storage import Build, OnSettled, P, Storage


def storage_of(
    config: Config,
    recorder_id: str,
    build: Build[P],
    *,
    counts: Counts,
    faults: Faults,
    on_settled: OnSettled[P],
) -> Storage[P]:
    """The storage for one run of the recorder, not yet started."""
    if isinstance(config.database, SqliteTarget):
        store = SqliteStore(config.database, config.tables, config.durability, recorder_id)
        return Direct(store, build, counts=counts, faults=faults, on_settled=on_settled)
    from response_store.store.journalled import Journalled  # noqa: PLC0415 (with PostgreSQL only)

    return Journalled(
        _postgres_store(config, recorder_id),
        config.journal,
        build,
        acknowledge=config.acknowledge,
        durability=config.durability,
        recorder_id=recorder_id,
        counts=counts,
        faults=faults,
        on_settled=on_settled,
    )


def indexer_of(
    config: Config, storage: Storage[P], *, counts: Counts, faults: Faults
) -> Indexer | None:
    """What keeps the search index up to date, not yet started; None where nobody could search."""
    target = config.database
    if isinstance(target, SqliteTarget) and target.path is None:
        return None
    return Indexer(
        lambda: open_index(target, config.tables, busy_ms=0),
        lambda: storage.writer.queue.records > 0,
        counts=counts,
        faults=faults,
    )


def _postgres_store(config: Config, recorder_id: str) -> Store:
    # psycopg takes a fifth of a second to import.
    from response_store.store.postgres.connections import PoolLimits  # noqa: PLC0415
    from response_store.store.postgres.store import PostgresStore  # noqa: PLC0415

    assert not isinstance(config.database, SqliteTarget)
    limits = PoolLimits(**dataclasses.asdict(config.pool))
    return PostgresStore(config.database, config.tables, recorder_id, limits=limits)
