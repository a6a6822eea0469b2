"""Write to PostgreSQL: a batch and its checkpoint in one transaction, on a pool's connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from response_store.backends.base import Checkpoint, CheckpointMovedError, Turn
from response_store.backends.postgres import schema as postgres_schema
from response_store.backends.postgres.batch import estimate_size, write_batch
from response_store.backends.postgres.connection import (
    Connection,
    PoolLimits,
    PostgresConnections,
    make_durable,
)
from response_store.backends.postgres.errors import WorthARetryError, translate_errors
from response_store.backends.postgres.resolver import Resolver, resolve_by_system
from response_store.backends.postgres.schema import (
    build_postgres_statements,
    execute_returning,
    fold_names,
)
from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import RowRefusedError, TransientStoreError
from response_store.model.body_packer import BodyPacker, MissingBaseError, PackedChanges
from response_store.model.records import Change, build_probe
from response_store.queries.statements import TurnKey

T = TypeVar("T")


class PostgresStore:
    """Keeps records in a PostgreSQL database. For one thread, but for `interrupt`.

    After a failure all connections are given up: the next opening tells at once whether the server
    is there, checks the schema again and starts with fresh ones. A connection that idled may have
    died meanwhile, and another proxy may have locked the same rows: what fails for that gets a
    second attempt at once. After an interruption nothing is written any more.
    """

    def __init__(
        self,
        target: PostgresTarget,
        tables: TableNames,
        *,
        limits: PoolLimits | None = None,
        deadline: BatchDeadline | None = None,
        resolver: Resolver = resolve_by_system,
    ) -> None:
        self._label = f"PostgreSQL {target.describe()}"
        self._tables = fold_names(tables)
        self._statements = build_postgres_statements(self._tables)
        self._watchdog = Watchdog(self._label, deadline)
        self._connections = PostgresConnections(target, self._watchdog, limits, resolver)
        self._packer = BodyPacker()
        self._is_open = False
        self._database_id = ""

    def describe(self) -> str:
        """Return where the records go."""
        return self._label

    @property
    def database_id(self) -> str:
        """Return the database's own id; known after `open`."""
        return self._database_id

    def open(self) -> None:
        """Connect and prepare the schema, unless that has been done since the last failure."""
        if self._is_open:
            return
        try:
            self._database_id = self._prepare()
            self._connections.open()
            self._is_open = True
            self._once(_ping)
        except RowRefusedError:
            self._leave()
            raise TransientStoreError(
                f"{self._label}: another program is creating the tables at this moment"
            ) from None
        except BaseException:
            self._leave()
            raise

    def position(self, journal_id: str) -> int | None:
        """Return where a journal stands; None where this database knows nothing of it."""

        def read(connection: Connection) -> int | None:
            row = connection.execute(self._statements.read_position, (journal_id,)).fetchone()
            return row[0] if row else None

        return self._run(read)

    def write(self, changes: Sequence[Change], checkpoint: Checkpoint | None = None) -> int:
        """Commit a batch, and where its journal stands now."""
        return self._packer.write(changes, lambda packed: self._write_packed(packed, checkpoint))

    def _write_packed(self, packed: PackedChanges, checkpoint: Checkpoint | None) -> int:
        def commit(connection: Connection) -> int:
            with connection.transaction():
                make_durable(connection)
                conflicts = write_batch(connection, self._statements, packed, checkpoint)
                if conflicts is None:
                    raise CheckpointMovedError(self._label)
                return conflicts

        size = estimate_size(packed.changes)
        try:
            return self._once(commit, size)
        except WorthARetryError:
            return 0 if self._is_committed(checkpoint) else self._once(commit, size)

    def find_turns(self, names: Sequence[tuple[str, str]], key: TurnKey) -> list[Turn | None]:
        """Return the exchange that each pair of a name and a tenant means."""
        statement = self._statements.find_turns[key]

        def read(connection: Connection) -> list[Turn | None]:
            with connection.transaction(), connection.pipeline():
                rows = list(execute_returning(connection.cursor(), statement, names))
            return [Turn(*row) if row else None for row in rows]

        return self._run(read)

    def sync(self) -> None:
        """Do nothing: the server's disk has what is committed."""

    def finish(self, journal_id: str) -> None:
        """Forget a journal."""
        forget = self._statements.delete_position
        self._run(lambda connection: connection.execute(forget, (journal_id,)))

    def close_abandoned(self) -> int:
        """Make open rows whose journal is not known `interrupted`; return how many there were."""
        statement = self._statements.close_abandoned
        return self._run(lambda connection: connection.execute(statement).rowcount)

    def accepts(self, change: Change) -> bool:
        """Return whether a plain change of the same kind would be taken. Nothing stays of it."""

        def attempt(connection: Connection) -> None:
            with connection.transaction(force_rollback=True):
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # which wait for the commit
                write_batch(connection, self._statements, PackedChanges([build_probe(change)]))

        try:
            self._run(attempt)
        except RowRefusedError:
            return False
        return True

    def maintain(self) -> None:
        """Do nothing: the server looks after its files."""

    def rest(self) -> None:
        """Do nothing: the server looks after its files."""

    def interrupt(self) -> None:
        """Cut the line of what is under way, and of all that would follow."""
        self._watchdog.give_up("writing was interrupted")

    def close(self) -> None:
        """Close all connections."""
        self._leave()
        self._watchdog.close()

    def _prepare(self) -> str:
        """Make, migrate or check the schema, on a connection that tells at once why there is none.

        The pool would not: it is glad to open without a server.
        """
        with (
            closing(self._connections.connect()) as connection,
            translate_errors(self._label),
            self._watchdog.watching(connection),
        ):
            return postgres_schema.prepare(connection, self._tables, self._label)

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Do what may be done twice, a second time where the connection was at fault."""
        try:
            return self._once(work)
        except WorthARetryError:
            return self._once(work)

    def _once(self, work: Callable[[Connection], T], sent: int = 0) -> T:
        """Do work on a connection, which sends so many bytes or so."""
        self.open()
        try:
            with (
                self._connections.connection() as connection,
                translate_errors(self._label),
                self._watchdog.watching(connection, sent),
            ):
                return work(connection)
        except (RowRefusedError, CheckpointMovedError, MissingBaseError):
            raise
        except BaseException:
            self._leave()
            raise

    def _is_committed(self, checkpoint: Checkpoint | None) -> bool:
        """Return whether a commit whose answer was lost went through."""
        if checkpoint is None or checkpoint.position == checkpoint.expected:
            return False
        return self.position(checkpoint.journal_id) == checkpoint.position

    def _leave(self) -> None:
        self._is_open = False
        self._connections.close()


def _ping(connection: Connection) -> None:
    connection.execute("SELECT 1")
