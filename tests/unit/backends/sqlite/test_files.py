"""The file: private, found or missed in clear words, and opened anew when it must be."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.sqlite import connection as sqlite_connection
from response_store.backends.sqlite.store import SqliteStore
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from tests.harness import limited
from tests.harness.records import numbered, record, response
from tests.unit.backends.sqlite.files import opened, rows, script, store_on

MODE = 0o777
COUNT = "SELECT count(*) FROM openai_exchanges"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & MODE for each in folder.iterdir()}


def test_all_files_are_private(path: Path) -> None:
    """The database, its WAL and its index are readable by their owner only."""
    before = os.umask(0)
    try:
        with opened(path) as store:
            store.write([record()])
            found = modes(path.parent)
    finally:
        os.umask(before)
    assert len(found) == 3
    assert set(found.values()) == {0o600}


def test_closing_leaves_the_database_alone(path: Path) -> None:
    """After a close there is one file: no WAL, no index."""
    with opened(path) as store:
        store.write(numbered(50))
    assert [each.name for each in path.parent.iterdir()] == ["responses.db"]
    assert rows(path, COUNT) == [(50,)]


def fails(path: Path, **how: object) -> str:
    store = store_on(path, **how)
    with pytest.raises(PermanentStoreError) as caught:
        store.open()
    store.close()
    return str(caught.value)


def test_a_missing_file_with_rw(path: Path) -> None:
    """`mode=rw` makes no file, and the error says so."""
    assert "mode=rw" in fails(path, mode="rw")
    assert not path.exists()


def test_a_missing_folder(tmp_path: Path) -> None:
    """The folder is not made, and the error says what to look at."""
    assert "folder exists" in fails(tmp_path / "missing" / "responses.db")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A folder is called one."""
    assert "a folder" in fails(tmp_path)


def test_a_file_that_is_no_database(path: Path) -> None:
    """Other content is never overwritten."""
    path.write_text("no database\n" * 1000)
    assert "no SQLite database" in fails(path)
    assert path.read_text() == "no database\n" * 1000


def test_a_corrupt_file(path: Path) -> None:
    """Damage is a permanent error that says what to do."""
    with opened(path) as store:
        store.write(numbered(300))
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))
    assert "corrupt" in fails(path)


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "a#b%41.db", "ü.db", ":memory:"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """Characters that mean something in a URI are just characters of a name."""
    with opened(tmp_path / name) as store:
        store.write([record()])
    assert [each.name for each in tmp_path.iterdir()] == [name]


OPEN = """
import sys
from pathlib import Path
from response_store.errors import StoreError
from tests.harness.records import record
from tests.unit.backends.sqlite.files import store_on
store = store_on(Path(sys.argv[1]))
try:
    store.open()
    store.write([record()])
except StoreError as error:
    print(type(error).__name__, error)
finally:
    store.close()
"""


def without_rights(path: Path) -> str:
    """What a process says that has no right to pass over permissions."""
    command = [sys.executable, limited.__file__, sys.executable, "-W", "error", "-c", OPEN, path]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert found.stderr == ""
    return found.stdout


@pytest.mark.parametrize("kind", ["plain", "WAL"])
def test_a_read_only_file(path: Path, kind: str) -> None:
    """A file that may not be written is said to be read-only, whatever its journal mode."""
    script(path, f"PRAGMA journal_mode = {'WAL' if kind == 'WAL' else 'DELETE'}; CREATE TABLE x(y)")
    path.chmod(0o400)
    said = without_rights(path)
    assert said.startswith("PermanentStoreError")
    assert "read-only" in said


def test_a_read_only_folder(path: Path) -> None:
    """A folder that takes no file: nothing can be made beside the database."""
    path.parent.chmod(0o500)
    try:
        said = without_rights(path)
    finally:
        path.parent.chmod(0o700)
    assert said.startswith("PermanentStoreError")
    assert "folder" in said


def test_a_file_beyond_its_limit(path: Path) -> None:
    """A full disk is a failure that may pass: nothing of the batch is there; with room it is."""
    with opened(path) as store:
        connection = store._connection
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 40")
        with pytest.raises(TransientStoreError, match="disk is full"):
            store.write(numbered(1000))
        assert rows(path, COUNT) == [(0,)]
        connection.execute("PRAGMA max_page_count = 100000")
        store.open()
        store.write(numbered(1000))
        assert rows(path, COUNT) == [(1000,)]


def test_a_lock_that_lasts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock held for longer than the busy timeout is a failure that may pass."""
    monkeypatch.setattr("response_store.backends.sqlite.connection.BUSY_TIMEOUT_MS", 20)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for records in (numbered(2), numbered(3)):
            with pytest.raises(TransientStoreError, match="locked"):
                store.write(records)
            store.open()
        second = store_on(path)
        with pytest.raises(TransientStoreError, match="locked"):
            second.open()
        second.close()
        other.execute("ROLLBACK")
        store.write(numbered(3))
    assert rows(path, COUNT) == [(3,)]


def attempt(store: SqliteStore, name: str = "e1") -> None:
    """Open where needed, and write."""
    store.open()
    store.write([record(name)])


def written(store: SqliteStore, name: str) -> None:
    """Write as a writer does: once more where the first attempt fails."""
    try:
        attempt(store, name)
    except StoreError:
        attempt(store, name)


def test_a_deleted_file_is_made_anew(path: Path) -> None:
    """What is written after the file was deleted is in a file that can be found."""
    with opened(path) as store:
        store.write([record("before")])
        for each in path.parent.iterdir():
            each.unlink()
        written(store, "after")
        assert rows(path, "SELECT exchange_id FROM openai_exchanges") == [("after",)]


def test_a_replaced_file_is_written_to(path: Path) -> None:
    """A file that is restored from a copy gets what comes next."""
    copy = path.with_name("copy.db")
    with opened(copy) as store:
        store.write([record("from the copy")])
    with opened(path) as store:
        store.write([record("before")])
        for end in ("-wal", "-shm"):  # a foreign WAL would overwrite the copy
            path.with_name(path.name + end).unlink()
        copy.rename(path)
        written(store, "after")
    found = rows(path, "SELECT exchange_id FROM openai_exchanges ORDER BY 1")
    assert found == [("after",), ("from the copy",)]


def test_a_dropped_table_fails_until_it_is_back(path: Path) -> None:
    """A table dropped under us is a permanent error; once it is there again, writing goes on."""
    with opened(path) as store:
        (made,) = rows(path, "SELECT sql FROM sqlite_master WHERE name = 'openai_exchanges'")
        script(path, "DROP TABLE openai_exchanges")
        for _ in range(2):
            with pytest.raises(PermanentStoreError, match="openai_exchanges"):
                attempt(store)
        script(path, made[0])
        written(store, "after")
    assert rows(path, COUNT) == [(1,)]


def test_a_shared_table_that_is_dropped_is_made_again(path: Path) -> None:
    """The next attempt makes what is missing of the shared tables."""
    with opened(path) as store:
        script(path, "DROP TABLE openai_responses")
        written(store, "after")
    assert rows(path, COUNT) == [(1,)]


def test_damage_while_open_is_noticed_and_mended(path: Path) -> None:
    """A file that is damaged under us fails; when it is replaced, writing goes on by itself."""
    with opened(path) as store:
        store.write(numbered(300))
        connection = store._connection
        assert connection is not None
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA cache_size = 1")
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
        with pytest.raises(PermanentStoreError):
            store.write(numbered(300, start=1000))
        with pytest.raises(PermanentStoreError):
            store.open()
        for each in path.parent.iterdir():
            each.unlink()
        written(store, "after")
    assert rows(path, COUNT) == [(1,)]


def test_a_link_means_its_file(tmp_path: Path) -> None:
    """Through a symbolic link, also one to nowhere yet, the file behind it is opened."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real" / "responses.db")
    with opened(link) as store:
        store.write([record()])
    assert rows(tmp_path / "real" / "responses.db", COUNT) == [(1,)]


def test_text_that_other_programs_broke_keeps_nothing_up(path: Path) -> None:
    """A stored text that is no UTF-8 does not fail the snapshot that replaces it."""
    with opened(path) as store:
        script(
            path,
            "INSERT INTO openai_responses VALUES ('t1', 'r1', 1, 'm', "
            "'{\"status\":\"queued\"}', CAST(x'5bff5d' AS TEXT), '[]')",
        )
        store.write([record(answer=response(status="in_progress"))])
    ((text,),) = rows(path, "SELECT response_object FROM openai_responses")
    assert "in_progress" in text


def test_nul_characters_come_back(path: Path) -> None:
    """SQLite keeps a NUL within a text."""
    with opened(path) as store:
        store.write([record("a\x00b", output_text="\x00")])
    assert rows(path, "SELECT exchange_id, output_text FROM openai_exchanges") == [
        ("a\x00b", "\x00")
    ]


class Switching:
    """A connection whose switch to WAL is refused a few times, as when several do it at once."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def execute(self, statement: str) -> Switching:
        if self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return self

    def fetchone(self) -> tuple[str]:
        return ("wal",)


def test_a_switch_that_is_refused_at_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite refuses the switch without waiting, we wait as long as it should have."""
    monkeypatch.setattr(sqlite_connection, "_WAL_PAUSE", 0)
    assert sqlite_connection._switch_to_wal(Switching(3)) == "wal"  # type: ignore[arg-type]
    monkeypatch.setattr(sqlite_connection, "BUSY_TIMEOUT_MS", 0)
    with pytest.raises(sqlite3.OperationalError):
        sqlite_connection._switch_to_wal(Switching(1_000_000))  # type: ignore[arg-type]
