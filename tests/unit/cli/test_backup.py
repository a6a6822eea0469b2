"""`response-store backup`: one file that holds everything and needs no other beside it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.cli import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored


def listed(run: Command, *options: str) -> str:
    result = run("list", *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_backup_is_whole(anywhere: Anywhere, run: Command, tmp_path: Path) -> None:
    """Of either database it is one private SQLite file that holds the same, also moved alone."""
    rows.all_kinds(anywhere)
    before, file = listed(run), tmp_path / "backup.db"
    for _ in range(2):  # the second takes the place of the first
        result = run("backup", str(file), "--json")
        assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert told["file"] == str(file)
    assert told["exchanges"] == len(before.splitlines())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*backup*")] == ["backup.db"]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    moved = tmp_path / "elsewhere" / "x.db"
    moved.parent.mkdir()
    shutil.move(file, moved)
    assert listed(run, "--database", str(moved)) == before


def test_a_backup_beside_a_writer(stored: Stored, run: Command, tmp_path: Path) -> None:
    """What only the write-ahead log holds is in it, and an open transaction is not waited for."""
    rows.whole(stored)
    with closing(sqlite3.connect(stored.path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE openai_exchanges SET host = 'only.in.the.wal'")
        writer.execute("BEGIN IMMEDIATE")
        assert run("backup", str(tmp_path / "backup.db")).exit_code == 0
    assert "only.in.the.wal" in listed(run, "--database", str(tmp_path / "backup.db"))


def test_what_is_refused(stored: Stored, run: Command, tmp_path: Path) -> None:
    """The database itself, a folder, a folder that is missing; and nothing is left behind."""
    rows.whole(stored)
    assert "is the database itself" in run("backup", str(stored.path)).stderr
    assert "is a folder" in run("backup", str(tmp_path)).stderr
    assert run("backup", str(tmp_path / "nowhere" / "x.db")).exit_code == 1
    (tmp_path / "other.db").write_text("something")
    result = run("backup", str(tmp_path / "x.db"), "--database", str(tmp_path / "other.db"))
    assert result.exit_code == 1
    assert not list(tmp_path.glob("*.part*")) + list(tmp_path.glob("x.db*"))


def test_why_tables_are_missing(stored: Stored, run: Command, tmp_path: Path) -> None:
    """A copy without its log, another program's file, one that nobody has written to."""
    rows.whole(stored)
    alone = tmp_path / "alone.db"
    with closing(sqlite3.connect(alone, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE openai_exchanges (a)")
        copied = tmp_path / "copied.db"
        shutil.copy(alone, copied)
    told = run("list", "--database", str(copied)).stderr
    assert "a copy of the file alone lacks what the -wal held" in " ".join(told.split())
    assert "response-store backup" in told
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bookmarks (a)")
    assert "another program's database" in run("stats", "--database", str(other)).stderr
    (tmp_path / "empty.db").touch()
    assert "no proxy has written" in run("list", "--database", str(tmp_path / "empty.db")).stderr
