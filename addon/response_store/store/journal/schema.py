"""The tables of the journal: made, checked, migrated, in one transaction."""

from __future__ import annotations

import sqlite3

from response_store.resources import schema_text
from response_store.store.journal import errors
from response_store.store.sqlite.transaction import transaction

MIGRATIONS = ("journal_001.sql",)
APPLICATION_ID = 0x52534A4C  # "RSJL", in the file's header
# One statement, so that a journal which is just being made is seen before or after that.
_HEADER = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version"""


def prepare(connection: sqlite3.Connection, where: str) -> None:
    """Bring the tables up to date. Raises PermanentStoreError, or the driver's errors."""
    if check(connection, where) == len(MIGRATIONS):
        return
    with transaction(connection):
        for number in range(check(connection, where), len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def check(connection: sqlite3.Connection, where: str) -> int:
    """The version of the journal; 0 where the file is empty."""
    application, version, tables = connection.execute(_HEADER).fetchone()
    if not (tables or application or version):
        return 0
    if application != APPLICATION_ID:
        raise errors.foreign(where)
    if version > len(MIGRATIONS):
        raise errors.newer(where, version, len(MIGRATIONS))
    return int(version)


def _statements(name: str) -> list[str]:
    lines = (line.partition("--")[0] for line in schema_text(f"journal/{name}").splitlines())
    return [part for part in "\n".join(lines).split(";") if part.strip()]
