"""An ingester that is killed between a poll, a deletion and the late end loses track of nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from response_store.config import Config
from response_store.ingest.channel import Accepted
from response_store.journal.directory import SegmentKind
from response_store.journal.frames import FrameKind
from tests.acceptance.ingester.late_ends import EXCHANGES, RESPONSES, STEPS, Rows, check, dirty_end
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import Ingester, ProxyJournal, make_config

PRIVATE = "allow_private_database_url: true\nssl_mode: disable\n"
NAMES = list(STEPS)
BETWEEN = ("the last poll", "a deletion of what streams", "a late poll")
POINTS = [
    pytest.param(BETWEEN, id="between"),
    pytest.param(NAMES, id="all", marks=pytest.mark.soak),
]
Read = Callable[[str], list[dict[str, Any]]]


def sqlite_reader(path: Path) -> Read:
    """Return what reads rows of a SQLite file."""

    def read(statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]

    return read


def rows_of(read: Read) -> tuple[Rows, Rows]:
    """Return all rows, without what names the journal that they came from."""
    exchanges, responses = (
        [
            tuple(value for name, value in row.items() if name != "recorder_id")
            for row in read(statement)
        ]
        for statement in (EXCHANGES, RESPONSES)
    )
    check(exchanges, responses)
    return exchanges, responses


def tell(folder: Path, crashes: set[str], *, drops: bool = False) -> tuple[Rows, Rows]:
    """Have the story pass; whoever applies it is gone after some of its steps. Return the rows.

    With `drops` each segment is dropped, or what is needed of it carried, as soon as it may be.
    """
    folder.mkdir()
    bench = Bench(folder)
    for name, step in STEPS.items():
        step(bench.proxy)
        if drops:
            bench.proxy.writer.rotate()
            bench.apply()
            bench.applier.compact()
        if name in crashes:
            bench.apply()
            bench.crash()
    assert bench.end()
    bench.close()
    return rows_of(sqlite_reader(folder / "responses.db"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Rows]:
    """The rows of a story that nothing happened to."""
    return tell(tmp_path_factory.mktemp("undisturbed") / "story", set())


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("after", NAMES)
def test_a_crash_after_a_step(
    tmp_path: Path, undisturbed: tuple[Rows, Rows], after: str, *, drops: bool
) -> None:
    """Whichever it is, the rows are those of a story without one."""
    assert tell(tmp_path / "story", {after}, drops=drops) == undisturbed


@pytest.mark.parametrize("drops", [False, True])
def test_crashes_after_each_step(
    tmp_path: Path, undisturbed: tuple[Rows, Rows], *, drops: bool
) -> None:
    """Also what was rebuilt once is rebuilt again."""
    assert tell(tmp_path / "story", set(NAMES), drops=drops) == undisturbed


class Story:
    """The story with real ingesters, which `kill -9` ends after steps."""

    def __init__(self, config: Config, *, settles: bool) -> None:
        self.proxy = ProxyJournal(config)
        self.ingester: Ingester | None = None
        self._settles = settles

    def run(self, kills: Collection[str]) -> None:
        """Tell all of it; at the end the proxy is gone, and its journal empty."""
        for name, step in STEPS.items():
            ingester = self._start()
            step(self.proxy)
            if name == "a late poll":
                self._send_dirty(ingester)
            ingester.wake()
            if name in kills:
                if self._settles:
                    self._settle(ingester)
                ingester.kill()
                self.ingester = None
        ingester = self._start()
        self.proxy.close()
        ingester.leave()
        assert ingester.wait() == 0
        assert not self.proxy.directory.path.exists()

    def _start(self) -> Ingester:
        if self.ingester is None:
            self.ingester = Ingester(self.proxy)
        return self.ingester

    def _send_dirty(self, ingester: Ingester) -> None:
        """Send another late end over the socket; it is kept once that is said."""
        seq = ingester.dirty(*dirty_end(), kind=FrameKind.END)
        ingester.until(lambda each: isinstance(each, Accepted) and seq in each.seqs)

    def _settle(self, ingester: Ingester) -> None:
        """Wait until all is in the database, and, for a moment, until segments are dropped."""
        self.proxy.writer.rotate()
        ingester.flush()
        deadline = time.monotonic() + 0.3
        while self._main() > 1 and time.monotonic() < deadline:
            time.sleep(0.02)

    def _main(self) -> int:
        segments = self.proxy.directory.segments()
        return sum(segment.kind is SegmentKind.MAIN for segment in segments)


def compare(make: Callable[[str], tuple[Config, Read]], points: Collection[str]) -> None:
    """Compare the rows of stories in which ingesters are killed with those of one without."""
    found = []
    for number, (kills, settles) in enumerate((((), False), (points, False), (points, True))):
        config, read = make(f"story-{number}")
        Story(config, settles=settles).run(kills)
        found.append(rows_of(read))
    assert found[1] == found[0], "killed before all was applied"
    assert found[2] == found[0], "killed when all was applied, and segments were dropped"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("points", POINTS)
def test_sqlite(tmp_path: Path, points: Collection[str]) -> None:
    """`kill -9` after a step, at once or when it was applied: the rows are the same."""

    def make(name: str) -> tuple[Config, Read]:
        folder = tmp_path / name
        folder.mkdir()
        return make_config(folder), sqlite_reader(folder / "responses.db")

    compare(make, points)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("points", POINTS)
def test_postgres(tmp_path: Path, plain_postgres: Postgres, points: Collection[str]) -> None:
    """The same with PostgreSQL."""
    databases: list[PostgresDatabase] = []

    def make(name: str) -> tuple[Config, Read]:
        folder = tmp_path / name
        folder.mkdir()
        databases.append(plain_postgres.create_database())
        url = databases[-1].url()
        return make_config(folder, PRIVATE, url=url), databases[-1].execute

    try:
        compare(make, points)
    finally:
        for database in databases:
            database.drop()
