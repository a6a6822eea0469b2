"""A recorder between recording borders, and what the ingester makes of the frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from response_store.capture.acknowledgement import Acknowledgement
from response_store.capture.draft import AnswerHead
from response_store.capture.exchange import Exchange
from response_store.capture.outbox import Outbox
from response_store.capture.recorder import Recorder
from response_store.config import Config, load_config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy, ExchangeRow, Record
from tests.unit.capture.borders import (
    FakeLoop,
    RecordingIngester,
    RecordingJournal,
    Sent,
    answer_head,
    request_head,
)

if TYPE_CHECKING:
    from response_store.journal.writer import JournalWriter

DEFAULTS = load_config(None, {})
STARTED = 1741476000.25


def config_of(**settings: Any) -> Config:
    """Return the default configuration with some settings changed; sections are merged."""
    usual = {**DEFAULTS.settings, "database_url": DEFAULTS.database_url.reveal()}
    for key, value in settings.items():
        merges = isinstance(value, dict) and isinstance(usual[key], dict)
        usual[key] = {**usual[key], **value} if merges else value
    return Config.from_settings(usual, "tests")


class Progress:
    """How far the journal and the ingester are, as a test says."""

    def __init__(self) -> None:
        self.is_failing = False
        self.database_answers = True
        self.committed = 0
        self.lag = (0, 0)
        self.pause: float | None = None

    def unavailable_for(self) -> float | None:
        return self.pause


class Capturing:
    """A recorder with a journal and an ingester that record. Time stands until `loop` moves it."""

    def __init__(
        self, *, writer: Callable[[FakeLoop], JournalWriter] | None = None, **settings: Any
    ) -> None:
        """`writer` makes a real one, in the place of the one that records."""
        self.config = config_of(**settings)
        self.loop = FakeLoop()
        self.counters = Counters()
        self.errors = ErrorReporter(self.counters)
        self.journal = RecordingJournal(self.loop)
        self.ingester = RecordingIngester()
        self.progress = Progress()
        journal: Any = writer(self.loop) if writer is not None else self.journal
        self.outbox = Outbox(
            journal,
            self.ingester,
            loop=self.loop,  # type: ignore[arg-type]
            errors=self.errors,
            counters=self.counters,
        )
        self.acknowledgement = Acknowledgement(
            self.config,
            self.progress,
            self.counters,
            find_dependency=self.outbox.find_dependency,
            clock=self.loop.time,
        )
        self.recorder = Recorder(
            self.config,
            self.outbox,
            self.progress,
            self.acknowledgement,
            counters=self.counters,
            errors=self.errors,
            loop=self.loop,  # type: ignore[arg-type]
            clock=lambda: STARTED + self.loop.now - 1000.0,
            monotonic=self.loop.time,
        )

    def begin(
        self, body: bytes | None = b"{}", *, live: bool = True, flow_id: str = "flow", **head: Any
    ) -> Exchange:
        """Begin an exchange, now."""
        now = STARTED + self.loop.now - 1000.0
        request = request_head(**{"flow_id": flow_id, "started_at": now} | head)
        return self.recorder.begin(flow_id, request, body, live=live)

    def stream(
        self, body: bytes | None = b"{}", *, answer: AnswerHead | None = None, **how: Any
    ) -> Exchange:
        """Begin an exchange whose answer streams."""
        exchange = self.begin(body, **how)
        exchange.answer = answer or answer_head()
        exchange.start_stream()
        return exchange

    def feed(self, exchange: Exchange, *chunks: bytes, apart: float = 0.0) -> list[bool]:
        """Feed chunks as the callable of a stream does; return which ended the exchange."""
        ended = []
        for chunk in chunks:
            stream = exchange.stream
            assert stream is not None
            passed = stream.feed_fast(chunk, self.loop.time())
            ended.append(not passed and self.recorder.feed(exchange, chunk))
            self.loop.pass_time(apart)
        return ended

    def settle(self) -> None:
        """Wait until no worker has anything to do."""
        self.loop.run_until(lambda: not self.outbox.at_work)

    @property
    def frames(self) -> list[Sent]:
        """Return all frames in their order, whichever way they took."""
        return sorted([*self.journal.frames, *self.ingester.frames])

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of all frames; those in memory are in lower case."""
        return [
            frame.kind.name.lower() if frame.private else frame.kind.name for frame in self.frames
        ]

    @property
    def records(self) -> list[Record]:
        """Return the records that the ingester makes of the frames; of an exchange the last."""
        from tests.unit.capture.interpreting import interpret

        return interpret(self.frames, self.config)

    @property
    def row(self) -> ExchangeRow:
        """Return the row of the only exchange."""
        (record,) = self.records
        return record.exchange


def end_of(capturing: Capturing) -> Sent:
    """Return the only END frame."""
    (end,) = [frame for frame in capturing.frames if frame.kind is FrameKind.END]
    return end


def finish(capturing: Capturing, by: EndedBy = EndedBy.BODY, body: bytes | None = None) -> Sent:
    """End the exchange of the usual flow; return its END frame."""
    capturing.recorder.finish("flow", by, body)
    capturing.settle()
    return end_of(capturing)
