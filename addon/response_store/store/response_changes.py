"""Resolving a batch of changes to the final row of each response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from response_store.json_text import LongText
from response_store.store.merging import is_another, merge
from response_store.store.records import Change, Deletion, Record, ResponseRow

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
