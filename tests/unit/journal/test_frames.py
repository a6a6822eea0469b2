"""The format of frames: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.journal.frames import (
    CARRIED,
    HEADER_SIZE,
    MAX_HEAD_BYTES,
    MAX_SEQ,
    Frame,
    FrameKind,
    FrameRef,
    checksum_head,
    compute_seed,
    decode,
    encode,
    parse_header,
)
from tests.harness.each import each

SEED = compute_seed("a journal")
WHOLE = b"".join(encode(7, FrameKind.END, 3, b"head", [b"bo", b"dy"], seed=SEED))
REF = FrameRef(7, FrameKind.END, 3, 0, "m", 0, 4, 4)


def split(data: bytes, ref: FrameRef) -> tuple[bytes, bytes]:
    """Return header with head, and body."""
    top = HEADER_SIZE + ref.head_size
    return data[:top], data[top:]


def test_the_header_is_laid_out_as_the_docstring_says() -> None:
    """Magic, kind, flags, 0, sizes, seq, key and two checksums, little endian."""
    data = b"".join(encode(5, FrameKind.PART, 9, b"HH", [b"BBB"], flags=CARRIED))
    crc = zlib.crc32(b"HH", zlib.crc32(data[:36]))
    assert data == struct.pack(
        "<4sBBHIQQQII", b"RSJ1", 2, 1, 0, 2, 3, 5, 9, crc, zlib.crc32(b"BBB", crc)
    ) + (b"HHBBB")


@given(
    seq=st.integers(1, MAX_SEQ),
    kind=st.sampled_from(FrameKind),
    key=st.integers(0, 2**64 - 1),
    head=st.binary(max_size=200),
    parts=st.lists(st.binary(max_size=50), max_size=5),
    flags=st.sampled_from([0, CARRIED]),
    before=st.binary(max_size=50),
)
def test_round_trip(seq, kind, key, head, parts, flags, before) -> None:
    """A frame that stands anywhere in a file is read as it was encoded."""
    data = before + b"".join(encode(seq, kind, key, head, parts, flags=flags, seed=SEED))
    parsed = parse_header(data, len(before), "m", len(before))
    assert parsed is not None
    ref, crc_head = parsed
    assert crc_head == checksum_head(data, len(before), ref.head_size, SEED)
    assert len(before) + ref.size == len(data)
    body = b"".join(parts)
    top, rest = split(data[len(before) :], ref)
    assert decode(ref, top, rest, SEED) == Frame(seq, kind, key, flags, head, body)


@each("at", range(len(WHOLE)))
def test_each_flipped_byte_is_seen(at: int) -> None:
    """One byte that is not as it was, wherever, and the frame is none."""
    for bit in range(8):
        data = bytearray(WHOLE)
        data[at] ^= 1 << bit
        assert decode(REF, *split(bytes(data), REF), SEED) is None


@each("size", range(len(WHOLE)))
def test_each_cut_is_seen(size: int) -> None:
    """A part of a frame is none."""
    assert decode(REF, *split(WHOLE[:size], REF), SEED) is None


def test_another_journals_frame_is_none() -> None:
    """The checksums begin with the journal's seed."""
    assert decode(REF, *split(WHOLE, REF), compute_seed("another journal")) is None


@pytest.mark.parametrize("seq", [0, MAX_SEQ + 1, 2**64 - 1])
def test_a_seq_that_no_database_holds_is_none(seq: int) -> None:
    """A position must fit a BIGINT."""
    assert parse_header(b"".join(encode(seq, FrameKind.END, 1, b"")), 0, "m", 0) is None


def test_an_unknown_kind_is_none() -> None:
    """What this program does not know it can't apply."""
    assert parse_header(b"".join(encode(1, 7, 1, b"")), 0, "m", 0) is None


def test_a_head_is_bounded() -> None:
    """A head above 1 MiB is neither written nor read."""
    with pytest.raises(ValueError, match="head"):
        encode(1, FrameKind.END, 1, bytes(MAX_HEAD_BYTES + 1))
    data = bytearray(b"".join(encode(1, FrameKind.END, 1, b"")))
    data[8:12] = (MAX_HEAD_BYTES + 1).to_bytes(4, "little")
    assert parse_header(bytes(data), 0, "m", 0) is None
