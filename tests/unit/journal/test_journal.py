"""The journal keeps records in order, within its bound, and knows exactly what it holds."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from response_store.errors import PassingStoreError, RowRefusedError
from response_store.store.journal.entry import RECORD, decoded, values
from response_store.store.journal.errors import JournalFullError
from response_store.store.journal.level import JournalStatus
from response_store.store.records import Record
from tests.harness.records import QUESTION, numbered, record, response
from tests.unit.journal.bench import JournalBench
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.files import rows


def size_of(*records: Record) -> int:
    return sum(values(one, 0.0)[2] for one in records)


def taken(bench: JournalBench, most: int = 1000, size: int = 2**40) -> list[Record]:
    """What comes out at the other end, once."""
    bench.outlet.open()
    entries = bench.outlet.take(most, size)
    if entries:
        bench.outlet.remove(entries)
    return [entry.change for entry in entries]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128, 129, 300])
def test_records_come_out_as_they_went_in(bench: JournalBench, count: int) -> None:
    """Batches of any length keep their order, one row a record, and every value."""
    records = numbered(count)
    bench.write_records(*records)
    bench.write_records(record("last"))
    assert rows(bench.path, "SELECT count(*) FROM waiting") == [(count + 1,)]
    assert bench.journal.last_sequence == count + 1
    assert taken(bench) == [*records, record("last")]


def test_every_value_comes_back() -> None:
    """Any text, any bytes, fractions and nulls survive the encoding."""
    text = "".join(map(chr, [0, 1, 0x7F, 0x7FF, 0xD7FF, 0xE000, 0x10FFFF]))
    one = record(
        text, response(status="queued"), output_text=text, raw_response=b"\x00\xff",
        duration_ms=0.1, input_tokens=2**53 + 1, result="1e400",
    )  # fmt: skip
    assert decoded(RECORD, values(one, 0.0)[-1]) == one


def test_an_empty_batch_is_fine(bench: JournalBench) -> None:
    """No records, no rows."""
    bench.write_records()
    assert bench.journal.status == JournalStatus()


@pytest.mark.parametrize("count", [0, 1, 200])
@pytest.mark.parametrize("bad", [{"output_text": "\ud800"}, {"error_code": object()},
                                 {"input_tokens": 2**70}])  # fmt: skip
def test_what_can_not_be_encoded_undoes_its_batch(
    bench: JournalBench, count: int, bad: Any
) -> None:
    """A record that is no text, number or bytes is refused; its batch leaves no trace."""
    with pytest.raises(RowRefusedError) as caught:
        bench.write_records(*numbered(count), record("bad", **bad))
    assert "ud800" not in str(caught.value)
    assert bench.journal.status.records == 0
    assert rows(bench.path, "SELECT count(*) FROM waiting") == [(0,)]


def test_the_status_is_exact(make_bench: MakeBench) -> None:
    """Records, bytes, the oldest one's age and the dead letters follow every change."""
    now = [100.0]
    bench = make_bench(wall=lambda: now[0]).open()
    records = numbered(5)
    bench.write_records(*records[:2])
    now[0] = 130.0
    bench.write_records(*records[2:])
    assert bench.journal.status == JournalStatus(5, size_of(*records), 100.0, 0, 0)
    assert bench.journal.status.oldest_age(131.0) == 31.0
    bench.outlet.open()
    bench.outlet.remove(bench.outlet.take(2, 2**40))
    assert bench.journal.status == JournalStatus(3, size_of(*records[2:]), 130.0, 0, 0)
    bench.outlet.bury(bench.outlet.take(1, 1)[0], "refused")
    after = JournalStatus(2, size_of(*records[3:]), 130.0, 1, size_of(records[2]))
    assert bench.journal.status == after
    bench.outlet.remove(bench.outlet.take(2, 2**40))
    assert bench.journal.status == JournalStatus(0, 0, None, 1, size_of(records[2]))
    assert bench.journal.status.oldest_age(131.0) is None


def test_a_clock_that_goes_back(bench: JournalBench) -> None:
    """An age is never negative."""
    bench.write("a")
    assert bench.journal.status.oldest_age(1.0) == 0.0


def test_the_status_outlives_the_process(bench: JournalBench, make_bench: MakeBench) -> None:
    """A journal that is opened again counts what is in it."""
    bench.write_records(*numbered(3))
    bench.outlet.open()
    bench.outlet.bury(bench.outlet.take(1, 1)[0], "refused")
    before = bench.journal.status
    bench.close()
    again = make_bench().open()
    assert again.journal.status == before
    assert (before.records, before.dead_letters) == (2, 1)
    again.write("next")
    assert again.journal.last_sequence == 4


def test_sequences_are_never_used_twice(bench: JournalBench, make_bench: MakeBench) -> None:
    """An emptied journal goes on counting, also after a restart."""
    bench.write("a", "b")
    assert len(taken(bench)) == 2
    bench.close()
    again = make_bench().open()
    again.write("c")
    assert again.journal.last_sequence == 3


def test_a_full_journal(make_bench: MakeBench) -> None:
    """What does not fit is refused for now, leaves no trace, and fits when there is room again."""
    records = numbered(8)
    bench = make_bench(max_bytes=size_of(*records)).open()
    bench.write_records(*records[:5])
    with pytest.raises(JournalFullError, match=r"is full: .*journal\.max_bytes") as caught:
        bench.write_records(*numbered(4, start=5))
    assert isinstance(caught.value, PassingStoreError)
    assert bench.journal.status.records == 5
    bench.write_records(*records[5:])
    with pytest.raises(JournalFullError):
        bench.write("one more")
    assert taken(bench, most=1) == records[:1]
    bench.write_records(records[0])
    assert taken(bench) == [*records[1:], records[0]]


def test_what_never_fits_is_refused_for_good(make_bench: MakeBench) -> None:
    """A batch beyond the whole bound is refused as a bad row is: halved, its parts may fit."""
    bench = make_bench(max_bytes=10_000).open()
    with pytest.raises(RowRefusedError, match=r"journal\.max_bytes"):
        bench.write("large", output_text="x" * 10_000)
    bench.write("small")
    assert bench.journal.status.records == 1


def test_dead_letters_leave_room(make_bench: MakeBench) -> None:
    """Dead letters take a quarter of the bound at most; the oldest go first."""
    bench = make_bench(max_bytes=40_000).open()
    bench.outlet.open()
    forgotten = 0
    for at in range(10):
        bench.write(f"e{at}", output_text="x" * 3000)
        forgotten += bench.outlet.bury(bench.outlet.take(1, 1)[0], "refused")
    status = bench.journal.status
    assert status.dead_bytes <= 10_000
    assert (status.dead_letters, forgotten) == (2, 8)
    assert rows(bench.path, "SELECT exchange_id FROM dead_letters ORDER BY 1") == [("e8",), ("e9",)]
    bench.write("a", output_text="x" * 25_000)


def test_a_batch_is_bounded_in_bytes(bench: JournalBench) -> None:
    """As many as fit come out, one at least."""
    bench.write_records(*numbered(10))
    size = size_of(*numbered(1))
    assert len(taken(bench, size=1)) == 1
    assert len(taken(bench, size=3 * size)) == 3
    assert len(taken(bench, most=2)) == 2


def test_a_batch_is_one_statement(bench: JournalBench) -> None:
    """Up to 64 records are one call of the driver; more are one transaction."""
    said: list[str] = []
    connection = bench.journal._connection
    assert connection is not None
    connection.set_trace_callback(said.append)
    bench.write_records(*numbered(64))
    assert len(said) == 1
    said.clear()
    bench.write_records(*numbered(65))
    assert [line.split()[0] for line in said] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


def test_large_batches_are_removed_in_parts(bench: JournalBench) -> None:
    """The writer's end can go on between two parts; in the end all of it is gone."""
    bench.write(*[f"e{at}" for at in range(10)], output_text="x" * 300_000)
    bench.outlet.open()
    connection = bench.outlet._connection
    assert connection is not None
    said: list[str] = []
    connection.set_trace_callback(said.append)
    assert len(taken(bench)) == 10
    assert said.count("COMMIT") == 4
    assert bench.journal.status == JournalStatus()


def test_both_ends_at_once(bench: JournalBench) -> None:
    """One thread writes, another takes out: everything comes, in order, and nobody sees a lock."""
    out: list[str] = []
    bench.outlet.open()

    def empty() -> None:
        while len(out) < 400:
            out.extend(one.exchange.exchange_id for one in taken(bench, most=7))

    thread = threading.Thread(target=empty)
    thread.start()
    for at in range(100):
        bench.write(*[f"{at}-{place}" for place in range(4)])
    thread.join(10)
    assert out == [f"{at}-{place}" for at in range(100) for place in range(4)]
    assert bench.journal.status == JournalStatus()


def test_a_lock_that_lasts(bench: JournalBench) -> None:
    """A journal that some other program locks is a failure that may pass."""
    connection = bench.journal._connection
    assert connection is not None
    connection.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PassingStoreError, match="locked"):
            bench.write("a")
        other.execute("ROLLBACK")
    bench.write("a")
    assert bench.journal.status.records == 1


def test_a_full_disk(bench: JournalBench) -> None:
    """A disk that is full is a failure that may pass, and leaves no trace."""
    connection = bench.journal._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(PassingStoreError, match="disk is full"):
        bench.write("a", output_text="x" * 200_000)
    assert bench.journal.status.records == 0
    bench.write("b")
    assert [one.exchange.exchange_id for one in taken(bench)] == ["b"]


def test_an_outage_gives_its_space_back(
    bench: JournalBench, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """Once the journal is empty again, its file is small again."""
    monkeypatch.setattr("response_store.store.journal.outlet._SHRINK_AFTER", 100_000)
    bench.write("a", output_text="x" * 2_000_000)
    taken(bench)
    bench.outlet.rest()
    bench.close()
    assert path.stat().st_size < 100_000


def test_a_response_names_the_row(bench: JournalBench) -> None:
    """Where a record brings a response, its tenant and id are those that find it."""
    one = record("e1", response("r1", tenant_id="t2", asked=[QUESTION]))
    bench.write_records(one, msgspec.structs.replace(one, response=None))
    found = rows(bench.path, "SELECT tenant_id, response_id, exchange_id, kind FROM waiting")
    assert found == [("t2", "r1", "e1", "record")] * 2
