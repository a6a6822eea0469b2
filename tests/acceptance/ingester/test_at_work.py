"""The ingester at work: real processes, real files, and a database that fails."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from response_store.backends.base import StorePhase
from response_store.ingest.channel import (
    LATE,
    OK,
    Accepted,
    Announces,
    Log,
    Report,
    Rotate,
    Rotated,
    Void,
    Written,
)
from response_store.journal.frames import FrameKind
from tests.harness.ports import free_port
from tests.unit.ingest.proxy_side import (
    PATIENCE,
    Ingester,
    ProxyJournal,
    answer_head,
    end_frame,
    exchanges,
    id_of,
    make_config,
    response_object,
    rows,
    stream_end,
    stream_start,
)

SECRET = json.dumps(
    {"model": "gpt-5", "input": "hi", "tools": [{"type": "mcp", "authorization": "tok-47114711"}]}
).encode()

SERVER = "ssl_mode: disable\nallow_private_database_url: true\n"


class Pair:
    """A proxy's journal with an ingester, and their database."""

    def __init__(self, tmp_path: Path, text: str = "", url: str | None = None) -> None:
        self.path = tmp_path / "responses.db"
        self.proxy = ProxyJournal(make_config(tmp_path, text, url=url))
        self.ingester = Ingester(self.proxy)

    def again(self, **hello: Any) -> Ingester:
        """Kill the ingester and start another one."""
        self.ingester.close()
        self.ingester = Ingester(self.proxy, **hello)
        return self.ingester

    def flush(self) -> None:
        """Have all that was appended in the database."""
        self.ingester.wake()
        self.ingester.flush()

    def states(self) -> dict[str, str]:
        """Return the state of each exchange."""
        return exchanges(self.path)

    def locked(self) -> closing[sqlite3.Connection]:
        """Return a connection that keeps others from writing until it is closed."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return closing(connection)

    def close(self) -> None:
        """End both."""
        self.ingester.close()
        self.proxy.close()


MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(tmp_path: Path) -> Iterator[MakePair]:
    """Start a proxy's journal and an ingester; both end with the test."""
    pairs: list[Pair] = []

    def make(text: str = "", url: str | None = None) -> Pair:
        pairs.append(Pair(tmp_path, text, url))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


@pytest.fixture
def pair(make_pair: MakePair) -> Pair:
    """A pair whose database is open."""
    pair = make_pair()
    assert pair.ingester.verdict().error is None
    return pair


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def reported(ingester: Ingester, condition: Callable[[Report], object]) -> Report:
    """Return the first report that comes and fulfils a condition."""
    found = ingester.until(lambda each: isinstance(each, Report) and bool(condition(each)))
    assert isinstance(found, Report)
    return found


def test_rows_come_and_are_announced(pair: Pair) -> None:
    """A wake-up brings what was appended into the database, and its rows are announced."""
    pair.proxy.exchange(1)
    pair.ingester.wake()
    written = pair.ingester.until(lambda each: isinstance(each, Written))
    assert isinstance(written, Written)
    [row] = written.rows
    assert (row.flow_id, row.exchange_id, row.response_id) == ("flow-1", id_of(1), "resp_1")
    assert row.line == "completed gpt-5, 3+4 tokens, 250 ms, resp_1"
    assert pair.states() == {id_of(1): "completed"}


def test_nothing_is_announced_to_who_does_not_want_it(pair: Pair) -> None:
    """A proxy that wants no rows gets none; nor are rows of open exchanges announced."""
    pair.proxy.open(1)
    pair.flush()
    pair.ingester.send(Announces(False))
    pair.flush()  # it is in force now
    pair.proxy.exchange(2)
    pair.flush()
    assert not any(isinstance(each, Written) for each, _ in pair.ingester.messages)


def test_what_may_hold_secrets_is_accepted_and_written(pair: Pair, tmp_path: Path) -> None:
    """A frame in memory is cleaned, accepted and applied; its secret is in no file."""
    seq = pair.ingester.dirty(1, *end_frame(1, alone=True, request=SECRET))
    accepted = pair.ingester.until(lambda each: isinstance(each, Accepted))
    assert accepted == Accepted((seq,))
    pair.ingester.flush()
    assert pair.states() == {id_of(1): "completed"}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"tok-47114711" not in file.read_bytes(), file


def test_it_is_accepted_while_the_database_is_away(pair: Pair) -> None:
    """Frames are cleaned while a statement hangs, and come with the next process."""
    pair.proxy.exchange(1)
    pair.flush()
    with pair.locked():
        pair.proxy.exchange(2)
        pair.ingester.wake()
        reported(pair.ingester, lambda report: (report.busy_for or 0) > 0.1)
        pair.ingester.dirty(3, *end_frame(3, alone=True, request=SECRET))
        pair.ingester.until(lambda each: isinstance(each, Accepted))
        pair.again()
    pair.flush()
    assert set(pair.states()) == {id_of(1), id_of(2), id_of(3)}


def test_a_frame_that_is_sent_again_counts_once(pair: Pair) -> None:
    """Where the answer to a frame was lost, the proxy sends it again, and it is one row."""
    frame = end_frame(1, alone=True, request=SECRET)
    seq = pair.ingester.dirty(1, *frame)
    pair.ingester.until(lambda each: isinstance(each, Accepted))
    pair.again(outstanding=(seq,))
    pair.proxy.writer.last_seq -= 1
    assert pair.ingester.dirty(1, *frame) == seq
    pair.ingester.until(lambda each: isinstance(each, Accepted))
    pair.ingester.flush()
    assert pair.states() == {id_of(1): "completed"}
    assert rows(pair.path, "SELECT count(*) FROM openai_exchanges") == [(1,)]


def test_frames_wait_for_one_that_comes_another_way(pair: Pair) -> None:
    """The order of seqs is kept; a seq that is void holds nothing up."""
    seq = pair.proxy.writer.next_seq()
    pair.proxy.exchange(2)
    pair.ingester.wake()
    time.sleep(0.2)
    assert pair.states() == {}
    pair.ingester.send(Void(seq))
    pair.ingester.flush()
    assert pair.states() == {id_of(2): "completed"}


def test_a_flush_behind_a_void_frame_is_answered(pair: Pair) -> None:
    """Who waits for the last seq is answered, even if no frame of it comes."""
    pair.proxy.exchange(1)
    pair.ingester.send(Void(pair.proxy.writer.next_seq()))
    pair.ingester.flush()
    assert pair.states() == {id_of(1): "completed"}


def test_a_read_sees_what_was_appended_before_it(pair: Pair) -> None:
    """A question that comes behind a frame is answered once that is committed."""
    for key in range(1, 301):
        pair.proxy.exchange(key)
    status = pair.ingester.ask("look", b"\x92\xa6newest\xa3100", after=pair.proxy.writer.last_seq)
    assert status == OK
    assert b"resp_300" in pair.ingester.body
    assert len(pair.states()) == 300


def test_a_read_is_late_while_the_database_hangs(pair: Pair) -> None:
    """At its deadline a question is answered as late, whatever the database does."""
    pair.proxy.exchange(1)
    pair.flush()
    with pair.locked():
        pair.proxy.exchange(2)
        pair.ingester.wake()
        began = time.monotonic()
        status = pair.ingester.ask("ping", after=pair.proxy.writer.last_seq, seconds=0.3)
        assert status == LATE
        assert time.monotonic() - began < 2.0
    pair.flush()


def test_a_database_that_hangs_is_reported_and_recovers(pair: Pair) -> None:
    """Reports go on while a statement hangs, say what fails, and that it is over."""
    pair.proxy.exchange(1)
    pair.flush()
    with pair.locked():
        pair.proxy.exchange(2)
        pair.ingester.wake()
        assert reported(pair.ingester, lambda report: (report.busy_for or 0) > 0.2)
        waiting = reported(pair.ingester, lambda report: report.phase == StorePhase.WAITING)
        assert waiting.error
        assert waiting.failures > 0
        assert waiting.lag_seconds > 0
    ready = reported(pair.ingester, lambda report: report.phase == StorePhase.READY)
    assert ready.error is None
    pair.flush()
    assert set(pair.states()) == {id_of(1), id_of(2)}
    if "store.failed" not in pair.ingester.counters:
        reported(pair.ingester, lambda _: "store.failed" in pair.ingester.counters)
    assert any(isinstance(each, Log) for each, _ in pair.ingester.messages)


def test_what_waits_is_measured_while_the_database_is_away(
    make_pair: MakePair, tmp_path: Path
) -> None:
    """Reports say how large the journal is, from the start on: the proxy bounds it by that."""
    (tmp_path / "responses.db").write_bytes(b"this is no database" * 100)
    pair = make_pair()
    pair.ingester.verdict()
    for key in (1, 2, 3):
        pair.proxy.exchange(key)
        pair.ingester.wake()
        size = pair.proxy.directory.bytes_on_disk()
        assert reported(pair.ingester, lambda report, size=size: report.bytes_on_disk == size)


def test_an_outage_from_the_start_on_is_said_once(make_pair: MakePair) -> None:
    """Attempts that fail for the same reason make one line in the log."""
    pair = make_pair(SERVER, f"postgres://recorder@127.0.0.1:{free_port()}/nowhere")
    assert pair.ingester.verdict().error is None
    reported(pair.ingester, lambda report: report.failures >= 4)
    lines = [each.text for each, _ in pair.ingester.messages if isinstance(each, Log)]
    assert len([line for line in lines if "records wait, attempts go on" in line]) == 1


def test_rows_are_announced_before_their_commit_is_reported(make_pair: MakePair) -> None:
    """Who waits for a commit has its rows by then."""
    pair = make_pair("acknowledge: database\n")
    pair.ingester.verdict()
    for key in range(1, 31):
        seq = pair.proxy.exchange(key).seq or 0
        pair.ingester.wake()
        reported(pair.ingester, lambda report, seq=seq: report.committed >= seq)
        announced = [each for each, _ in pair.ingester.messages if isinstance(each, Written)]
        assert announced[-1].rows[-1].exchange_id == id_of(key)


def test_a_database_that_can_not_work_is_the_verdict(make_pair: MakePair, tmp_path: Path) -> None:
    """What somebody has to fix is said at once; once it is fixed everything is applied."""
    (tmp_path / "responses.db").write_bytes(b"this is no database" * 100)
    pair = make_pair()
    verdict = pair.ingester.verdict()
    assert verdict.permanent
    assert verdict.error
    pair.proxy.exchange(1)
    pair.ingester.wake()
    reported(pair.ingester, lambda report: report.phase == StorePhase.FAILED)
    pair.path.unlink()
    pair.flush()
    assert pair.states() == {id_of(1): "completed"}


def test_a_killed_ingester_is_replaced_by_the_next(pair: Pair) -> None:
    """Killed in the middle of a stream, the next process goes on where it was."""
    pair.proxy.open(1)
    pair.proxy.part(1, stream_start(1), first=True)
    pair.flush()
    pair.again()
    answer = answer_head("sse", is_terminated=True)
    pair.proxy.end(1, body=stream_end(1), answer=answer, by="terminal_event")
    pair.flush()
    assert pair.states() == {id_of(1): "completed"}


def test_the_end_of_the_proxy_is_the_end_of_the_journal(pair: Pair) -> None:
    """What was appended is applied, what is open is interrupted, and the folder goes."""
    pair.proxy.open(1)
    pair.proxy.exchange(2)
    pair.proxy.close()
    pair.ingester.leave()
    assert pair.ingester.wait() == 0
    assert pair.states() == {id_of(1): "interrupted", id_of(2): "completed"}
    assert not pair.proxy.directory.path.exists()


def test_a_proxy_that_left_may_still_append(pair: Pair) -> None:
    """As long as the journal has an owner it is applied, also without a channel."""
    pair.proxy.open(1)
    pair.ingester.leave()
    time.sleep(0.2)
    pair.proxy.end(1)
    eventually(lambda: pair.states() == {id_of(1): "completed"})
    assert pair.ingester.process.poll() is None
    pair.proxy.close()
    assert pair.ingester.wait() == 0
    assert not pair.proxy.directory.path.exists()


def test_a_channel_that_breaks_ends_the_process(pair: Pair) -> None:
    """Where the proxy lives on without a channel the process ends: the proxy starts another one."""
    pair.proxy.open(1)
    pair.flush()
    pair.ingester.leave()
    assert pair.ingester.wait() == 1
    assert pair.ingester.log.read_text().splitlines()[-1].startswith("ChannelError")
    assert pair.states() == {id_of(1): "open"}


def test_a_gap_does_not_outlive_the_proxy(pair: Pair) -> None:
    """What the proxy did not append before it ended is not waited for."""
    pair.proxy.writer.next_seq()
    pair.proxy.exchange(2)
    pair.proxy.close()
    pair.ingester.leave()
    assert pair.ingester.wait() == 0
    assert pair.states() == {id_of(2): "completed"}


def test_a_database_that_can_not_work_leaves_the_journal(
    make_pair: MakePair, tmp_path: Path
) -> None:
    """The process ends, and the next start finds everything."""
    (tmp_path / "responses.db").write_bytes(b"this is no database" * 100)
    pair = make_pair()
    pair.ingester.verdict()
    pair.proxy.exchange(1)
    pair.proxy.close()
    pair.ingester.leave()
    assert pair.ingester.wait() == 0
    assert pair.proxy.directory.path.exists()
    pair.path.unlink()
    later = make_pair()
    later.ingester.verdict()
    eventually(lambda: later.states() == {id_of(1): "completed"})
    eventually(lambda: not pair.proxy.directory.path.exists())


def test_an_empty_journal_goes_whatever_the_database_does(
    make_pair: MakePair, tmp_path: Path
) -> None:
    """Nothing stays of a proxy that has kept nothing."""
    (tmp_path / "responses.db").write_bytes(b"this is no database" * 100)
    pair = make_pair()
    pair.ingester.verdict()
    pair.proxy.close()
    pair.ingester.leave()
    assert pair.ingester.wait() == 0
    assert not pair.proxy.directory.path.exists()


def test_a_quiet_journal_is_emptied(pair: Pair) -> None:
    """After a second without traffic the proxy is asked for a new segment, and nothing stays."""
    pair.proxy.exchange(1)
    pair.ingester.dirty(2, *end_frame(2, alone=True, request=SECRET))
    pair.flush()
    rotate = pair.ingester.until(lambda each: isinstance(each, Rotate))
    assert rotate == Rotate(pair.proxy.writer.last_seq)
    pair.proxy.writer.rotate()
    pair.ingester.send(Rotated(2))
    eventually(lambda: pair.proxy.directory.segments() == [])
    pair.proxy.exchange(3)
    pair.flush()
    assert len(pair.states()) == 3


def test_a_copy_of_a_quiet_database_is_whole(pair: Pair, tmp_path: Path) -> None:
    """A second after the last row the file alone has everything."""
    pair.proxy.exchange(1)
    pair.flush()

    def is_whole() -> bool:
        (tmp_path / "copy.db").write_bytes(pair.path.read_bytes())
        try:
            return len(exchanges(tmp_path / "copy.db")) == 1
        except sqlite3.Error:
            return False

    eventually(is_whole)


def test_what_is_written_can_be_searched(pair: Pair) -> None:
    """The index is brought up to date in quiet moments."""
    pair.proxy.exchange(1)
    pair.flush()

    def indexed() -> bool:
        try:
            return rows(pair.path, "SELECT count(*) FROM openai_exchanges_search") == [(1,)]
        except sqlite3.OperationalError:
            return False

    eventually(indexed)


def test_orphans_are_applied_beside_the_own_journal(make_pair: MakePair, tmp_path: Path) -> None:
    """What another proxy has left behind comes into the database with the next start."""
    orphan = ProxyJournal(make_config(tmp_path))
    for key in range(100, 400):
        orphan.exchange(key)
    orphan.open(400)
    orphan.close()
    pair = make_pair()
    pair.proxy.exchange(1)
    pair.flush()
    eventually(lambda: not orphan.directory.path.exists())
    states = pair.states()
    assert len(states) == 302
    assert states[id_of(400)] == "interrupted"
    assert pair.proxy.directory.path.exists()


def test_a_database_in_memory_is_filled_again(make_pair: MakePair) -> None:
    """A new process fills a database in memory from the journal; with the proxy all goes."""
    pair = make_pair(url="sqlite::memory:")
    pair.ingester.verdict()
    pair.proxy.exchange(1)
    pair.flush()
    pair.again()
    pair.proxy.exchange(2)
    pair.flush()
    if pair.ingester.counters.get("written") != 2:
        reported(pair.ingester, lambda _: pair.ingester.counters.get("written") == 2)
    pair.proxy.close()
    pair.ingester.leave()
    assert pair.ingester.wait() == 0
    assert not pair.proxy.directory.path.exists()


def test_a_commit_is_reported_at_once_to_who_waits_for_it(make_pair: MakePair) -> None:
    """With `acknowledge: database` no report waits for the next one."""
    pair = make_pair("acknowledge: database\n")
    pair.ingester.verdict()
    delays = []
    for key in range(1, 21):
        began = time.monotonic()
        pair.proxy.exchange(key, body=json.dumps(response_object(key)).encode())
        pair.ingester.wake()
        reported(pair.ingester, lambda report, key=key: report.committed >= key)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[10] < 0.04


def test_large_bodies_pass(pair: Pair) -> None:
    """Frames of megabytes, in a file or over the channel, become rows like others."""
    large = b'{"model":"gpt-5","input":"' + b"x" * 5_000_000 + b'"}'
    pair.proxy.exchange(1, request=large)
    eventually(lambda: pair.proxy.writer.outstanding == [])
    pair.ingester.dirty(2, *end_frame(2, alone=True, request=large), kind=FrameKind.END)
    pair.flush()
    assert len(pair.states()) == 2
    sizes = rows(pair.path, "SELECT length(input) FROM openai_responses")
    assert all(size > 5_000_000 for (size,) in sizes)
