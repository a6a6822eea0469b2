"""Frames that may hold secrets, made fit for the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from response_store.capture.draft import PartHead, encode_head
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.cleaning import Cleaner, CleanFrame
from response_store.ingest.exchanges import decode_change, read_end_head, read_record_head
from response_store.journal.frames import FrameKind
from response_store.model.records import Deletion, Record
from tests.unit.ingest.proxy_side import (
    STARTED,
    answer_head,
    end_frame,
    id_of,
    make_config,
    request_head,
    response_object,
    sse,
)

TOKEN = "tok-4711-very-secret-value"
KEY = "sk-proj-" + "Ab1" * 20
SECRET_REQUEST = json.dumps(
    {"model": "gpt-5", "input": "hi", "tools": [{"type": "mcp", "authorization": TOKEN}]}
).encode()


@pytest.fixture
def counters() -> Counters:
    """Counters."""
    return Counters()


@pytest.fixture
def cleaner(tmp_path: Path, counters: Counters) -> Cleaner:
    """What cleans without redaction."""
    return Cleaner(
        make_config(tmp_path), "journal", counters=counters, errors=ErrorReporter(counters)
    )


@pytest.fixture
def redacting(tmp_path: Path, counters: Counters) -> Cleaner:
    """What redacts as well."""
    config = make_config(tmp_path, "redact: common\n")
    return Cleaner(config, "journal", counters=counters, errors=ErrorReporter(counters))


def text_of(frame: CleanFrame) -> bytes:
    """Return all bytes of a frame, and what is packed in them."""
    import zstandard

    texts = [frame.head, *frame.parts]
    if frame.kind is FrameKind.RECORD and frame.parts:
        change = decode_change(read_record_head(frame.head).kind, b"".join(frame.parts))
        row = change.exchange if isinstance(change, Record) else None
        for body in (row.request_body, row.raw_response) if row else ():
            texts += [zstandard.ZstdDecompressor().decompress(body)] if body else []
    return b"\0".join(map(bytes, texts))


def record_of(frame: CleanFrame) -> Record:
    """Return the record that a frame holds."""
    assert frame.kind is FrameKind.RECORD
    change = decode_change(read_record_head(frame.head).kind, b"".join(frame.parts))
    assert isinstance(change, Record)
    return change


def test_a_whole_exchange_becomes_its_record(cleaner: Cleaner) -> None:
    """Credentials of a request, and where an answer repeats them, are gone; the rest is there."""
    body = json.dumps(response_object(1, instructions=f"use {TOKEN}")).encode()
    head, parts = end_frame(1, alone=True, request=SECRET_REQUEST, body=body)
    frame = cleaner.clean(FrameKind.END, head, b"".join(parts))
    record = record_of(frame)
    assert TOKEN.encode() not in text_of(frame)
    assert record.exchange.exchange_id == id_of(1)
    assert record.exchange.recorder_id == "journal"
    assert record.response is not None
    assert record.exchange.state == "completed"
    assert read_record_head(frame.head).started_at == STARTED


def test_an_open_exchange_becomes_its_row(cleaner: Cleaner) -> None:
    """The row that says that an exchange is open is built at once."""
    frame = cleaner.clean(FrameKind.OPEN, encode_head(request_head(1)), SECRET_REQUEST)
    assert TOKEN.encode() not in text_of(frame)
    assert record_of(frame).exchange.state == "open"
    assert not read_record_head(frame.head).ends


def test_redaction_takes_secrets_out_of_records(redacting: Cleaner, counters: Counters) -> None:
    """With `redact` what looks like a key is gone, and counted."""
    body = json.dumps(response_object(1, instructions=f"use {KEY}")).encode()
    request = json.dumps({"model": "gpt-5", "input": KEY}).encode()
    head, parts = end_frame(1, alone=True, request=request, body=body)
    frame = redacting.clean(FrameKind.END, head, b"".join(parts))
    assert KEY.encode() not in text_of(frame)
    assert any(name.startswith("redacted.") for name in counters.snapshot())


def test_a_part_has_its_credentials_masked(cleaner: Cleaner) -> None:
    """A piece of a stream that looks suspicious stays a piece of a stream."""
    body = sse("response.created", 0, response=json.loads(SECRET_REQUEST))
    head = encode_head(PartHead(answer_head("sse"), 1.0))
    frame = cleaner.clean(FrameKind.PART, head, body)
    assert frame.kind is FrameKind.PART
    assert frame.head == head
    assert TOKEN.encode() not in b"".join(frame.parts)
    assert b"response.created" in b"".join(frame.parts)


def test_an_end_has_its_credentials_masked(cleaner: Cleaner) -> None:
    """The end of an exchange of which other frames are clean stays an end."""
    head, parts = end_frame(1, body=SECRET_REQUEST, answer=answer_head(decode_error="odd"))
    frame = cleaner.clean(FrameKind.END, head, b"".join(parts))
    assert frame.kind is FrameKind.END
    assert TOKEN.encode() not in text_of(frame)
    assert read_end_head(frame.head).raw_size == 0
    assert b'"***"' in b"".join(frame.parts)


def test_parts_that_nobody_can_redact_are_left_out(redacting: Cleaner) -> None:
    """With `redact` a piece of an exchange is no place to look for secrets: it keeps no body."""
    part = redacting.clean(FrameKind.PART, encode_head(PartHead(None, 1.0)), KEY.encode())
    assert KEY.encode() not in text_of(part)
    head, parts = end_frame(1, body=KEY.encode())
    end = redacting.clean(FrameKind.END, head, b"".join(parts))
    assert KEY.encode() not in text_of(end)
    assert read_end_head(end.head).answer.has_body is False


def test_a_deletion_says_when_it_was(cleaner: Cleaner) -> None:
    """A deletion that comes this way is one, with its time for what was asked before it."""
    head, parts = end_frame(
        1, alone=True, request=b"", body=b"{}", method="DELETE", target_response_id="resp_9"
    )
    frame = cleaner.clean(FrameKind.END, head, b"".join(parts))
    read = read_record_head(frame.head)
    assert decode_change(read.kind, b"".join(frame.parts)) == Deletion("default", "resp_9")
    assert read.deleted_at == STARTED + 0.25


def test_what_makes_no_row_keeps_nothing(cleaner: Cleaner) -> None:
    """A poll that brought no response leaves its reason, and no bytes."""
    head, parts = end_frame(
        1, alone=True, request=b"", method="GET", target_response_id="resp_9", body=b"{}"
    )
    frame = cleaner.clean(FrameKind.END, head, b"".join(parts))
    assert read_record_head(frame.head).skipped == "no_response"
    assert b"".join(frame.parts) == b""


@pytest.mark.parametrize(
    ("kind", "head"), [(FrameKind.END, b"\xc1"), (77, b""), (FrameKind.OPEN, b"\x90")]
)
def test_what_can_not_be_cleaned_is_not_kept(
    cleaner: Cleaner, counters: Counters, kind: int, head: bytes
) -> None:
    """Anything unexpected leaves no bytes behind, and is counted."""
    frame = cleaner.clean(kind, head, TOKEN.encode())
    assert TOKEN.encode() not in text_of(frame)
    assert counters.get("dropped.cleaning") == 1


SECRETS = [
    {"tools": [{"type": "mcp", "authorization": TOKEN}]},
    {"tools": [{"type": "mcp", "headers": {"X-Key": TOKEN}}]},
    {"tools": [{"container": {"domain_secrets": [{"name": "n", "value": TOKEN}]}}]},
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_cut_of_a_stream_leaves_a_credential(cleaner: Cleaner, secret: dict) -> None:
    """However a stream that repeats a credential was cut, the record does not hold it."""
    request = json.dumps({"model": "gpt-5", "input": "hi", **secret}).encode()
    at = "response.output_text.delta"
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    for cut in range(1, len(TOKEN)):
        stream = (
            sse("response.created", 0, response=response_object(1, status="in_progress", output=[]))
            + sse(at, 1, delta=TOKEN[:cut], **place)
            + sse(at, 2, delta=TOKEN[cut:], **place)
        )
        head, parts = end_frame(
            1, alone=True, request=request, body=stream, answer=answer_head("sse"), by="client"
        )
        frame = cleaner.clean(FrameKind.END, head, b"".join(parts))
        record = record_of(frame)
        assert TOKEN not in (record.exchange.output_text or "")
        assert TOKEN.encode() not in text_of(frame)
