"""What waits in a journal of a response that is asked for, laid over what is stored of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.serving.stored import Found, Wanted
from response_store.store.merging import laid_over
from response_store.store.records import Deletion, EndedBy, Record, Transport
from response_store.store.served_tables import Recorded
from response_store.store.weighing import is_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.store.records import Change, ResponseRow


class Waiting:
    """The changes of one response that wait, the newest first; there may be none."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._changes

    @property
    def settles(self) -> bool:
        """Whether they say what is stored once they are written, whatever is stored now."""
        return any(_settles(change) for change in self._changes)

    def over(self, stored: ResponseRow | None) -> ResponseRow | None:
        """What is stored of the response once they are written."""
        return laid_over(stored, reversed(self._changes))

    def recorded(self, stored: Recorded | None) -> Recorded | None:
        """The oldest recorded stream, where `stored` is that of the database."""
        streams = {stored.exchange_id: stored} if stored else {}
        for change in self._changes:
            stream = _recorded(change) if isinstance(change, Record) else None
            if stream is not None:
                known = streams.get(stream.exchange_id, stream)
                # An exchange may come once more, amended; what says less replaces nothing.
                streams[stream.exchange_id] = max(known, stream, key=_length)
        return min(streams.values(), default=None)


def found_of(row: ResponseRow, wanted: Wanted, recorded: Recorded | None) -> Found:
    """A response out of its whole row, as far as it is wanted."""
    match wanted:
        case Wanted.PRESENCE:
            return Found()
        case Wanted.INPUT:
            return Found(input=row.input)
        case _:
            raw = recorded.raw_response if recorded else None
            return Found(response_object=row.response_object, recorded=raw)


def _settles(change: Change) -> bool:
    if isinstance(change, Deletion):
        return True
    return change.response is not None and is_plain(change.response)


def _recorded(record: Record) -> Recorded | None:
    row = record.exchange
    whole = row.transport == Transport.SSE and row.ended_by == EndedBy.TERMINAL_EVENT
    if not whole or row.raw_response is None:
        return None
    return Recorded(row.started_at, row.exchange_id, row.raw_response)


def _length(recorded: Recorded) -> int:
    return len(recorded.raw_response)
