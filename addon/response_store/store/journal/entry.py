"""One row of the journal: a change, encoded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from response_store.store.records import Change, Deletion, Record

RECORD = "record"
DELETION = "deletion"
_NO_EXCHANGE = ""  # in the column that no row may leave out
_COLUMNS = ("kind", "queued_at", "size", "tenant_id", "response_id", "exchange_id", "payload")
_encoder = msgspec.msgpack.Encoder()
_read_record = msgspec.msgpack.Decoder(Record).decode
_read_deletion = msgspec.msgpack.Decoder(Deletion).decode


class UnreadableEntryError(Exception):
    """An entry that this program can't read. Its text is a reason for the dead letters."""


@dataclass(frozen=True)
class Entry:
    """What waits; `sequence` is its place."""

    sequence: int
    kind: str
    exchange_id: str
    size: int
    payload: bytes

    @cached_property
    def change(self) -> Change:
        """The change. Raises UnreadableEntryError."""
        return decoded(self.kind, self.payload)


def decoded(kind: str, payload: bytes) -> Change:
    """The change of a payload. Raises UnreadableEntryError."""
    if kind not in (RECORD, DELETION):
        raise UnreadableEntryError("a kind that this program does not know")
    try:
        return _read_record(payload) if kind == RECORD else _read_deletion(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEntryError(
            f"the journal's copy can't be read ({type(error).__name__})"
        ) from None


def values(change: Change, queued_at: float) -> tuple[Any, ...]:
    """The columns of a change, the size third and the payload last.

    Raises what the encoder raises for a value that is no text, number or bytes.
    """
    payload = _encoder.encode(change)
    kind, *names = _named(change)
    return kind, queued_at, len(payload), *names, payload


def _named(change: Change) -> tuple[str, str, str | None, str]:
    """The kind, and the tenant, response and exchange that it is about."""
    if isinstance(change, Deletion):
        return DELETION, change.tenant_id, change.id, _NO_EXCHANGE
    exchange, response = change.exchange, change.response
    if response is not None:
        return RECORD, response.tenant_id, response.id, exchange.exchange_id
    return RECORD, exchange.tenant_id, exchange.response_id, exchange.exchange_id


@lru_cache(maxsize=64)
def insert(count: int) -> str:
    """One statement that appends `count` rows, so that it is its own transaction."""
    row = "(" + ", ".join("?" * len(_COLUMNS)) + ")"
    return f"INSERT INTO waiting ({', '.join(_COLUMNS)}) VALUES " + ", ".join([row] * count)
