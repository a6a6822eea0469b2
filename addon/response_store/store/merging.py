"""What becomes of a stored response when a snapshot of the same one comes.

Responses only move forward, from `queued` over `in_progress` to a final state, and an input that
is known is never erased: neither by a snapshot that does not repeat it, nor because the snapshot
that brings it comes late.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.store.records import Change, Deletion, ResponseRow, State

_RANKS = {State.QUEUED.value: 0, State.IN_PROGRESS.value: 1}
_FINAL = 2


class _Status(msgspec.Struct):
    status: Raw = ABSENT


def rank(response_object: str) -> int:
    """How far a response has come: a lower one never replaces a higher one."""
    try:
        status = json_text.members(response_object.encode(), _Status).status
    except (json_text.UnreadableError, UnicodeEncodeError):
        return _FINAL
    return _RANKS.get(json_text.as_text(status) or "", _FINAL)


def laid_over(stored: ResponseRow | None, changes: Iterable[Change]) -> ResponseRow | None:
    """What is stored of one response once its changes, the oldest first, are written."""
    row = stored
    for change in changes:
        if isinstance(change, Deletion):
            row = None
        elif (incoming := change.response) is not None:
            row = incoming if row is None else merge(row, incoming) or row
    return row


def merge(stored: ResponseRow, incoming: ResponseRow) -> ResponseRow | None:
    """The row to write, or None where the stored one stays as it is.

    Whether a stored input is known, its text alone can tell: an empty one may be or not.
    """
    known = bool(json_text.array_inner(stored.input.encode()))
    if _precedes(incoming, stored):
        if known or not incoming.has_input:
            return None
        merged = _with_input(stored, incoming.input)
        return msgspec.structs.replace(merged, model=stored.model or incoming.model)
    if incoming.has_input:
        return incoming
    merged = _with_input(incoming, stored.input)
    return msgspec.structs.replace(merged, model=incoming.model or stored.model)


def _precedes(incoming: ResponseRow, stored: ResponseRow) -> bool:
    if incoming.final:
        return False
    return min(rank(incoming.response_object), _FINAL - 1) < rank(stored.response_object)


def _with_input(row: ResponseRow, items: str) -> ResponseRow:
    """A row with another input: its messages are that input, and its own output items."""
    parts = (json_text.array_inner(items.encode()), _output(row))
    messages = b"[" + b",".join(part for part in parts if part) + b"]"
    return msgspec.structs.replace(row, input=items, messages=messages.decode())


def _output(row: ResponseRow) -> bytes:
    """The output items: what stands in `messages` behind the input items."""
    head = json_text.array_inner(row.input.encode())
    whole = json_text.array_inner(row.messages.encode())
    if not whole.startswith(head):
        return whole
    return whole[len(head) :].lstrip(b", \t\r\n")
