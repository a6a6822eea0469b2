"""What keeps a database from holding our rows is told by the check, at start and to readers."""

from __future__ import annotations

import pytest
from psycopg import sql

from response_store.backends.postgres.reader import PostgresReader
from response_store.errors import PermanentStoreError
from tests.harness.postgres import PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES
from tests.unit.backends.postgres.conftest import Check, Told
from tests.unit.backends.postgres.stores import opened, store_on

CASES = [("LATIN1", False), ("EUC_JP", False), ("SQL_ASCII", True), ("UTF8", True)]


def look(database: PostgresDatabase, check: Check, role: str = "owner") -> Told:
    return check(database.url(user=role), ssl_mode="disable")


@pytest.mark.parametrize(("encoding", "fits"), CASES)
def test_encodings(
    plain_database: PostgresDatabase, check: Check, encoding: str, fits: bool
) -> None:
    """What lacks most characters is refused with the way to a database that has them."""
    name = f"{plain_database.name}_{encoding.lower()}"
    statement = sql.SQL(
        "CREATE DATABASE {} OWNER owner ENCODING {} LOCALE 'C' TEMPLATE template0"
    ).format(sql.Identifier(name), sql.Literal(encoding))
    plain_database.server._run(statement)
    other = PostgresDatabase(plain_database.server, name)
    try:
        told = look(other, check)
        assert told.fine is fits
        if fits:
            return
        assert f"the database's encoding is {encoding}" in told.problems
        assert "ENCODING 'UTF8'" in told.problems
        with pytest.raises(PermanentStoreError, match=f"encoding is {encoding}"):
            store_on(other).open()
    finally:
        other.drop()


def test_rows_that_are_hidden(plain_database: PostgresDatabase, check: Check) -> None:
    """Row level security without a policy is told to whoever would see nothing, and no one else."""
    with opened(plain_database):
        pass
    role = plain_database.server.create_role(f"app_of_{plain_database.name}")
    plain_database.execute(
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};"
        "ALTER TABLE openai_responses ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE openai_exchanges ENABLE ROW LEVEL SECURITY"
    )
    told = look(plain_database, check, role)
    for table in ("openai_responses", "openai_exchanges"):
        assert f"row level security is on for table {table}" in told.problems
    with pytest.raises(PermanentStoreError, match="no policy admits this role"):
        store_on(plain_database, user=role).open()
    with pytest.raises(PermanentStoreError, match="no policy admits this role"):
        PostgresReader(target_of(plain_database.url(user=role)), NAMES)
    assert look(plain_database, check).fine
    for table in ("openai_responses", "openai_exchanges"):
        plain_database.execute(f"CREATE POLICY all_rows ON {table} TO {role} USING (true)")
    assert look(plain_database, check, role).fine


def test_a_server_without_the_functions(plain_database: PostgresDatabase, check: Check) -> None:
    """A server that only speaks the protocol is told as that."""
    plain_database.execute(
        "SET LOCAL allow_system_table_mods = on;"
        "ALTER FUNCTION pg_advisory_xact_lock(bigint) RENAME TO away_1"
    )
    told = look(plain_database, check)
    assert "lacks the function pg_advisory_xact_lock(bigint)" in told.problems
    assert "is another database" in told.problems
    with pytest.raises(PermanentStoreError, match="lacks the function"):
        store_on(plain_database).open()
