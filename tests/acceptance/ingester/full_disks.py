"""Disks without room: that of the journal, that of the database, or both, at random moments.

The file of a database may not have more pages than it has, or a few more; a frame of the journal
is written in part, or not at all.
"""

from __future__ import annotations

import errno
import json
import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from response_store.errors import TransientStoreError
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import (
    answer_head,
    id_of,
    response_object,
    stream_end,
    stream_start,
)

_MANY_PAGES = 1 << 30
_FULL = ("disk is full", "no space left")  # what the database says, and the journal


class FullJournal:
    """Has frames fail, behind a few of their bytes, while `is_full`."""

    def __init__(self, patch: pytest.MonkeyPatch, rng: random.Random) -> None:
        self.is_full = False
        self.failed = 0
        self._rng = rng
        self._writev, self._write = os.writev, os.write
        patch.setattr("response_store.journal.segments.os.writev", self._write_some)
        patch.setattr("response_store.journal.segments.os.write", self._write_none)

    def _write_some(self, fd: int, buffers: Sequence[bytes]) -> int:
        if not self.is_full:
            return self._writev(fd, buffers)
        self.failed += 1
        data = b"".join(buffers)
        written = self._rng.randrange(len(data)) * self._rng.randrange(2)
        return self._write(fd, data[:written]) if written else self._fail()

    def _write_none(self, fd: int, data: bytes) -> int:
        return self._fail() if self.is_full else self._write(fd, data)

    @staticmethod
    def _fail() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disks:
    """A proxy and its ingester, whose disks are full now and then. `seed` decides all of it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, seed: int, text: str = "") -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.bench = Bench(folder, text, segment_bytes=16 << 10, clock=lambda: self.now)
        self.journal = FullJournal(patch, self.rng)
        self.refused = 0  # attempts that failed as the database's disk was full
        self.expected: dict[str, str] = {}
        self._pages: int | None = None  # that the database may have
        self._open: list[int] = []
        self._key = 0

    def run(self, steps: int) -> None:
        """Do many things, then make room, and end."""
        actions: list[Callable[[], None]] = [
            *[self._exchange] * 6, self._begin, self._begin, self._end, self._end,
            *[self._apply] * 4, self._compact, self._rotate, self._crash,
            self._fill_journal, self._fill_database, self._make_room, self._make_room,
        ]  # fmt: skip
        for _ in range(steps):
            self.now += 1.0
            self.rng.choice(actions)()
        self.journal.is_full, self._pages = False, None
        self._limit()
        self.bench.proxy.writer.retry()
        self.now += 60.0
        self.bench.proxy.writer.retry()

    def _exchange(self) -> None:
        self._key += 1
        size = self.rng.choice((10, 3_000, 30_000))
        noise = self.rng.randbytes(size).hex()
        body = response_object(self._key, metadata={"x": noise})
        self.bench.proxy.exchange(self._key, body=json.dumps(body).encode())
        self.expected[id_of(self._key)] = "completed"

    def _begin(self) -> None:
        self._key += 1
        self.bench.proxy.open(self._key)
        self.bench.proxy.part(self._key, stream_start(self._key), first=True)
        self._open.append(self._key)
        self.expected[id_of(self._key)] = "interrupted"

    def _end(self) -> None:
        if self._open:
            key = self._open.pop(self.rng.randrange(len(self._open)))
            answer = answer_head("sse", is_terminated=True)
            self.bench.proxy.end(key, body=stream_end(key), answer=answer, by="terminal_event")
            self.expected[id_of(key)] = "completed"

    def _apply(self) -> None:
        self.try_to(self.bench.apply)

    def _compact(self) -> None:
        self.try_to(self.bench.applier.compact)
        self.try_to(self.bench.applier.drop_cleaned)
        held = self.bench.proxy.directory.bytes_on_disk()
        self.bench.proxy.writer.released(held)

    def _rotate(self) -> None:
        self.bench.proxy.writer.rotate()

    def _crash(self) -> None:
        self.bench.crash()

    def _fill_journal(self) -> None:
        self.journal.is_full = True

    def _fill_database(self) -> None:
        self._pages = self.rng.choice((0, 1, 2, 5, 20))

    def _make_room(self) -> None:
        if self.rng.random() < 0.5:
            self.journal.is_full = False
            self.bench.proxy.writer.retry()
        else:
            self._pages = None

    def try_to(self, work: Callable[[], object]) -> None:
        """Do something that a full disk may refuse, and nothing else."""
        try:
            self._limit()
            work()
        except TransientStoreError as error:
            if not any(text in str(error) for text in _FULL):
                raise
            self.refused += 1

    def _limit(self) -> None:
        """Let the database grow by as many pages as it may, from now on."""
        self.bench.store.open()
        connection: sqlite3.Connection = self.bench.store._connection
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        most = _MANY_PAGES if self._pages is None else pages + self._pages
        connection.execute(f"PRAGMA max_page_count = {most}").fetchone()
