"""Chores: taking over, indexing, pruning, when nothing else is to be done."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoppedError
from response_store.ingest.chores import ACTIVE_SECONDS, Chores
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.conftest import MakeBench
from tests.unit.ingest.proxy_side import ProxyJournal, id_of


class Setting:
    """The chores of a bench, with a clock that the test sets."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.now = time.monotonic()
        self.yields = 0
        self.counters = Counters()
        bench.store.open()
        self.chores = Chores(
            bench.config, bench.proxy.directory, bench.store,
            yield_if_due=self._note, counters=self.counters, errors=ErrorReporter(self.counters),
            clock=lambda: self.now,
        )  # fmt: skip

    def work(self, times: int = 1000) -> None:
        """Do what is due."""
        for _ in range(times):
            if not self.chores.do_some():
                return

    def indexed(self) -> int:
        return self.bench.rows("SELECT count(*) FROM openai_exchanges_search")[0][0]

    def _note(self) -> None:
        self.yields += 1


@pytest.fixture
def setting(bench: Bench) -> Iterator[Setting]:
    """Chores of which none was done."""
    setting = Setting(bench)
    yield setting
    setting.chores.stop()


def test_orphans_come_first(setting: Setting) -> None:
    """Journals that nobody has are applied before anything is indexed."""
    orphan = ProxyJournal(setting.bench.config)
    orphan.exchange(1)
    orphan.close()
    assert setting.chores.is_urgent
    setting.work()
    assert not setting.chores.is_urgent
    assert setting.bench.states() == {id_of(1): "completed"}
    assert setting.indexed() == 1


def test_what_was_written_is_indexed(setting: Setting) -> None:
    """Exchanges that have ended are indexed, and nothing is due after that for a while."""
    setting.work()
    for key in range(1, 30):
        setting.bench.proxy.exchange(key)
    setting.bench.proxy.open(30)
    setting.bench.apply()
    setting.chores.note_written(setting.bench.written)
    setting.work()
    assert setting.indexed() == 29
    assert setting.yields > 0
    due = setting.chores.due_at()
    assert due is not None
    assert due > setting.now + 10


def test_one_of_two_does_the_chores(setting: Setting) -> None:
    """Of two ingesters on one database one indexes; the other does it once that has ended."""
    setting.work()
    setting.bench.proxy.exchange(1)
    setting.bench.apply()
    other = Setting(setting.bench)
    other.chores.note_written(setting.bench.written)
    other.work()
    assert other.chores.due_at() == pytest.approx(other.now + 30, abs=1)
    setting.chores.stop()
    other.now += 31
    other.work()
    assert setting.indexed() == 1
    other.chores.stop()


def test_a_failure_is_tried_again_later(setting: Setting, monkeypatch: Any) -> None:
    """A chore that fails puts itself off, and says so in the counts."""
    from response_store.ingest import takeover

    def fail(_: object) -> list[object]:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(takeover, "list_journals", fail)
        assert not setting.chores.do_some()
    assert setting.counters.get("fault.chores") == 1
    due = setting.chores.due_at()
    assert due is not None
    assert due > setting.now
    setting.now = due
    setting.work()
    assert not setting.chores.is_urgent


def test_stopping_lets_go_of_everything(setting: Setting) -> None:
    """Nothing is due any more, and stopping twice is fine; a step in between is broken off."""
    setting.work()
    setting.bench.proxy.exchange(1)
    setting.bench.apply()
    setting.chores.note_written(setting.bench.written)

    def stop() -> None:
        raise StoppedError

    setting.chores._indexer._yield_if_due = stop
    with pytest.raises(StoppedError):
        setting.work()
    setting.chores.stop()
    setting.chores.stop()
    assert setting.chores.due_at() is None
    assert not setting.chores.do_some()


def test_a_database_in_memory_has_no_chores(make_bench: MakeBench) -> None:
    """Nobody else can reach it, so nothing is indexed or taken over."""
    setting = Setting(make_bench(url="sqlite::memory:"))
    assert setting.chores.due_at() is None
    assert not setting.chores.do_some()
    setting.chores.note_written([])
    setting.chores.release()
    setting.chores.stop()


def test_a_server_may_sleep(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of an hour after the last write nothing is asked of it, until the next one."""
    chores = setting.chores
    chores._lets_sleep = True  # as of PostgreSQL
    setting.work()
    asked: list[float] = []
    for holder, name in (
        (chores._role._lock, "acquire"),  # the lease
        (chores._indexer, "step"),
        (chores._retention, "step"),
    ):
        function = getattr(holder, name)
        monkeypatch.setattr(holder, name, lambda f=function: (asked.append(setting.now), f())[1])

    def pass_time(seconds: float) -> None:
        end = setting.now + seconds
        while setting.now < end:
            setting.now += 7
            setting.work()

    written = setting.now
    pass_time(3 * ACTIVE_SECONDS)
    assert written + ACTIVE_SECONDS / 2 < max(asked) < written + ACTIVE_SECONDS + 10
    setting.now += 100_000
    asked.clear()
    pass_time(100)
    assert chores.due_at() is None
    assert not asked
    setting.bench.proxy.exchange(1)
    setting.bench.apply()
    chores.note_written(setting.bench.written)
    setting.work()
    assert setting.indexed() == 1
    assert asked


def test_old_exchanges_are_pruned(make_bench: MakeBench, tmp_path: Path) -> None:
    """Retention removes what is too old, once it is due."""
    setting = Setting(make_bench("retention: {max_age_days: 1}\n"))
    setting.work()
    for key in range(1, 5):
        setting.bench.proxy.exchange(key)
    setting.bench.proxy.exchange(5, started_at=time.time())
    setting.bench.apply()
    assert len(setting.bench.states()) == 5
    deadline = time.monotonic() + 10
    while len(setting.bench.states()) > 1 and time.monotonic() < deadline:
        setting.now += 4000
        setting.work(20)
    with sqlite3.connect(tmp_path / "responses.db") as connection:
        left = connection.execute("SELECT started_at FROM openai_exchanges").fetchall()
    connection.close()
    assert len(left) == 1
    assert setting.counters.get("pruned") == 4
    setting.chores.stop()
