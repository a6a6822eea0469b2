"""Problems of a PostgreSQL database that can be reached and can't hold our rows.

Looked at by the store as it opens, by readers and by a check of the configuration: an encoding
without most characters, functions that are missing, rows that are hidden from the role.
"""

from __future__ import annotations

from collections.abc import Iterator

from response_store.config import TableNames
from response_store.store.columns import quote_name
from response_store.store.postgres.values import Connection

# Without an encoding (SQL_ASCII) the bytes of UTF-8 are kept as they are.
_ENCODINGS = ("UTF8", "SQL_ASCII")
_FUNCTIONS = ("pg_advisory_xact_lock(bigint)",)
_MISSING = "SELECT to_regprocedure(%s) IS NULL"
# The policies that let this role see rows: those for everybody, and for roles that it belongs to.
_HIDDEN = """
SELECT row_security_active(to_regclass(%(table)s)::oid) AND NOT EXISTS (
    SELECT 1 FROM pg_policy
    WHERE polrelid = to_regclass(%(table)s) AND polpermissive
      AND (0 = ANY (polroles) OR EXISTS (
        SELECT 1 FROM unnest(polroles) AS admitted
        WHERE admitted <> 0 AND pg_has_role(admitted, 'USAGE'))))
WHERE to_regclass(%(table)s) IS NOT NULL"""


def find_problems(connection: Connection, tables: TableNames) -> list[str]:
    """Return what keeps a store from working there, each with its fix; the names are folded.

    Reads only. Raises the driver's errors.
    """
    return [
        *_find_encoding_problems(connection),
        *_find_missing_functions(connection),
        *find_hidden_tables(connection, tables),
    ]


def find_hidden_tables(connection: Connection, tables: TableNames) -> Iterator[str]:
    """Yield a problem for each table whose every row is hidden from this role."""
    for table in (tables.responses, tables.exchanges):
        row = connection.execute(_HIDDEN, {"table": quote_name(table)}).fetchone()
        if row is not None and row[0]:
            yield (
                f"row level security is on for table {table}, and no policy admits this role: its"
                " rows are hidden, and none can be written. Its owner can CREATE POLICY for the"
                " role, or turn it off: ALTER TABLE … DISABLE ROW LEVEL SECURITY"
            )


def _find_encoding_problems(connection: Connection) -> Iterator[str]:
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding.upper().replace("-", "") not in _ENCODINGS:
        yield (
            f"the database's encoding is {encoding}, which lacks most characters: what holds them"
            " could not be stored. Make one as a superuser: CREATE DATABASE name ENCODING 'UTF8'"
            " TEMPLATE template0"
        )


def _find_missing_functions(connection: Connection) -> Iterator[str]:
    for function in _FUNCTIONS:
        row = connection.execute(_MISSING, (function,)).fetchone()
        if row is None or row[0]:
            yield (
                f"the server lacks the function {function}: it speaks PostgreSQL's protocol and is"
                " another database. Name a PostgreSQL server"
            )
