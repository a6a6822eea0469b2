"""The PostgreSQL store: whole batches in one transaction each, on connections of a pool."""

from __future__ import annotations

from collections.abc import Sequence

from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import PassingStoreError, RowRefusedError
from response_store.store.postgres import schema as postgres_schema
from response_store.store.postgres.batch import size, write_batch
from response_store.store.postgres.connections import PoolLimits, PostgresConnections
from response_store.store.postgres.errors import WorthARetryError, translated
from response_store.store.postgres.recorder import PostgresRecorder
from response_store.store.postgres.resolving import Resolver, system_resolver
from response_store.store.postgres.statements import folded, statements
from response_store.store.postgres.watchdog import Deadline, Watchdog
from response_store.store.records import Change


class PostgresStore:
    """Keeps records in a PostgreSQL database. Used by one thread, but for `interrupt`.

    After a failure all connections are given up: the next opening tells at once whether the server
    is there, checks the schema again and starts with fresh ones.
    """

    def __init__(
        self,
        target: PostgresTarget,
        tables: TableNames,
        recorder_id: str,
        *,
        limits: PoolLimits | None = None,
        deadline: Deadline | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._where = f"PostgreSQL {target.describe()}"
        self._tables = folded(tables)
        self._statements = statements(self._tables)
        self._recorder_id = recorder_id
        self._watchdog = Watchdog(self._where, deadline)
        self._connections = PostgresConnections(target, self._watchdog, limits, resolver)
        self._recorder: PostgresRecorder | None = None

    def describe(self) -> str:
        """Where the records go."""
        return self._where

    def open(self) -> None:
        """Connect, prepare the schema, and close what killed recorders left open."""
        if self._recorder is not None and self._recorder.is_alive():
            return
        self._leave()
        try:
            self._enter()
            self._connections.open()
            self._probe()
        except RowRefusedError:
            self._leave()
            raise PassingStoreError(
                f"{self._where}: another program makes the schema at this moment"
            ) from None
        except BaseException:
            self._leave()
            raise

    def write(self, changes: Sequence[Change]) -> None:
        """Commit a batch.

        Connections that idled may have died meanwhile, and another proxy may have locked the same
        rows: such a batch gets a second attempt at once, with fresh connections.
        """
        try:
            self._commit(changes)
        except WorthARetryError:
            self.open()
            self._commit(changes)

    def after_acknowledge(self) -> None:
        """Nothing can wait: the server looks after its files."""

    def interrupt(self) -> None:
        """Cut the line of a batch that is under way, and of all that would follow."""
        self._watchdog.give_up("writing was interrupted")

    def close(self) -> None:
        """Close all connections."""
        self._leave()
        self._watchdog.close()

    def _enter(self) -> None:
        connection = self._connections.connect()
        self._recorder = PostgresRecorder(connection, self._recorder_id)
        with translated(self._where), self._watchdog.watching(connection):
            self._recorder.enter()
            postgres_schema.prepare(connection, self._tables, self._where)
            self._recorder.close_abandoned(self._statements)

    def _probe(self) -> None:
        """Ask the pool for an answer: it is glad to open without a server."""
        with (
            self._connections.lent() as connection,
            translated(self._where),
            self._watchdog.watching(connection),
        ):
            connection.execute("SELECT 1")

    def _commit(self, changes: Sequence[Change]) -> None:
        assert self._recorder is not None, "open comes before write"
        try:
            with (
                self._connections.lent() as connection,
                translated(self._where),
                self._watchdog.watching(connection, size(changes)),
            ):
                write_batch(connection, self._statements, changes)
        except RowRefusedError:
            raise
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.leave()
        self._connections.close()
