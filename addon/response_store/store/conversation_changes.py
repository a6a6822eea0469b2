"""Applying changes to conversations, whose rows grow item by item.

Applying a change twice changes nothing: an item is known by its id, and the items with which a
conversation begins, which have none yet, are put where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from response_store import json_text
from response_store.store.records import Change, ConversationChange, Record

Values: TypeAlias = tuple[str, str]
"""Metadata and messages, as JSON text."""
NO_METADATA, NO_MESSAGES = "{}", "[]"


def group_by_conversation(
    changes: Iterable[Change],
) -> list[tuple[tuple[str, str], list[ConversationChange]]]:
    """Return the changes of each conversation in their order, by id and tenant, sorted by these."""
    found = [one.conversation for one in changes if isinstance(one, Record) and one.conversation]
    found.sort(key=get_key)
    return [(key, list(group)) for key, group in groupby(found, get_key)]


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
        return [json_text.read_slice(item) for item in json_text.slice_elements(text.encode())]
    except json_text.UnreadableError:
        return []


def _read_id(item: str) -> str | None:
    try:
        members = json_text.slice_all_members(item.encode())
    except json_text.UnreadableError:
        return None
    return json_text.read_text(members.get("id", json_text.ABSENT))


def _join_array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"
