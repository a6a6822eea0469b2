"""Bodies become zstd frames that any zstd reads."""

from __future__ import annotations

import random

import pytest
import zstandard

from response_store.model.zstd import SMALL, Compressor, build_raw_frame

SIZES = [0, 1, 255, 256, SMALL - 1, SMALL, SMALL + 1, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_frame(size: int) -> None:
    """A frame gives its body back, says how long it is, and can be decoded piece by piece."""
    body = random.Random(size).randbytes(size)
    frame = Compressor().frame(body)
    assert zstandard.ZstdDecompressor().decompress(frame) == body
    assert zstandard.frame_content_size(frame) == size
    pieces = zstandard.ZstdDecompressor().decompressobj()
    assert b"".join(pieces.decompress(frame[at : at + 1]) for at in range(len(frame))) == body


def test_largest_raw_frame() -> None:
    """A block holds 128 KiB."""
    body = bytes(128 << 10)
    assert zstandard.ZstdDecompressor().decompress(build_raw_frame(body)) == body


def test_large_bodies_shrink() -> None:
    """What is worth compressing is compressed."""
    assert len(Compressor().frame(b"word " * SMALL)) < SMALL
