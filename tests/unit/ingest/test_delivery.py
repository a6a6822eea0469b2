"""Batches on their way to the database: what is refused, what fails, what is tried again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from response_store.errors import TransientStoreError
from response_store.ingest.delivery import MAX_RECORDS
from tests.harness.choosy import admit_triggers
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import id_of, response_object

REFUSE = """
CREATE TRIGGER refuse_insert BEFORE INSERT ON openai_exchanges {when}
BEGIN SELECT RAISE(ABORT, 'refused'); END;
"""


def question(model: str) -> bytes:
    return json.dumps({"model": model, "input": "question"}).encode()


@pytest.fixture
def refusing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose database refuses what was asked of the model `bad`."""
    admit_triggers(monkeypatch)
    bench.store.open()
    bench.execute(REFUSE.format(when="WHEN NEW.requested_model = 'bad'"))
    return bench


def test_a_refused_row_is_buried_and_the_others_go_on(refusing: Bench) -> None:
    """Of many rows the one that the database refuses becomes a dead letter, with the reason."""
    for key in range(1, 101):
        refusing.proxy.exchange(key, request=question("bad" if key == 37 else "good"))
    refusing.apply()
    assert len(refusing.states()) == 99
    assert id_of(37) not in refusing.states()
    [letter] = refusing.applier.dead_letters.read()
    assert letter.seq == 37
    assert letter.reason
    assert refusing.counters.get("dead_letters") == 1
    assert refusing.counters.get("written") == 99
    assert [item.seq for item in refusing.written] == [n for n in range(1, 101) if n != 37]


def test_many_refused_rows_are_all_buried(refusing: Bench) -> None:
    """Refused rows among others, at the first and the last place too, are all buried."""
    bad = {1, 2, 50, 299, 300}
    for key in range(1, 301):
        refusing.proxy.exchange(key, request=question("bad" if key in bad else "good"))
    refusing.apply()
    assert {letter.seq for letter in refusing.applier.dead_letters.read()} == bad
    assert len(refusing.states()) == 295
    assert refusing.store.position(refusing.proxy.directory.journal_id) == 300


def test_a_table_that_refuses_everything_buries_nothing(bench: Bench) -> None:
    """Where a plain row would be refused as well, the table is at fault, and all rows wait."""
    bench.store.open()
    bench.execute(REFUSE.format(when=""))
    for key in range(1, 4):
        bench.proxy.exchange(key)
    for _ in range(3):
        with pytest.raises(TransientStoreError, match="refuses every row"):
            bench.apply()
    assert bench.applier.dead_letters.number == 0
    bench.execute("DROP TRIGGER refuse_insert")
    bench.apply()
    assert len(bench.states()) == 3


def test_a_crash_behind_a_burial_buries_once(refusing: Bench) -> None:
    """Killed before the position moved past a dead letter, a new process keeps it once."""
    refusing.proxy.exchange(1, request=question("bad"))
    refusing.store.open()
    write = refusing.store.write

    def fail_behind(changes, checkpoint=None):
        if not changes:
            raise TransientStoreError("killed here")
        write(changes, checkpoint)

    refusing.store.write = fail_behind
    with pytest.raises(TransientStoreError, match="killed"):
        refusing.apply()
    refusing.crash()
    refusing.apply()
    assert len(refusing.applier.dead_letters.read()) == 1
    assert refusing.applier.dead_letters.number == 1


def test_a_locked_database_is_waited_for(bench: Bench) -> None:
    """A database that is locked loses nothing: the same batch is written once it is free."""
    bench.proxy.exchange(1)
    bench.apply()
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.proxy.exchange(2)
        with pytest.raises(TransientStoreError):
            bench.apply()
        other.execute("ROLLBACK")
    bench.apply()
    assert set(bench.states()) == {id_of(1), id_of(2)}
    assert bench.counters.get("written") == 2


def test_after_a_failure_less_is_written_at_once(bench: Bench) -> None:
    """A line that fails gets smaller batches, and larger ones again once it works."""
    sizes = []
    bench.store.open()
    write = bench.store.write
    fails = [True]

    def note(changes, checkpoint=None):
        sizes.append(len(changes))
        if fails.pop() if fails else False:
            raise TransientStoreError("slow")
        write(changes, checkpoint)

    bench.store.write = note
    for key in range(1, 257):
        bench.proxy.exchange(key)
    with pytest.raises(TransientStoreError):
        bench.apply()
    bench.apply()
    assert sizes == [256, 128, 128]
    assert MAX_RECORDS == 256


def test_an_error_of_our_own_is_tried_again_before_a_row_is_buried(bench: Bench) -> None:
    """A row that fails in a way that nobody thought of may be innocent a few times."""
    bench.store.open()
    write = bench.store.write

    def choke(changes, checkpoint=None):
        if any(change.exchange.exchange_id == id_of(2) for change in changes):
            raise ZeroDivisionError
        write(changes, checkpoint)

    bench.store.write = choke
    for key in (1, 2, 3):
        bench.proxy.exchange(key)
    for _ in range(4):
        with pytest.raises(TransientStoreError, match="unexpectedly"):
            bench.apply()
    bench.apply()
    assert set(bench.states()) == {id_of(1), id_of(3)}
    assert [letter.seq for letter in bench.applier.dead_letters.read()] == [2]


def test_a_taken_id_is_counted(bench: Bench) -> None:
    """Two answers of one id: the first stays, the second is in its exchange, and one is counted."""
    for key, text in ((1, "real"), (2, "forged")):
        output = [{"type": "message", "content": text}]
        body = json.dumps(response_object(7, output=output)).encode()
        bench.proxy.exchange(key, body=body)
        bench.apply()
    assert bench.counters.get("id_conflicts") == 1
    [(stored,)] = bench.rows("SELECT response_object FROM openai_responses")
    assert "real" in stored
    results = bench.rows("SELECT result FROM openai_exchanges ORDER BY result")
    assert results[0] == (None,)
    assert "forged" in results[1][0]
