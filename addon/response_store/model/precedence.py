"""Decide which row wins, in Python and in SQL side by side, and what changes of a conversation
come to.

Responses only move forward, from `queued` over `in_progress` to a final state, and an input that
is known is never erased: neither by a snapshot that does not repeat it, nor because the snapshot
that brings it comes late.

A row is replaced only by one in a later state. The same rank of the state decides which exchange
represents a response that several name.

Applying a change twice changes nothing (it is idempotent): an item is known by its id, and the
items with which a conversation begins, which have none yet, are put where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT, LongText, as_utf8
from response_store.limits import LARGE_TEXT
from response_store.model.records import (
    Change,
    ConversationChange,
    Deletion,
    EndedBy,
    Record,
    ResponseRow,
    State,
)

_FINAL = State.COMPLETED.rank


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
        status = jsontext.slice_members(as_utf8(response_object), _Status).status
    except (jsontext.UnreadableError, UnicodeEncodeError):
        return None
    return jsontext.read_text(status)


def is_another(stored: ResponseRow, incoming: ResponseRow) -> bool:
    """Return whether two final responses conflict, of one id: by status, output, or known input."""
    if not incoming.final or not is_final(stored.response_object):
        return False
    if len({_read_status(row.response_object) for row in (stored, incoming)} - {None}) > 1:
        return True
    is_known = not jsontext.is_empty_array(stored.input) and incoming.has_input
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
        if not jsontext.is_empty_array(stored.input) or not incoming.has_input:
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
    parts = (jsontext.strip_brackets(as_utf8(items)), _slice_output(row))
    messages = b"[" + b",".join(part for part in parts if part) + b"]"
    return msgspec.structs.replace(row, input=items, messages=jsontext.decode_column(messages))


def _slice_output(row: ResponseRow) -> bytes:
    """Return the output items: what stands in `messages` behind the input items.

    Where nothing stands there they are those of the object, which is all that may be written.
    """
    head = jsontext.strip_brackets(as_utf8(row.input))
    whole = jsontext.strip_brackets(as_utf8(row.messages))
    if not whole.startswith(head):
        return whole
    items = whole[len(head) :].lstrip(b", \t\r\n")
    return items or jsontext.strip_brackets(slice_output(as_utf8(row.response_object)))


class _Output(msgspec.Struct):
    output: Raw = ABSENT


def slice_output(response_object: bytes) -> bytes:
    """Return the output of a response object as JSON text; empty where it is no array."""
    try:
        output = jsontext.slice_members(response_object, _Output).output
    except jsontext.UnreadableError:
        return b""
    return bytes(output) if bytes(memoryview(output)[:1]) == b"[" else b""


def build_rank(column: str) -> str:
    """Return the SQL expression for `State.rank` of the state in `column`."""
    cases = " ".join(
        f"WHEN '{state.value}' THEN {state.rank}" for state in State if state.rank < ENDED_RANK
    )
    return f"CASE {column} {cases} ELSE {ENDED_RANK} END"


ENDED_RANK = State.COMPLETED.rank
"""The rank of every state that is not named in the expression, unknown ones among them."""


def build_supersedes(new: str, old: str) -> str:
    """Return the SQL condition that the exchange `new` replaces the exchange `old`.

    The one in the later state does: an ended one replaces an open one, a whole one replaces one
    that was cut off. Of equal states the one whose end is known does, where the other was given up
    as `proxy_stopped`; of equals in that too, the one with more of its raw answer. `supersedes` is
    the same rule in Python.
    """
    return f"{_build_progress(new)} > {_build_progress(old)}"


def supersedes(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether the exchange `new` replaces the exchange `old`, by their columns."""
    return _measure_progress(new) > _measure_progress(old)


def build_body_updates(old: str) -> dict[str, str]:
    """Return what a stored body, and what it is packed against, become by a row that replaces it.

    A row that others are packed against keeps its body, and one that has a body gets none that is
    packed against another: so what is packed against it stays readable, and no base has a base.
    """
    keeps = (
        f"{old}.request_body IS NOT NULL AND (excluded.request_base_id IS NOT NULL OR EXISTS ("
        f"SELECT 1 FROM {old} AS based WHERE based.request_base_id = {old}.exchange_id))"
    )
    return {
        name: f"CASE WHEN {keeps} THEN {old}.{name} ELSE excluded.{name} END"
        for name in ("request_body", "request_base_id")
    }


def _build_progress(row: str) -> str:
    """Return what is compared, as a row of SQL: two for each rank, one for a known end."""
    known = f"CASE {row}.ended_by WHEN '{EndedBy.PROXY_STOPPED}' THEN 0 ELSE 1 END"
    size = f"coalesce(length({row}.raw_response), 0)"
    return f"(2 * {build_rank(f'{row}.state')} + {known}, {size})"


def _measure_progress(row: Mapping[str, Any]) -> tuple[int, int]:
    """Return what is compared, as `_build_progress` has it."""
    known = int(row["ended_by"] != EndedBy.PROXY_STOPPED)
    return 2 * rank_state(row["state"]) + known, len(row["raw_response"] or b"")


def rank_state(state: str) -> int:
    """Return `State.rank`, also of a state that another program has made up."""
    return State(state).rank if state in _NAMES else ENDED_RANK


_NAMES = frozenset(State)

REPRESENTATIVE_FIRST = (
    f"{build_rank('state')} DESC, CASE WHEN result IS NULL THEN 0 ELSE 1 END, "
    "started_at DESC, exchange_id COLLATE {bytewise} DESC"
)
"""The order in which the first of a response's exchanges stands for it.

One whose response keeps its row comes before one that met a taken id, which has a result.
"""


def order_by_tokens(columns: str) -> str:
    """Return the order in which the first of a response's exchanges counts for its tokens.

    It is one that has a value in one of `columns`, which are separated by commas.
    """
    return f"""
    CASE WHEN coalesce({columns}) IS NULL THEN 1 ELSE 0 END,
    {build_rank("state")} DESC, started_at DESC, exchange_id DESC"""


Key: TypeAlias = tuple[str, str]
"""Tenant and id of a response."""


class Resolution(NamedTuple):
    """The result of a batch.

    `rows`: what each response becomes, in the order of keys; None where it is deleted. Those that
    stay as they are stored are left out. `results`: by the place of a change in the batch, the
    object, as JSON text, of a final response whose id another one has, which stays.
    """

    rows: dict[Key, ResponseRow | None]
    results: dict[int, LongText]


ResponseChanges: TypeAlias = Sequence[tuple[int, Change]]
"""The changes of one response, in their order, each with its place in the batch."""


def group_by_response(changes: Sequence[Change]) -> dict[Key, ResponseChanges]:
    """Return the changes of each response."""
    groups: dict[Key, list[tuple[int, Change]]] = {}
    for place, change in enumerate(changes):
        end = change if isinstance(change, Deletion) else change.response
        if end is not None:
            groups.setdefault((end.tenant_id, end.id), []).append((place, change))
    return {**groups}


def get_first_row(group: ResponseChanges) -> ResponseRow | None:
    """Return the row that a response's changes begin with; None where they begin with a deletion.

    What is stored counts for the outcome unless it is None.
    """
    _, change = group[0]
    return None if isinstance(change, Deletion) else change.response


def resolve_responses(
    groups: Mapping[Key, ResponseChanges], stored: Mapping[Key, ResponseRow]
) -> Resolution:
    """Return what the changes of each response make of what is stored of it."""
    resolution = Resolution({}, {})
    for key in sorted(groups):
        before = row = stored.get(key)
        for place, change in groups[key]:
            if isinstance(change, Deletion):
                row = None
            elif (incoming := change.response) is None:
                continue
            elif row is not None and is_another(row, incoming):
                resolution.results[place] = incoming.response_object
            else:
                row = incoming if row is None else merge(row, incoming) or row
        if row is None or row is not before:
            resolution.rows[key] = row
    return resolution


def attach_results(changes: Sequence[Change], results: Mapping[int, LongText]) -> Iterator[Change]:
    """Yield the changes; exchanges whose response could not be stored keep it in `result`."""
    for place, change in enumerate(changes):
        if isinstance(change, Record) and (result := results.get(place)) is not None:
            exchange = msgspec.structs.replace(change.exchange, result=result)
            yield msgspec.structs.replace(change, exchange=exchange)
        else:
            yield change


Values: TypeAlias = tuple[str, str]
"""Metadata and messages, as JSON text."""
NO_METADATA, NO_MESSAGES = "{}", "[]"


def group_by_conversation(
    changes: Iterable[Change],
) -> list[tuple[tuple[str, str], list[ConversationChange]]]:
    """Return the changes of each conversation in their order, by id and tenant, sorted by these."""
    records = [one.conversation for one in changes if isinstance(one, Record) and one.conversation]
    records.sort(key=get_key)
    return [(key, list(group)) for key, group in groupby(records, get_key)]


def get_key(change: ConversationChange) -> tuple[str, str]:
    """Return the key of a conversation's row."""
    return change.id, change.tenant_id


def build_empty_row(
    key: tuple[str, str], changes: Sequence[ConversationChange]
) -> tuple[str, str, int, str, str]:
    """Return the row of a conversation that is not there yet."""
    return (*key, changes[0].created_at, NO_METADATA, NO_MESSAGES)


def apply_changes(values: Values, changes: Sequence[ConversationChange]) -> Values | None:
    """Return metadata and messages after some changes; None where the conversation was deleted."""
    current: Values | None = values
    for change in changes:
        if change.deleted:
            current = None
        else:
            metadata, messages = current or (NO_METADATA, NO_MESSAGES)
            current = change.metadata or metadata, _apply_to_messages(messages, change)
    return current


def _apply_to_messages(text: str, change: ConversationChange) -> str:
    known = _split_elements(text)
    if change.begins:
        return text if known else _join_array(change.items)
    items = {_read_id(item) or f"place {at}": item for at, item in enumerate(known)}
    items.pop(change.removed_item or "", None)
    new = {_read_id(item) or item: item for item in change.items}
    if change.removed_item is None and not new:
        return text
    return _join_array((items | new).values())


def _split_elements(text: str) -> list[str]:
    try:
        return [jsontext.read_slice(item) for item in jsontext.slice_elements(text.encode())]
    except jsontext.UnreadableError:
        return []


def _read_id(item: str) -> str | None:
    try:
        members = jsontext.slice_all_members(item.encode())
    except jsontext.UnreadableError:
        return None
    return jsontext.read_text(members.get("id", jsontext.ABSENT))


def _join_array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"
