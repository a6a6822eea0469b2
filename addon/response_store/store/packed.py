"""Bytes out of the zstd frames that the store keeps. `capture/compression.py` packs them."""

from __future__ import annotations

import zstandard


class DamagedFrameError(ValueError):
    """A zstd frame can't be unpacked. The message is the reason, free of content."""


def unpacked(frame: bytes) -> bytes:
    """The bytes in a zstd frame. Raises DamagedFrameError."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    try:
        body = unpacker.decompress(frame)
    except zstandard.ZstdError:
        raise DamagedFrameError("it is no zstd frame") from None
    if not unpacker.eof:
        raise DamagedFrameError("its zstd frame ends too early")
    return body
