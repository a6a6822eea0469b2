"""The threads that answer queries."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import pytest

from response_store.backends.registry import open_file
from response_store.errors import PermanentStoreError, StoppedError, StoreError, TransientStoreError
from response_store.web.reader_pool import ReaderPool
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.queries.exchanges import Query
    from tests.unit.queries.conftest import Anywhere


async def test_a_reader_is_opened_again_after_it_broke(tmp_path: Path) -> None:
    """What fails is raised where it was asked; a broken reader is replaced, a sound one is kept."""
    stored, opened = Stored(tmp_path / "responses.db"), []

    def open_query() -> Query:
        opened.append(threading.current_thread())
        return stored.open()

    def fail(error: StoreError) -> None:
        raise error

    pool = ReaderPool(open_query, threads=1)
    try:
        for error, count in ((StoreError("x"), 1), (PermanentStoreError("x"), 1)):
            with pytest.raises(type(error)):
                await pool.run(lambda _, error=error: fail(error))
            assert len(opened) == count
        assert await pool.run(lambda query: query.reader.dialect) == "sqlite"
        assert len(opened) == 2
        pool.reopen()
        await pool.run(lambda query: query.reader.dialect)
        assert len(opened) == 3
        assert threading.current_thread() not in opened
    finally:
        pool.close()
    with pytest.raises(TransientStoreError):
        await pool.run(lambda query: query)


async def test_nobody_waits_for_another(tmp_path: Path) -> None:
    """A query that takes long holds up neither the loop nor the next query."""
    stored, go_on = Stored(tmp_path / "responses.db"), threading.Event()
    pool = ReaderPool(stored.open, threads=2)
    try:
        slow = asyncio.ensure_future(pool.run(lambda _: go_on.wait(20)))
        assert await pool.run(lambda query: query.reader.dialect) == "sqlite"
        assert not slow.done()
        go_on.set()
        assert await slow
    finally:
        go_on.set()
        pool.close()


FOREVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(25)",
}
"""A statement that takes longer than any test waits."""


async def test_what_nobody_waits_for_is_broken_off(anywhere: Anywhere) -> None:
    """A statement ends when its task is cancelled, one that has not begun never begins, and the
    next gets a reader that is whole.
    """
    began, ran = threading.Event(), []

    def take_long(query: Query) -> None:
        began.set()
        query.reader.rows(FOREVER[query.reader.dialect])

    pool = ReaderPool(anywhere.open, threads=1)
    try:
        slow = asyncio.ensure_future(pool.run(take_long))
        assert await asyncio.to_thread(began.wait, 10)
        waiting = asyncio.ensure_future(pool.run(lambda _: ran.append(1)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        slow.cancel()
        rows = pool.run(lambda query: query.reader.rows("SELECT count(*) FROM {exchanges}"))
        assert await asyncio.wait_for(rows, 15) == [(0,)]
        assert ran == []
    finally:
        pool.close()


async def test_the_end_of_the_server_waits_for_no_query(anywhere: Anywhere) -> None:
    """What is read when the pool is closed is broken off, and says so to who waits."""
    began = threading.Event()

    def take_long(query: Query) -> None:
        began.set()
        query.reader.rows(FOREVER[query.reader.dialect])

    pool = ReaderPool(anywhere.open, threads=1)
    slow = asyncio.ensure_future(pool.run(take_long))
    assert await asyncio.to_thread(began.wait, 10)
    await asyncio.wait_for(asyncio.to_thread(pool.close), 15)
    with pytest.raises(StoppedError, match="broken off"):
        await slow


async def test_a_database_that_comes_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is not there yet is opened by a query that comes after it."""
    path = tmp_path / "responses.db"
    pool = ReaderPool(lambda: open_file(path, NAMES), threads=2)
    try:
        pool.prepare(lambda: None)
        with pytest.raises(PermanentStoreError, match="there is no database"):
            await pool.run(lambda query: query)
        Stored(path)
        assert await pool.run(lambda query: query.reader.dialect) == "sqlite"
    finally:
        pool.close()
    gc.collect()
    assert caplog.text == ""
