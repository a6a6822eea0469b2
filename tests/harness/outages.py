"""Databases and disks that do not take anything for a while."""

from __future__ import annotations

import base64
import random
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def frozen(database: Path) -> Iterator[None]:
    """Hold the database's write lock, as another process that takes its time."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def no_file_beyond(size: int, process: int | None) -> Iterator[None]:
    """Let no file of a process grow beyond that many bytes, as where a disk is full."""
    assert process is not None, "the process runs"
    limit = resource.RLIMIT_FSIZE
    _, hard = resource.prlimit(process, limit)
    resource.prlimit(process, limit, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process, limit, (hard, hard))


def noise(size: int) -> str:
    """Text of a third more characters, that does not compress."""
    return base64.b64encode(random.Random(size).randbytes(size)).decode()
