"""What a SQLite file must look like, and what is made of one that does not."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.base import Checkpoint
from response_store.backends.sqlite.schema import fill
from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.model.tables import EXCHANGE_COLUMNS
from response_store.queries.schema_state import MIGRATIONS
from tests.harness.records import NAMES, QUESTION, exchange, record, response
from tests.unit.backends.sqlite.files import PRAXIS, opened, rows, script, store_on

COLUMNS = "SELECT name, type, \"notnull\", pk FROM pragma_table_info('openai_responses')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def refusal(path: Path, names: TableNames | None = None) -> str:
    store = store_on(path, names=names) if names else store_on(path)
    with pytest.raises(PermanentStoreError) as caught:
        store.open()
    store.close()
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_fresh_file_gets_the_whole_schema(path: Path) -> None:
    """Tables, indexes and both versions are there, and a second opening changes nothing."""
    with opened(path):
        pass
    made = rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name")
    names = {name for name, _ in made}
    assert {"openai_responses", "openai_conversations", "openai_exchanges"} <= names
    assert len([name for name in names if name.startswith("idx_openai_exchanges_")]) == 11
    with opened(path):
        pass
    assert rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name") == made
    for table, version in (("openai_responses", 1), ("openai_exchanges", len(MIGRATIONS))):
        assert rows(path, f"SELECT version FROM {table}_schema_version") == [(version,)]


def test_our_shared_table_is_that_of_praxis(tmp_path: Path) -> None:
    """The seven columns have the types, rules and key that praxis gives them."""
    script(tmp_path / "theirs.db", PRAXIS)
    with opened(tmp_path / "ours.db"):
        pass
    assert rows(tmp_path / "ours.db", COLUMNS) == rows(tmp_path / "theirs.db", COLUMNS)


def test_a_file_of_praxis_is_extended(path: Path) -> None:
    """A database that praxis made keeps its rows and its seven columns, and gains our table."""
    script(path, PRAXIS)
    before = rows(path, COLUMNS)
    with opened(path) as store:
        store.write([record(answer=response("old", asked=[QUESTION])), record("e2")])
    assert rows(path, COLUMNS) == before
    assert rows(path, "SELECT count(*) FROM openai_exchanges") == [(2,)]
    assert "completed" in rows(path, "SELECT response_object FROM openai_responses")[0][0]


def test_more_columns_are_fine(path: Path) -> None:
    """Columns that another program added are left alone."""
    script(path, PRAXIS + "ALTER TABLE openai_responses ADD COLUMN extra TEXT DEFAULT 'x';")
    with opened(path) as store:
        store.write([record(answer=response())])
    assert rows(path, "SELECT extra FROM openai_responses") == [("x",), ("x",)]


def test_all_missing_columns_are_told_at_once(path: Path) -> None:
    """One error names every table and column; nothing was changed."""
    script(
        path,
        "CREATE TABLE openai_responses (tenant_id TEXT, id TEXT, PRIMARY KEY (tenant_id, id));"
        "CREATE TABLE openai_conversations (conversation_id TEXT);"
        "CREATE TABLE openai_exchanges (exchange_id TEXT);"
        "CREATE TABLE openai_exchanges_schema_version (version BIGINT);"
        "INSERT INTO openai_exchanges_schema_version VALUES (1);",
    )
    before = rows(path, "SELECT sql FROM sqlite_master")
    said = refusal(path)
    for words in (
        "table openai_responses lacks created_at, model, response_object, input, messages",
        "table openai_conversations lacks tenant_id, created_at, metadata, messages",
        "table openai_exchanges lacks tenant_id, response_id",
    ):
        assert words in said
    assert rows(path, "SELECT sql FROM sqlite_master") == before


@pytest.mark.parametrize("table", ["openai_responses", "openai_exchanges"])
@pytest.mark.parametrize("version", ["99", "999", "0.5", "-1", "'new'", "9223372036854775807"])
def test_another_version_is_refused(path: Path, table: str, version: str) -> None:
    """Another version is an error that says what is stored and what is known."""
    with opened(path):
        pass
    script(path, f"UPDATE {table}_schema_version SET version = {version}")
    said = refusal(path)
    assert f"{table}_schema_version says version {version.strip(chr(39))}" in said
    assert f"this program knows {len(MIGRATIONS) if table == 'openai_exchanges' else 1}" in said


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_file_is_migrated(path: Path, version: int) -> None:
    """Each earlier version keeps its rows, gains what came later, and gets an id that stays."""
    make_version(path, version)
    with opened(path) as store:
        assert store.close_abandoned() == 1
        store.write([record("e1", port=8080)], Checkpoint("j", 1, None))
        known = store.database_id
    with opened(path) as store:
        assert (store.database_id, store.position("j")) == (known, 1)
    assert rows(path, "SELECT exchange_id, state, port FROM openai_exchanges ORDER BY 1") == [
        ("done", "completed", None),
        ("e1", "completed", 8080),
        ("left", "interrupted", None),
    ]
    assert rows(path, "SELECT version FROM openai_exchanges_schema_version") == [(len(MIGRATIONS),)]


@pytest.mark.parametrize("version", [2, 3])
def test_an_older_index_is_emptied_once(path: Path, version: int) -> None:
    """What an earlier version indexed is indexed anew; what this one has indexed stays."""
    make_version(path, version)
    entry = """
        INSERT INTO openai_exchanges_search VALUES (7, 'done', 'default', 1.0, 'completed', 1, 0);
        INSERT INTO openai_exchanges_search_words (rowid, words) VALUES (7 * 65536, 'word')"""
    counted = (
        "SELECT (SELECT count(*) FROM openai_exchanges_search),"
        " (SELECT count(*) FROM openai_exchanges_search_words)"
    )
    script(path, entry)
    with opened(path):
        assert rows(path, counted) == [(0, 0)]
    script(path, entry)
    with opened(path):
        assert rows(path, counted) == [(1, 1)]


def test_a_foreign_table_of_journals_is_refused(path: Path) -> None:
    """A table with the name of our journals', of which no version tells, is not touched."""
    make_version(path, 2)
    script(path, "CREATE TABLE openai_exchanges_journals (x)")
    assert "openai_exchanges_journals is not ours" in refusal(path)


def make_version(path: Path, version: int) -> None:
    """Make what a program of that version made, with a row that is done and one that is open."""
    files = ["shared_tables", *(f"exchanges_{number:03}" for number in range(1, version + 1))]
    files += ["search_words"] if version > 1 else []
    made = [statement for file in files for statement in fill(f"{file}.sql", NAMES)]
    made += [
        "CREATE TABLE openai_exchanges_schema_version (version BIGINT NOT NULL PRIMARY KEY)",
        "INSERT INTO openai_responses_schema_version VALUES (1)",
        f"INSERT INTO openai_exchanges_schema_version VALUES ({version})",
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in made:
            connection.execute(statement)
        described = connection.execute("SELECT * FROM openai_exchanges").description
        columns = [name for name, *_ in described if name in EXCHANGE_COLUMNS]
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO openai_exchanges ({', '.join(columns)}) VALUES ({marks})"
        for row in (exchange("done"), exchange("left", "open")):
            connection.execute(insert, [getattr(row, name) for name in columns])


def test_every_database_has_an_id_of_its_own(path: Path, tmp_path: Path) -> None:
    """Two files have two ids; a copy of a file has that of the file."""
    with opened(path) as one, opened(tmp_path / "other.db") as other:
        assert one.database_id != other.database_id
    shutil.copy(path, tmp_path / "copy.db")
    with opened(tmp_path / "copy.db") as copy:
        assert copy.database_id == one.database_id


def test_an_empty_version_table_is_stamped(path: Path) -> None:
    """A version table without a row gets the version that was checked."""
    script(path, PRAXIS + "DELETE FROM openai_responses_schema_version;")
    with opened(path):
        pass
    assert rows(path, "SELECT version FROM openai_responses_schema_version") == [(1,)]


@pytest.mark.parametrize("columns", ["id TEXT", "number BIGINT"])
def test_a_version_table_of_another_kind(path: Path, columns: str) -> None:
    """A table that only has the name of a version table is refused in words."""
    script(path, f"CREATE TABLE openai_responses_schema_version ({columns})")
    assert "openai_responses_schema_version" in refusal(path)


def test_a_foreign_table_of_our_name_is_refused(path: Path) -> None:
    """A table called like ours, of which our version table knows nothing, is not touched."""
    script(path, "CREATE TABLE openai_exchanges (x)")
    assert "openai_exchanges is not ours" in refusal(path)


def test_a_dropped_table_is_missed(path: Path) -> None:
    """Where the version says that our table is there, its absence is an error."""
    with opened(path):
        pass
    script(path, "DROP TABLE openai_exchanges")
    assert "openai_exchanges is missing" in refusal(path)


def test_a_dropped_table_of_journals_is_missed(path: Path) -> None:
    """Without it nobody knows what has been applied: its absence is an error."""
    with opened(path):
        pass
    script(path, "DROP TABLE openai_exchanges_journals")
    assert "openai_exchanges_journals is missing" in refusal(path)


def test_letter_case_makes_no_difference(path: Path) -> None:
    """SQLite's names know no case: mixed-case names find tables and columns of other cases."""
    script(path, PRAXIS.replace("messages TEXT", "MESSAGES TEXT"))
    names = TableNames("OpenAI_Responses", "OPENAI_conversations", "Exchanges_of_Mine")
    for _ in range(2):
        with opened(path, names=names) as store:
            store.write([record(answer=response())])
    assert rows(path, "SELECT count(*) FROM openai_responses") == [(2,)]
    assert rows(path, "SELECT count(*) FROM exchanges_of_mine") == [(1,)]


def test_two_sets_of_tables_in_one_file(path: Path) -> None:
    """Stores with other table names share a file and not a row."""
    other = TableNames("a", "b", "c")
    with opened(path) as one, opened(path, names=other) as two:
        one.write([record(answer=response())])
        two.write([record("e2", response("r2"))])
    assert rows(path, "SELECT exchange_id FROM c") == [("e2",)]
    assert rows(path, "SELECT exchange_id FROM openai_exchanges") == [("e1",)]


@pytest.mark.parametrize(
    "taken",
    [
        "CREATE TABLE Exchanges (a)",
        "CREATE VIEW exchanges AS SELECT 1 AS a",
        "CREATE TABLE a (b); CREATE INDEX exchanges ON a (b)",
    ],
)
def test_a_name_that_is_taken_costs_a_view(
    path: Path, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What has the name of a view stays, the view is left out, and that is said."""
    script(path, taken)
    before = rows(path, "SELECT sql FROM sqlite_master")
    with opened(path) as store:
        store.write([record()])
    assert set(before) <= set(rows(path, "SELECT sql FROM sqlite_master"))
    assert rows(path, "SELECT count(*) FROM sessions") == [(1,)]
    assert "something is called exchanges already" in caplog.text
    with opened(path):
        pass


def test_a_store_may_have_the_names_of_views(path: Path) -> None:
    """Where a table of the store itself has such a name, the table counts."""
    names = TableNames("exchanges", "sessions", "openai_exchanges")
    for _ in range(2):
        store = store_on(path, names=names)
        store.open()
        store.write([record(answer=response())])
        store.close()
    assert rows(path, "SELECT count(*) FROM exchanges") == [(1,)]
    assert rows(path, "SELECT count(*) FROM sqlite_master WHERE type = 'view'") == [(0,)]
