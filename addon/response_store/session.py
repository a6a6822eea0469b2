"""One run of the recorder: storage and recorder, opened and closed together."""

from __future__ import annotations

import asyncio
import gc
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from response_store import __version__
from response_store.capture.draft import Draft, RequestSource
from response_store.capture.recorder import Recorder
from response_store.capture.websockets import Sockets
from response_store.config import Backend, Config, Serve
from response_store.counts import Counts
from response_store.errors import StoreError
from response_store.faults import Faults
from response_store.ingest.record_builder import RecordBuilder
from response_store.openai_api.endpoints import Skip
from response_store.pruning.retention import retention_of
from response_store.redaction.chosen import redaction_of
from response_store.served import service_of
from response_store.store.backends import indexer_of, storage_of
from response_store.store.records import Change, Deletion, ExchangeRow, State
from response_store.store.storage import Ending, Storage
from response_store.store.ticket import Fate, Ticket

logger = logging.getLogger(__name__)
OPEN_WAIT = 3.0  # seconds that start-up waits for the store
CLOSE_WAIT = 5.0  # seconds that a stop waits for the last commit
RETENTION_WAIT = 1.0  # seconds that a stop waits for a batch that is being removed
FILE_READ_WAIT = 10.0  # seconds without progress that the end of a flow file waits longer
Watch = Callable[[RequestSource, ExchangeRow], None]
"""What is told, on the event loop, of every exchange that has ended and is written."""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a session ended."""

    ending: Ending
    closed_open: int
    counts: dict[str, int]


class Session:
    """What is there while the proxy runs. `recorder_id` is in every row that it writes."""

    def __init__(
        self,
        config: Config,
        counts: Counts,
        faults: Faults,
        loop: asyncio.AbstractEventLoop,
        *,
        announces: Callable[[], bool] = lambda: True,
        watch: Watch | None = None,
    ) -> None:
        self.recorder_id = str(uuid.uuid4())
        self.config = config
        self.counts = counts
        self._faults = faults
        self.loop = loop
        self._announces = announces
        self._watch = watch
        self._builder = RecordBuilder(
            config.capture,
            self.recorder_id,
            redaction_of(config.redact, counts, faults),
            deletes_unknown=config.serve is Serve.PREFER,
        )
        self.storage: Storage[Draft] = storage_of(
            config,
            self.recorder_id,
            self._build,
            counts=counts,
            faults=faults,
            on_settled=self._settled,
        )
        self._indexer = indexer_of(config, self.storage, counts=counts, faults=faults)
        self.recorder = Recorder(config, self.storage, counts, loop)
        self.sockets = Sockets(config, self.recorder, counts)
        self.serving = service_of(config, self.storage, counts)
        self._retention = retention_of(config, counts, faults)

    def open(self) -> StoreError | None:
        """Start; return the error that somebody has to mend before this can work, if any.

        What exists by now stays, so the garbage collector need not look at it again and again:
        a collection takes milliseconds otherwise, on the event loop.
        """
        gc.collect()
        gc.freeze()
        self.storage.start()
        if self._retention is not None:
            self._retention.start()
        error = self.storage.wait_opened(OPEN_WAIT)
        if error is None and self._indexer is not None:
            self._indexer.start()
        return error

    def close(self, patience: float = 0.0) -> Closing:
        """End what is open, write what waits, and say how it went.

        A database that is behind is waited for while it takes something in `patience` seconds.
        """
        if self._retention is not None:
            self._retention.close(RETENTION_WAIT)
        if self.serving is not None:
            self.serving.close()
        if self._indexer is not None:
            self._indexer.close()
        closed = self.recorder.close_all()
        ending = self.storage.close(CLOSE_WAIT, patience)
        return Closing(ending, closed, self.counts.snapshot())

    def describe(self) -> str:
        """What is in force, in a line."""
        config = self.config
        return (
            f"response_store {__version__}: writing to {self.storage.describe()} "
            f"({self._promises()}), configuration: {config.source}"
        )

    def status(self) -> str:
        """What stands now, a line each."""
        lines = [
            *self.storage.status_lines(),
            f"open exchanges: {self.recorder.open_exchanges}",
            f"held in memory: {self.recorder.budget.held} bytes",
        ]
        lines += [f"{name}: {number}" for name, number in self.counts.snapshot().items()]
        return "\n".join(lines)

    def _promises(self) -> str:
        config = self.config
        promises = [f"durability {config.durability.value}"]
        if config.backend is Backend.POSTGRES:
            promises.append(f"acknowledge {config.acknowledge.value}")
        promises.append(f"on store failure {config.on_store_failure.value}")
        if config.serve is not Serve.OFF:
            promises.append(f"serve {config.serve.value}")
        return ", ".join(promises)

    def _build(self, draft: Draft) -> Change | str:
        built = self._builder.build(draft)
        if isinstance(built, Skip):
            self.counts.add(f"skipped.{built.value}")
        elif isinstance(built, Deletion):
            self.counts.add("deleted")
        return built

    def _settled(self, tickets: list[Ticket[Draft]]) -> None:
        self._pass_on(tickets)
        if self._indexer is not None:
            self._indexer.note(_ended(tickets))

    def _pass_on(self, tickets: list[Ticket[Draft]]) -> None:
        """Pass a batch on to the event loop: one call a batch, whatever its size."""
        # Judged here: by the time the loop looks, one that is only put off may be written.
        told = self._watch is not None or self._announces()
        written = [t for t in tickets if t.fate is Fate.WRITTEN] if told else []
        if not written and all(ticket.future is None for ticket in tickets):
            return
        try:
            self.loop.call_soon_threadsafe(self._settle, tickets, written)
        except RuntimeError:  # the loop has ended; nobody waits any more
            return

    def _settle(self, tickets: list[Ticket[Draft]], written: list[Ticket[Draft]]) -> None:
        self.recorder.settle(tickets)
        announces = bool(written) and self._announces()
        for ticket in written:
            if ticket.record is None or ticket.record.exchange.state == State.OPEN:
                continue
            if announces:
                logger.info("%s", log_line(ticket.record.exchange))
            if self._watch is not None:
                request, row = ticket.payload.request, ticket.record.exchange
                self._faults.guard("watch", self._watch, request, row)


def _ended(tickets: list[Ticket[Draft]]) -> Iterator[str]:
    """The exchanges of a batch that are written and have ended."""
    for ticket in tickets:
        if ticket.fate is Fate.WRITTEN and ticket.record is not None:
            row = ticket.record.exchange
            if row.state != State.OPEN:
                yield row.exchange_id


def log_line(row: ExchangeRow) -> str:
    """One line that tells a captured exchange: model, tokens, time, id."""
    parts = [f"{row.state} {row.model or row.requested_model or 'unknown model'}"]
    if row.input_tokens is not None or row.output_tokens is not None:
        parts.append(f"{row.input_tokens or 0}+{row.output_tokens or 0} tokens")
    if row.duration_ms is not None:
        parts.append(_time(row.duration_ms))
    parts.append(row.response_id or row.exchange_id)
    line = ", ".join(parts)
    # Names and ids come from the upstream: they may not control the terminal.
    return "response_store: " + "".join(c if c.isprintable() else "\ufffd" for c in line)


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"
