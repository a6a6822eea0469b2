"""What a PostgreSQL database must look like, and what is made of one that does not."""

from __future__ import annotations

import threading

import msgspec
import pytest

from response_store.backends.base import Checkpoint
from response_store.backends.postgres.schema import fill
from response_store.config import TableNames
from response_store.errors import PermanentStoreError, StoreError
from response_store.queries.schema_state import MIGRATIONS
from tests.harness.postgres import PostgresDatabase
from tests.harness.records import NAMES, QUESTION, exchange, numbered, record, response
from tests.unit.backends.postgres.stores import ids, opened, store_on
from tests.unit.backends.sqlite.files import PRAXIS

COLUMNS = (
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_name = 'openai_responses' ORDER BY ordinal_position"
)
KEY = (
    "SELECT pg_get_constraintdef(oid) AS key FROM pg_constraint "
    "WHERE conrelid = 'openai_responses'::regclass AND contype = 'p'"
)
NAMED = (
    "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
)
RIGHTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO"


def refusal(database: PostgresDatabase, names: TableNames = NAMES, **how: str) -> str:
    store = store_on(database, names=names, **how)
    with pytest.raises(PermanentStoreError) as caught:
        store.open()
    store.close()
    assert database.name in str(caught.value)
    return str(caught.value)


def made_by_praxis(database: PostgresDatabase, more: str = "") -> None:
    database.execute(f"SET ROLE owner; {PRAXIS} {more}")


def test_a_fresh_database_gets_the_whole_schema(database: PostgresDatabase) -> None:
    """Tables, indexes and both versions are there, and a second opening changes nothing."""
    with opened(database):
        pass
    made = database.execute(NAMED)
    names = {row["relname"] for row in made}
    named = {key: name for key, name in NAMES.by_placeholder().items() if "trigger" not in key}
    assert set(named.values()) <= names
    with opened(database):
        pass
    assert database.execute(NAMED) == made
    for table, version in (("openai_responses", 1), ("openai_exchanges", len(MIGRATIONS))):
        stored = database.execute(f"SELECT version FROM {table}_schema_version")
        assert stored == [{"version": version}]


def test_our_shared_table_is_that_of_praxis(database: PostgresDatabase) -> None:
    """The seven columns have the types, rules and key that praxis gives them."""
    with opened(database):
        pass
    ours = database.execute(COLUMNS) + database.execute(KEY)
    other = database.server.create_database()
    made_by_praxis(other)
    theirs = other.execute(COLUMNS) + other.execute(KEY)
    other.drop()
    assert ours == theirs


def test_a_database_of_praxis_is_extended(database: PostgresDatabase) -> None:
    """A database that praxis made keeps its rows and its seven columns, and gains our table."""
    made_by_praxis(database)
    before = database.execute(COLUMNS)
    with opened(database) as store:
        store.write([record(answer=response("old", asked=[QUESTION])), record("e2")])
    assert database.execute(COLUMNS) == before
    assert ids(database) == ["e1", "e2"]
    (row,) = database.execute("SELECT response_object FROM openai_responses")
    assert "completed" in row["response_object"]


def test_more_columns_are_fine(database: PostgresDatabase) -> None:
    """Columns that another program added are left alone."""
    made_by_praxis(database, "ALTER TABLE openai_responses ADD COLUMN extra TEXT DEFAULT 'x';")
    with opened(database) as store:
        store.write([record(answer=response())])
    assert [row["extra"] for row in database.execute("SELECT extra FROM openai_responses")] == [
        "x",
        "x",
    ]


def test_all_problems_are_told_at_once(database: PostgresDatabase) -> None:
    """One error names every table, column and version; nothing was changed."""
    database.execute(
        "SET ROLE owner;"
        "CREATE TABLE openai_responses (tenant_id TEXT, id TEXT, PRIMARY KEY (tenant_id, id));"
        "CREATE TABLE openai_conversations (conversation_id TEXT);"
        "CREATE TABLE openai_exchanges (exchange_id TEXT);"
        "CREATE TABLE openai_exchanges_schema_version (version BIGINT);"
        "INSERT INTO openai_exchanges_schema_version VALUES (1);"
        "CREATE TABLE openai_responses_schema_version (version BIGINT);"
        "INSERT INTO openai_responses_schema_version VALUES (7);"
    )
    before = database.execute(NAMED)
    said = refusal(database)
    for words in (
        "openai_responses_schema_version says version 7, this program knows 1",
        "table openai_responses lacks created_at, model, response_object, input, messages",
        "table openai_conversations lacks tenant_id, created_at, metadata, messages",
        "table openai_exchanges lacks tenant_id, response_id",
    ):
        assert words in said
    assert database.execute(NAMED) == before


@pytest.mark.parametrize("table", ["openai_responses", "openai_exchanges"])
@pytest.mark.parametrize("version", ["99", "-1", "9223372036854775807"])
def test_another_version_is_refused(database: PostgresDatabase, table: str, version: str) -> None:
    """Another version is an error that says what is stored and what is known."""
    with opened(database):
        pass
    database.execute(f"UPDATE {table}_schema_version SET version = {version}")
    said = refusal(database)
    known = len(MIGRATIONS) if table == "openai_exchanges" else 1
    assert f"{table}_schema_version says version {version}, this program knows {known}" in said


def test_an_empty_version_table_is_stamped(database: PostgresDatabase) -> None:
    """A version table without a row gets the version that was checked."""
    made_by_praxis(database, "DELETE FROM openai_responses_schema_version;")
    with opened(database):
        pass
    assert database.execute("TABLE openai_responses_schema_version") == [{"version": 1}]


@pytest.mark.parametrize("columns", ["id TEXT", "version TEXT DEFAULT 'new'"])
def test_a_version_table_of_another_kind(database: PostgresDatabase, columns: str) -> None:
    """A table that only has the name of a version table is refused in words."""
    database.execute(
        f"SET ROLE owner; CREATE TABLE openai_responses_schema_version ({columns});"
        "INSERT INTO openai_responses_schema_version DEFAULT VALUES"
    )
    assert "openai_responses_schema_version" in refusal(database)


def test_a_foreign_table_of_our_name_is_refused(database: PostgresDatabase) -> None:
    """A table called like ours, of which our version table knows nothing, is not touched."""
    database.execute("SET ROLE owner; CREATE TABLE openai_exchanges (x INT)")
    assert "openai_exchanges is not ours" in refusal(database)


def test_names_are_folded(database: PostgresDatabase) -> None:
    """Mixed-case names mean what they mean without quotes: praxis's tables in lower case."""
    made_by_praxis(database)
    names = TableNames("OpenAI_Responses", "OPENAI_conversations", "Exchanges_of_Mine")
    for _ in range(2):
        with opened(database, names=names) as store:
            store.write([record(answer=response())])
    assert len(database.execute("SELECT 1 FROM openai_responses")) == 2
    assert len(database.execute("SELECT 1 FROM exchanges_of_mine")) == 1


def test_two_sets_of_tables_in_one_database(database: PostgresDatabase) -> None:
    """Stores with other table names share a database and not a row."""
    other = TableNames("a", "b", "c")
    with opened(database) as one, opened(database, names=other) as two:
        one.write([record(answer=response())])
        two.write([record("e2", response("r2"))])
    assert database.execute("SELECT exchange_id FROM c") == [{"exchange_id": "e2"}]
    assert ids(database) == ["e1"]


def test_a_role_without_create_works_where_the_tables_are(database: PostgresDatabase) -> None:
    """Nothing is made that is there, so nobody needs the right to."""
    with opened(database):
        pass
    role = database.server.create_role(f"writer_of_{database.name}")
    database.execute(f"{RIGHTS} {role}")
    with opened(database, user=role) as store:
        store.write(numbered(3), Checkpoint("j", 3, None))
        store.finish("j")
        assert store.position("j") is None
    assert len(ids(database)) == 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_database_is_migrated(database: PostgresDatabase, version: int) -> None:
    """Each earlier version keeps its rows, gains what came later, and gets an id that stays."""
    make_version(database, version)
    with opened(database) as store:
        assert store.close_abandoned() == 1
        store.write([record("e0"), record("e1", port=8080)], Checkpoint("j", 2, None))
        known = store.database_id
    with opened(database) as store:
        assert (store.database_id, store.position("j")) == (known, 2)
    assert ids(database) == ["done", "e0", "e1", "left"]
    assert database.execute("SELECT exchange_id, port FROM openai_exchanges WHERE port > 0") == [
        {"exchange_id": "e1", "port": 8080}
    ]
    assert database.execute("TABLE openai_exchanges_schema_version") == [
        {"version": len(MIGRATIONS)}
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_an_older_index_is_emptied_once(database: PostgresDatabase, version: int) -> None:
    """What an earlier version indexed is indexed anew; what this one has indexed stays."""
    make_version(database, version)
    entry = (
        "INSERT INTO openai_exchanges_search VALUES ('done', 'default', 1.0, 'completed', 1, 0);"
        "INSERT INTO openai_exchanges_search_words VALUES ('done', 0, 'word')"
    )
    counted = "SELECT count(*) AS n FROM openai_exchanges_search_words"
    database.execute(entry)
    with opened(database):
        assert database.execute(counted) == [{"n": 0}]
    database.execute(entry)
    with opened(database):
        assert database.execute(counted) == [{"n": 1}]


def test_an_older_database_and_a_role_without_create(database: PostgresDatabase) -> None:
    """The migration takes the right to create, and the error says so; nothing is changed."""
    make_version(database, 2)
    role = database.server.create_role(f"late_{database.name}")
    database.execute(f"{RIGHTS} {role}")
    assert "CREATE where they are still to be made" in refusal(database, user=role)
    assert database.execute("TABLE openai_exchanges_schema_version") == [{"version": 2}]


def test_a_foreign_table_of_journals_is_refused(database: PostgresDatabase) -> None:
    """A table with the name of our journals', of which no version tells, is not touched."""
    make_version(database, 2)
    database.execute("SET ROLE owner; CREATE TABLE openai_exchanges_journals (x INT)")
    assert "openai_exchanges_journals is not ours" in refusal(database)


def make_version(database: PostgresDatabase, version: int) -> None:
    """Make what a program of that version made, with a row that is done and one that is open."""
    files = ["responses", "conversations", "responses_version", "exchanges_version"]
    files += [f"exchanges_{number:03}" for number in range(1, version + 1)]
    made = [statement for file in files for statement in fill(f"{file}.sql", NAMES)]
    made += [
        "INSERT INTO openai_responses_schema_version VALUES (1)",
        f"INSERT INTO openai_exchanges_schema_version VALUES ({version})",
    ]
    database.execute("SET ROLE owner; " + "; ".join(made))
    for row in (exchange("done"), exchange("left", "open")):
        columns = {name: value for name, value in msgspec.structs.asdict(row).items() if value}
        values = ", ".join(f"'{value}'" for value in columns.values())
        database.execute(f"INSERT INTO openai_exchanges ({', '.join(columns)}) VALUES ({values})")


def test_a_role_without_create_is_told_what_it_lacks(database: PostgresDatabase) -> None:
    """Where tables are missing, the error names the right and not only the refusal."""
    role = database.server.create_role(f"nobody_of_{database.name}")
    assert "CREATE where they are still to be made (SQLSTATE 42501)" in refusal(database, user=role)


def test_eight_start_at_once(database: PostgresDatabase) -> None:
    """On an empty database all open, and each writes."""
    errors: list[StoreError] = []
    together = threading.Barrier(8)

    def work(at: int) -> None:
        together.wait()
        try:
            with opened(database) as store:
                store.write(numbered(5, start=at * 5))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ids(database)) == 40


@pytest.mark.parametrize(
    "taken",
    [
        "CREATE TABLE exchanges (a INT)",
        "CREATE VIEW exchanges AS SELECT 1 AS a",
        "CREATE TYPE exchanges AS ENUM ('a')",
    ],
)
def test_a_name_that_is_taken_costs_a_view(
    database: PostgresDatabase, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What has the name of a view stays, the view is left out, and that is said."""
    database.execute(taken)
    with opened(database) as store:
        store.write([record()])
    assert database.execute("SELECT count(*) FROM sessions") == [{"count": 1}]
    assert "something is called exchanges already" in caplog.text


def test_two_stores_have_views_of_their_own(database: PostgresDatabase) -> None:
    """Stores with other tables in one schema have views that are named after these."""
    for names in (NAMES, TableNames("a", "b", "C")):
        store = store_on(database, names=names)
        store.open()
        store.close()
    found = database.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert sorted(row["viewname"] for row in found) == [
        "c_sessions", "c_view", "exchanges", "sessions",
    ]  # fmt: skip


def test_a_view_hides_what_policies_hide(database: PostgresDatabase) -> None:
    """Since PostgreSQL 15 a view has the rights of who reads it, not those of its owner."""
    with opened(database) as store:
        store.write([record()])
    (row,) = database.execute("SELECT reloptions FROM pg_class WHERE relname = 'exchanges'")
    (version,) = database.execute("SELECT current_setting('server_version_num')::int AS number")
    expected = ["security_invoker=true"] if version["number"] >= 150_000 else None
    assert row["reloptions"] == expected
