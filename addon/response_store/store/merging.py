"""Merging a new snapshot of a response into the stored one.

Responses only move forward, from `queued` over `in_progress` to a final state, and an input that
is known is never erased: neither by a snapshot that does not repeat it, nor because the snapshot
that brings it comes late.
"""

from __future__ import annotations

import json
import re

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT, LongText, as_utf8
from response_store.limits import LARGE_TEXT
from response_store.store.records import ResponseRow, State

_FINAL = State.COMPLETED.rank
_is_empty_array = re.compile(rb"\s*\[\s*\]\s*\Z").match


class _Status(msgspec.Struct):
    status: Raw = ABSENT


def rank_response(response_object: LongText) -> int:
    """Return the rank of a response's state: a lower one never replaces a higher one."""
    status = _read_status(response_object)
    return State(status).rank if status in _PROMISES else _FINAL


def is_final(response_object: LongText) -> bool:
    """Return whether a response is in a state that no later one replaces, as far as it says."""
    return rank_response(response_object) == _FINAL


_PROMISES = (State.QUEUED, State.IN_PROGRESS)


def _read_status(response_object: LongText) -> str | None:
    """Return what a response says of itself; None where that can't be read."""
    try:
        status = json_text.slice_members(as_utf8(response_object), _Status).status
    except (json_text.UnreadableError, UnicodeEncodeError):
        return None
    return json_text.read_text(status)


def is_another(stored: ResponseRow, incoming: ResponseRow) -> bool:
    """Return whether two final responses of one id differ: by status, output, or known input."""
    if not incoming.final or not is_final(stored.response_object):
        return False
    if len({_read_status(row.response_object) for row in (stored, incoming)} - {None}) > 1:
        return True
    is_known = _has_items(stored.input) and incoming.has_input
    if is_known and not _are_equal(stored.input, incoming.input):
        return True
    if max(len(stored.messages), len(incoming.messages)) > LARGE_TEXT:
        return stored.response_object != incoming.response_object
    output = (b"[" + _slice_output(row) + b"]" for row in (stored, incoming))
    return not _are_equal(*output)


def merge(stored: ResponseRow, incoming: ResponseRow) -> ResponseRow | None:
    """Return the row to write, or None where the stored one stays as it is.

    An empty stored input may be known or not: it counts as not known.
    """
    if _is_older(incoming, stored):
        if _has_items(stored.input) or not incoming.has_input:
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


def _has_items(array: LongText) -> bool:
    return _is_empty_array(as_utf8(array)) is None


def _are_equal(one: LongText, other: LongText) -> bool:
    """Return whether two JSON texts have the same value.

    Where one can't be read, or is large, whether they are the same text.
    """
    if one == other:
        return True
    if max(len(one), len(other)) > LARGE_TEXT:
        return False
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False


def _replace_input(row: ResponseRow, items: LongText) -> ResponseRow:
    """Return a row with another input; `messages` is that input and the row's own output items."""
    parts = (json_text.strip_brackets(as_utf8(items)), _slice_output(row))
    messages = b"[" + b",".join(part for part in parts if part) + b"]"
    return msgspec.structs.replace(row, input=items, messages=json_text.column(messages))


def _slice_output(row: ResponseRow) -> bytes:
    """Return the output items: what stands in `messages` behind the input items."""
    head = json_text.strip_brackets(as_utf8(row.input))
    whole = json_text.strip_brackets(as_utf8(row.messages))
    if not whole.startswith(head):
        return whole
    return whole[len(head) :].lstrip(b", \t\r\n")
