"""Hold a SQLite database's write lock, as a program that misbehaves would.

python -m benchmarks.freezer

{"do": "hold", "path": P}   answered when the lock is held
{"do": "release"}           answered when it is not any more
"""

from __future__ import annotations

import asyncio
import sqlite3

from benchmarks.control import answer, commands


async def obey() -> None:
    """Do what standard input says."""
    connection: sqlite3.Connection | None = None
    async for command in commands():
        match command:
            case {"do": "hold", "path": path}:
                connection = sqlite3.connect(path, isolation_level=None, timeout=10)
                connection.execute("BEGIN IMMEDIATE")
            case {"do": "release"} if connection is not None:
                connection.execute("ROLLBACK")
                connection.close()
            case _:
                raise ValueError(f"unknown command: {command}")
        answer(None)


if __name__ == "__main__":
    asyncio.run(obey())
