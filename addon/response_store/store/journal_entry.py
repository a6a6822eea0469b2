"""One row of the journal: a record, encoded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from response_store.store.records import Record

RECORD = "record"
_COLUMNS = ("kind", "queued_at", "size", "tenant_id", "response_id", "exchange_id", "payload")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


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
    def record(self) -> Record:
        """The record. Raises UnreadableEntryError."""
        if self.kind != RECORD:
            raise UnreadableEntryError("a kind that this program does not know")
        return decoded(self.payload)


def decoded(payload: bytes) -> Record:
    """The record of a payload. Raises UnreadableEntryError."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEntryError(
            f"the journal's copy can't be read ({type(error).__name__})"
        ) from None


def values(record: Record, queued_at: float) -> tuple[Any, ...]:
    """The columns of a record, the size third and the payload last.

    Raises what the encoder raises for a value that is no text, number or bytes.
    """
    exchange, response = record.exchange, record.response
    payload = _encoder.encode(record)
    tenant, response_id = exchange.tenant_id, exchange.response_id
    if response is not None:
        tenant, response_id = response.tenant_id, response.id
    return RECORD, queued_at, len(payload), tenant, response_id, exchange.exchange_id, payload


@lru_cache(maxsize=64)
def insert(count: int) -> str:
    """One statement that appends `count` rows, so that it is its own transaction."""
    row = "(" + ", ".join("?" * len(_COLUMNS)) + ")"
    return f"INSERT INTO waiting ({', '.join(_COLUMNS)}) VALUES " + ", ".join([row] * count)
