"""A check of a PostgreSQL database's schema and of the role's privileges.

All that is asked is asked in a transaction that may only read.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.errors import ReadOnlySqlTransaction

from response_store.config import TableNames
from response_store.errors import StoreError
from response_store.store.columns import quote_name
from response_store.store.connection_check import PRESENT, Findings
from response_store.store.postgres import schema as postgres_schema
from response_store.store.postgres.statements import fold_names
from response_store.store.postgres.suitability import find_problems
from response_store.store.postgres.values import Connection

_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_WRITING = ("SELECT", "INSERT", "UPDATE")
_MAY = (
    f"SELECT {', '.join(f'has_table_privilege(to_regclass(%s), {right!r})' for right in _RIGHTS)}"
)
_STATE = """
SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),
       coalesce(current_schema(), ''),
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"""


def check_privileges(
    connection: Connection, tables: TableNames, where: str, findings: Findings
) -> None:
    """Note schema and rights, and object to what a store can't do. Raises the driver's errors."""
    judging = _PrivilegeCheck(connection, fold_names(tables), where, findings)
    with connection.transaction():
        judging.run()


class _PrivilegeCheck:
    """Whether the schema is ours or can be made, and whether the role may do what a store does."""

    def __init__(
        self, connection: Connection, tables: TableNames, where: str, findings: Findings
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._where = where
        self._findings = findings

    def run(self) -> None:
        row = self._connection.execute(_STATE).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        read_only, standby, schema, may_create = row
        self._connection.execute("SET TRANSACTION READ ONLY")
        if read_only:
            self._object_to(f"the database is read-only: {_STANDBY if standby else _CLOSED}")
        missing = self._judge_rights()
        self._judge_search()
        self._findings.note("create tables", _describe_right_to_create(schema, may_create))
        problems = find_problems(self._connection, self._tables)
        for problem in problems:
            self._object_to(problem)
        if not problems:
            self._judge_schema(missing, schema, may_create)

    def _judge_rights(self) -> list[str]:
        """Note what the role may do with each table, and return the tables that aren't there."""
        names = self._tables
        missing = []
        for table, needed in (
            (names.responses, _WRITING),
            (names.conversations, _WRITING),
            (names.exchanges, _WRITING),
            (names.responses_version, ("SELECT",)),
            (names.exchanges_version, ("SELECT",)),
            (names.exchanges_journals, _RIGHTS),
        ):
            held = self._rights(table)
            if held is None:
                missing.append(table)
                continue
            self._findings.note(f"table {table}", f"may {', '.join(held) or 'nothing'}")
            if lacking := ", ".join(right for right in needed if right not in held):
                self._object_to(f"the role may not {lacking} on table {table}: grant it that")
        return missing

    def _judge_search(self) -> None:
        """Note what the role may do with the search index: all but searching works without."""
        names = self._tables
        for table in (
            names.exchanges_leases,
            names.exchanges_search,
            names.exchanges_search_words,
        ):
            held = self._rights(table)
            lacking = [] if held is None else [right for right in _RIGHTS if right not in held]
            if lacking:
                rights = ", ".join(lacking)
                self._findings.note(
                    f"table {table}", f"is not kept up: the role may not {rights} there"
                )

    def _rights(self, table: str) -> list[str] | None:
        row = self._connection.execute(_MAY, (quote_name(table),) * len(_RIGHTS)).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        if row[0] is None:
            return None
        return [right for right, held in zip(_RIGHTS, row, strict=True) if held]

    def _judge_schema(self, missing: list[str], schema: str, may_create: bool) -> None:
        """Have the store look at the schema; what it would make is refused to it here."""
        try:
            postgres_schema.prepare(self._connection, self._tables, self._where)
        except StoreError as error:
            self._findings.note("schema", "present, but not one that this program can use")
            self._findings.object_to(str(error))
        except ReadOnlySqlTransaction:
            self._judge_unfinished(missing, schema, may_create)
        else:
            self._findings.note("schema", PRESENT)

    def _judge_unfinished(self, missing: list[str], schema: str, may_create: bool) -> None:
        if not missing:
            self._findings.note("schema", "present, older: it is brought up to date at start")
            return
        whole = len(missing) == len(_list_tables(self._tables))
        state = "absent" if whole else f"incomplete: {', '.join(missing)} missing"
        if may_create:
            self._findings.note("schema", f"{state}; it is made at start, in schema {schema}")
            return
        self._findings.note("schema", f"{state}; the role may not make it")
        self._object_to(
            f"tables are missing ({', '.join(missing)}), and the role may not create them: grant "
            "it CREATE on a schema of its search_path, or make them with another role"
        )

    def _object_to(self, problem: str) -> None:
        self._findings.object_to(f"{self._where}: {problem}")


_STANDBY = "it is a standby. Name the primary"
_CLOSED = (
    "default_transaction_read_only is on, for the server, the database or the role. Turn it off"
)


def _list_tables(names: TableNames) -> Sequence[str]:
    shared = (names.responses, names.conversations, names.responses_version)
    return (*shared, names.exchanges, names.exchanges_version, names.exchanges_journals)


def _describe_right_to_create(schema: str, may_create: bool) -> str:
    if not schema:
        return "no: the role's search_path names no schema that is there"
    return f"{'yes' if may_create else 'no'}, in schema {schema}"
