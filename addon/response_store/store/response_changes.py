"""What a batch of changes makes of the responses that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from response_store.store.merging import laid_over
from response_store.store.records import Change, Deletion, ResponseRow
from response_store.store.weighing import is_plain

Key: TypeAlias = tuple[str, str]
"""Tenant and id of a response."""


def group_by_response(changes: Sequence[Change]) -> dict[Key, list[Change]]:
    """Return the changes of each response, in their order."""
    groups: dict[Key, list[Change]] = {}
    for change in changes:
        end = change if isinstance(change, Deletion) else change.response
        if end is not None:
            groups.setdefault((end.tenant_id, end.id), []).append(change)
    return groups


def first_unsure(changes: Sequence[Change]) -> ResponseRow | None:
    """Return the first row of a response's changes where the outcome depends on what is stored.

    None where the stored row is replaced or deleted, whatever it is.
    """
    first = None
    for change in changes:
        if isinstance(change, Deletion) or is_plain(change.response):
            return None
        first = first or change.response
    return first


def resolve_responses(
    groups: Mapping[Key, Sequence[Change]], stored: Mapping[Key, ResponseRow]
) -> dict[Key, ResponseRow | None]:
    """Return what each response becomes, in the order of keys; None where it is deleted.

    Those that stay as they are stored are left out.
    """
    result = {}
    for key in sorted(groups):
        before = stored.get(key)
        after = laid_over(before, groups[key])
        if after is None or after is not before:
            result[key] = after
    return result
