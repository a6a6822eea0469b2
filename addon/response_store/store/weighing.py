"""What a store asks of a change before it writes it: how large it is, and whether to look first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from response_store.store.records import Change, Deletion, Record, ResponseRow


def is_plain(response: ResponseRow | None) -> bool:
    """Whether a response replaces whatever is stored, so that nothing has to be read first."""
    return response is None or (response.final and response.has_input)


def all_plain(changes: Sequence[Change]) -> TypeGuard[Sequence[Record]]:
    """Whether a batch is records alone, of which each replaces whatever is stored."""
    return all(isinstance(each, Record) and is_plain(each.response) for each in changes)


def large_columns(change: Change) -> int:
    """How many bytes or characters its large columns hold."""
    if isinstance(change, Deletion):
        return 0
    response, exchange = change.response, change.exchange
    held = len(exchange.request_body or b"") + len(exchange.raw_response or b"")
    held += len(exchange.result or "") + len(exchange.output_text or "")
    if response is not None:
        held += len(response.response_object) + len(response.input) + len(response.messages)
    return held
