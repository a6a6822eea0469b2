"""What can be wrong with a database, and what is said about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from response_store.backends.registry import open_file
from response_store.backends.sqlite.reader import SqliteReader
from response_store.config.table_names import TableNames
from response_store.errors import PermanentStoreError, TransientStoreError
from response_store.queries.schema_state import MIGRATIONS
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path) -> str:
    with pytest.raises(PermanentStoreError) as caught:
        open_file(path, NAMES)
    assert str(path) in str(caught.value), "the error says which file"
    return str(caught.value)


def test_a_missing_file_is_an_error_and_stays_missing(tmp_path: Path) -> None:
    """Looking at a database that is not there makes no file."""
    assert "--database" in refusal(tmp_path / "responses.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    """A folder is told apart from a missing file."""
    assert "no file" in refusal(tmp_path)


def test_an_impossible_path_is_an_error(tmp_path: Path) -> None:
    """What the system says of a path is told in our words around."""
    said = refusal(tmp_path / ("x" * 300)).lower()
    # From Python 3.14 on such a name is one under which there is nothing.
    assert "too long" in said or "name the file with --database" in said


def test_an_empty_file_has_no_tables(tmp_path: Path) -> None:
    """A file of zero bytes is an empty database: the missing tables are named, nothing changes."""
    path = tmp_path / "responses.db"
    path.touch()
    said = refusal(path)
    assert "openai_exchanges" in said
    assert "--config" in said
    assert path.stat().st_size == 0


def test_one_missing_table_is_named_alone(stored: Stored) -> None:
    """Only what is missing is named."""
    stored.script("DROP TABLE {exchanges}")
    assert "tables are missing: openai_exchanges." in refusal(stored.path)


def test_a_text_file_is_no_database(tmp_path: Path) -> None:
    """A file that is no database is said to be none."""
    path = tmp_path / "responses.db"
    path.write_text("no database\n" * 1000)
    assert "no SQLite database" in refusal(path)


def test_a_damaged_database_is_an_error(stored: Stored) -> None:
    """Damage that shows only while rows are read is an error with a way out, not a traceback."""
    stored.exchanges([{"exchange_id": f"e{at}", "output_text": "x" * 500} for at in range(200)])
    stored.script("PRAGMA wal_checkpoint(TRUNCATE)")
    size = stored.path.stat().st_size
    with stored.path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size - size // 2))
    with open_file(stored.path, NAMES) as reader, pytest.raises(PermanentStoreError) as caught:
        reader.recent("default", limit=200)
    assert ".recover" in str(caught.value)


@pytest.mark.parametrize("table", ["exchanges_version", "responses_version"])
def test_a_newer_version_is_refused(stored: Stored, table: str) -> None:
    """A database of a newer program is not read; both versions are named."""
    stored.script(f"INSERT INTO {{{table}}} VALUES (99)")
    said = refusal(stored.path)
    assert "version 99" in said
    assert f"version {len(MIGRATIONS) if table == 'exchanges_version' else 1}" in said
    assert "upgrade" in said


@pytest.mark.parametrize("change", ["DELETE FROM {0}", "UPDATE {0} SET version = 0"])
def test_an_older_or_unknown_version_is_refused(stored: Stored, change: str) -> None:
    """A database that was never finished, or is older, asks for a proxy to bring it up to date."""
    stored.script(change.replace("{0}", "{exchanges_version}"))
    assert "Start a proxy" in refusal(stored.path)


def test_a_locked_database_is_worth_another_try(stored: Stored) -> None:
    """A lock may pass, so it is told apart from what somebody must fix."""
    with closing(sqlite3.connect(stored.path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientStoreError, match="locked"):
            SqliteReader(stored.path, NAMES, busy_seconds=0.01)


def test_a_table_of_other_columns_is_an_error(stored: Stored) -> None:
    """A table that only has the name of ours is an error that points at the configuration."""
    stored.script("DROP TABLE {exchanges}; CREATE TABLE {exchanges} (x)")
    with open_file(stored.path, NAMES) as reader, pytest.raises(PermanentStoreError) as caught:
        reader.recent("default", limit=1)
    assert "exchange_id" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["a b.db", "a?mode=rwc.db", "a#b.db", "a%2e.db", "%00.db", "ü\u202e.db", "100%", ":memory:"],
)
def test_any_name_of_a_file_works(tmp_path: Path, name: str) -> None:
    """Characters that mean something in a URI are just characters of a name."""
    stored = Stored(tmp_path / name)
    stored.exchange("e1")
    with open_file(stored.path, NAMES) as reader:
        assert len(reader.recent("default", limit=5).exchanges) == 1
    assert all(file.name.startswith(name) for file in tmp_path.iterdir())


def test_tables_of_other_names_are_found(tmp_path: Path) -> None:
    """The names are those of the configuration; letter case makes no difference."""
    stored = Stored(tmp_path / "x.db", TableNames("Answers", "talks", "calls"))
    stored.exchange("e1")
    with open_file(stored.path, TableNames("answers", "talks", "CALLS")) as reader:
        assert reader.exchange("default", "e1") is not None


def test_the_label_stands_for_the_path(tmp_path: Path) -> None:
    """An error calls the database as its opener says, so that a masked path stays masked."""
    with pytest.raises(PermanentStoreError) as caught:
        open_file(tmp_path / "user:secret@x.db", NAMES, shown_as="***@x.db")
    assert "secret" not in str(caught.value)


def test_closing_twice_is_fine(stored: Stored) -> None:
    """A second close does nothing."""
    reader = open_file(stored.path, NAMES)
    reader.close()
    reader.close()
