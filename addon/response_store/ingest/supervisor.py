"""Start the ingester's process for the proxy, talk to it, and restart it when it has ended.

Everything here runs on the event loop's thread and nothing waits, but for `pump`, which blocks
for a bounded time where a caller has nothing better to do: in the callable of a stream, at the
start and at the stop. The process is started again only once it has exited, with a growing pause;
what it had not accepted yet is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from response_store import __version__
from response_store.backoff import Backoff
from response_store.config import Acknowledge
from response_store.ingest import process
from response_store.ingest.channel import (
    GONE,
    Accepted,
    Announces,
    AnyMessage,
    Buffer,
    Dirty,
    Flush,
    HeldFrame,
    Hello,
    IngesterReply,
    Log,
    Message,
    MessageDecoder,
    Outgoing,
    Question,
    ReplyMessage,
    Report,
    Rotate,
    Rotated,
    Verdict,
    Void,
    Wake,
    Written,
)
from response_store.ingest.wake_pace import WakePace
from response_store.journal.receipts import Receipt
from response_store.model.records import WrittenRow
from response_store.openai_api.credentials import PROCESS_KEY

if TYPE_CHECKING:
    from response_store.config import Config
    from response_store.diagnostics import Counters, ErrorReporter
    from response_store.journal.directory import JournalDirectory

logger = logging.getLogger(__name__)
HELD_FRAMES = 20_000  # that wait in memory for an ingester that does not take them
HELD_BYTES = 256 * 1024 * 1024
_RECEIVE = 1 << 18  # bytes at once
_EXIT_POLL_INTERVAL = 0.05  # seconds between looks whether the process has exited
_EXIT_WAIT = 2.0  # seconds from the end of the channel after which the process is killed
_REAP_POLL_INTERVAL = 1.0  # seconds between such looks once nobody waits for it


class Supervisor:
    """Starts and watches one ingester.

    `sequence` returns the last seq that was assigned and those that are not in a file yet, but for
    frames that were sent here. `on_written` is called with the rows of each commit, if the ingester
    was asked for them; `on_rotate` with the seq at which the journal may begin a new segment;
    `on_report` after each report.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        config: Config,
        *,
        loop: asyncio.AbstractEventLoop,
        counters: Counters,
        errors: ErrorReporter,
        sequence: Callable[[], tuple[int, Sequence[int]]],
        announces: bool = False,
        on_written: Callable[[Sequence[WrittenRow]], None] = lambda _: None,
        on_rotate: Callable[[int], None] = lambda _: None,
        on_report: Callable[[Report], None] = lambda _: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._directory = directory
        self._config = config
        self._loop = loop
        self._counters = counters
        self._errors = errors
        self._sequence = sequence
        self._announces = announces
        self._on_written = on_written
        self._on_rotate = on_rotate
        self._on_report = on_report
        self._backoff = backoff or Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._decoder = MessageDecoder()
        self._outgoing = Outgoing()
        self._writes = False  # whether the loop watches for room in the socket
        self._pace = WakePace(adapts=config.acknowledge is not Acknowledge.DATABASE)
        self._closed = False
        self._held: dict[int, HeldFrame] = {}
        self._held_bytes = 0
        self._questions: dict[int, Callable[[IngesterReply], None]] = {}
        self._number = 0
        self._restart: asyncio.TimerHandle | None = None
        self._reported: set[str] = set()
        self.verdict: Verdict | None = None
        self.logs_verdicts = False  # else whoever waits for the first one shows it
        self.report: Report | None = None
        self.reported_at = 0.0
        self.restarts = 0
        self.last_exit: str | None = None

    # Life

    def start(self) -> None:
        """Start the process. Where that fails, it is tried again later."""
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - one that was not greeted does nothing
            if not isinstance(error, OSError):
                self._errors.report("ingester", error)
            if self._socket is not None:
                self._lost()
            else:
                why = error.strerror if isinstance(error, OSError) else None
                self._exited(f"can't be started: {why or type(error).__name__}")

    def close(self) -> None:
        """Close the channel: the process applies what the journal holds, and ends by itself."""
        if self._closed:
            return
        self._closed = True
        if self._restart is not None:
            self._restart.cancel()
        self._disconnect()
        self._reap()

    @property
    def is_running(self) -> bool:
        """Return whether there is a process, as far as is known."""
        return self._socket is not None

    @property
    def pid(self) -> int | None:
        """Return the id of the process."""
        return self._process.pid if self._process is not None and self._socket else None

    # What the proxy has to say

    def wake(self) -> None:
        """Let the ingester know, soon, that a frame was appended."""
        delay = self._pace.note_append(self._loop.time())
        if delay is not None:
            self._loop.call_later(delay, self._errors.guard, "ingester", self._wake)

    def send(self, seq: int, kind: int, key: int, head: bytes, parts: Sequence[Buffer]) -> Receipt:
        """Send a frame that may not touch the disk as it is; it is kept until it is accepted.

        Where too much is kept already it is dropped and counted, and its receipt says so.
        """
        size = sum(map(len, parts))
        receipt = Receipt(seq)
        if self._held and (len(self._held) >= HELD_FRAMES or self._held_bytes + size > HELD_BYTES):
            self._counters.add("dropped.queue_full")
            receipt.lost = True
            self._send(Void(seq))
            return receipt
        held = HeldFrame(Dirty(seq, int(kind), key, head), parts, size, receipt)
        self._held[seq] = held
        self._held_bytes += size
        self._send(held.message, parts)
        return receipt

    def void(self, seq: int) -> None:
        """Say that no frame of this seq will come."""
        self._send(Void(seq))

    def rotated(self, seq: int) -> None:
        """Say that the main segments up to now end with `seq`, and may be dropped."""
        self._send(Rotated(seq))

    def announce(self, enabled: bool) -> None:
        """Say whether written rows are to be announced from now on."""
        if enabled != self._announces:
            self._announces = enabled
            self._send(Announces(enabled))

    def ask(
        self,
        kind: str,
        arguments: bytes,
        *,
        after: int,
        seconds: float,
        then: Callable[[IngesterReply], None],
    ) -> None:
        """Ask a question; `then` is called with the answer, once, on the event loop."""
        self._expect(lambda number: Question(number, after, seconds, kind, arguments), then)

    def flush(self, after: int, then: Callable[[IngesterReply], None]) -> None:
        """Have `then` called once the frame `after`, and all before it, are in the database."""
        self._expect(lambda number: Flush(number, after), then)

    def pump(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Block until a condition holds, handling messages meanwhile; say whether it does."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or self._socket is None:
                return False
            with selectors.PollSelector() as selector:
                events = selectors.EVENT_READ
                if self._outgoing:
                    events |= selectors.EVENT_WRITE
                selector.register(self._socket, events)
                ready = selector.select(left)
            for _, event in ready:
                if event & selectors.EVENT_WRITE:
                    self._write()
                if event & selectors.EVENT_READ:
                    self._read()
        return True

    @property
    def committed(self) -> int:
        """Return the last frame whose rows are in the database, as far as it was reported."""
        return self.report.committed if self.report is not None else 0

    def holds(self, seq: int | None) -> bool:
        """Return whether a frame waits in memory to be accepted."""
        return seq in self._held

    @property
    def held(self) -> tuple[int, int]:
        """Return how many frames, and bytes, wait in memory to be accepted."""
        return len(self._held), self._held_bytes

    # Starting and ending the process

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with contextlib.closing(theirs):
                self._process = process.start(self._directory.path, theirs)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        self._socket = ours
        self._decoder = MessageDecoder()
        self._outgoing.clear()
        self._writes = False
        self._loop.add_reader(ours, self._errors.guard, "ingester", self._read)
        self._greet()

    def _greet(self) -> None:
        """Send what a fresh process has to know: the journal, the settings, what is under way."""
        last, outstanding = self._sequence()
        hello = Hello(
            version=__version__,
            journal=str(self._directory.path),
            settings=self._config.to_message(),
            source=self._config.source,
            announces=self._announces,
            last_seq=last,
            outstanding=(*outstanding, *self._held),
            marks_key=PROCESS_KEY,
        )
        self._send(hello)
        for held in self._held.values():
            self._send(held.message, held.parts)

    def _disconnect(self) -> None:
        channel, self._socket = self._socket, None
        if channel is not None:
            self._loop.remove_reader(channel)
            if self._writes:
                self._loop.remove_writer(channel)
                self._writes = False
            channel.close()
        self._outgoing.clear()
        questions, self._questions = self._questions, {}
        for then in questions.values():
            self._errors.guard("reply", then, IngesterReply(GONE))

    def _lost(self) -> None:
        """Handle the end of the channel: the process has exited, or is about to.

        One that does not is killed: it reads the journal, so nobody can take its place.
        """
        self._disconnect()
        self._look_for_exit(self._loop.time() + _EXIT_WAIT)

    def _look_for_exit(self, kill_at: float) -> None:
        if self._closed or self._process is None:
            return
        code = self._process.poll()
        if code is None:
            if self._loop.time() >= kill_at:
                self._process.kill()
            self._restart = self._loop.call_later(_EXIT_POLL_INTERVAL, self._look_for_exit, kill_at)
        else:
            self._exited(f"has ended ({process.describe_exit(self._directory.path, code)})")

    def _reap(self) -> None:
        """Take note of the end of a process that was let go, so that no zombie stays."""
        if self._process is not None and self._process.poll() is None:
            self._loop.call_later(_REAP_POLL_INTERVAL, self._reap)

    def _exited(self, how: str) -> None:
        self.last_exit = how
        self.restarts += 1
        self._counters.add("ingester.restarts")
        if how not in self._reported:
            self._reported.add(how)
            logger.warning(
                "response_store: the ingester %s; it is started again, and what comes meanwhile "
                "waits in the journal",
                how,
            )
        pause = self._backoff.failed(time.monotonic())
        self._restart = self._loop.call_later(pause, self._start_again)

    def _start_again(self) -> None:
        if not self._closed:
            self.start()

    # The channel

    def _wake(self) -> None:
        self._send(Wake())

    def _expect(
        self, message: Callable[[int], Message], then: Callable[[IngesterReply], None]
    ) -> None:
        if self._socket is None:
            then(IngesterReply(GONE))
            return
        self._number += 1
        self._questions[self._number] = then
        self._send(message(self._number))

    def _send(self, message: Message, parts: Sequence[Buffer] = ()) -> None:
        """Send a message as far as there is room; the rest goes when there is more."""
        if self._socket is None:
            return
        self._outgoing.put(message, parts)
        if not self._writes:
            self._write()

    def _write(self) -> None:
        if self._socket is not None:
            self._outgoing.write(self._socket)
            self._watch_for_room(self._socket)

    def _watch_for_room(self, channel: socket.socket) -> None:
        if bool(self._outgoing) == self._writes:
            return
        self._writes = not self._writes
        if self._writes:
            self._loop.add_writer(channel, self._write)
        else:
            self._loop.remove_writer(channel)

    def _read(self) -> None:
        channel = self._socket
        if channel is None:
            return
        try:
            data = channel.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        try:
            for message, body in self._decoder.feed(data):
                self._errors.guard("ingester", self._handle, message, body)
        except Exception as error:  # noqa: BLE001 - what was read is lost: it has to begin anew
            self._errors.report("ingester", error)
            self._lost()

    def _handle(self, message: AnyMessage, body: bytes) -> None:
        match message:
            case Accepted():
                for seq in message.seqs:
                    self._accepted(seq)
            case Report():
                self._note(message)
            case Written():
                self._on_written(message.rows)
            case ReplyMessage():
                then = self._questions.pop(message.id, None)
                if then is not None:
                    then(IngesterReply(message.status, body))
            case Verdict():
                self._note_verdict(message)
            case Log():
                logger.log(message.level, "%s", message.text)
            case Rotate():
                self._on_rotate(message.seq)
            case _:
                pass  # what only the proxy sends

    def _note_verdict(self, verdict: Verdict) -> None:
        self.verdict = self.verdict or verdict
        if self.logs_verdicts and verdict.permanent:
            logger.warning("response_store: %s; records wait, attempts go on", verdict.error)

    def _accepted(self, seq: int) -> None:
        held = self._held.pop(seq, None)
        if held is not None:
            self._held_bytes -= held.size
            held.receipt.done = True
            held.receipt.call_back()

    def _note(self, report: Report) -> None:
        self.report = report
        self.reported_at = time.monotonic()
        self._backoff.succeeded()
        for name, number in report.counters.items():
            self._counters.add(name, number)
        self._on_report(report)
