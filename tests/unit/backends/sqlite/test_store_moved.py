"""Files that go away under an open store: noticed before the next batch, and nothing is mixed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from response_store.backends.base import Checkpoint, CheckpointMovedError
from response_store.backends.sqlite import store as sqlite_store
from response_store.backends.sqlite.store import SqliteStore
from response_store.errors import TransientStoreError
from response_store.model.precedence import Key, ResponseChanges, group_by_response
from response_store.model.records import Change
from tests.harness.records import record
from tests.unit.backends.sqlite.files import opened, rows, store_on

IDS = "SELECT exchange_id FROM openai_exchanges ORDER BY 1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def put(store: SqliteStore, at: int) -> None:
    """Write exchange number `at`, as the batch of that number of journal `j`."""
    store.write([record(f"e{at}")], Checkpoint("j", at, at - 1 or None))


def ids(path: Path) -> list[str]:
    return [name for (name,) in rows(path, IDS)]


def is_sound(path: Path) -> bool:
    return rows(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("ends", [["-wal"], ["-shm"], ["-wal", "-shm"]])
@pytest.mark.parametrize("rested", [False, True])
def test_a_log_that_was_removed(path: Path, ends: list[str], rested: bool) -> None:
    """What only the removed log had is saved, and what comes next is in files that can be found."""
    with opened(path) as store:
        put(store, 1)
        put(store, 2)
        if rested:
            store.rest()
        for end in ends:
            beside(path, end).unlink()
        assert store.position("j") == 2
        put(store, 3)
        assert ids(path) == ["e1", "e2", "e3"]
        assert is_sound(path)
    assert ids(path) == ["e1", "e2", "e3"]


OTHER = """
import sys
from pathlib import Path
from tests.harness.records import record
from tests.unit.backends.sqlite.files import opened
with opened(Path(sys.argv[1])) as store:
    for line in sys.stdin:
        store.write([record(line.strip())])
        print("written", flush=True)
"""


@contextmanager
def other_store(path: Path) -> Iterator[Callable[[str], None]]:
    """A store in another process, which writes an exchange of each id that it is given."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OTHER, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def write(exchange_id: str) -> None:
            process.stdin.write(f"{exchange_id}\n")
            assert process.stdout.readline() == "written\n"

        yield write
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("ends", [["-wal"], ["-shm"], ["-wal", "-shm"]])
@pytest.mark.parametrize("first", ["one", "other"])
def test_a_log_that_was_removed_beside_another_store(
    path: Path, ends: list[str], first: str
) -> None:
    """Two proxies on one file both notice, whoever writes first, and lose nothing."""
    with opened(path) as store, other_store(path) as write:
        put(store, 1)
        write("f1")
        put(store, 2)
        for end in ends:
            beside(path, end).unlink()
        if first == "other":
            write("f2")
        put(store, 3)
        write("f3")
        put(store, 4)
    expected = ["e1", "e2", "e3", "e4", "f1", "f2", "f3"]
    assert ids(path) == [name for name in expected if first == "other" or name != "f2"]
    assert is_sound(path)


def test_a_log_that_was_cut(path: Path) -> None:
    """What a cut log had lost is missed, and `position` says so; the file stays sound."""
    with opened(path) as store:
        put(store, 1)
        store.rest()
        put(store, 2)
        os.truncate(beside(path, "-wal"), 0)
        assert store.position("j") == 1
        put(store, 2)
    assert ids(path) == ["e1", "e2"]
    assert is_sound(path)


CUT = """
import os, sys
from pathlib import Path
from response_store.backends.base import Checkpoint
from tests.harness.records import numbered
from tests.unit.backends.sqlite.files import opened
path, size = Path(sys.argv[1]), int(sys.argv[2])
with opened(path) as store:
    for at in range(3):
        store.write(numbered(200, start=200 * at), Checkpoint("j", at, at - 1 if at else None))
        os.truncate(f"{path}-shm", size)
    assert store.position("j") == 2
    os.truncate(f"{path}-shm", size)
    store.rest()
"""


@pytest.mark.parametrize("size", [0, 100, 4096])
def test_an_index_that_was_cut(path: Path, size: int) -> None:
    """A -shm that is cut, which ends a process that touches it, ends nothing and loses nothing."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", CUT, path, str(size)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    assert len(ids(path)) == 600
    assert is_sound(path)


@pytest.mark.parametrize("rested", [False, True])
def test_a_file_that_was_moved_away(path: Path, rested: bool) -> None:
    """The file that was moved is whole where it is now; a new one begins at the old place."""
    with opened(path) as store:
        put(store, 1)
        put(store, 2)
        if rested:
            store.rest()
        known = store.database_id
        path.rename(path.with_name("archive.db"))
        assert store.position("j") is None
        assert store.database_id != known
        put(store, 1)
        assert ids(path.with_name("archive.db")) == ["e1", "e2"]
    assert ids(path) == ["e1"]
    assert is_sound(path.with_name("archive.db"))
    assert is_sound(path)


def older(path: Path, store: SqliteStore) -> Path:
    """A copy of the file as it was after the first batch; two more have come since."""
    put(store, 1)
    store.rest()
    copy = shutil.copy(path, path.with_name("older.db"))
    put(store, 2)
    put(store, 3)
    return Path(copy)


def rename(copy: Path, path: Path) -> None:
    copy.replace(path)


def overwrite(copy: Path, path: Path) -> None:
    shutil.copyfile(copy, path)


@pytest.mark.parametrize(("place", "rested"), [(rename, False), (rename, True), (overwrite, True)])
def test_an_older_backup_that_was_put_in_place(
    path: Path, place: Callable[[Path, Path], None], rested: bool
) -> None:
    """The backup is taken as it is, whatever the log beside it held, and its journal's place."""
    with opened(path) as store:
        copy = older(path, store)
        if rested:
            store.rest()
        place(copy, path)
        with pytest.raises(CheckpointMovedError):
            put(store, 4)
        assert store.position("j") == 1
        put(store, 2)
    assert ids(path) == ["e1", "e2"]
    assert is_sound(path)


def test_a_backup_put_in_place_while_somebody_reads(path: Path) -> None:
    """A log that somebody reads from, so that it stays, is not taken for the backup's."""
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        copy = older(path, store)
        reader.execute("BEGIN")
        assert reader.execute(IDS).fetchall() == [("e1",), ("e2",), ("e3",)]
        put(store, 4)
        copy.replace(path)
        assert store.position("j") == 1
        put(store, 2)
        assert len(reader.execute(IDS).fetchall()) == 3
    assert ids(path) == ["e1", "e2"]
    assert is_sound(path)


def test_a_link_that_leads_elsewhere_now(tmp_path: Path) -> None:
    """What comes next is where the link leads; the file behind it before keeps what it has."""
    before, after, link = (tmp_path / name for name in ("before.db", "after.db", "link.db"))
    link.symlink_to(before)
    with opened(link) as store, opened(before) as other:
        put(store, 1)
        link.unlink()
        link.symlink_to(after)
        put(store, 1)
        other.write([record("e9")])
    assert (ids(before), ids(after)) == (["e1", "e9"], ["e1"])


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_file_that_goes_while_a_batch_is_written(
    path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is not called done; `position` says whether it is there."""

    def remove_and_group(changes: Sequence[Change]) -> dict[Key, ResponseChanges]:
        beside(path, end).unlink(missing_ok=True)
        return group_by_response(changes)

    with opened(path) as store:
        put(store, 1)
        # Which is called once the store has looked at its files.
        monkeypatch.setattr(sqlite_store, "group_by_response", remove_and_group)
        with pytest.raises(TransientStoreError, match="was moved or removed"):
            store.write([record("e2")], Checkpoint("j", 2, 1))
        assert store.position("j") == (2 if end else None)
    assert ids(path) == (["e1", "e2"] if end else [])


def test_others_in_the_process_are_called_on_to_close(path: Path) -> None:
    """Who has the file open in this process is asked to close it before it is opened anew."""
    reader = sqlite3.connect(path)
    asked: list[bool] = []

    def close() -> None:
        asked.append(True)
        reader.close()

    with closing(store_on(path, before_reopening=close)) as store:
        put(store, 1)
        reader.execute(IDS).fetchall()
        assert asked == []
        for end in ("-wal", "-shm"):
            beside(path, end).unlink()
        put(store, 2)
        assert asked == [True]
        assert ids(path) == ["e1", "e2"]
        put(store, 3)
        store.rest()
        assert asked == [True]


def test_a_checkpoint_of_another_program_is_no_move(path: Path) -> None:
    """Others may write the log back, and cut it: nobody is asked to close anything."""
    asked: list[bool] = []
    with (
        closing(store_on(path, before_reopening=lambda: asked.append(True))) as store,
        closing(sqlite3.connect(path)) as other,
    ):
        put(store, 1)
        for at in (2, 3, 4):
            put(store, at)
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        put(store, 5)
        assert asked == []
        assert store.position("j") == 5
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        put(store, 6)
    assert len(ids(path)) == 6
