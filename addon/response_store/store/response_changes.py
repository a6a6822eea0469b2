"""What a batch of changes makes of the responses that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from response_store.store.merging import is_another, merge
from response_store.store.records import Change, Deletion, Record, ResponseRow

Key: TypeAlias = tuple[str, str]
"""Tenant and id of a response."""


class Resolution(NamedTuple):
    """What a batch comes to.

    `rows`: what each response becomes, in the order of keys; None where it is deleted. Those that
    stay as they are stored are left out. `results`: the objects, as JSON text, of the exchanges
    whose final response has the id of another one, which stays.
    """

    rows: dict[Key, ResponseRow | None]
    results: dict[str, str]


def group_by_response(changes: Sequence[Change]) -> dict[Key, list[Change]]:
    """Return the changes of each response, in their order."""
    groups: dict[Key, list[Change]] = {}
    for change in changes:
        end = change if isinstance(change, Deletion) else change.response
        if end is not None:
            groups.setdefault((end.tenant_id, end.id), []).append(change)
    return groups


def first_row(changes: Sequence[Change]) -> ResponseRow | None:
    """Return the first row of a response's changes; None where it is deleted, whatever is stored.

    Otherwise the outcome depends on what is stored.
    """
    if any(isinstance(change, Deletion) for change in changes):
        return None
    return next(
        change.response
        for change in changes
        if isinstance(change, Record) and change.response is not None
    )


def resolve_responses(
    groups: Mapping[Key, Sequence[Change]], stored: Mapping[Key, ResponseRow]
) -> Resolution:
    """Return what the changes of each response make of what is stored of it."""
    resolution = Resolution({}, {})
    for key in sorted(groups):
        before = row = stored.get(key)
        for change in groups[key]:
            if isinstance(change, Deletion):
                row = None
            elif (incoming := change.response) is None:
                continue
            elif row is not None and is_another(row, incoming):
                resolution.results[change.exchange.exchange_id] = incoming.response_object
            else:
                row = incoming if row is None else merge(row, incoming) or row
        if row is None or row is not before:
            resolution.rows[key] = row
    return resolution


def with_results(changes: Sequence[Change], results: Mapping[str, str]) -> Iterator[Change]:
    """Yield the changes; exchanges whose response could not be stored keep it in `result`."""
    for change in changes:
        if isinstance(change, Record) and change.exchange.exchange_id in results:
            result = results[change.exchange.exchange_id]
            exchange = msgspec.structs.replace(change.exchange, result=result)
            yield msgspec.structs.replace(change, exchange=exchange)
        else:
            yield change
