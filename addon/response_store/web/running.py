"""Read what has come so far of an answer that still runs: it is in a journal, not in the database.

The proxy appends what passes to its journal four times a second, and the ingester writes a row at
the end. A page that shows a running exchange looks into the journal for itself, which changes
nothing there; a journal on another machine it does not see. What may hold secrets is in no journal
before the ingester has cleaned it, and what is shown here is redacted as a row is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from response_store.diagnostics import Counters, ErrorReporter
from response_store.journal.directory import list_journals
from response_store.journal.errors import DamagedFrameError, JournalError
from response_store.journal.frames import FrameKind, FrameRef
from response_store.journal.private_files import prepare_folder
from response_store.journal.reader import JournalReader
from response_store.model.records import ExchangeRow, Record, State
from response_store.queries.lookup import LookupResult

if TYPE_CHECKING:
    from response_store.cli.source import Source
    from response_store.ingest.exchanges import ExchangeDraft, OpenExchange
    from response_store.journal.directory import JournalDirectory

POSITION = "SELECT position FROM {exchanges_journals} WHERE journal_id = ?"
_BATCH = 256  # frames
_MAX_FRAMES = 200_000  # that are looked at
_COLUMNS = (
    "result", "output_text", "raw_response", "event_times", "response_id", "model",
    "first_event_ms",
)  # fmt: skip
"""What a part of an answer may tell."""


def fill_in(source: Source, entry: LookupResult, position: int) -> LookupResult:
    """Return an exchange that runs with what has come of its answer; any other as it is.

    `position` is that of its journal in the database. Never raises for what a journal may hold.
    """
    row = entry.exchange
    if row is None or row.state != State.OPEN:
        return entry
    with suppress(JournalError, DamagedFrameError, OSError):
        directory = find_journal(source, row.recorder_id)
        partial = directory and read_partial(source, directory, row, position)
        if partial:
            return LookupResult(partial, entry.response)
    return entry


def find_journal(source: Source, journal_id: str) -> JournalDirectory | None:
    """Return the journal of this machine that has an id; None where there is none."""
    folder = prepare_folder(source.settings.journal.path, os.environ, create=False)
    journals = list_journals(folder)
    return next(
        (one for one in journals if one.journal_id == journal_id and one.problem is None), None
    )


def read_partial(
    source: Source, directory: JournalDirectory, row: ExchangeRow, position: int
) -> ExchangeRow | None:
    """Return an open row with what has come of its answer; None where nothing has.

    Raises DamagedFrameError, JournalError and OSError.
    """
    from response_store.ingest.exchanges import OpenExchanges  # noqa: PLC0415 (slow to load)

    reader = JournalReader(directory, checkpoint=position, is_outstanding=lambda _: False)
    try:
        exchanges = OpenExchanges(reader.frame)
        for exchange in _list_open(reader):
            if exchange.parts:
                draft = exchanges.interrupted(exchange)
                if draft.draft.request.exchange_id == row.exchange_id:
                    return _build_row(source, draft, row)
    finally:
        reader.close()
    return None


def _list_open(reader: JournalReader) -> list[OpenExchange]:
    """Return what is open in a journal whose request is there as it was sent, the newest first."""
    from response_store.ingest.exchanges import OpenExchange  # noqa: PLC0415 (slow to load)

    exchanges: dict[int, OpenExchange] = {}
    looked_at = 0
    while looked_at < _MAX_FRAMES and (refs := list(reader.next(_BATCH))):
        looked_at += len(refs)
        for ref in refs:
            _note(exchanges, ref, OpenExchange)
    return [one for one in reversed(exchanges.values()) if one.request is not None]


def _note(exchanges: dict[int, OpenExchange], ref: FrameRef, kind: type[OpenExchange]) -> None:
    if ref.kind is FrameKind.OPEN:
        exchanges[ref.key] = kind(request=ref)
    elif ref.kind is FrameKind.PART and ref.key in exchanges:
        exchanges[ref.key].parts.append(ref)
    elif ref.kind is FrameKind.END:
        exchanges.pop(ref.key, None)


def _build_row(source: Source, draft: ExchangeDraft, row: ExchangeRow) -> ExchangeRow | None:
    from response_store.ingest.cleaning import build_redactor  # noqa: PLC0415 (slow to load)
    from response_store.ingest.record_builder import RecordBuilder  # noqa: PLC0415

    counters = Counters()
    redactor = build_redactor(source.settings.redact, counters, ErrorReporter(counters))
    builder = RecordBuilder(source.settings.capture, row.recorder_id, redactor)
    change = builder.build(draft.draft)
    if not isinstance(change, Record):
        return None
    partial = change.exchange
    return msgspec.structs.replace(row, **{name: getattr(partial, name) for name in _COLUMNS})
