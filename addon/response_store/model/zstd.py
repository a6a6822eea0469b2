"""Pack bodies as zstd frames, and unpack them within bounds.

Small bodies become frames of one raw block: there is little to gain from compressing them, and
the compressor gives up the interpreter lock, which beside a busy event loop takes longer to get
back than the compression itself.

Source: RFC 8878, sections 3.1.1.1 (frame header) and 3.1.1.2 (blocks).

Others may have written a frame, into a file that is imported or into a shared database: a few
kilobytes can stand for terabytes, and what the frame says of its size need not be true.

A body may be packed against another one, its base: what both have then takes no room. Such a frame
has a checksum, so that no other base gives other bytes without a word, and comes apart with its
base as the dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from response_store.limits import BASE_BYTES, STORED_BYTES

SMALL = 4096  # bytes
_BLOCK = 1 << 17  # bytes, the most that a block may hold
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

    def hold(self, body: bytes) -> bytes:
        """Return a frame for a `BodyPacker`: what that packs need not be compressed before."""
        return build_raw_frame(body) if len(body) <= BASE_BYTES else self.frame(body)


def build_raw_frame(body: bytes) -> bytes:
    """Return a frame of raw blocks, which takes no time and saves no room."""
    size = len(body)
    parts = [_MAGIC, _SINGLE_SEGMENT_4_BYTE_SIZE, size.to_bytes(4, "little")]
    for start in range(0, size or 1, _BLOCK):
        block = body[start : start + _BLOCK]
        is_last = start + _BLOCK >= size
        parts += ((len(block) << 3 | is_last).to_bytes(3, "little"), block)  # of type raw (0)
    return b"".join(parts)


class BasedCompressor:
    """Makes frames against one base, of at most BASE_BYTES. Not thread-safe.

    Looking through the base takes as long as compressing it; its tables, of 1 to 3 MB, are kept.
    """

    def __init__(self, base: bytes) -> None:
        large = len(base) > _LARGE_BASE
        self._zstd = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters.from_level(
                _LEVEL,
                dict_size=len(base),
                window_log=_WINDOW_LOG,
                write_checksum=True,
                # Else only the end of a large base is found again.
                **({"hash_log": _LARGE_HASH_LOG, "chain_log": _LARGE_HASH_LOG} if large else {}),
            ),
            dict_data=_build_dictionary(base),
        )

    def frame(self, body: bytes) -> bytes:
        """Return a frame of a body, of at most BASE_BYTES too, that needs the base."""
        return self._zstd.compress(body)


_LARGE_BASE = 1 << 20
_LARGE_HASH_LOG = 19
_WINDOW_LOG = (2 * BASE_BYTES).bit_length()


def _build_dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


_UNKNOWN = 1 << 64
_SLICE = 256  # bytes of a frame stand for at most 64 blocks of 128 KiB


class DamagedZstdError(ValueError):
    """A zstd frame can't be unpacked. The message is the reason, free of content."""


class TooLargeZstdError(DamagedZstdError):
    """A zstd frame unpacks to more than the limit."""


def unpack(frame: bytes, limit: int = STORED_BYTES, base: bytes | None = None) -> bytes:
    """Return the bytes in a zstd frame, which was packed against `base` where that is given.

    Raises DamagedZstdError, TooLargeZstdError.
    """
    if read_stated_size(frame) <= limit:
        try:
            return _build_decompressor(base).decompress(frame)
        except zstandard.ZstdError:
            pass  # what is wrong with it is found out below
    return b"".join(_unpack_pieces(frame, limit, base))


def check_size(frame: bytes, limit: int) -> None:
    """Raise TooLargeZstdError where a frame comes to more than `limit` bytes; keep nothing."""
    if read_stated_size(frame) <= limit:
        return  # zstd gives no more than that
    try:
        for _ in _unpack_pieces(frame, limit):
            pass
    except TooLargeZstdError:
        raise
    except DamagedZstdError:
        return


def read_stated_size(frame: bytes) -> int:
    """Return the size that a frame states; more than any where it states none."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError:
        return _UNKNOWN
    return size if size >= 0 else _UNKNOWN


def _build_decompressor(base: bytes | None) -> zstandard.ZstdDecompressor:
    if base is None:
        return zstandard.ZstdDecompressor()
    return zstandard.ZstdDecompressor(dict_data=_build_dictionary(base))


def _unpack_pieces(frame: bytes, limit: int, base: bytes | None = None) -> Iterator[bytes]:
    unpacker = _build_decompressor(base).decompressobj()
    size = 0
    for start in range(0, len(frame), _SLICE):
        try:
            piece = unpacker.decompress(frame[start : start + _SLICE])
        except zstandard.ZstdError:
            raise DamagedZstdError(_explain(frame)) from None
        size += len(piece)
        if size > limit:
            raise TooLargeZstdError(f"it comes to more than {limit >> 20} MiB")
        yield piece
        if unpacker.eof:
            return
    raise DamagedZstdError("its zstd frame ends too early" if frame else "it is no zstd frame")


def _explain(frame: bytes) -> str:
    """Return why a frame can't be unpacked, as far as its head shows it."""
    try:
        has_checksum = zstandard.get_frame_parameters(frame).has_checksum
    except zstandard.ZstdError:
        has_checksum = False
    if has_checksum:  # those that stand alone have none where we have made them
        return "it was changed, or the body that it was packed against is missing or another one"
    return "it is no zstd frame"
