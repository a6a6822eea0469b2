"""Note when each exchange's row can be read in a database.

python -m benchmarks.watcher

{"do": "watch", "database": D, "every": S}   looks every S seconds from now on; D is the path of a
                                             SQLite file or the connection string of PostgreSQL
{"do": "seen"}                               answered by when each response id was there first

Times are those of the clock that all processes have.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psycopg

from benchmarks.control import answer, commands

NEWER = """
SELECT rowid, response_id FROM openai_exchanges WHERE rowid > ? AND state = 'completed'"""
SINCE = """
SELECT started_at, response_id FROM openai_exchanges
WHERE tenant_id = 'default' AND started_at >= %s AND state = 'completed'"""
HORIZON = 5.0  # seconds that a row may come later than a newer one


class Rows(Protocol):
    """The completed exchanges of a database."""

    def new(self) -> Iterator[str]:
        """Yield the response ids that came since the last call; some may come again."""


class SqliteRows:
    """Looks for rows only when another connection has committed."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=30)
        self._version = 0
        (newest,) = self._connection.execute("SELECT max(rowid) FROM openai_exchanges").fetchone()
        self._newest = newest or 0

    def new(self) -> Iterator[str]:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._version = version
        for rowid, response_id in self._connection.execute(NEWER, (self._newest,)):
            self._newest = max(self._newest, rowid)
            yield response_id


class PostgresRows:
    """Looks for rows whose requests are not much older than the newest one."""

    def __init__(self, connection: str) -> None:
        self._connection = psycopg.connect(connection, autocommit=True)
        self._newest = time.time()

    def new(self) -> Iterator[str]:
        for started_at, response_id in self._connection.execute(SINCE, (self._newest - HORIZON,)):
            self._newest = max(self._newest, started_at)
            yield response_id


async def look(rows: Rows, every: float, seen: dict[str, float]) -> None:
    """Look for rows again and again."""
    while True:
        for response_id in rows.new():
            seen.setdefault(response_id, time.perf_counter())
        await asyncio.sleep(every)


async def obey() -> None:
    """Do what standard input says."""
    seen: dict[str, float] = {}
    looking: asyncio.Task[None] | None = None
    every = 0.0
    async for command in commands():
        match command:
            case {"do": "watch", "database": database, "every": seconds}:
                every = seconds
                rows: Rows = SqliteRows(database) if database[0] == "/" else PostgresRows(database)
                looking = asyncio.create_task(look(rows, every, seen))
                answer(None)
            case {"do": "seen"} if looking is not None:
                await asyncio.sleep(2 * every)  # a last look
                if looking.done():
                    looking.result()
                answer(seen)
            case _:
                raise ValueError(f"unknown command: {command}")


if __name__ == "__main__":
    asyncio.run(obey())
