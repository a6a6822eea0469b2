"""What of a batch is written: not what the same batch replaces, nor what nobody will end.

The journal has one owner at a time, so an open row of another recorder is one of a proxy that was
killed: unless its end waits further on, it goes in as `interrupted` / `proxy_stopped`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from response_store.store.journal.entry import Entry
from response_store.store.records import Change, Deletion, EndedBy, State


def changes_of(
    entries: Sequence[Entry], recorder_id: str | None, follows: Callable[[Entry], bool]
) -> list[Change]:
    """The changes to make, in order. `follows` says whether more of an exchange waits behind.

    An open row is left out where its end is among the entries. Without a `recorder_id` open rows
    are written as they are. All entries must be readable.
    """
    ended = {entry.exchange_id: entry.sequence for entry in entries if not _is_open(entry.change)}
    return [
        _settled(entry, recorder_id, follows)
        for entry in entries
        if not (_is_open(entry.change) and ended.get(entry.exchange_id, -1) > entry.sequence)
    ]


def _settled(entry: Entry, recorder_id: str | None, follows: Callable[[Entry], bool]) -> Change:
    record = entry.change
    if isinstance(record, Deletion):
        return record
    ours = recorder_id is None or record.exchange.recorder_id == recorder_id
    if ours or not _is_open(record) or follows(entry):
        return record
    exchange = msgspec.structs.replace(
        record.exchange, state=State.INTERRUPTED.value, ended_by=EndedBy.PROXY_STOPPED.value
    )
    return msgspec.structs.replace(record, exchange=exchange)


def _is_open(change: Change) -> bool:
    """Whether this is a row that says no more than that an exchange has begun."""
    if isinstance(change, Deletion):
        return False
    return change.exchange.state == State.OPEN and change.response is None
