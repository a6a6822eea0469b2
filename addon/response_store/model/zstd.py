"""Pack bodies as zstd frames, and unpack them within bounds.

Small bodies become frames of one raw block: there is little to gain from compressing them, and
the compressor gives up the interpreter lock, which beside a busy event loop takes longer to get
back than the compression itself.

Source: RFC 8878, sections 3.1.1.1 (frame header) and 3.1.1.2 (blocks).

Others may have written a frame, into a file that is imported or into a shared database: a few
kilobytes can stand for terabytes, and what the frame says of its size need not be true.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from response_store.limits import STORED_BYTES

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


_UNKNOWN = 1 << 64
_SLICE = 256  # bytes of a frame stand for at most 64 blocks of 128 KiB


class DamagedZstdError(ValueError):
    """A zstd frame can't be unpacked. The message is the reason, free of content."""


class TooLargeZstdError(DamagedZstdError):
    """A zstd frame unpacks to more than the limit."""


def unpack(frame: bytes, limit: int = STORED_BYTES) -> bytes:
    """Return the bytes in a zstd frame. Raises DamagedZstdError, TooLargeZstdError."""
    if _read_stated_size(frame) <= limit:
        try:
            return zstandard.ZstdDecompressor().decompress(frame)
        except zstandard.ZstdError:
            pass  # what is wrong with it is found out below
    return b"".join(_unpack_pieces(frame, limit))


def check_size(frame: bytes, limit: int) -> None:
    """Raise TooLargeZstdError where a frame comes to more than `limit` bytes; keep nothing."""
    if _read_stated_size(frame) <= limit:
        return  # zstd gives no more than that
    try:
        for _ in _unpack_pieces(frame, limit):
            pass
    except TooLargeZstdError:
        raise
    except DamagedZstdError:
        return


def _read_stated_size(frame: bytes) -> int:
    """Return the size that a frame states; more than any where it states none."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError:
        return _UNKNOWN
    return size if size >= 0 else _UNKNOWN


def _unpack_pieces(frame: bytes, limit: int) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    size = 0
    for start in range(0, len(frame), _SLICE):
        try:
            piece = unpacker.decompress(frame[start : start + _SLICE])
        except zstandard.ZstdError:
            raise DamagedZstdError("it is no zstd frame") from None
        size += len(piece)
        if size > limit:
            raise TooLargeZstdError(f"it comes to more than {limit >> 20} MiB")
        yield piece
        if unpacker.eof:
            return
    raise DamagedZstdError("its zstd frame ends too early" if frame else "it is no zstd frame")
