"""Rows that a database refuses: kept, bounded, and tried again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from response_store.errors import TransientStoreError
from response_store.ingest import dead_letters
from response_store.ingest.dead_letters import DeadLetters
from response_store.journal.directory import DEAD_LETTERS, JournalDirectory
from response_store.model.records import Deletion, ExchangeRow, Record
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.test_delivery import REFUSE, question


def record(number: int, size: int = 10) -> Record:
    row = ExchangeRow(
        exchange_id=f"e{number}", tenant_id="t", api="responses", transport="http",
        state="completed", started_at=1.0, method="POST", scheme="https", host="h", path="/p",
        output_text="x" * size, recorder_id="r",
    )  # fmt: skip
    return Record(row)


@pytest.fixture
def directory(bench: Bench) -> JournalDirectory:
    """The journal of a bench."""
    return bench.proxy.directory


def test_they_are_there_for_the_next_process(directory: JournalDirectory) -> None:
    """What was kept is read by another object, in order and with its reason."""
    letters = DeadLetters(directory, 1 << 20, wall=lambda: 5.0)
    letters.append(3, record(3), "why")
    letters.append(4, Deletion("t", "resp"), "because")
    again = DeadLetters(directory, 1 << 20)
    assert [(one.seq, one.at, one.reason) for one in again.read()] == [
        (3, 5.0, "why"), (4, 5.0, "because"),
    ]  # fmt: skip
    assert [one.change for one in again.read()] == [record(3), Deletion("t", "resp")]
    assert (again.number, again.size) == (letters.number, letters.size) == (2, letters.size)


def test_the_disk_knows_the_file_once_it_has_a_row(
    directory: JournalDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position moves past the row right behind that: a loss of power must not take it away."""
    calls: list[str] = []
    monkeypatch.setattr(dead_letters, "sync_file", lambda fd: calls.append("file"))
    monkeypatch.setattr(dead_letters, "sync_folder", lambda path: calls.append(path.name))
    for numbers in ((1, 2), (2, 3)):
        letters = DeadLetters(directory, 1 << 20)
        for number in numbers:
            letters.append(number, record(number), "why")
    assert calls == ["file", directory.path.name, "file", "file"]


def test_none_is_removed_before_the_disk_has_it_in_the_database(bench: Bench) -> None:
    """Where that fails all stay, and are written again."""
    letters = bench.applier.dead_letters
    letters.append(1, record(1), "why")
    bench.store.open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bench.store, "sync", lambda: (_ for _ in ()).throw(TransientStoreError("full"))
        )
        with pytest.raises(TransientStoreError, match="full"):
            letters.retry(bench.store)
    assert [one.seq for one in letters.read()] == [1]
    assert letters.retry(bench.store) == 1
    assert len(bench.states()) == 1


def test_the_file_is_private(directory: JournalDirectory) -> None:
    """Nobody else may read them, and a link in their place is not followed."""
    letters = DeadLetters(directory, 1 << 20)
    letters.append(1, record(1), "why")
    path = directory.path / DEAD_LETTERS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.symlink_to(directory.path / "elsewhere")
    with pytest.raises(Exception, match="journal"):
        letters.append(2, record(2), "why")
    assert not (directory.path / "elsewhere").exists()


def test_the_oldest_go_where_there_is_no_room(directory: JournalDirectory) -> None:
    """They take what they may, and no more; how many had to go is returned."""
    letters = DeadLetters(directory, 10_000)
    gone = sum(letters.append(number, record(number, 1000), "why") for number in range(1, 21))
    left = letters.read()
    assert letters.size <= 10_000
    assert letters.size == (directory.path / DEAD_LETTERS).stat().st_size
    assert len(left) + gone == 20
    assert left[-1].seq == 20
    assert [one.seq for one in left] == sorted(one.seq for one in left)


def test_one_that_is_larger_than_all_goes_at_once(directory: JournalDirectory) -> None:
    """A row that takes more than all may take is not kept."""
    letters = DeadLetters(directory, 1000)
    assert letters.append(1, record(1, 5000), "why") == 1
    assert letters.read() == []
    assert not (directory.path / DEAD_LETTERS).exists()


def test_a_torn_end_is_left_out(directory: JournalDirectory) -> None:
    """A row that was being kept when the process was killed is none; the next one is whole."""
    letters = DeadLetters(directory, 1 << 20)
    letters.append(1, record(1), "why")
    path = directory.path / DEAD_LETTERS
    path.write_bytes(path.read_bytes() + path.read_bytes()[:50])
    again = DeadLetters(directory, 1 << 20)
    assert [one.seq for one in again.read()] == [1]
    again.append(2, record(2), "why")
    assert [one.seq for one in DeadLetters(directory, 1 << 20).read()] == [1, 2]


def test_what_the_database_takes_by_now_is_written(bench: Bench) -> None:
    """Tried again, those that are taken leave the file, the others stay with a new reason."""
    bench.store.open()
    bench.execute(REFUSE.format(when="WHEN NEW.requested_model LIKE 'bad%'"))
    for key, model in enumerate(("bad1", "good", "bad2"), 1):
        bench.proxy.exchange(key, request=question(model))
    bench.apply()
    letters = bench.applier.dead_letters
    assert letters.number == 2
    bench.execute(
        "DROP TRIGGER refuse_insert;" + REFUSE.format(when="WHEN NEW.requested_model = 'bad2'")
    )
    assert letters.retry(bench.store) == 1
    assert [one.seq for one in letters.read()] == [3]
    assert len(bench.states()) == 2
    bench.execute("DROP TRIGGER refuse_insert")
    assert letters.retry(bench.store) == 1
    assert not (bench.proxy.directory.path / DEAD_LETTERS).exists()


def test_a_database_that_fails_keeps_them_all(bench: Bench) -> None:
    """Where the database is away in the middle, what was not written stays."""
    letters = bench.applier.dead_letters
    for number in (1, 2, 3):
        letters.append(number, record(number), "why")
    bench.store.open()
    write, times = bench.store.write, []

    def fail(changes, checkpoint=None):
        times.append(1)
        if len(times) == 2:
            raise TransientStoreError("away")
        write(changes, checkpoint)

    bench.store.write = fail
    with pytest.raises(TransientStoreError):
        letters.retry(bench.store)
    assert [one.seq for one in letters.read()] == [2, 3]


def test_a_journal_with_dead_letters_stays(bench: Bench) -> None:
    """Its folder is not removed, but its frames are; once all are written it can go."""
    bench.store.open()
    bench.execute(REFUSE.format(when="WHEN NEW.requested_model = 'bad'"))
    bench.proxy.exchange(1, request=question("bad"))
    path = bench.proxy.directory.path
    assert not bench.end()
    assert path.exists()
    assert bench.segments() == []
    bench.proxy.directory.close()
    directory = JournalDirectory.open(path)
    assert not directory.remove_if_empty()
    bench.execute("DROP TRIGGER refuse_insert")
    DeadLetters(directory, 1 << 20).retry(bench.store)
    assert directory.remove_if_empty()


def test_a_disk_that_is_full_loses_none(bench: Bench, monkeypatch) -> None:
    """A row that can't be kept stays in the journal until it can."""
    bench.store.open()
    bench.execute(REFUSE.format(when="WHEN NEW.requested_model = 'bad'"))
    bench.proxy.exchange(1, request=question("bad"))
    from response_store.ingest import dead_letters

    def full(fd: int, buffers: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "write_all", full)
        with pytest.raises(TransientStoreError, match="no space"):
            bench.apply()
    assert bench.store.position(bench.proxy.directory.journal_id) is None
    bench.apply()
    assert bench.applier.dead_letters.number == 1
    assert Path(bench.proxy.directory.path / DEAD_LETTERS).exists()
