"""The thread of the ingester that talks to the proxy. Nothing in it waits for a database.

It hands frames and questions to the worker, cleans what may hold secrets, and says what stands:
also while a statement hangs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from response_store import __version__
from response_store.config import Acknowledge, Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import ResponseStoreError
from response_store.ingest.channel import (
    OK,
    Accepted,
    Announces,
    AnyMessage,
    ChannelError,
    Dirty,
    Flush,
    Hello,
    Log,
    Message,
    MessageDecoder,
    Outgoing,
    Question,
    ReplyMessage,
    Rotated,
    Verdict,
    Void,
    Wake,
    Written,
)
from response_store.ingest.cleaning import Cleaner, Intake, SharedCleaned
from response_store.ingest.loop import Worker
from response_store.ingest.questions import Answers, Questions
from response_store.ingest.reports import Reporter
from response_store.journal.directory import JournalDirectory
from response_store.journal.errors import JournalError

_RECEIVE = 1 << 18  # bytes at once
_CHECK_INTERVAL = 0.25  # seconds between looks whether the worker is held up, while it has work
_LOCK_WAIT = 5.0  # seconds for the reader before this one to end
_MAX_OUTGOING = 8 << 20  # bytes; a proxy that reads so slowly is not told of rows any more
_HANGS = 10.0  # seconds in one statement after which it is broken off, once the proxy has left
_ENDS = 5.0  # seconds from then on after which the process ends all the same


class JournalBusyError(JournalError):
    """Another process is at applying the journal."""


def run(fd: int, build_answers: Callable[[Config], Answers]) -> None:
    """Serve the proxy at the other end of a channel until it has gone and the work is done.

    Raises what has ended the worker, if that was an error of its own.
    """
    with socket.socket(fileno=fd) as channel:
        channel.setblocking(False)
        Server(channel, build_answers).run()


class Server:
    """Serves one proxy. `run` belongs to the main thread, `post` and `poke` are for any."""

    def __init__(
        self,
        channel: socket.socket,
        build_answers: Callable[[Config], Answers],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel: socket.socket | None = channel
        self._build_answers = build_answers
        self._clock = clock
        self._counters = Counters()
        self._errors = ErrorReporter(self._counters)
        self._decoder = MessageDecoder()
        self._outgoing = Outgoing()
        self._posted: deque[tuple[Message, bytes]] = deque()
        self._poke_out, self._poke_in = os.pipe()
        self._is_poked = False
        self._selector = selectors.DefaultSelector()
        self._watched = 0  # events of the channel
        self._questions = Questions(self.post, self._errors, clock)
        self._flushes: list[Flush] = []
        self._look_at: float | None = None
        self._left_at: float | None = None
        self._worker: Worker | None = None
        self._intake: Intake | None = None
        self._reporter: Reporter | None = None

    # By any thread

    def post(self, message: Message, body: bytes = b"") -> None:
        """Send a message, soon."""
        self._posted.append((message, body))
        self.poke()

    def poke(self) -> None:
        """Have the main thread look at what stands."""
        if not self._is_poked:
            self._is_poked = True
            with contextlib.suppress(OSError):
                os.write(self._poke_in, b"\0")

    # In the main thread

    def run(self) -> None:
        """Serve until the worker has ended; without one, until the channel has."""
        os.set_blocking(self._poke_in, False)
        os.set_blocking(self._poke_out, False)
        self._selector.register(self._poke_out, selectors.EVENT_READ)
        log = _ChannelLog(self.post)
        logger = logging.getLogger("response_store")
        logger.addHandler(log)
        logger.setLevel(logging.INFO)
        try:
            while not self._is_over():
                self._take_turn()
        finally:
            logger.removeHandler(log)
            if self._channel is not None:
                self._channel.close()
            self._selector.close()
            os.close(self._poke_in)
            os.close(self._poke_out)
        if self._worker is not None and self._worker.crash is not None:
            raise self._worker.crash

    def _is_over(self) -> bool:
        worker = self._worker
        if worker is None:
            return self._channel is None
        return not worker.is_alive or self._is_hopeless(worker)

    def _is_hopeless(self, worker: Worker) -> bool:
        """Return whether a statement hangs, even though the proxy left and it was broken off."""
        busy_for = worker.busy_for()
        return self._left_at is not None and busy_for is not None and busy_for > _HANGS + _ENDS

    def _take_turn(self) -> None:
        """Do what is due, then wait for more."""
        self._write_cleaned()
        self._questions.expire()
        if self._worker is not None:
            self._look_after(self._worker)
        self._report()
        self._send_posted()
        if self._channel is not None:
            self._outgoing.write(self._channel)
        self._watch_channel()
        for key, events in self._selector.select(self._idle_seconds()):
            if key.fileobj == self._poke_out:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._poke_out, 4096)
                self._is_poked = False  # behind the read: what comes from here on pokes again
            elif events & selectors.EVENT_READ:
                self._read()

    def _idle_seconds(self) -> float | None:
        """Return how long nothing will be due; None where that is until something comes."""
        due = [self._look_at, self._questions.next_deadline()]
        if self._reporter is not None and self._channel is not None:
            due.append(self._reporter.due_at())
        if self._intake is not None:
            due.append(self._intake.due_at)
        times = [at for at in due if at is not None]
        if self._posted:
            return 0.0
        return max(0.0, min(times) - self._clock()) if times else None

    def _watch_channel(self) -> None:
        """Watch the channel for what can be done with it."""
        if self._channel is None:
            return
        events = selectors.EVENT_WRITE if self._outgoing else 0
        if self._intake is None or not self._intake.is_full:
            events |= selectors.EVENT_READ
        if events == self._watched:
            return
        if not self._watched:
            self._selector.register(self._channel, events)
        elif not events:
            self._selector.unregister(self._channel)
        else:
            self._selector.modify(self._channel, events)
        self._watched = events

    # What comes

    def _read(self) -> None:
        if self._channel is None:
            return
        try:
            data = self._channel.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose_proxy()
            return
        try:
            for message, body in self._decoder.feed(data):
                self._handle(message, body)
        except ChannelError as error:
            self._errors.report("channel", error)
            self._lose_proxy()

    def _handle(self, message: AnyMessage, body: bytes) -> None:
        if isinstance(message, Hello):
            self._begin(message)
            return
        worker, intake = self._worker, self._intake
        if worker is None or intake is None:
            return  # the verdict was against it
        match message:
            case Wake():
                self._wake(worker)
            case Dirty():
                intake.take(message, body)
            case Void():
                worker.void(message.seq)
            case Question():
                self._questions.ask(message)
                self._wake(worker)
            case Flush():
                self._flushes.append(message)
                self._wake(worker)
            case Announces():
                worker.announces = message.enabled
            case Rotated():
                worker.rotated(message.seq)
            case _:
                pass  # what only an ingester sends

    def _begin(self, hello: Hello) -> None:
        """Start the worker. Where that can't be, say why and leave the journal alone."""
        if self._worker is not None:
            raise ChannelError("a second greeting came on the channel")
        try:
            if hello.version != __version__:
                raise ResponseStoreError(
                    f"the ingester is of version {__version__}, the proxy of {hello.version}: "
                    "restart mitmproxy"
                )
            self._start(hello)
        except JournalBusyError:
            raise
        except ResponseStoreError as error:
            self.post(Verdict(str(error), permanent=True))

    def _start(self, hello: Hello) -> None:
        config = Config.from_message(hello.settings, hello.source)
        directory = JournalDirectory.open(Path(hello.journal))
        self._lock_reader(directory)
        counters, errors, clock = self._counters, self._errors, self._clock
        cleaned = SharedCleaned(directory, config.durability)
        key = hello.marks_key
        cleaner = Cleaner(
            config, directory.journal_id, counters=counters, errors=errors, marks_key=key
        )
        self._intake = Intake(cleaner, cleaned, counters=counters, errors=errors, clock=clock)
        self._worker = Worker(
            config,
            directory,
            cleaned,
            hello,
            questions=self._questions,
            answers=self._build_answers(config),
            counters=counters,
            errors=errors,
            post=self.post,
            poke=self.poke,
            clock=clock,
        )
        is_prompt = config.acknowledge is Acknowledge.DATABASE
        self._reporter = Reporter(self._worker, counters, is_prompt=is_prompt, clock=clock)
        self._worker.start()
        self._look_later()

    def _lock_reader(self, directory: JournalDirectory) -> None:
        """Become the reader of the journal; the one before may be about to end.

        Raises JournalBusyError, with which the process ends: it is started again later.
        """
        deadline = self._clock() + _LOCK_WAIT
        while not directory.lock_reader():
            if self._clock() >= deadline:
                raise JournalBusyError(
                    f"journal {directory.path} is being applied by another process: end that one"
                )
            time.sleep(0.02)

    def _lose_proxy(self) -> None:
        """Note that the proxy is gone, or wants no more of us."""
        if self._channel is not None:
            if self._watched:
                self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None
        self._outgoing.clear()
        self._left_at = self._clock()
        if self._worker is not None:
            self._write_cleaned()
            self._worker.leave()
            self._look_later()

    def _wake(self, worker: Worker) -> None:
        worker.wake()
        self._look_later()

    # What stands

    def _look_later(self) -> None:
        if self._look_at is None:
            self._look_at = self._clock() + _CHECK_INTERVAL

    def _look_after(self, worker: Worker) -> None:
        """See now and then whether the worker is held up, as long as it has work."""
        if self._look_at is None or self._clock() < self._look_at:
            return
        busy_for = worker.busy_for()
        if self._left_at is not None and busy_for is not None and busy_for > _HANGS:
            worker.interrupt()
        is_at_work = worker.has_work or busy_for is not None or self._left_at is not None
        self._look_at = self._clock() + _CHECK_INTERVAL if is_at_work else None

    def _report(self) -> None:
        """Say what is new, and what is committed to those who wait for it."""
        worker, reporter = self._worker, self._reporter
        if worker is None or reporter is None or self._channel is None:
            return
        done = [flush for flush in self._flushes if flush.after <= worker.committed]
        is_due = done or self._outgoing.size <= _MAX_OUTGOING
        report = reporter.report(at_once=bool(done)) if is_due else None
        self._send_posted()  # the rows of a commit go ahead of the report of it
        if report is not None:
            self._send(report)
        # Behind the report: who hears that all is written knows how much that is.
        self._flushes = [flush for flush in self._flushes if flush not in done]
        for flush in done:
            self._send(ReplyMessage(flush.id, OK))

    def _write_cleaned(self) -> None:
        """Write what is cleaned, and say what is safe by now."""
        if self._intake is not None and (seqs := self._intake.write()):
            self._send(Accepted(seqs))
            if self._worker is not None:
                self._wake(self._worker)

    def _send_posted(self) -> None:
        while self._posted:
            self._send(*self._posted.popleft())

    def _send(self, message: Message, body: bytes = b"") -> None:
        """Put a message with those that go out."""
        if isinstance(message, Written) and self._outgoing.size > _MAX_OUTGOING:
            self._counters.add("announcing.dropped", len(message.rows))
        elif self._channel is not None:
            self._outgoing.put(message, body)


class _ChannelLog(logging.Handler):
    """Has the proxy log what is logged here; texts alone, no traces."""

    def __init__(self, post: Callable[[Message], None]) -> None:
        super().__init__()
        self._post = post

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self._post(Log(record.levelno, record.getMessage()))
