"""What tells pages that something was written."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from response_store.backends.registry import open_file
from response_store.queries.exchanges import ReplacedError
from response_store.web.changes import ChangeFeed, DatabaseWatch
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.queries.stored_in_postgres import StoredInPostgres


def test_a_write_is_seen_once(tmp_path: Path) -> None:
    """The first look sees something, the next only what was written since."""
    stored = Stored(tmp_path / "responses.db")
    with closing(DatabaseWatch(stored.open)) as watch:
        assert [watch.look(), watch.look()] == [True, False]
        stored.exchange("e1")
        assert [watch.look(), watch.look()] == [True, False]


def test_a_write_to_postgresql_is_seen(session_stored: StoredInPostgres) -> None:
    """So it is on a server, where others may write as well."""
    session_stored.empty()
    with closing(DatabaseWatch(session_stored.open)) as watch:
        assert watch.look()
        session_stored.exchange("e1")
        assert watch.look()


def test_another_file_is_seen(tmp_path: Path) -> None:
    """Where a file gave way to another one, that is told, and the other one is looked at."""
    path = tmp_path / "responses.db"
    stored = Stored(path)
    with closing(DatabaseWatch(lambda: open_file(path, NAMES))) as watch:
        assert watch.look()
        other = Stored(tmp_path / "other.db")
        other.exchange("e1")
        stored.path.unlink()
        other.path.rename(path)
        with pytest.raises(ReplacedError):
            watch.look()
        assert watch.look()


async def test_subscribers_hear_of_it(tmp_path: Path) -> None:
    """Each page that listens is told, and none any more after the end."""
    stored = Stored(tmp_path / "responses.db")
    feed = ChangeFeed(stored.open)
    with feed.subscribe() as one, feed.subscribe() as other:
        assert await asyncio.gather(one.wait(20), other.wait(20)) == [True, True]
        stored.exchange("e1")
        assert await one.wait(20)
        await feed.close()
        assert one.is_closed
        assert not await other.wait(0) or other.is_closed
