"""Bodies as zstd frames.

Small bodies become frames of one raw block: there is little to gain from compressing them, and
the compressor gives up the interpreter lock, which beside a busy event loop takes longer to get
back than the compression itself.

Source: RFC 8878, sections 3.1.1.1 (frame header) and 3.1.1.2 (blocks).
"""

from __future__ import annotations

import zstandard

SMALL = 4096  # bytes
_MAGIC = b"\x28\xb5\x2f\xfd"
_SINGLE_SEGMENT_4_BYTE_SIZE = b"\xa0"
_LEVEL = 3


class Compressor:
    """Makes zstd frames. Not thread-safe: it reuses one context."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL)

    def frame(self, body: bytes) -> bytes:
        """Return a frame that holds `body` and its size."""
        return self._zstd.compress(body) if len(body) > SMALL else build_raw_frame(body)


def build_raw_frame(body: bytes) -> bytes:
    """Return a frame of one raw block, at most 128 KiB long."""
    size = len(body)
    block_header = (size << 3 | 1).to_bytes(3, "little")  # type raw (0), last block
    return b"".join(
        (_MAGIC, _SINGLE_SEGMENT_4_BYTE_SIZE, size.to_bytes(4, "little"), block_header, body)
    )
