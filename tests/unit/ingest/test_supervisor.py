"""The proxy's side of its ingester: what is sent, what comes back, and what follows an exit."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from response_store import __version__
from response_store.backoff import Backoff
from response_store.config import Config, load_config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest import process, supervisor
from response_store.ingest.channel import (
    GONE,
    OK,
    Accepted,
    Announces,
    Dirty,
    Flush,
    Hello,
    IngesterReply,
    Log,
    Question,
    ReplyMessage,
    Report,
    Rotate,
    Rotated,
    Verdict,
    Void,
    Wake,
    Written,
    encode,
)
from response_store.ingest.supervisor import Supervisor
from response_store.ingest.wake_pace import WAKE_DELAY
from response_store.journal.frames import FrameKind
from response_store.model.records import WrittenRow
from response_store.openai_api.credentials import PROCESS_KEY
from tests.harness.work import at_most
from tests.unit.ingester_double import Ingester, until

PAUSE = 0.02
ROW = WrittenRow("flow", 0, "completed gpt-5, resp_1", "e-1", "resp_1", "completed")


class Supervised:
    """A supervisor whose processes are in the hands of the test."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.ingesters: list[Ingester] = []
        self.sequence: tuple[int, list[int]] = (0, [])
        self.written: list[Any] = []
        self.rotated: list[int] = []
        self.reports: list[Report] = []
        self.fails: OSError | None = None
        directory: Any = SimpleNamespace(path=folder)
        self.config: Config = load_config(None, {})
        self.supervisor = Supervisor(
            directory,
            self.config,
            loop=self.loop,
            counters=self.counters,
            errors=ErrorReporter(self.counters),
            sequence=lambda: self.sequence,
            on_written=self.written.append,
            on_rotate=self.rotated.append,
            on_report=self.reports.append,
            backoff=Backoff(first=PAUSE, cap=1.0, jitter=0.0),
            **how,
        )

    def popen(self, command: list[str], **how: Any) -> Ingester:
        """What starts a process."""
        if self.fails is not None:
            raise self.fails
        (fd,) = how["pass_fds"]
        self.ingesters.append(Ingester(fd, command, how))
        return self.ingesters[-1]

    def start(self) -> Ingester:
        """Start the process, and take its first message."""
        self.supervisor.start()
        ingester = self.ingesters[-1]
        message, _ = ingester.receive()
        assert isinstance(message, Hello)
        return ingester

    def send(self, seq: int, body: bytes = b"body") -> Any:
        """Send a frame that may hold secrets."""
        return self.supervisor.send(seq, FrameKind.END, 7, b"head", [body[:2], body[2:]])

    def close(self) -> None:
        """End everything."""
        self.supervisor.close()
        for ingester in self.ingesters:
            ingester.channel.close()


@pytest.fixture
async def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A supervisor; its processes are doubles."""
    made = Supervised(tmp_path)
    monkeypatch.setattr(supervisor.subprocess, "Popen", made.popen)
    yield made
    made.close()


# Starting


async def test_the_first_message(supervised: Supervised) -> None:
    """It says what the process has to know."""
    supervised.sequence = (17, [12, 15])
    supervised.supervisor.start()
    message, body = supervised.ingesters[0].receive()
    assert body == b""
    assert message == Hello(
        __version__,
        str(supervised.supervisor._directory.path),
        supervised.config.to_message(),
        supervised.config.source,
        announces=False,
        last_seq=17,
        outstanding=(12, 15),
        marks_key=PROCESS_KEY,
    )
    assert supervised.supervisor.is_running
    assert supervised.supervisor.pid == 4711


async def test_how_it_is_started(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a session of its own, without secrets, and its errors in a private file."""
    monkeypatch.setenv("RESPONSE_STORE_DATABASE_URL", "postgresql://u:c4n4ry@h/d")
    ingester = supervised.start()
    how = ingester.how
    assert ingester.command[:-2] == process.build_command(0)[:-2]
    assert "c4n4ry" not in repr(how["env"])
    assert "c4n4ry" not in repr(ingester.command)
    assert (how["start_new_session"], how["cwd"]) == (True, "/")
    assert (how["stdin"], how["stdout"]) == (subprocess.DEVNULL, how["stderr"])
    assert (tmp_path / "ingester.log").stat().st_mode & 0o777 == 0o600


async def test_a_linked_log_is_refused(supervised: Supervised, tmp_path: Path) -> None:
    """What somebody has put in the place of the file is not written to."""
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "ingester.log").symlink_to(target)
    supervised.supervisor.start()
    assert supervised.ingesters == []
    assert target.read_text() == "mine"
    assert supervised.counters.get("ingester.restarts") == 1


async def test_it_can_not_be_started(
    supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    """That is said once and tried again with a growing pause; what comes meanwhile waits."""
    supervised.fails = OSError(12, "Cannot allocate memory")
    supervised.supervisor.start()
    assert not supervised.supervisor.is_running
    receipt = supervised.send(1)
    await until(lambda: supervised.counters.get("ingester.restarts") == 3)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "can't be started: Cannot allocate memory" in caplog.text
    assert supervised.supervisor._backoff.attempts == 3
    supervised.fails = None
    await until(lambda: supervised.ingesters)
    message, _ = supervised.ingesters[0].receive()
    assert message.outstanding == (1,)
    assert supervised.ingesters[0].receive() == (Dirty(1, FrameKind.END, 7, b"head"), b"body")
    assert not receipt.is_settled


# Frames


async def test_frames_in_memory(supervised: Supervised) -> None:
    """A frame is held until it is accepted, and its receipt settled with that."""
    ingester = supervised.start()
    receipts = [supervised.send(seq) for seq in (3, 5)]
    assert ingester.receive() == (Dirty(3, FrameKind.END, 7, b"head"), b"body")
    assert ingester.receive() == (Dirty(5, FrameKind.END, 7, b"head"), b"body")
    assert supervised.supervisor.held == (2, 8)
    assert supervised.supervisor.holds(5)
    assert not supervised.supervisor.holds(None)
    called: list[Any] = []
    receipts[1].add_done_callback(called.append)
    ingester.send(Accepted((5, 99)))
    await until(lambda: called)
    assert [receipt.done for receipt in receipts] == [False, True]
    assert (supervised.supervisor.held, called) == ((1, 4), [receipts[1]])


async def test_frames_in_memory_are_bounded(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number and by bytes; what is too much is dropped, counted and said to be void."""
    monkeypatch.setattr(supervisor, "HELD_FRAMES", 3)
    monkeypatch.setattr(supervisor, "HELD_BYTES", 100)
    ingester = supervised.start()
    receipts = [supervised.send(1, b"x" * 300)]
    receipts += [supervised.send(2)]  # a single one may be larger, and nothing more then
    assert [receipt.lost for receipt in receipts] == [False, True]
    assert ingester.receive()[0].seq == 1
    assert ingester.receive() == (Void(2), b"")
    ingester.send(Accepted((1,)))
    await until(lambda: supervised.supervisor.held == (0, 0))
    receipts = [supervised.send(seq) for seq in range(3, 8)]
    assert [receipt.lost for receipt in receipts] == [False] * 3 + [True] * 2
    assert supervised.counters.get("dropped.queue_full") == 3
    assert all(receipt.is_settled for receipt in receipts[3:])


async def test_void(supervised: Supervised) -> None:
    """A seq for which no frame will come is said."""
    ingester = supervised.start()
    supervised.supervisor.void(9)
    assert ingester.receive()[0] == Void(9)


async def test_appends_share_a_wake(supervised: Supervised) -> None:
    """However many frames come within a moment, the process is woken once."""
    ingester = supervised.start()
    for _ in range(50):
        supervised.supervisor.wake()
    await asyncio.sleep(3 * WAKE_DELAY)
    supervised.supervisor.wake()
    await asyncio.sleep(3 * WAKE_DELAY)
    supervised.supervisor.void(1)
    assert [ingester.receive()[0] for _ in range(3)] == [Wake(), Wake(), Void(1)]


async def test_a_channel_that_is_full(supervised: Supervised) -> None:
    """Nothing waits for a process that does not read; all that was sent arrives, in order."""
    ingester = supervised.start()
    bodies = [bytes([number]) * (1 << 20) for number in range(30)]
    for number, body in enumerate(bodies):
        supervised.send(number + 1, body)  # what waited here would wait for ever
    assert supervised.supervisor._outgoing
    reader = asyncio.to_thread(lambda: [ingester.receive() for _ in bodies])
    received = await asyncio.wait_for(reader, 10.0)
    assert [message.seq for message, _ in received] == list(range(1, 31))
    assert [body for _, body in received] == bodies
    assert not supervised.supervisor._outgoing
    assert not supervised.supervisor._writes


# What comes back


async def test_questions(supervised: Supervised) -> None:
    """Each is answered once, whatever the order."""
    ingester = supervised.start()
    answers: list[Any] = []
    ask = supervised.supervisor.ask
    ask("look", b"a", after=5, seconds=1.5, then=lambda one: answers.append(("a", one)))
    supervised.supervisor.flush(6, lambda one: answers.append(("flush", one)))
    question, flush = ingester.receive()[0], ingester.receive()[0]
    assert question == Question(1, 5, 1.5, "look", b"a")
    assert flush == Flush(2, 6)
    ingester.send(ReplyMessage(2, OK), ReplyMessage(99, OK))
    ingester.send(ReplyMessage(1, "late"), body=b"what there is")
    ingester.send(ReplyMessage(1, OK), ReplyMessage(2, OK))
    await until(lambda: len(answers) == 2)
    await asyncio.sleep(0.01)
    assert answers == [("flush", IngesterReply(OK)), ("a", IngesterReply("late", b"what there is"))]


async def test_questions_that_nobody_answers(supervised: Supervised) -> None:
    """Without a process, or where it goes away, they are answered by that."""
    answers: list[IngesterReply] = []
    supervised.supervisor.flush(1, answers.append)
    assert answers == [IngesterReply(GONE)]
    ingester = supervised.start()
    supervised.supervisor.flush(1, answers.append)
    supervised.supervisor.ask("x", b"", after=1, seconds=1, then=answers.append)
    ingester.exit()
    await until(lambda: len(answers) == 3)
    assert answers == [IngesterReply(GONE)] * 3
    supervised.supervisor.flush(1, answers.append)
    supervised.close()
    assert len(answers) == 4


async def test_reports(supervised: Supervised) -> None:
    """The last one says how far the process is; counts add up."""
    assert supervised.supervisor.committed == 0
    ingester = supervised.start()
    ingester.send(Report(5, 3, "ready", counters={"written": 2}))
    ingester.send(Report(9, 8, "retrying", counters={"written": 3, "dead": 1}))
    await until(lambda: len(supervised.reports) == 2)
    assert [(one.applied, one.committed) for one in supervised.reports] == [(5, 3), (9, 8)]
    assert supervised.supervisor.committed == 8
    assert supervised.counters.snapshot() == {"dead": 1, "written": 5}
    assert time.monotonic() - supervised.supervisor.reported_at < 5.0


async def test_a_later_verdict_is_logged(
    supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    """What an ingester that was started again can't do is logged, as nobody waits to show it."""
    ingester = supervised.start()
    ingester.send(Verdict("no table", permanent=True), Report(1, 1, "ready"))
    await until(lambda: supervised.reports)
    supervised.supervisor.logs_verdicts = True
    ingester.send(Verdict("no right", permanent=True), Report(2, 2, "ready"))
    await until(lambda: len(supervised.reports) == 2)
    assert "no table" not in caplog.text
    assert "no right; records wait, attempts go on" in caplog.text
    assert supervised.supervisor.verdict == Verdict("no table", permanent=True)


async def test_the_first_verdict_counts(supervised: Supervised) -> None:
    """A process that was started again does not take it back."""
    ingester = supervised.start()
    assert supervised.supervisor.verdict is None
    ingester.send(Verdict("no table", permanent=True), Verdict())
    ingester.send(Report(1, 1, "ready"))
    await until(lambda: supervised.reports)
    assert supervised.supervisor.verdict == Verdict("no table", permanent=True)


async def test_other_messages(supervised: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    """Rows, segments and lines of the log go to whom they concern."""
    ingester = supervised.start()
    with caplog.at_level(logging.DEBUG):
        ingester.send(Written((ROW,)), Rotate(5), Log(logging.WARNING, "100%s of it"), Wake())
        ingester.send(Report(1, 1, "ready"))
        await until(lambda: supervised.reports)
    assert (supervised.written, supervised.rotated) == ([(ROW,)], [5])
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
        (logging.WARNING, "100%s of it")
    ]


async def test_a_new_segment_is_answered(supervised: Supervised) -> None:
    """What lies before it may go then."""
    ingester = supervised.start()
    supervised.supervisor.rotated(5)
    assert ingester.receive() == (Rotated(5), b"")


async def test_whether_rows_are_announced(supervised: Supervised) -> None:
    """A change is said, also to a process that is started later."""
    supervised.supervisor.announce(True)
    supervised.supervisor.start()
    ingester = supervised.ingesters[0]
    assert ingester.receive()[0].announces
    for wanted in (True, False, False):
        supervised.supervisor.announce(wanted)
    supervised.supervisor.void(1)
    assert [ingester.receive()[0] for _ in range(2)] == [Announces(False), Void(1)]


async def test_an_error_of_ours(supervised: Supervised) -> None:
    """What handling a message raises is counted, and the next one is handled."""
    ingester = supervised.start()
    supervised.supervisor._on_rotate = lambda _: 1 // 0
    ingester.send(Rotate(1), Report(4, 4, "ready"))
    await until(lambda: supervised.reports)
    assert supervised.counters.get("fault.ingester") == 1


# Pumping


async def test_pumping(supervised: Supervised) -> None:
    """Messages are handled while the loop is held, until a condition holds."""
    ingester = supervised.start()
    receipt = supervised.send(1)
    ingester.send(Accepted((1,)))
    assert supervised.supervisor.pump(5.0, lambda: receipt.done)
    assert supervised.supervisor.pump(0.0, lambda: True)


async def test_pumping_is_bounded(supervised: Supervised) -> None:
    """Where nothing comes it ends in time, without a process at once."""
    assert not supervised.supervisor.pump(5.0, lambda: False)
    ingester = supervised.start()
    ingester.send(Report(1, 1, "ready"))
    began = time.monotonic()
    with at_most(0.09):
        assert not supervised.supervisor.pump(0.1, lambda: False)
    assert 0.09 < time.monotonic() - began < 4.0
    assert len(supervised.reports) == 1
    ingester.exit()
    assert not supervised.supervisor.pump(5.0, lambda: False)
    assert not supervised.supervisor.is_running


async def test_pumping_sends(supervised: Supervised) -> None:
    """What finds no room in the channel at first is sent on the way."""
    ingester = supervised.start()
    receipt = supervised.send(1, b"x" * (8 << 20))

    def answer() -> None:
        message, body = ingester.receive()
        assert len(body) == 8 << 20
        ingester.send(Accepted((message.seq,)))

    answering = asyncio.ensure_future(asyncio.to_thread(answer))
    await asyncio.sleep(0.01)
    assert supervised.supervisor.pump(10.0, lambda: receipt.done)
    await answering
    assert not supervised.supervisor._writes


# Exits


@pytest.mark.parametrize(("code", "how"), [(-9, "signal 9"), (3, "status 3")])
async def test_an_exit(
    supervised: Supervised, caplog: pytest.LogCaptureFixture, code: int, how: str
) -> None:
    """The process is started again, and gets what it had not accepted."""
    ingester = supervised.start()
    for seq in (2, 4, 6):
        supervised.send(seq)
    ingester.send(Accepted((4,)))
    await until(lambda: supervised.supervisor.held[0] == 2)
    supervised.sequence = (9, [8])
    ingester.exit(code)
    await until(lambda: len(supervised.ingesters) == 2)
    again = supervised.ingesters[1]
    hello, _ = again.receive()
    assert (hello.last_seq, hello.outstanding) == (9, (8, 2, 6))
    assert [again.receive()[0].seq for _ in range(2)] == [2, 6]
    assert supervised.supervisor.restarts == supervised.counters.get("ingester.restarts") == 1
    assert supervised.supervisor.last_exit == f"has ended ({how})"
    assert f"the ingester has ended ({how}); it is started again" in caplog.text


async def test_half_a_message_is_forgotten(supervised: Supervised) -> None:
    """What a process had begun to say has no part in what the next one says."""
    ingester = supervised.start()
    supervised.send(1, b"x" * (4 << 20))  # the channel is full, too
    whole = b"".join(encode(Report(1, 1, "ready")))
    ingester.channel.sendall(whole[:-3])
    ingester.exit()
    await until(lambda: len(supervised.ingesters) == 2)
    again = supervised.ingesters[1]
    received = await asyncio.to_thread(lambda: [again.receive() for _ in range(2)])
    assert isinstance(received[0][0], Hello)
    assert (received[1][0].seq, len(received[1][1])) == (1, 4 << 20)
    again.send(Report(2, 2, "ready"))
    await until(lambda: supervised.reports)
    assert supervised.reports[-1].applied == 2


async def test_the_pause_grows(supervised: Supervised) -> None:
    """A process that ends again and again is started less and less often."""
    times = []
    supervised.start()
    for number in range(1, 5):
        supervised.ingesters[-1].exit()
        await until(lambda number=number: len(supervised.ingesters) > number)  # type: ignore[misc]
        times.append(time.monotonic())
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[-1] > 2 * PAUSE
    assert supervised.supervisor._backoff.attempts == 4
    supervised.ingesters[-1].send(Report(1, 1, "ready"))
    await until(lambda: supervised.reports)
    assert supervised.supervisor._backoff.attempts == 0


async def test_the_same_exit_is_said_once(
    supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    """Another one is said as well."""
    supervised.start()
    for number, code in enumerate((1, 1, -9, 1), 1):
        supervised.ingesters[-1].exit(code)
        await until(lambda number=number: len(supervised.ingesters) > number)  # type: ignore[misc]
    assert len(caplog.records) == 2


async def test_why_it_ended(
    supervised: Supervised, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The last line that it left is said, in bounds and harmless to a terminal."""
    ingester = supervised.start()
    last = "MemoryError\x1b[2J" + "x" * 5000
    (tmp_path / "ingester.log").write_bytes(b"Traceback\n" + last.encode() + b"\xff\n\n")
    ingester.exit()
    await until(lambda: supervised.supervisor.last_exit)
    assert "has ended (status 1: MemoryError[2Jxxx" in caplog.text
    assert "\x1b" not in caplog.text
    assert len(supervised.supervisor.last_exit or "") < 400


async def test_it_is_started_again_once_it_has_exited(supervised: Supervised) -> None:
    """A process that has closed the channel and still lives is waited for: two may not be."""
    ingester = supervised.start()
    ingester.channel.close()
    await until(lambda: not supervised.supervisor.is_running)
    await asyncio.sleep(0.15)
    assert len(supervised.ingesters) == 1
    assert supervised.supervisor.pid is None
    ingester.code = 0
    await until(lambda: len(supervised.ingesters) == 2)


async def test_one_that_does_not_exit_is_killed(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has left the channel, and would read the journal as long as the proxy lives."""
    monkeypatch.setattr(supervisor, "_EXIT_WAIT", 0.2)
    ingester = supervised.start()
    ingester.channel.close()
    await until(lambda: not supervised.supervisor.is_running)
    await asyncio.sleep(0.1)
    assert ingester.code is None
    await until(lambda: len(supervised.ingesters) == 2)
    assert "signal 9" in (supervised.supervisor.last_exit or "")


async def test_a_channel_that_makes_no_sense(supervised: Supervised) -> None:
    """What is no message ends the channel, and then the process."""
    ingester = supervised.start()
    ingester.channel.sendall(b"\xff" * 100)
    await until(lambda: not supervised.supervisor.is_running)
    assert supervised.counters.get("fault.ingester") == 1
    with pytest.raises(EOFError):
        ingester.receive()
    ingester.code = 1
    await until(lambda: len(supervised.ingesters) == 2)


# Closing


async def test_no_zombie_stays(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was let go is looked after until it has ended."""
    monkeypatch.setattr(supervisor, "_REAP_POLL_INTERVAL", PAUSE)
    ingester = supervised.start()
    polls: list[int] = []

    def poll() -> int | None:
        polls.append(1)
        return ingester.code

    ingester.poll = poll  # type: ignore[method-assign]
    supervised.supervisor.close()
    await until(lambda: len(polls) >= 3)
    ingester.exit(0)
    await asyncio.sleep(3 * PAUSE)
    ended = len(polls)
    await asyncio.sleep(3 * PAUSE)
    assert len(polls) == ended


async def test_closing(supervised: Supervised) -> None:
    """The process sees the end of the channel; nothing is started any more."""
    ingester = supervised.start()
    supervised.supervisor.wake()
    supervised.supervisor.close()
    supervised.supervisor.close()
    with pytest.raises(EOFError):
        ingester.receive()
    ingester.exit(0)
    await asyncio.sleep(3 * PAUSE)
    assert len(supervised.ingesters) == 1
    assert not supervised.supervisor.is_running


async def test_closing_between_two_processes(supervised: Supervised) -> None:
    """A start that was due does not come any more."""
    supervised.start().exit()
    await until(lambda: supervised.supervisor.restarts)
    supervised.supervisor.close()
    await asyncio.sleep(3 * PAUSE)
    assert len(supervised.ingesters) == 1
