"""Content encodings: gzip, deflate, br and zstd, decoded as they come.

Source: RFC 9110 section 8.4. A few bytes can stand for gigabytes, so every decoder gives its
result in pieces of at most a few megabytes, and works on the next one only when asked for it:
the caller bounds the sum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Protocol

import brotli
import zstandard

_PIECE = 1 << 20
_GZIP, _ZLIB, _RAW = 31, 15, -15  # what zlib calls window bits
_GZIP_MARK = b"\x1f\x8b"
# 256 bytes of zstd stand for at most 64 blocks of 128 KiB.
_ZSTD_SLICE = 256
# brotli before 1.2 has no limit of its own; 32 bytes of it stand for a few blocks of 16 MiB.
_BROTLI_SLICE = 32
_BROTLI_LIMITS = hasattr(brotli.Decompressor, "can_accept_more_data")


class EncodingError(ValueError):
    """A body can't be decoded. The message is the reason, free of content.

    `decoded` is what came before the place where decoding failed.
    """

    decoded: bytes = b""


class TooLargeError(EncodingError):
    """A body is larger than is kept when decoded."""


class Decoder(Protocol):
    """Decodes a body piece by piece; raises anything on bad input."""

    def feed(self, data: bytes, /) -> Iterator[bytes]: ...


class _Gzip:
    """gzip, with any number of members. What follows the last and is no member is passed over."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP)
        self._next = b""  # the start of what may be another member
        self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data and not self._over:
            if self._member.eof:
                data = self._between(data)
            else:
                yield from _inflated(self._member, data)
                data = self._member.unused_data

    def _between(self, data: bytes) -> bytes:
        data, self._next = self._next + data, b""
        if len(data) < len(_GZIP_MARK) and _GZIP_MARK.startswith(data):
            self._next = data
            return b""
        self._over = not data.startswith(_GZIP_MARK)
        self._member = zlib.decompressobj(wbits=_GZIP)
        return data


class _Deflate:
    """deflate: zlib's format as the standard says, or the raw one that some servers send."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            self._stream = zlib.decompressobj(wbits=_ZLIB if _is_zlib(data) else _RAW)
        if not self._stream.eof:
            yield from _inflated(self._stream, data)


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._limited(data) if _BROTLI_LIMITS else self._sliced(data)

    def _limited(self, data: bytes) -> Iterator[bytes]:
        yield bytes(self._stream.process(data, output_buffer_limit=_PIECE))
        while not self._stream.can_accept_more_data():
            yield bytes(self._stream.process(b"", output_buffer_limit=_PIECE))

    def _sliced(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _BROTLI_SLICE):
            yield bytes(self._stream.process(data[start : start + _BROTLI_SLICE]))


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            yield self._stream.decompress(data[start : start + _ZSTD_SLICE])


_DECODERS: dict[str, type[Decoder]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


class Decoding:
    """The decoders for one body, in the order that its Content-Encoding needs."""

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        names = [name for name in names if name and name != "identity"]
        unknown = [name for name in names if name not in _DECODERS]
        if unknown:
            raise EncodingError("unknown content encoding")
        self._decoders = [_DECODERS[name]() for name in reversed(names)]

    @property
    def identity(self) -> bool:
        """Whether the bytes are plain as they come."""
        return not self._decoders

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decode a chunk, yielding pieces; raise EncodingError on bad input."""
        pieces: Iterator[bytes] = iter((chunk,))
        for decoder in self._decoders:
            pieces = chain.from_iterable(map(decoder.feed, pieces))
        try:
            yield from pieces
        except Exception as error:  # noqa: BLE001 - each library raises its own kind
            raise EncodingError(f"bad content encoding ({type(error).__name__})") from None


def decode(chunks: Iterable[bytes], content_encoding: str, limit: int) -> bytes:
    """Decode a whole body, `limit` bytes of it at most. Raises EncodingError, TooLargeError.

    A body that was cut off gives what can be had of it.
    """
    if not content_encoding:
        return _within(limit, b"".join(chunks))
    decoding = Decoding(content_encoding)
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in chain.from_iterable(map(decoding.feed, chunks)):
            size += len(piece)
            if size > limit:
                raise TooLargeError(f"more than {limit} bytes")
            pieces.append(piece)
    except EncodingError as error:
        error.decoded = b"".join(pieces)
        raise
    return b"".join(pieces)


def _within(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise TooLargeError(f"more than {limit} bytes")
    return body


def _inflated(stream: Any, data: bytes) -> Iterator[bytes]:
    piece = b""
    # A full piece may leave some of its result behind although all input is used up.
    while data or len(piece) == _PIECE:
        piece = stream.decompress(data, _PIECE)
        data = stream.unconsumed_tail
        yield piece


def _is_zlib(head: bytes) -> bool:
    return head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
