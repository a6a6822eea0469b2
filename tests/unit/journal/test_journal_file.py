"""The journal's file: private, of one proxy, and refused in clear words where it is none."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError
from response_store.store.journal import schema as journal_schema
from response_store.store.journal.errors import JournalFullError
from tests.harness.records import numbered
from tests.unit.journal.bench import JournalBench
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.files import opened, rows, script
from tests.unit.store.scripted import PATIENT

OWNS = """
import sys
from pathlib import Path
from tests.unit.journal.bench import JournalBench
bench = JournalBench(Path(sys.argv[1])).open()
bench.write("theirs")
print("open", flush=True)
sys.stdin.read()
bench.close()
"""


def fails(bench: JournalBench) -> str:
    """What both ends say."""
    said = set()
    for end in (bench.journal, bench.outlet):
        with pytest.raises(PermanentStoreError) as caught:
            end.open()
        said.add(str(caught.value))
    assert len(said) == 1
    return said.pop()


def test_all_files_are_private(bench: JournalBench, path: Path) -> None:
    """The journal, its WAL, its index and the lock are readable by their owner only."""
    bench.write("a")
    found = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert len(found) == 4
    assert set(found.values()) == {0o600}


def test_what_is_left_after_a_close(bench: JournalBench, path: Path) -> None:
    """The journal and its lock file stay; the lock file may be locked by the next one."""
    bench.write("a")
    bench.close()
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "journal.db", "journal.db-owner.lock",
    ]  # fmt: skip


def test_two_owners(bench: JournalBench, make_bench: MakeBench) -> None:
    """A second proxy on the same journal is told how to mend that, until the first has ended."""
    second = make_bench()
    said = fails(second)
    assert "another proxy" in said
    assert "journal.path" in said
    second.close()
    bench.write("a")
    bench.outlet.open()
    bench.journal.close()
    assert "another proxy" in fails(second), "the drainer still works on it"
    second.close()
    bench.outlet.close()
    assert second.open().journal.status.records == 1


def test_an_owner_that_was_killed(path: Path, make_bench: MakeBench) -> None:
    """The lock goes with the process, whatever its end; what it wrote is there."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OWNS, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        bench = make_bench()
        assert "another proxy" in fails(bench)
        process.kill()
        process.wait(PATIENT)
    assert bench.open().journal.status.records == 1


def test_a_link_and_its_file_are_one_journal(
    bench: JournalBench, make_bench: MakeBench, tmp_path: Path
) -> None:
    """Through a link in another folder the same owner is seen."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(bench.path)
    assert "another proxy" in fails(make_bench(path=link))


def test_a_missing_folder(make_bench: MakeBench, tmp_path: Path) -> None:
    """The folder is not made, and the error says what to look at."""
    assert "folder does not exist" in fails(make_bench(path=tmp_path / "missing" / "journal.db"))
    assert not (tmp_path / "missing").exists()


def test_a_folder_in_place_of_a_file(make_bench: MakeBench, tmp_path: Path) -> None:
    """A folder is called one."""
    (tmp_path / "folder").mkdir()
    assert "a folder" in fails(make_bench(path=tmp_path / "folder"))


def test_a_corrupt_journal(bench: JournalBench, make_bench: MakeBench, path: Path) -> None:
    """Damage is a permanent error that says what to do."""
    bench.write_records(*numbered(300))
    bench.close()
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * (path.stat().st_size - 200))
    assert "corrupt" in fails(make_bench())


def test_a_file_that_is_no_database(make_bench: MakeBench, path: Path) -> None:
    """Other content is never overwritten."""
    path.write_text("no database\n" * 1000)
    assert "no SQLite database" in fails(make_bench())
    assert path.read_text() == "no database\n" * 1000


def test_a_database_of_something_else(make_bench: MakeBench, path: Path) -> None:
    """A database that is no journal, such as the responses themselves, stays as it is."""
    with opened(path):
        pass
    before = rows(path, "SELECT name FROM sqlite_master ORDER BY name")
    assert "no journal" in fails(make_bench())
    assert rows(path, "SELECT name FROM sqlite_master ORDER BY name") == before


def test_a_journal_that_is_just_being_made(bench: JournalBench, path: Path) -> None:
    """Who looks at that moment sees it made or not: one statement reads all that tells which."""
    read: list[str] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.set_trace_callback(read.append)
        assert journal_schema.check(connection, "here") == len(journal_schema.MIGRATIONS)
    assert len([statement for statement in read if not statement.startswith("--")]) == 1


def test_a_newer_version(bench: JournalBench, make_bench: MakeBench, path: Path) -> None:
    """A journal of a newer release is refused, and says which release is needed."""
    bench.write("a")
    bench.close()
    script(path, "PRAGMA user_version = 2")
    said = fails(make_bench())
    assert "version 2, this program knows 1" in said
    assert rows(path, "SELECT count(*) FROM waiting") == [(1,)]


def test_a_deleted_journal_is_made_anew(bench: JournalBench, path: Path) -> None:
    """What is written after the file was deleted is in one that can be found, and is owned."""
    bench.write("before")
    bench.outlet.open()
    for each in path.parent.iterdir():
        each.unlink()
    bench.journal._is_same_file._at = 0.0
    bench.write("after")
    assert rows(path, "SELECT exchange_id FROM waiting") == [("after",)]
    bench.outlet.open()
    (entry,) = bench.outlet.take(10, 2**40)
    assert entry.exchange_id == "after"
    bench.outlet.remove([entry])
    assert bench.journal.status.records == 0
    assert path.with_name("journal.db-owner.lock").exists()


def test_opening_and_closing_again_is_harmless(bench: JournalBench) -> None:
    """Both may be called any number of times, at both ends."""
    for _ in range(3):
        bench.journal.open()
        bench.outlet.open()
        bench.write("a")
        bench.journal.interrupt()
        bench.journal.close()
        bench.journal.close()
        bench.outlet.close()
        bench.outlet.close()
        bench.journal.interrupt()
    assert bench.open().journal.status.records == 3
    assert bench.journal.describe() == f"journal {bench.path}"


def test_credentials_in_a_path_are_masked(tmp_path: Path) -> None:
    """No error shows what stands before an `@`."""
    bench = JournalBench(tmp_path / "user:canary@host.db", max_bytes=1400).open()
    try:
        bench.write("a", output_text="x" * 500)
        with pytest.raises(JournalFullError) as caught:
            bench.write("b", output_text="x" * 500)
        assert "canary" not in str(caught.value)
    finally:
        bench.close()
