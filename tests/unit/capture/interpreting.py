"""What the ingester makes of frames, without files, processes and a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.cleaning import Cleaner, build_redactor
from response_store.ingest.delivery import Batch
from response_store.ingest.interpreter import Interpreter
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.frames import Frame, FrameRef
from response_store.model.records import Record

if TYPE_CHECKING:
    from tests.unit.capture.borders import Sent


def interpret(frames: Iterable[Sent], config: Config) -> list[Record]:
    """Return the last record of each exchange, in the order of their starts.

    What is private is cleaned first, as the ingester does.
    """
    counters = Counters()
    errors = ErrorReporter(counters)
    cleaner = Cleaner(config, "journal", counters=counters, errors=errors)
    stored: dict[int, Frame] = {}
    for sent in frames:
        clean = sent
        if sent.private:
            kind, head, parts = cleaner.clean(sent.kind, sent.packed, sent.body)
            clean = sent._replace(kind=kind, packed=head, body=b"".join(parts))
        stored[sent.seq] = Frame(sent.seq, clean.kind, sent.key, 0, clean.packed, clean.body)
    redact = build_redactor(config.redact, counters, errors)
    interpreter = Interpreter(
        RecordBuilder(config.capture, "journal", redact), lambda ref: stored[ref.seq]
    )
    batch = Batch(0)
    for frame in stored.values():
        ref = FrameRef(frame.seq, frame.kind, frame.key, 0, "m", 0, len(frame.head), 0)
        interpreter.apply(ref, batch)
    interpreter.close(batch)
    assert not [name for name in counters.snapshot() if name.startswith("fault")], (
        counters.snapshot()
    )
    records: dict[str, Record] = {}
    for item in batch.items:
        if isinstance(item.change, Record):
            records[item.change.exchange.exchange_id] = item.change
    return sorted(records.values(), key=lambda record: record.exchange.started_at)
