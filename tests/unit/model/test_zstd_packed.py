"""Stored frames: unpacked within bounds, whatever they say of themselves."""

from __future__ import annotations

import base64
import json
import random
import tracemalloc
from contextlib import nullcontext

import pytest
import zstandard

from response_store.errors import StoreError
from response_store.format import bodies
from response_store.limits import BASE_BYTES, IMPORTED_BYTES, STORED_BYTES
from response_store.model.zstd import (
    BasedCompressor,
    Compressor,
    DamagedZstdError,
    TooLargeZstdError,
    build_raw_frame,
    check_size,
    unpack,
)
from response_store.serving.replay import read_recording
from response_store.transfer.jsonl import BadLineError, ExportLine
from tests.fakes.frames import endless

PLAIN = random.Random(5).randbytes(300_000)


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 300_000])
def test_frames_of_ours(size: int) -> None:
    """What we pack comes out as it was, with or without a size in its head."""
    body = PLAIN[:size]
    without = zstandard.ZstdCompressor(write_content_size=False).compress(body)
    assert [unpack(Compressor().frame(body)), unpack(without)] == [body, body]
    with pytest.raises(TooLargeZstdError):
        unpack(without, size - 1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("stated", [None, 10, 1 << 26, (1 << 32) - 1])
def test_a_frame_of_gigabytes(stated: int | None) -> None:
    """A few kilobytes that stand for gigabytes are given up at the bound, whatever they state."""
    frame = endless(1 << 32, stated=stated)
    assert len(frame) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(DamagedZstdError):
            unpack(frame)
        with pytest.raises(StoreError):
            bodies.unpack_body(frame)
        assert read_recording(frame, "r") is None
        assert tracemalloc.get_traced_memory()[1] < STORED_BYTES + (64 << 20)
    finally:
        tracemalloc.stop()


def test_an_import_refuses_it() -> None:
    """A line with a stored frame that comes to more than any body may have is refused."""
    line = {
        "row": "exchange", "exchange_id": "e", "tenant_id": "t", "api": "responses",
        "transport": "sse", "state": "completed", "started_at": 1.0, "method": "POST",
        "scheme": "http", "host": "h", "path": "/", "recorder_id": "x",
    }  # fmt: skip
    for size, refused in ((1 << 20, False), (IMPORTED_BYTES + 1, True)):
        stored = base64.b64encode(endless(size)).decode()
        text = json.dumps(line | {"raw_response_stored_base64": stored}).encode()
        with pytest.raises(BadLineError, match="512 MiB") if refused else nullcontext():
            ExportLine(text)


def test_the_bound_is_said() -> None:
    """Who wants to see a body that is too large learns how large, and what else there is."""
    with pytest.raises(StoreError, match="too large: it comes to more than 128 MiB"):
        bodies.unpack_body(endless(STORED_BYTES + 1))


@pytest.mark.parametrize("frame", [b"", b"x", Compressor().frame(PLAIN)[:-1]])
def test_damaged_frames(frame: bytes) -> None:
    """A frame that is none, or is cut off, is damaged; its size is nothing to worry about."""
    with pytest.raises(DamagedZstdError):
        unpack(frame)
    check_size(frame, IMPORTED_BYTES)


def test_what_a_frame_comes_to_is_looked_at_where_it_says_too_much() -> None:
    """A frame within the bound passes, whatever its head says."""
    check_size(endless(1 << 20), 1 << 21)
    with pytest.raises(TooLargeZstdError):
        check_size(endless(1 << 22), 1 << 21)


@pytest.mark.parametrize("unit", [b"\n", b"a\n\n", b"data:\n\n", b"data:\n"])
def test_streams_that_were_made_to_cost(unit: bytes) -> None:
    """A stored stream of no end of events, or lines, is not replayed."""
    frame = zstandard.ZstdCompressor().compress(unit * (24_000_000 // len(unit)))
    assert read_recording(frame, "r") is None


@pytest.mark.parametrize("size", [5000, 300_000, 1 << 20, (1 << 20) + 1, BASE_BYTES])
def test_a_body_against_another(size: int) -> None:
    """What both have takes no room, also at the beginning of a large base; the base unpacks it."""
    base = random.Random(6).randbytes(size)
    half = size // 2
    body = base[: half - 10] + b"something else in the middle" + base[half:-50]
    frame = BasedCompressor(base).frame(body)
    assert len(frame) < 1000 + size // 500
    assert unpack(frame, base=base) == body


@pytest.mark.parametrize("base", [None, b"", PLAIN[:-1], PLAIN[::-1]])
def test_without_its_base(base: bytes | None) -> None:
    """Nothing else unpacks it, and the reason says what it may be."""
    frame = BasedCompressor(PLAIN).frame(PLAIN + b"more")
    with pytest.raises(DamagedZstdError, match="packed against is missing or another one"):
        unpack(frame, base=base)
    with pytest.raises(TooLargeZstdError):
        unpack(frame, len(PLAIN), PLAIN)


@pytest.mark.parametrize("size", [0, 1, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, 300_000])
def test_raw_frames(size: int) -> None:
    """A frame that saves no room is one all the same, for any program."""
    body = PLAIN[:size]
    frame = build_raw_frame(body)
    assert unpack(frame) == zstandard.ZstdDecompressor().decompress(frame) == body
    assert len(frame) <= size + 30


def test_held_bodies() -> None:
    """What a packer packs is not compressed before, unless it is too large for that."""
    compressor = Compressor()
    large = bytes(BASE_BYTES + 1)
    assert len(compressor.hold(large[1:])) > BASE_BYTES
    assert len(compressor.hold(large)) < 10_000
    assert unpack(compressor.hold(large)) == large
