"""What the proxy gets to know of exchanges that are written: for its log, and for marks on
flows.
"""

from __future__ import annotations

from collections.abc import Iterable

from response_store.ingest.channel import WrittenRow
from response_store.ingest.delivery import PendingChange
from response_store.limits import shorten_name
from response_store.store.records import ExchangeRow, Record, State


def list_written_rows(items: Iterable[PendingChange]) -> tuple[WrittenRow, ...]:
    """Return the exchanges among committed changes that have ended, in order."""
    return tuple(
        _build_written_row(item, item.change.exchange)
        for item in items
        if isinstance(item.change, Record) and item.change.exchange.state != State.OPEN
    )


def format_log_line(row: ExchangeRow) -> str:
    """Return one line with state, model, tokens, time and id of an exchange, fit for any log."""
    parts = [f"{row.state} {shorten_name(row.model or row.requested_model or 'unknown model')}"]
    if row.input_tokens is not None or row.output_tokens is not None:
        parts.append(f"{row.input_tokens or 0}+{row.output_tokens or 0} tokens")
    if row.duration_ms is not None:
        parts.append(_format_time(row.duration_ms))
    parts.append(shorten_name(row.response_id or row.exchange_id))
    # Names and ids come from the upstream: they may not control the terminal.
    return "".join(c if c.isprintable() else "\ufffd" for c in ", ".join(parts))


def _build_written_row(item: PendingChange, row: ExchangeRow) -> WrittenRow:
    return WrittenRow(
        flow_id=item.flow_id,
        turn=item.turn,
        line=format_log_line(row),
        exchange_id=row.exchange_id,
        response_id=row.response_id,
        state=row.state,
        error_code=row.error_code,
        model=row.model,
        requested_model=row.requested_model,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        duration_ms=row.duration_ms,
    )


def _format_time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"
