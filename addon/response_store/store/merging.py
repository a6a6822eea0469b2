"""Merging a new snapshot of a response into the stored one.

Responses only move forward, from `queued` over `in_progress` to a final state, and an input that
is known is never erased: neither by a snapshot that does not repeat it, nor because the snapshot
that brings it comes late.
"""

from __future__ import annotations

import json

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.store.records import ResponseRow, State

_FINAL = State.COMPLETED.rank


class _Status(msgspec.Struct):
    status: Raw = ABSENT


def rank_response(response_object: str) -> int:
    """Return the rank of a response's state: a lower one never replaces a higher one."""
    status = _read_status(response_object)
    return State(status).rank if status in _PROMISES else _FINAL


def is_final(response_object: str) -> bool:
    """Return whether a response is in a state that no later one replaces, as far as it says."""
    return rank_response(response_object) == _FINAL


_PROMISES = (State.QUEUED, State.IN_PROGRESS)


def _read_status(response_object: str) -> str | None:
    """Return what a response says of itself; None where that can't be read."""
    try:
        status = json_text.slice_members(response_object.encode(), _Status).status
    except (json_text.UnreadableError, UnicodeEncodeError):
        return None
    return json_text.read_text(status)


def is_another(stored: ResponseRow, incoming: ResponseRow) -> bool:
    """Return whether two final responses of one id differ: by status, output, or known input."""
    if not incoming.final or not is_final(stored.response_object):
        return False
    if len({_read_status(row.response_object) for row in (stored, incoming)} - {None}) > 1:
        return True
    known = json_text.strip_brackets(stored.input.encode())
    if known and incoming.has_input and not _are_equal(stored.input, incoming.input):
        return True
    output = (b"[" + _slice_output(row) + b"]" for row in (stored, incoming))
    return not _are_equal(*(items.decode() for items in output))


def merge(stored: ResponseRow, incoming: ResponseRow) -> ResponseRow | None:
    """Return the row to write, or None where the stored one stays as it is.

    An empty stored input may be known or not: it counts as not known.
    """
    known = bool(json_text.strip_brackets(stored.input.encode()))
    if _is_older(incoming, stored):
        if known or not incoming.has_input:
            return None
        merged = _replace_input(stored, incoming.input)
        return msgspec.structs.replace(merged, model=stored.model or incoming.model)
    if incoming.has_input:
        return incoming
    merged = _replace_input(incoming, stored.input)
    return msgspec.structs.replace(merged, model=incoming.model or stored.model)


def _is_older(incoming: ResponseRow, stored: ResponseRow) -> bool:
    if incoming.final:
        return False
    return min(rank_response(incoming.response_object), _FINAL - 1) < rank_response(
        stored.response_object
    )


def _are_equal(one: str, other: str) -> bool:
    """Return whether two JSON texts have the same value; where one can't be read, the same text."""
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False


def _replace_input(row: ResponseRow, items: str) -> ResponseRow:
    """Return a row with another input; `messages` is that input and the row's own output items."""
    parts = (json_text.strip_brackets(items.encode()), _slice_output(row))
    messages = b"[" + b",".join(part for part in parts if part) + b"]"
    return msgspec.structs.replace(row, input=items, messages=messages.decode())


def _slice_output(row: ResponseRow) -> bytes:
    """Return the output items: what follows the input items in `messages`."""
    head = json_text.strip_brackets(row.input.encode())
    whole = json_text.strip_brackets(row.messages.encode())
    if not whole.startswith(head):
        return whole
    return whole[len(head) :].lstrip(b", \t\r\n")
