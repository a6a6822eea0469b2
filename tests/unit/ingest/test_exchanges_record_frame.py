"""Changes that are built already, as frames carry them."""

from __future__ import annotations

import pytest

from response_store.ingest.exchanges import (
    DELETION,
    RECORD,
    RecordHead,
    decode_change,
    encode_change,
    encode_head,
    find_change_kind,
    read_record_head,
)
from response_store.journal.errors import DamagedFrameError
from response_store.model.records import Change, Deletion, Record, ResponseRow
from tests.unit.ingest.test_delivery_announcing import row

RESPONSE = ResponseRow("t", "r", 1, "m", "{}", "[]", "[]", final=False)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Record(row(raw_response=b"\x00\xff")), RECORD),
        (Record(row(), RESPONSE), RECORD),
        (Deletion("t", "r"), DELETION),
    ],
)
def test_changes_come_back_as_they_were(change: Change, kind: str) -> None:
    """Records, with and without a response, and deletions."""
    assert find_change_kind(change) == kind
    assert decode_change(kind, encode_change(change)) == change


def test_heads_come_back_as_they_were() -> None:
    """What a change came from stays with it."""
    head = RecordHead("flow", 3, ends=True, kind=RECORD, started_at=1.5, deleted_at=2.5)
    assert read_record_head(encode_head(head)) == head


@pytest.mark.parametrize("kind", [RECORD, DELETION])
@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xc1", b"\x82\xa2id\xa1\xff"])
def test_anything_else_is_damage(kind: str, payload: bytes) -> None:
    """Bytes that are no change of this version are refused as damage."""
    with pytest.raises(DamagedFrameError):
        decode_change(kind, payload)
