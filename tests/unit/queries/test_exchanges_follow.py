"""What a follower tells: each exchange at its end, once, whenever its row comes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from response_store.backends.postgres import follow as postgres_following
from response_store.backends.registry import build_follower
from response_store.backends.sqlite import follow as sqlite_following
from response_store.errors import StoreError
from response_store.model.selection import Selection
from response_store.queries import exchanges
from response_store.queries.exchanges import Follower, ReplacedError
from tests.unit.queries.conftest import Anywhere
from tests.unit.queries.stored import NAMES, Stored
from tests.unit.queries.stored_in_postgres import StoredInPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from response_store.queries.exchanges import Query

OURS = Selection(tenant="default")
LONG_AGO = 86_400.0 * 40


class Followed:
    """A database, a look at it, and who follows it."""

    def __init__(self, stored: Anywhere, query: Query, selection: Selection = OURS) -> None:
        self.stored = stored
        self.query = query
        self.follower: Follower = build_follower(query.reader, selection)

    def begin(self, limit: int = 10) -> list[str]:
        return [one.exchange_id for one in self.follower.begin(self.query.reader, limit)]

    def look(self, *, whole: bool = True) -> list[str]:
        """The ids that a look tells; a `whole` one goes through everything."""
        self.follower._whole_at = 0.0 if whole else time.monotonic() + 60  # type: ignore[attr-defined]
        return [one.exchange_id for one in self.follower.look(self.query.reader)]

    def add(self, *names: str, **columns: Any) -> None:
        """Write exchanges that began just now."""
        began = time.time()
        self.stored.exchanges(
            [{"exchange_id": name, "started_at": began, **columns} for name in names]
        )

    def end(self, name: str, state: str = "completed", duration_ms: float = 1.0) -> None:
        self.stored.script(
            f"UPDATE {{exchanges}} SET state = '{state}', duration_ms = {duration_ms}"
            f" WHERE exchange_id = '{name}'"
        )


@pytest.fixture
def followed(anywhere: Anywhere) -> Iterator[Followed]:
    with anywhere.open() as query:
        yield Followed(anywhere, query)


def test_the_last_come_first_and_the_oldest_of_them_first(followed: Followed) -> None:
    """So many as are asked for, of those that have ended."""
    for at in range(5):
        followed.add(f"e{at}", started_at=float(at))
    followed.add("open", state="open")
    assert followed.begin(2) == ["e3", "e4"]
    assert followed.look() == []


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_written_is_told_once(followed: Followed, whole: bool) -> None:
    """New rows are told by the next look, in the order of their ends, and never again."""
    assert followed.begin() == []
    for _ in range(2):
        assert followed.look(whole=whole) == []
    began = time.time()
    followed.add("late", started_at=began, duration_ms=900.0)
    followed.add("early", started_at=began, duration_ms=100.0)
    assert followed.look(whole=whole) == ["early", "late"]
    followed.add("next")
    assert followed.look(whole=whole) == ["next"]
    assert followed.look(whole=whole) == []
    assert followed.look() == []


@pytest.mark.parametrize("before", [True, False])
def test_an_open_exchange_is_told_at_its_end(followed: Followed, before: bool) -> None:
    """It is not told while it is open, whether it was begun before or after the following."""
    if before:
        followed.add("e1", "e2", state="open")
    assert followed.begin() == []
    if not before:
        followed.add("e1", "e2", state="open")
    assert followed.look() == []
    followed.end("e2")
    assert followed.look() == ["e2"]
    followed.end("e1", "interrupted")
    assert followed.look() == ["e1"]
    assert followed.look() == []


def test_a_row_of_long_ago_that_comes_late_is_told(followed: Followed) -> None:
    """A journal brings rows when it can: a look through everything finds them."""
    followed.begin()
    followed.add("late", started_at=time.time() - LONG_AGO)
    if isinstance(followed.stored, StoredInPostgres):
        assert followed.look(whole=False) == []
    assert followed.look() == ["late"]


def test_what_was_there_before_is_not_told(followed: Followed) -> None:
    """Only the last ones that were asked for are, and those that come."""
    followed.add(*(f"e{at}" for at in range(5)))
    assert followed.begin(0) == []
    followed.add("new")
    assert followed.look() == ["new"]


def test_a_background_response_is_told_with_each_state(followed: Followed) -> None:
    """Polls share a row: it is told when it is seen first, and whenever it has come further."""
    followed.add("poll", state="queued")
    assert followed.begin() == ["poll"]
    for state in ("in_progress", "completed"):
        followed.end("poll", state)
        assert followed.look() == ["poll"]
        assert followed.look() == []
    followed.end("poll", "incomplete")
    assert followed.look() == []


def test_only_what_is_selected_is_told(anywhere: Anywhere) -> None:
    """Filters hold for the last ones and for those that come, as they are at their end."""
    chosen = Selection(tenant="default", states=("failed",), models=("gpt-5*",))
    with anywhere.open() as query:
        followed = Followed(anywhere, query, chosen)
        followed.add("a1", state="failed", model="GPT-5.1")
        followed.add("a2", state="completed", model="gpt-5.1")
        assert followed.begin() == ["a1"]
        followed.add("b1", state="failed", requested_model="gpt-5")
        followed.add("b2", state="failed", model="o3", requested_model="o3-mini")
        followed.add("b3", state="failed", model="gpt-5", tenant_id="other")
        followed.add("b4", state="open", requested_model="gpt-5")
        assert followed.look() == ["b1"]
        followed.end("b4", "failed")
        assert followed.look() == ["b4"]


def test_a_new_connection_goes_on(anywhere: Anywhere) -> None:
    """Whoever opens the database anew misses nothing and repeats nothing."""
    with anywhere.open() as query:
        followed = Followed(anywhere, query)
        followed.add("a", "open", state="open")
        followed.end("a")
        assert followed.begin() == ["a"]
    followed.add("b")
    followed.end("open")
    with anywhere.open() as again:
        followed.query = again
        assert sorted(followed.look()) == ["b", "open"]
        followed.add("c")
        assert followed.look() == ["c"]


def test_what_is_remembered_is_bounded(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what has been told the oldest is forgotten."""
    monkeypatch.setattr(exchanges, "MAX_REPORTED", 3)
    followed.begin()
    followed.add(*(f"e{at}" for at in range(9)))
    assert len(followed.look()) == 9
    assert len(followed.follower._reported._states) == 3  # type: ignore[attr-defined]


class Counted:
    """A reading that counts its statements."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.statements: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def rows(self, statement: str, values: Any = ()) -> Any:
        self.statements.append(statement)
        return self._reader.rows(statement, values)


def test_nothing_is_looked_through_while_nothing_is_written(
    stored_in_postgres: StoredInPostgres,
) -> None:
    """A quiet server is asked for its transactions alone."""
    stored_in_postgres.exchange("e1")
    with stored_in_postgres.open() as query:
        follows = build_follower(query.reader, OURS)
        follows.begin(query.reader, 1)
        follows.look(query.reader)
        counted: Any = Counted(query.reader)
        for _ in range(3):
            follows.look(counted)
    assert set(counted.statements) == {postgres_following.SNAPSHOT}


def test_looking_through_everything_takes_a_small_part_of_the_time(
    stored_in_postgres: StoredInPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer it takes, the later it comes again."""
    clock = iter([100.0, 110.0, 110.0, 114.0, 115.0])
    with stored_in_postgres.open() as query:
        follows: Any = build_follower(query.reader, OURS)
        monkeypatch.setattr(postgres_following.time, "monotonic", lambda: next(clock))
        follows.begin(query.reader, 1)
        assert follows._whole_at == 105.0
        stored_in_postgres.exchange("e1", started_at=1.0)
        assert len(follows.look(query.reader)) == 1  # from 110 to 114
        monkeypatch.undo()
        assert follows._whole_at == 114.0 + 20 * 4.0


@pytest.fixture
def file(stored: Stored) -> Iterator[Followed]:
    """A SQLite file of which three exchanges have been told and one is open."""
    with stored.open() as query:
        followed = Followed(stored, query)
        followed.add("a", "b", "c")
        followed.add("open", state="open")
        assert sorted(followed.begin()) == ["a", "b", "c"]
        yield followed


def test_renumbered_rows_are_not_told_again(file: Followed) -> None:
    """A VACUUM gives rows other numbers."""
    file.stored.script("DELETE FROM {exchanges} WHERE exchange_id IN ('a', 'b')")
    file.stored.script("VACUUM")
    assert file.look() == []
    file.end("open")
    file.add("d")
    assert sorted(file.look()) == ["d", "open"]


@pytest.mark.parametrize("emptied", [True, False])
def test_deleted_rows_do_no_harm(file: Followed, emptied: bool) -> None:
    """Where the newest row is gone its number may come again: nothing is missed or repeated."""
    only = "" if emptied else " WHERE exchange_id = 'open'"
    file.stored.script(f"DELETE FROM {{exchanges}}{only}")
    file.add("d")
    assert file.look() == ["d"]
    file.add("e")
    assert file.look() == ["e"]


def test_another_file_in_its_place_is_noticed(file: Followed, tmp_path: Path) -> None:
    """It is to be opened anew; then what ends there is told, and what had ended before is not."""
    other = Stored(tmp_path / "other.db")
    other.exchange("old", started_at=time.time() - 60)
    file.stored.path.rename(tmp_path / "moved.db")  # type: ignore[union-attr]
    with pytest.raises(StoreError, match="no database"):
        file.look()
    shutil.copyfile(other.path, file.stored.path)  # type: ignore[union-attr]
    with pytest.raises(ReplacedError):
        file.look()
    with file.stored.open() as query:
        file.query = query
        assert file.look() == []
        file.add("new")
        assert file.look() == ["new"]


def test_another_file_in_the_place_of_an_empty_one(stored: Stored, tmp_path: Path) -> None:
    """What had ended in it before is not told either."""
    other = Stored(tmp_path / "other.db")
    other.exchange("old", started_at=time.time() - 60)
    with stored.open() as query:
        followed = Followed(stored, query)
        assert followed.begin() == []
        shutil.move(other.path, stored.path)
        with pytest.raises(ReplacedError):
            followed.look()
    with stored.open() as query:
        followed.query = query
        assert followed.look() == []


def test_a_file_is_followed_at_little_cost(stored: Stored) -> None:
    """No statement of a look goes through the table, but for the one after a renumbering."""
    stored.exchanges([{"exchange_id": f"e{at}"} for at in range(200)])
    chosen = Selection(tenant="default", states=("failed",), since=1.0, until=2.0, ended=True)
    sql, values = chosen.condition()
    statements = {
        sqlite_following.NEWEST_ROW: (),
        sqlite_following.ROW_OF: ("e",),
        sqlite_following.OPEN: ("open",),
        sqlite_following.BEHIND_ROW.format(sql): (7, *values),
        sqlite_following.NAMED.format("?, ?", sql): ("e1", "e2", *values),
    }
    with stored.open() as query, closing(sqlite3.connect(stored.path)) as connection:
        for analysed in ("", "ANALYZE"):
            connection.execute(analysed or "SELECT 1")
            for statement, given in statements.items():
                filled = query.reader._sql(statement)  # type: ignore[attr-defined]
                plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {filled}", given)]
                first = plan[0]
                assert NAMES.exchanges in first
                cheap = ("(rowid>?)", "(rowid=?)", "(exchange_id=?)", "(state=?)")
                assert statement == sqlite_following.NEWEST_ROW or all(
                    any(word in step for word in cheap) for step in plan if "openai_" in step
                ), plan
                assert not any("TEMP B-TREE" in step for step in plan), plan
