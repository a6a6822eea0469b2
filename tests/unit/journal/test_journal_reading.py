"""Looking into a journal: by response, by number, and without being its owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError
from response_store.store.journal.level import JournalStatus
from response_store.store.journal.reading import JournalReading
from tests.harness.records import QUESTION, numbered, record, response
from tests.unit.journal.bench import JournalBench
from tests.unit.store.files import script


def test_what_waits_of_a_response_the_newest_first(bench: JournalBench) -> None:
    """All that is still inside of one response of one tenant, and nothing of another."""
    records = [
        record("e1", response("r1", "queued", asked=[QUESTION])),
        record("e2", response("r2")),
        record("e3", response("r1", "completed")),
        record("e4", response("r1", tenant_id="t2")),
        record("e5", response_id="r1", state="open"),
    ]
    bench.write_records(*records)
    with JournalReading(bench.path) as reading:
        assert reading.find("t1", "r1") == [records[4], records[2], records[0]]
        assert reading.find("t2", "r1") == [records[3]]
        assert reading.find("t3", "r1") == reading.find("t1", "r") == []


def test_what_is_drained_is_found_no_more(bench: JournalBench) -> None:
    """A reading that stays open sees what comes and goes."""
    with JournalReading(bench.path) as reading:
        assert reading.find("t1", "r0") == []
        bench.write_records(*numbered(2))
        assert reading.find("t1", "r0") == numbered(1)
        bench.outlet.open()
        bench.outlet.remove(bench.outlet.take(1, 1))
        assert reading.find("t1", "r0") == []
        assert reading.find("t1", "r1") == numbered(1, start=1)


def test_the_look_up_uses_the_index(bench: JournalBench) -> None:
    """However much waits, a look-up reads only what it finds."""
    connection = bench.journal._connection
    assert connection is not None
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT kind, payload FROM waiting "
        "WHERE response_id = ? AND tenant_id = ? ORDER BY sequence DESC",
        ("r", "t"),
    ).fetchall()
    assert len(plan) == 1
    assert "USING INDEX waiting_response" in plan[0][3]


def test_the_status_is_that_of_the_owner(bench: JournalBench) -> None:
    """Another process sees the same numbers as the owner."""
    bench.write_records(*numbered(4))
    bench.outlet.open()
    bench.outlet.bury(bench.outlet.take(1, 1)[0], "refused")
    with JournalReading(bench.path) as reading:
        assert reading.status() == bench.journal.status
        assert reading.status().records == 3


def test_dead_letters_say_why(bench: JournalBench) -> None:
    """Each names its row, its time and the reason, the newest first."""
    bench.write_records(*numbered(3))
    bench.outlet.open()
    for reason in ("one", "two"):
        bench.outlet.bury(bench.outlet.take(1, 1)[0], reason)
    with JournalReading(bench.path) as reading:
        newest, oldest = reading.dead_letters()
        assert reading.dead_letters(1) == [newest]
    assert (oldest.exchange_id, oldest.response_id, oldest.reason) == ("e0", "r0", "one")
    assert (newest.sequence, newest.queued_at, newest.buried_at) == (2, 1000.0, 1000.0)


def test_a_payload_that_can_not_be_read_is_left_out(bench: JournalBench, path: Path) -> None:
    """Damage to one row hides no other."""
    bench.write("e1", response_id="r1")
    bench.write("e2", response_id="r1")
    script(path, "UPDATE waiting SET payload = x'c1' WHERE exchange_id = 'e1'")
    with JournalReading(path) as reading:
        assert [one.exchange.exchange_id for one in reading.find("t1", "r1")] == ["e2"]


def test_no_journal_yet(path: Path) -> None:
    """A missing journal is said to be missing, and is not made."""
    with pytest.raises(PermanentStoreError, match=r"does not exist.*journal\.path"):
        JournalReading(path)
    assert not path.exists()


def test_an_empty_file(path: Path) -> None:
    """A journal whose owner has only just made the file holds nothing."""
    path.touch()
    with JournalReading(path) as reading:
        assert reading.status() == JournalStatus()
        assert reading.find("t1", "r1") == reading.dead_letters() == []


def test_a_newer_version(bench: JournalBench, path: Path) -> None:
    """A journal of a newer release is refused."""
    script(path, "PRAGMA user_version = 9")
    with pytest.raises(PermanentStoreError, match="version 9"):
        JournalReading(path)


def test_reading_leaves_no_trace(bench: JournalBench, path: Path) -> None:
    """A reading takes no lock that the owner would notice, and leaves no file behind."""
    bench.write("a")
    with JournalReading(path) as reading:
        assert reading.status().records == 1
        bench.write("b")
    bench.close()
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "journal.db",
        "journal.db-owner.lock",
    ]
