"""Applying a journal to a database: each frame exactly once, whatever happens in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from response_store.backends.base import Checkpoint
from response_store.errors import TransientStoreError
from response_store.journal.directory import SegmentEntry
from response_store.journal.frames import FrameKind
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.conftest import MakeBench
from tests.unit.ingest.proxy_side import (
    answer_head,
    id_of,
    sse,
    stream_end,
    stream_start,
)


def streaming(bench: Bench, key: int, **values: object) -> None:
    """Begin a stream: its request and its first events."""
    bench.proxy.open(key)
    bench.proxy.part(key, stream_start(key, **values), first=True)


def end_stream(bench: Bench, key: int) -> None:
    """End a stream with its terminal event."""
    answer = answer_head("sse", is_terminated=True)
    bench.proxy.end(key, body=stream_end(key), answer=answer, by="terminal_event")


def test_an_exchange_becomes_a_row(bench: Bench) -> None:
    """What a proxy has appended is in the database, with the response."""
    bench.proxy.exchange(1)
    bench.apply()
    assert bench.states() == {id_of(1): "completed"}
    assert bench.rows("SELECT id, model FROM openai_responses") == [("resp_1", "gpt-5")]
    assert bench.store.position(bench.proxy.directory.journal_id) == 1
    assert bench.counters.snapshot() == {"written": 1}
    assert bench.written[0].flow_id == "flow-1"


def test_an_open_exchange_has_a_row_until_it_ends(bench: Bench) -> None:
    """A request that lasts is open, and one row all the time."""
    streaming(bench, 1)
    bench.apply()
    assert bench.states() == {id_of(1): "open"}
    end_stream(bench, 1)
    bench.apply()
    assert bench.states() == {id_of(1): "completed"}
    texts = bench.rows("SELECT output_text FROM openai_exchanges")
    assert texts == [("answer 1",)]


def test_no_open_row_is_written_for_what_ends_at_once(bench: Bench) -> None:
    """An exchange that ends in the batch in which it opens is written once."""
    streaming(bench, 1)
    end_stream(bench, 1)
    bench.apply()
    assert bench.counters.get("written") == 1


def test_a_position_without_rows_is_written_too(bench: Bench) -> None:
    """Frames that bring no row move the position, once it is asked for."""
    bench.proxy.exchange(1)
    bench.apply()
    bench.proxy.exchange(2, request=b"", method="GET", target_response_id="resp_9", body=b"{}")
    bench.store.open()
    assert not bench.applier.apply()
    assert bench.applier.has_unwritten
    bench.applier.persist()
    assert bench.store.position(bench.proxy.directory.journal_id) == 2
    assert bench.counters.get("skipped.no_response") == 1


def test_nothing_is_applied_twice_after_a_crash(bench: Bench) -> None:
    """What was deleted from the database does not come back with a new process."""
    bench.proxy.exchange(1)
    bench.apply()
    bench.execute("DELETE FROM openai_exchanges; DELETE FROM openai_responses")
    bench.crash()
    bench.proxy.exchange(2)
    bench.apply()
    assert bench.states() == {id_of(2): "completed"}


def test_a_stream_survives_a_crash_in_its_middle(bench: Bench) -> None:
    """What a stream brought before a crash is there at its end."""
    streaming(bench, 1)
    bench.apply()
    bench.crash()
    bench.proxy.part(1, sse("response.output_text.delta", 2, delta=" more", output_index=0,
                            content_index=0, item_id="msg_1"))  # fmt: skip
    bench.apply()
    bench.crash()
    bench.proxy.end(1, body=b"", answer=answer_head("sse"), by="upstream")
    bench.apply()
    [(state, text)] = bench.rows("SELECT state, output_text FROM openai_exchanges")
    assert (state, text) == ("interrupted", "text 1 more")


def test_stopping_interrupts_and_an_end_still_wins(bench: Bench) -> None:
    """A proxy that stops interrupts what is open; what ends after that has its true end."""
    streaming(bench, 1)
    streaming(bench, 2)
    bench.proxy.stop()
    bench.apply()
    assert set(bench.states().values()) == {"interrupted"}
    by = bench.rows("SELECT DISTINCT ended_by, output_text FROM openai_exchanges ORDER BY 2")
    assert by == [("proxy_stopped", "text 1"), ("proxy_stopped", "text 2")]
    bench.crash()
    end_stream(bench, 1)
    bench.apply()
    assert bench.states() == {id_of(1): "completed", id_of(2): "interrupted"}


def test_the_end_of_a_journal_interrupts_what_is_open(bench: Bench) -> None:
    """Where the proxy is gone, what is open is interrupted, and the journal goes."""
    streaming(bench, 1)
    bench.proxy.exchange(2)
    path = bench.proxy.directory.path
    assert bench.end()
    assert bench.states() == {id_of(1): "interrupted", id_of(2): "completed"}
    assert not path.exists()
    assert bench.store.position(bench.proxy.directory.journal_id) is None


def test_an_interruption_does_not_come_back(bench: Bench) -> None:
    """What was interrupted at the end, and deleted then, is not interrupted again."""
    streaming(bench, 1)
    bench.proxy.close()
    bench.applier.lose_owner()
    bench.apply()
    bench.applier.interrupt_open()
    bench.apply()
    bench.execute("DELETE FROM openai_exchanges")
    bench.crash()
    bench.applier.lose_owner()
    bench.apply()
    assert not bench.applier.has_open
    assert bench.states() == {}


def test_a_deletion_covers_what_was_asked_before_it(bench: Bench) -> None:
    """A response that was deleted does not come back with an exchange that began before."""
    bench.proxy.exchange(1)
    bench.proxy.delete("resp_1")
    bench.apply()
    assert bench.rows("SELECT id FROM openai_responses") == []
    bench.crash()
    bench.proxy.exchange(2, body=b'{"id":"resp_1","object":"response","status":"completed",'
                         b'"model":"gpt-5","output":[]}')  # fmt: skip
    bench.apply()
    assert bench.rows("SELECT id FROM openai_responses") == []
    assert bench.counters.get("deleted") == 1


def test_a_broken_off_background_stream_is_resumed_after_a_crash(bench: Bench) -> None:
    """The tail of a stream gets its head, also from a process that is gone and dropped segments."""
    bench.proxy.exchange(
        1, body=stream_start(1, background=True), answer=answer_head("sse"), by="client"
    )
    bench.apply()
    for key in range(10, 40):
        bench.proxy.exchange(key)
        bench.proxy.writer.rotate()
    bench.apply()
    bench.applier.compact()
    bench.crash()
    tail = sse("response.output_text.delta", 2, delta=" and more", output_index=0,
               content_index=0, item_id="msg_1")  # fmt: skip
    bench.proxy.end(
        2, alone=True, request=b"", body=tail, answer=answer_head("sse"), by="client",
        method="GET", target_response_id="resp_1", path="/v1/responses/resp_1",
    )  # fmt: skip
    bench.apply()
    texts = bench.rows("SELECT output_text FROM openai_exchanges WHERE method = 'GET'")
    assert texts == [("text 1 and more",)]


def test_another_copy_of_the_database_is_filled_from_what_is_there(bench: Bench) -> None:
    """Where a new file is put in place, it gets every frame that the journal still has."""
    bench.proxy.exchange(1)
    bench.apply()
    bench.store.close()
    bench.path.unlink()
    bench.proxy.exchange(2)
    bench.apply()
    assert bench.states() == {id_of(1): "completed", id_of(2): "completed"}
    assert bench.counters.get("frames_gone") == 0


def test_an_older_backup_is_counted_and_told(bench: Bench, tmp_path: Path, caplog) -> None:
    """Frames that an older copy lacks, and that the journal has not got any more, are counted."""
    bench.proxy.exchange(1)
    bench.apply()
    bench.store.close()
    shutil.copy(bench.path, tmp_path / "backup.db")
    for key in (2, 3, 4):
        bench.proxy.writer.rotate()
        bench.proxy.exchange(key)
    bench.apply()
    bench.applier.compact()
    bench.crash()
    shutil.copy(tmp_path / "backup.db", bench.path)
    bench.proxy.exchange(5)
    bench.apply()
    assert bench.states() == dict.fromkeys([id_of(1), id_of(4), id_of(5)], "completed")
    assert bench.counters.get("frames_gone") == 2
    assert "2 frames" in caplog.text
    bench.applier._forget()  # as after an error of the disk: all is read again
    bench.apply()
    bench.crash()
    bench.apply()
    assert bench.counters.get("frames_gone") == 2


def test_a_commit_whose_answer_was_lost_counts_once(bench: Bench) -> None:
    """Where a write fails behind its commit, what the database says decides."""
    bench.proxy.exchange(1)
    bench.store.open()
    write = bench.store.write

    def lose_answer(changes, checkpoint=None):
        write(changes, checkpoint)
        bench.store.write = write
        raise TransientStoreError("the line broke")

    bench.store.write = lose_answer
    with pytest.raises(TransientStoreError):
        bench.applier.apply()
    bench.execute("DELETE FROM openai_exchanges")
    bench.apply()
    assert bench.states() == {}
    assert bench.counters.get("written") == 1
    assert [item.seq for item in bench.written] == [1]


def test_a_position_that_somebody_moved_is_looked_at_again(bench: Bench) -> None:
    """Where another process has applied some of a journal, only the rest is applied."""
    bench.proxy.exchange(1)
    bench.apply()
    bench.proxy.exchange(2)
    bench.proxy.exchange(3)
    journal_id = bench.proxy.directory.journal_id
    bench.store.write([], Checkpoint(journal_id, 2, 1))
    bench.apply()
    assert bench.states() == {id_of(1): "completed", id_of(3): "completed"}


def test_a_gap_is_waited_for_while_the_proxy_lives(bench: Bench) -> None:
    """Frames behind one that may still come wait; without a proxy it never does."""
    bench.proxy.exchange(1)
    seq = bench.proxy.writer.next_seq()
    bench.proxy.exchange(3)
    assert bench.outstanding is not None
    bench.outstanding.add(seq)
    bench.apply()
    assert list(bench.states()) == [id_of(1)]
    bench.applier.lose_owner()
    bench.apply()
    assert set(bench.states()) == {id_of(1), id_of(3)}


def test_segments_go_once_they_are_applied(bench: Bench) -> None:
    """Finished segments are dropped; what an open exchange needs is carried over."""
    streaming(bench, 1)
    for key in range(10, 30):
        bench.proxy.exchange(key)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    bench.applier.compact()
    kinds = [name[0] for name in bench.segments()]
    assert kinds == ["c", "m"]
    bench.crash()
    end_stream(bench, 1)
    bench.apply()
    assert bench.states()[id_of(1)] == "completed"
    assert bench.rows("SELECT count(*) FROM openai_exchanges WHERE request_body IS NULL") == [(0,)]


def test_an_end_is_kept_as_long_as_its_beginning_lies_there(bench: Bench) -> None:
    """An exchange whose end was dropped before its beginning would be open again."""
    streaming(bench, 1)
    bench.proxy.open(2, body=b'{"model":"gpt-5","input":"' + b"x" * 20_000 + b'"}')
    bench.proxy.writer.rotate()
    end_stream(bench, 1)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(3)
    bench.apply()
    bench.applier.compact()
    bench.execute("DELETE FROM openai_exchanges")
    bench.crash()
    bench.proxy.stop()
    bench.apply()
    assert bench.states() == {id_of(2): "interrupted"}


def test_a_quiet_journal_can_be_emptied(bench: Bench) -> None:
    """With the proxy's word that a segment has ended, the folder holds no exchange any more."""
    bench.proxy.exchange(1)
    bench.clean(2)
    bench.apply()
    bench.proxy.writer.rotate()
    bench.applier.drop_main(2)
    bench.applier.drop_cleaned()
    assert bench.segments() == []
    bench.proxy.exchange(3)
    bench.clean(4)
    bench.apply()
    assert len(bench.states()) == 4


@pytest.mark.parametrize("is_skipped", [False, True])
@pytest.mark.parametrize("how", ["compact", "drop_main"])
def test_nothing_is_dropped_before_the_end_of_an_exchange_is_written(
    make_bench: MakeBench, how: str, *, is_skipped: bool
) -> None:
    """It needs no frames any more once it was read, but will after a crash."""
    bench = make_bench("capture: {store_false: skip}\n")
    bench.proxy.open(1, b'{"model":"m","input":"x","store":%s}' % (b"true", b"false")[is_skipped])
    bench.apply()
    bench.proxy.writer.rotate()
    bench.proxy.end(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.store, "write", refuse)
        if is_skipped:
            bench.applier.apply()
        else:
            with pytest.raises(TransientStoreError):
                bench.applier.apply()
        assert bench.applier.has_unwritten
        bench.applier.compact() if how == "compact" else bench.applier.drop_main(1)
    assert len(bench.segments()) == 2
    bench.crash()
    bench.apply()
    assert bench.states() == ({} if is_skipped else {id_of(1): "completed"})
    assert "dropped.damaged" not in bench.counters.snapshot()
    bench.applier.compact()
    assert len(bench.segments()) == 1


def refuse(*_: object) -> None:
    """Fail as a database does whose disk is full."""
    raise TransientStoreError("the disk is full")


def test_a_database_in_memory_keeps_its_segments(make_bench: MakeBench) -> None:
    """A journal can fill a database in memory again; it keeps what `max_bytes` allows."""
    bench = make_bench(url="sqlite::memory:")
    bench.proxy.exchange(1)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    bench.applier.compact()
    assert len(bench.segments()) == 2
    bench.crash()
    bench.apply()
    assert bench.counters.get("written") == 4
    assert bench.counters.get("frames_gone") == 0


def test_a_database_in_memory_lets_the_oldest_segments_go(
    make_bench: MakeBench, tmp_path: Path
) -> None:
    """Where its segments take too much, the oldest ones that are applied go."""
    folder = tmp_path / "journals"
    bench = make_bench(f"journal: {{path: {folder}, max_bytes: 1048576}}\n", url="sqlite::memory:")
    for key in range(1, 10):
        bench.proxy.exchange(key, request=b'{"model":"m","input":"' + b"x" * 100_000 + b'"}')
        bench.proxy.writer.rotate()
        bench.apply()
        bench.applier.compact()
    assert 6 <= len(bench.segments()) <= 8
    assert bench.proxy.directory.bytes_on_disk() <= 1048576


def test_frames_that_can_not_be_read_are_counted(bench: Bench) -> None:
    """A frame whose head is of another version costs its exchange, and nothing else."""
    bench.proxy.writer.append(FrameKind.END, 1, b"\xc1", [b"?"])
    bench.proxy.exchange(2)
    bench.apply()
    assert list(bench.states()) == [id_of(2)]
    assert bench.counters.get("dropped.damaged") == 1


def test_a_frame_that_nobody_thought_of_is_counted(bench: Bench, monkeypatch) -> None:
    """An error of our own costs one exchange; what follows is applied."""
    from response_store.ingest.record_builder import RecordBuilder

    build = RecordBuilder.build

    def fail_once(self, draft):
        if draft.request.body and b"question 1" in draft.request.body:
            raise ZeroDivisionError
        return build(self, draft)

    monkeypatch.setattr(RecordBuilder, "build", fail_once)
    bench.proxy.exchange(1)
    bench.proxy.exchange(2)
    bench.apply()
    assert list(bench.states()) == [id_of(2)]
    assert bench.counters.get("dropped.failed") == 1


def test_a_frame_that_does_not_fit_into_memory_is_tried_again(bench: Bench, monkeypatch) -> None:
    """Without memory all is read again later; after some attempts the frame is kept aside."""
    from response_store.ingest.record_builder import RecordBuilder

    build = RecordBuilder.build
    attempts = []

    def starve(self, draft):
        if draft.request.body and b"question 2" in draft.request.body:
            attempts.append(1)
            raise MemoryError
        return build(self, draft)

    monkeypatch.setattr(RecordBuilder, "build", starve)
    for key in (1, 2, 3):
        bench.proxy.exchange(key)
    for _ in range(4):
        with pytest.raises(TransientStoreError, match="memory"):
            bench.apply()
    bench.apply()
    assert set(bench.states()) == {id_of(1), id_of(3)}
    assert bench.counters.get("dropped.memory") == 1
    (kept,) = (bench.proxy.directory.path.parent / "damaged").iterdir()
    assert b"question 2" in kept.read_bytes()
    assert len(attempts) == 5


def test_many_exchanges_are_written_in_bounded_batches(bench: Bench) -> None:
    """A batch holds at most 256 records, and they are written in order."""
    batches = []
    bench.store.open()
    write = bench.store.write
    bench.store.write = lambda changes, checkpoint=None: (
        batches.append(len(changes)) or write(changes, checkpoint)
    )  # fmt: skip
    for key in range(1, 601):
        bench.proxy.exchange(key)
    bench.apply()
    assert max(batches) <= 256
    assert sum(batches) == 600
    assert [item.seq for item in bench.written] == list(range(1, 601))


def test_an_amended_end_replaces_the_first(bench: Bench) -> None:
    """A second end of an exchange, which says all of it, is what its row says then."""
    streaming(bench, 1)
    end_stream(bench, 1)
    bench.apply()
    body = stream_start(1) + stream_end(1, incomplete_details=None)
    bench.proxy.end(1, whole=True, body=body, answer=answer_head("sse", is_terminated=True))
    bench.apply()
    assert bench.states() == {id_of(1): "completed"}
    assert bench.rows("SELECT count(*) FROM openai_responses") == [(1,)]


def test_what_an_open_exchange_needs_is_carried_out_of_an_idle_segment(bench: Bench) -> None:
    """A segment of which little is needed is emptied; the exchange ends as if nothing was."""
    streaming(bench, 1)
    for key in range(10, 20):
        bench.proxy.exchange(key)
    bench.apply()
    assert bench.applier.is_main_idle()
    bench.proxy.writer.rotate()
    bench.applier.drop_main(bench.proxy.writer.last_seq)
    assert [name[0] for name in bench.segments()] == ["c"]
    bench.applier.drop_cleaned()
    assert [name[0] for name in bench.segments()] == ["c"]
    bench.crash()
    end_stream(bench, 1)
    bench.apply()
    assert bench.states()[id_of(1)] == "completed"
    assert not bench.rows("SELECT 1 FROM openai_exchanges WHERE request_body IS NULL")


def test_a_segment_that_is_needed_is_not_idle(bench: Bench) -> None:
    """A stream that lasts does not get a segment for each of its pieces."""
    streaming(bench, 1)
    bench.apply()
    assert not bench.applier.is_main_idle()


def test_frames_that_were_carried_are_read_where_they_lie_now(bench: Bench) -> None:
    """An exchange ends in the process that has carried its beginning away."""
    streaming(bench, 1)
    for key in range(10, 30):
        bench.proxy.exchange(key)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    bench.applier.compact()
    end_stream(bench, 1)
    bench.apply()
    assert bench.states()[id_of(1)] == "completed"
    assert bench.counters.get("dropped.damaged") == 0


def test_gaps_before_the_position_mean_nothing(bench: Bench) -> None:
    """What was applied and dropped is not waited for by the next process."""
    bench.proxy.exchange(1)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    bench.applier.compact()
    bench.crash()
    bench.outstanding = {1}
    bench.proxy.exchange(3)
    bench.apply()
    assert len(bench.states()) == 3


def test_a_journal_that_could_not_be_removed_has_lost_nothing(bench: Bench, monkeypatch) -> None:
    """Killed before its folder goes, a finished journal is no database that lacks frames."""
    bench.proxy.exchange(1)
    with monkeypatch.context() as patch:
        patch.setattr(bench.proxy.directory, "remove", lambda: False)
        assert not bench.end()
    bench.crash()
    bench.applier.lose_owner()
    bench.apply()
    assert bench.counters.get("frames_gone") == 0
    assert bench.applier.finish()


def test_a_stop_is_kept_as_long_as_what_it_interrupted(bench: Bench) -> None:
    """What was interrupted, and deleted then, is not interrupted again by the next process."""
    streaming(bench, 1)
    bench.proxy.writer.rotate()
    bench.proxy.stop()
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    bench.applier.compact()
    bench.execute("DELETE FROM openai_exchanges")
    bench.crash()
    bench.applier.lose_owner()
    bench.apply()
    assert not bench.applier.has_open
    assert bench.states() == {}


def test_part_of_a_batch_moves_the_position_so_far(bench: Bench) -> None:
    """Killed between two parts of a batch, the next process goes on behind the first."""
    bench.store.open()
    write = bench.store.write
    calls = []

    def fail(changes, checkpoint=None):
        calls.append(len(changes))
        if len(calls) in (1, 3):
            raise TransientStoreError("slow")
        write(changes, checkpoint)

    bench.store.write = fail
    for key in range(1, 101):
        bench.proxy.exchange(key)
    for _ in range(2):
        with pytest.raises(TransientStoreError):
            bench.apply()
    assert calls == [100, 50, 50]
    assert bench.store.position(bench.proxy.directory.journal_id) == 50
    bench.execute("DELETE FROM openai_exchanges")
    bench.crash()
    bench.apply()
    assert set(bench.states()) == {id_of(key) for key in range(51, 101)}


def test_a_cleaned_frame_that_still_waits_is_not_dropped(bench: Bench) -> None:
    """What lies behind a gap stays, however quiet the journal is."""
    bench.proxy.exchange(1)
    bench.outstanding = {bench.proxy.writer.next_seq()}
    bench.clean(3)
    bench.apply()
    bench.applier.drop_cleaned()
    bench.outstanding = set()
    bench.apply()
    assert set(bench.states()) == {id_of(1), id_of(3)}


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("ours")])
def test_an_error_while_a_segment_is_opened_skips_no_frame(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """All is read again: what stands in the next segment does not overtake it."""
    bench.proxy.exchange(1)
    bench.apply()
    for key in (2, 3):
        bench.proxy.writer.rotate()
        bench.proxy.exchange(key)
    opening = bench.proxy.directory.open_segment
    errors = [error]

    def fails_once(name: str) -> int:
        if errors:
            raise errors.pop()
        return opening(name)

    monkeypatch.setattr(bench.applier.directory, "open_segment", fails_once)
    with pytest.raises((TransientStoreError, RuntimeError)):
        bench.apply()
    bench.apply()
    assert bench.states() == {id_of(key): "completed" for key in (1, 2, 3)}


def test_an_error_while_segments_are_dropped_loses_no_open_exchange(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was carried is found where it lies now, although nobody was there to note that."""
    streaming(bench, 1)
    for key in range(10, 30):
        bench.proxy.exchange(key)
    bench.proxy.writer.rotate()
    bench.proxy.exchange(2)
    bench.apply()
    first = bench.segments()[0]
    listing = bench.applier.directory.segments

    def fails_once_it_is_gone() -> list[SegmentEntry]:
        segments = listing()
        if first not in [segment.name for segment in segments]:
            monkeypatch.undo()
            raise OSError(24, "Too many open files")
        return segments

    monkeypatch.setattr(bench.applier.directory, "segments", fails_once_it_is_gone)
    with pytest.raises(TransientStoreError):
        bench.applier.compact()
    end_stream(bench, 1)
    bench.apply()
    assert bench.states()[id_of(1)] == "completed"
    assert bench.counters.get("dropped.damaged") == 0
