"""A session: what it says, what it waits for, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from response_store.config import Config
from response_store.diagnostics import Counters
from response_store.errors import StoreError
from response_store.ingest.channel import (
    GONE,
    OK,
    Accepted,
    Dirty,
    Flush,
    Hello,
    Question,
    ReplyMessage,
    Report,
    Rotate,
    Verdict,
    Wake,
    Written,
)
from response_store.journal.errors import JournalProblem
from response_store.model.records import EndedBy, WrittenRow
from response_store.resources import find_script
from response_store.session import CLOSE_WAIT, Session
from tests.unit.ingester_double import Ingester, until
from tests.unit.sessions import Processes, begin, config_of, end, exchange, session_of

CREDENTIAL = (
    b'{"model":"gpt-5","input":"Hi","tools":[{"type":"mcp","authorization":"c4n4ry-of-a-secret"}]}'
)
ROW = WrittenRow("flow", 0, "completed gpt-5, resp_1", "e-1", "resp_1", "completed")


@pytest.fixture
async def processes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ingesters in the hands of the test."""
    made = Processes(monkeypatch)
    yield made
    made.close()


@pytest.fixture
async def session(tmp_path: Path, processes: Processes) -> Any:
    """A session that is started, with such an ingester."""
    made = session_of(config_of(tmp_path))
    made.start()
    yield made
    made.close()


@pytest.fixture
async def ingester(session: Session, processes: Processes) -> Ingester:
    """Its ingester, which has been greeted."""
    ingester = processes.started[0]
    message, _ = ingester.receive()
    assert isinstance(message, Hello)
    return ingester


async def reported(session: Session, ingester: Ingester, **how: Any) -> None:
    """The ingester reports."""
    usual: dict[str, Any] = {"applied": 0, "committed": 0, "phase": "ready"}
    before = session.ingester.reported_at
    ingester.send(Report(**usual | how))
    await until(lambda: session.ingester.reported_at != before)


def next_of(ingester: Ingester, kind: type) -> Any:
    """The next message of a kind; those before it are passed over."""
    while True:
        message, _ = ingester.receive()
        if isinstance(message, kind):
            return message


# Starting


async def test_a_journal_that_can_not_be_made(tmp_path: Path) -> None:
    """That is said, with the setting that names the folder."""
    (tmp_path / "file").write_text("")
    config = config_of(tmp_path, f"journal: {{path: {tmp_path / 'file'}}}\n")
    with pytest.raises(StoreError, match=r"journal\.path"):
        session_of(config)


async def test_the_journal_is_ours(session: Session) -> None:
    """It is owned from the first moment on, and its id is in every row."""
    assert session.directory.is_owned()
    assert session.recorder_id == session.directory.path.name
    assert session.describe().endswith("store.yaml")
    assert "(durability process, acknowledge journal, on store failure continue)" in (
        session.describe()
    )


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(), None),
        (Verdict("no rights: grant them", permanent=True), "no rights: grant them"),
        (Verdict("away"), None),
    ],
)
async def test_the_verdict(
    session: Session, ingester: Ingester, verdict: Verdict, said: str | None
) -> None:
    """Only what somebody has to fix keeps mitmproxy from starting."""
    assert not session.has_verdict
    ingester.send(verdict)
    assert session.wait_for_verdict(5.0) == said
    assert (session.has_verdict, session.verdict) == (True, said)


async def test_no_verdict_in_time(session: Session, ingester: Ingester) -> None:
    """A database that takes its time is waited for a moment; traffic passes then."""
    began = time.monotonic()
    assert session.wait_for_verdict(0.05) is None
    assert 0.04 < time.monotonic() - began < CLOSE_WAIT
    assert not session.has_verdict


# What stands


async def test_how_far_it_is(session: Session, ingester: Ingester) -> None:
    """Frames that are not committed are counted, whichever way they go."""
    await reported(session, ingester)
    assert (session.is_written(), session.waiting(), session.lag[0]) == (True, 0, 0)
    exchange(session, "one")
    exchange(session, "two", body=CREDENTIAL)
    assert (session.is_written(), session.waiting(), session.lag[0]) == (False, 2, 2)
    assert session.lag[1] > 0
    assert session.waiting_in_memory == 1
    await reported(session, ingester, applied=2, committed=2)
    assert not session.is_written()  # one is not accepted, as far as is known
    ingester.send(Accepted((2,)))
    await until(session.is_written)
    assert (session.waiting(), session.lag, session.committed) == (0, (0, 0), 2)


@pytest.mark.parametrize(
    ("report", "pause"),
    [
        ({}, None),
        ({"busy_for": 0.5}, None),
        ({"busy_for": 5.0}, 0.1),
        ({"phase": "retrying", "retry_in": 2.5}, 2.5),
    ],
)
async def test_whether_the_database_answers(
    session: Session, ingester: Ingester, report: Any, pause: float | None
) -> None:
    """It does while it is open and no statement hangs."""
    assert session.unavailable_for() is None  # nothing is known yet
    await reported(session, ingester, **report)
    assert session.unavailable_for() == pause
    assert session.database_answers is (pause is None)


async def test_a_journal_that_fails(session: Session, ingester: Ingester) -> None:
    """It is said with its words, and nobody counts on it."""
    await reported(session, ingester)
    assert not session.is_failing
    session.writer._problem = JournalProblem("unwritable", "journal x can't be written (no space)")
    assert session.is_failing
    assert session.unavailable_for() == 0.1
    assert "journal x can't be written (no space)\n" in session.status()


async def test_status(session: Session, ingester: Ingester) -> None:
    """All that a user may want to know, a line each."""
    begin(session)
    assert "opening" in session.status()
    await reported(
        session,
        ingester,
        phase="retrying",
        error="SQLite x is locked",
        failures=3,
        retry_in=1.5,
        dead_letters=2,
        dead_letter_bytes=77,
        lag_seconds=4.2,
        counters={"written": 5},
    )
    exchange(session, "private", body=CREDENTIAL)
    status = session.status()
    for part in (
        f"store: SQLite {session.config.database.describe()}, retrying",
        "last error: SQLite x is locked",
        "attempts: 3 failed in a row, the next in 1.5 s",
        "ingester: running",
        f"journal: {session.directory.path}, ready",
        "journal holds: 0 bytes, at most 1073741824",
        "not in the database yet: 1 frames, the oldest for 4.2 s",
        "waiting for the journal: 0 frames",
        "waiting to be cleaned: 1 frames, ",
        "dead letters: 2 records, 77 bytes",
        "open exchanges: 1",
        "written: 5",
    ):
        assert part in status
    ingester.exit(-9)
    await until(lambda: session.ingester.restarts)
    assert "not running, started again 1 times, it has ended (signal 9)" in session.status()


# Questions


async def test_questions_come_behind_what_was_captured(
    session: Session, ingester: Ingester
) -> None:
    """Each carries the last frame; the reply is that of the ingester."""
    exchange(session)
    asked = session.ask("serve", b"what", 1.5)
    assert next_of(ingester, Question) == Question(1, 1, 1.5, "serve", b"what")
    ingester.send(ReplyMessage(1, OK), body=b"this")
    answered = await asyncio.wait_for(asked, 5.0)
    assert (answered.status, answered.body) == (OK, b"this")
    flushed = session.flushed()
    assert next_of(ingester, Flush) == Flush(2, 1)
    ingester.exit()
    assert (await asyncio.wait_for(flushed, 5.0)).status == GONE


async def test_a_reply_that_nobody_waits_for(session: Session, ingester: Ingester) -> None:
    """Whoever asked may have gone meanwhile."""
    asked = session.ask("serve", b"", 1.5)
    asked.cancel()
    ingester.send(ReplyMessage(1, OK))
    await reported(session, ingester)
    assert "fault.ingester" not in session.counters.snapshot()


@pytest.mark.parametrize("redact", ["redact: common\n", ""])
async def test_deleting(tmp_path: Path, processes: Processes, redact: str) -> None:
    """It is done once the database has it."""
    session = session_of(config_of(tmp_path, redact))
    session.start()
    ingester = processes.started[0]
    deleting = asyncio.ensure_future(session.delete("t1", "resp_1", 5.0))
    await asyncio.sleep(0)
    flush = next_of(ingester, Flush)
    assert flush.after == 1
    if redact:
        ingester.send(Accepted((1,)))
    ingester.send(ReplyMessage(flush.id, OK))
    assert await deleting
    assert bool(session.directory.bytes_on_disk()) is not bool(redact)
    session.close()


async def test_a_deletion_that_is_in_memory_alone(session: Session, ingester: Ingester) -> None:
    """A journal that takes nothing has not taken it, whatever is in the database."""
    exchange(session, body=b"x" * 1640)
    session.writer._max_bytes, session.writer._room = session.directory.bytes_on_disk(), 0
    deleting = asyncio.ensure_future(session.delete("t1", "resp_1", 5.0))
    await asyncio.sleep(0)
    assert session.writer.waiting == 1
    ingester.send(ReplyMessage(next_of(ingester, Flush).id, OK))
    assert not await deleting


async def test_a_deletion_that_takes_too_long(session: Session, ingester: Ingester) -> None:
    """It is not said to be done."""
    assert not await session.delete("t1", "resp_1", 0.02)
    ingester.exit()
    await until(lambda: not session.ingester.is_running)
    assert not await session.delete("t1", "resp_1", 5.0)


# What happens


async def test_written_rows(
    tmp_path: Path, processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    """They are lines of the log and marks on flows; an error of a mark's harms nothing."""
    seen: list[WrittenRow] = []

    def watch(row: WrittenRow) -> None:
        seen.append(row)
        raise ValueError

    session = session_of(config_of(tmp_path), watch=watch)
    session.start()
    ingester = processes.started[0]
    assert next_of(ingester, Hello).announces
    with caplog.at_level(logging.INFO):
        ingester.send(Written((ROW, ROW)))
        await until(lambda: len(seen) == 2)
    assert [record.getMessage() for record in caplog.records][:1] == [
        "response_store: completed gpt-5, resp_1"
    ]
    assert session.counters.get("fault.watch") == 2
    session.close()


async def test_quiet(
    tmp_path: Path, processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no line is to be seen none is asked for."""
    session = session_of(config_of(tmp_path), announces=lambda: False)
    session.start()
    ingester = processes.started[0]
    assert not next_of(ingester, Hello).announces
    with caplog.at_level(logging.INFO):
        ingester.send(Written((ROW,)))
        await reported(session, ingester)
    assert caplog.records == []
    session.close()


async def test_a_new_segment(session: Session, ingester: Ingester) -> None:
    """One is begun where nothing came since the ingester asked for it."""
    exchange(session, "one")
    ingester.send(Rotate(0))
    await reported(session, ingester)
    exchange(session, "two")
    assert len(session.directory.segments()) == 1
    ingester.send(Rotate(2))
    await reported(session, ingester)
    exchange(session, "three")
    assert len(session.directory.segments()) == 2


async def test_room_in_a_full_journal(session: Session, ingester: Ingester) -> None:
    """What waited in memory is written once segments are dropped, and the ingester woken."""
    session.writer._max_bytes = 2000
    exchange(session, "one", body=b"x" * 1500)
    await asyncio.to_thread(next_of, ingester, Wake)
    exchange(session, "two")
    assert session.is_failing
    await asyncio.to_thread(next_of, ingester, Wake)
    session.directory.discard_segments()
    await reported(session, ingester, applied=1, committed=1)
    await until(lambda: not session.writer.waiting)
    assert not session.is_failing
    await asyncio.to_thread(next_of, ingester, Wake)
    assert session.writer.last_seq == 2


async def test_commits_are_waited_for(tmp_path: Path, processes: Processes) -> None:
    """With `acknowledge: database` an end waits for a report of its commit, or of an outage."""
    session = session_of(config_of(tmp_path, "acknowledge: database\ncompletion_wait_ms: 5000\n"))
    session.start()
    ingester = processes.started[0]
    await reported(session, ingester)
    for number, report in enumerate([{"committed": 1}, {"phase": "retrying"}], 1):
        live = begin(session, f"{number}")
        session.recorder.finish(f"{number}", EndedBy.BODY)
        waits = session.recorder.acknowledged(live)
        assert waits is not None
        waiting = asyncio.ensure_future(waits)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await reported(session, ingester, **report)
        await asyncio.wait_for(waiting, 1.0)
    session.close()


# Ending


async def test_stopping(session: Session, ingester: Ingester) -> None:
    """What is open is interrupted, and all that is acknowledged is applied first."""
    await reported(session, ingester, counters={"written": 4, "dropped.damaged": 1})
    begin(session)
    exchange(session, "other")

    def apply() -> None:
        flush = next_of(ingester, Flush)
        ingester.send(ReplyMessage(flush.id, OK))
        time.sleep(0.05)  # reports are rare; this one has the counts
        ingester.send(Report(flush.after, flush.after, "ready", counters={"written": 2}))

    applying = asyncio.ensure_future(asyncio.to_thread(apply))
    await asyncio.sleep(0.01)
    closing_ = session.stop()
    await applying
    assert (closing_.written, closing_.lost, closing_.interrupted) == (6, 1, 1)
    assert closing_.remaining is None
    assert session.recorder.has_stopped
    exchange(session, "late")  # live traffic may go on
    assert not session.is_written()


async def test_stopping_without_an_ingester(session: Session, ingester: Ingester) -> None:
    """Nobody is waited for who is not there."""
    exchange(session)
    ingester.exit()
    await until(lambda: not session.ingester.is_running)
    began = time.monotonic()
    closing_ = session.stop()
    assert time.monotonic() - began < CLOSE_WAIT
    assert closing_.remaining is not None


async def test_stopping_in_an_outage(session: Session, ingester: Ingester) -> None:
    """It is bounded, and what remains is said: in the journal, or in memory alone."""
    exchange(session, "one")
    exchange(session, "private", body=CREDENTIAL)
    began = time.monotonic()
    closing_ = session.stop(0.1)
    assert 0.09 < time.monotonic() - began < 2.0
    assert closing_.remaining is not None
    in_journal, in_memory = closing_.remaining.split(", 1 ")
    assert in_journal.startswith("1 frames, ")
    assert in_journal.endswith(" bytes stay in the journal for the next start")
    assert in_memory == "frames are in memory alone, and lost with this process"


async def test_a_reader_of_files_waits_while_there_is_progress(
    session: Session, ingester: Ingester
) -> None:
    """It goes on as long as something is applied within its patience."""
    for number in range(6):
        exchange(session, f"{number}")
    flush: Flush | None = None

    def apply() -> None:
        flush = next_of(ingester, Flush)
        for number in range(1, 5):
            time.sleep(0.1)
            ingester.send(Report(number, number, "ready"))
        assert flush is not None

    applying = asyncio.ensure_future(asyncio.to_thread(apply))
    await asyncio.sleep(0.01)
    began = time.monotonic()
    closing_ = session.stop(0.01, 0.25)
    assert 0.5 < time.monotonic() - began < 2.0
    assert session.committed == 4
    assert closing_.remaining is not None
    assert closing_.remaining.startswith("2 frames")
    await applying
    assert flush is None


async def test_retiring(session: Session, ingester: Ingester) -> None:
    """A session that is not needed any more ends once nothing of it is in flight."""
    live = begin(session)
    session.retire()
    assert not session.is_closed
    session.recorder.feed(live, b"data: {}\n\n")
    session.recorder.finish("flow", EndedBy.BODY)
    session.close_if_done()
    assert session.is_closed
    assert not session.directory.is_owned()
    with pytest.raises(EOFError):
        next_of(ingester, Question)


async def test_retiring_with_frames_in_memory(session: Session, ingester: Ingester) -> None:
    """What only this process has is not left behind; it ends by itself once that is accepted."""
    exchange(session, body=CREDENTIAL)
    session.retire()
    assert not session.is_closed
    await asyncio.sleep(0.15)
    assert not session.is_closed
    assert next_of(ingester, Dirty).seq == 1
    ingester.send(Accepted((1,)))
    await until(lambda: session.is_closed)


async def test_retiring_with_a_large_body(session: Session, ingester: Ingester) -> None:
    """Nor does the loop wait for the worker."""
    exchange(session, body=b"x" * (8 << 20))
    session.retire()
    assert not session.is_closed  # which closes as soon as the worker is done
    await until(lambda: session.is_closed)
    assert session.directory.bytes_on_disk() > 8 << 20


async def test_closing(session: Session, ingester: Ingester) -> None:
    """The journal stays for whoever applies it, without an owner."""
    exchange(session)
    for _ in range(2):
        session.close()
    assert session.is_closed
    assert not session.directory.is_owned()
    assert session.directory.bytes_on_disk() > 0


# With a real ingester


def rows(config: Config) -> list[tuple[str, str, str]]:
    """Response, state and the journal of every row."""
    path = config.database.path  # type: ignore[union-attr]
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT response_id, state, recorder_id FROM openai_exchanges ORDER BY started_at"
        ).fetchall()


def texts_in(folder: Path) -> list[bytes]:
    """What every file in a folder holds."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def real(tmp_path: Path) -> Any:
    """A session with an ingester of its own."""
    made = session_of(config_of(tmp_path))
    made.start()
    assert made.wait_for_verdict() is None
    yield made
    await end(made)


async def test_to_the_database(real: Session, tmp_path: Path) -> None:
    """Every exchange is a row, whichever way its frames took; nothing of the journal is left."""
    exchange(real, "plain")
    exchange(real, "private", body=CREDENTIAL)
    exchange(real, "large", body=b'{"model":"gpt-5","input":"' + b"x" * (3 << 20) + b'"}')
    live = begin(real, "lasts")
    await asyncio.sleep(0.3)
    real.recorder.feed(live, b'data: {"type":"response.in_progress"}\n\n')
    await asyncio.sleep(0.3)
    begin(real, "cut")
    assert (await asyncio.wait_for(real.flushed(), 10.0)).status == OK
    closing_ = real.stop()
    assert (closing_.interrupted, closing_.remaining, closing_.lost) == (2, None, 0)
    found = {(response, state) for response, state, _ in rows(real.config)}
    assert found == {(f"resp_{name}", "completed") for name in ("plain", "private", "large")} | {
        (None, "interrupted")
    }
    assert {journal for _, _, journal in rows(real.config)} == {real.recorder_id}
    await end(real)
    assert not real.directory.exists()
    assert not any(b"c4n4ry-of-a-secret" in text for text in texts_in(tmp_path))


async def test_an_ingester_that_is_killed(real: Session) -> None:
    """Traffic goes on, the process is started again, and no row is lost or written twice."""
    exchange(real, "before")
    pid = real.ingester.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for number in range(5):
        exchange(real, f"{number}")
        exchange(real, f"private {number}", body=CREDENTIAL)
    await until(lambda: real.ingester.restarts and real.ingester.is_running, 10.0)
    assert (await asyncio.wait_for(real.flushed(), 20.0)).status == OK
    names = [f"{number}" for number in range(5)]
    expected = {"before", *names, *(f"private {name}" for name in names)}
    found = [response for response, _, _ in rows(real.config)]
    assert sorted(found) == sorted(f"resp_{name}" for name in expected)


async def test_a_deleted_response(real: Session) -> None:
    """It is gone from the database when that is said."""
    exchange(real, "x")
    assert await real.delete("t1", "resp_x", 10.0)
    path = real.config.database.path  # type: ignore[union-attr]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM openai_responses").fetchone() == (0,)


async def test_a_database_that_can_not_be_used(tmp_path: Path) -> None:
    """What is wrong with it is the verdict."""
    (tmp_path / "responses.db").write_bytes(b"this is no database at all" * 100)
    session = session_of(config_of(tmp_path), Counters())
    session.start()
    verdict = session.wait_for_verdict(10.0)
    await end(session)
    assert verdict is not None
    assert "responses.db" in verdict


HEAVY = """
import asyncio, sys
from pathlib import Path
from response_store.config import load_config
from response_store.diagnostics import Counters
from response_store.diagnostics import ErrorReporter
from response_store.session import Session
import response_store.addon

async def main():
    counters = Counters()
    config = load_config(Path(sys.argv[1]), {})
    session = Session(config, counters, ErrorReporter(counters), asyncio.get_running_loop())
    session.start()
    print(session.wait_for_verdict(), session.stop().lost)
    session.close()

asyncio.run(main())
ours = ("backends.sqlite", "backends.postgres", "queries.exchanges", "search", "pruning",
        "ingest.loop", "ingest.server", "ingest.record_builder", "journal.reader", "cli")
print([name for name in sys.modules if name.removeprefix("response_store.").startswith(ours)])
print([name for name in ("sqlite3", "psycopg", "rich", "re2", "click") if name in sys.modules])
"""


def test_what_the_proxy_imports(tmp_path: Path) -> None:
    """A session on SQLite imports nothing that only the ingester needs."""
    config_of(tmp_path)
    path = os.pathsep.join([str(find_script().parent), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run(
        [sys.executable, "-c", HEAVY, str(tmp_path / "store.yaml")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert said.stdout.splitlines()[-3:] == ["None 0", "[]", "[]"]
