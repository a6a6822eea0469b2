"""RECORD frames: built changes, of exchanges that may not lie in the journal as they came."""

from __future__ import annotations

import msgspec

from response_store.journal.errors import DamagedFrameError
from response_store.store.records import Change, Deletion, Record

RECORD, DELETION, NOTHING = "record", "deletion", ""

_encode = msgspec.msgpack.Encoder().encode
_read_record = msgspec.msgpack.Decoder(Record).decode
_read_deletion = msgspec.msgpack.Decoder(Deletion).decode


class RecordHead(msgspec.Struct, array_like=True):
    """What a change came from. Times are Unix seconds.

    `ends` is False for the row of an exchange that is open. `kind` says what the frame's body is;
    where the exchange makes no row it is NOTHING, and `skipped` the reason. `deleted_at` is there
    for a deletion.
    """

    flow_id: str
    turn: int
    ends: bool
    kind: str = NOTHING
    skipped: str | None = None
    started_at: float = 0.0
    deleted_at: float | None = None


encode_head = _encode
read_record_head = msgspec.msgpack.Decoder(RecordHead).decode


def find_change_kind(change: Change) -> str:
    """Return what `decode_change` has to know of an encoded change."""
    return DELETION if isinstance(change, Deletion) else RECORD


def encode_change(change: Change) -> bytes:
    """Return a change as bytes."""
    return _encode(change)


def decode_change(kind: str, payload: bytes) -> Change:
    """Return an encoded change. Raises DamagedFrameError where it is none of this version."""
    try:
        return _read_deletion(payload) if kind == DELETION else _read_record(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFrameError(f"a built change can't be read: {error}") from None
