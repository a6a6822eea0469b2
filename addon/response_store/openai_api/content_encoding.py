"""Content encodings: gzip, deflate, br and zstd, decoded as they come.

Source: RFC 9110 section 8.4. A few bytes can stand for gigabytes, or for hours of empty blocks: a
gzip bomb. `limits.py` has the bounds. So every decoder takes and gives small pieces, also empty
ones, and works on the next one only when asked for it: the caller bounds the sum, and the time.
What is between two codings is bounded here.

Some servers name no coding (`UTF-8`, `none`), or one that the body is not in. A name that is no
coding's is identity, as long as what comes is text; a body that begins as JSON or a stream does is
taken as it is.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import brotli
import zstandard

from response_store.limits import (
    BODY_SECONDS,
    CODED_FREE,
    CODED_RATIO,
    CODINGS,
    DECODED_PIECE,
    ENCODED_SLICE,
    PLAIN_FREE,
    PLAIN_RATIO,
    Deadline,
)

_GZIP, _ZLIB, _RAW = 31, 15, -15  # what zlib calls window bits
_GZIP_MARK = b"\x1f\x8b"
# 64 bytes of zstd stand for at most 16 blocks of 128 KiB, which take 2 ms.
_ZSTD_SLICE = 64
# brotli before 1.2 has no limit of its own; 32 bytes of it stand for a few blocks of 16 MiB.
_BROTLI_SLICE = 32
_BROTLI_WINDOW = 22
_BROTLI_LIMITS = hasattr(brotli.Decompressor, "can_accept_more_data")


# Codings that are registered, or in use, and that nothing here decodes.
_OTHERS = frozenset(
    "compress x-compress dcb dcz exi pack200-gzip aes128gcm bzip2 lzma xz lz4 snappy".split()
)
# How JSON and streams begin; a compressed body has other bytes soon.
_begins_plain = re.compile(
    rb"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]]|(?:data|event|id|retry): ?|:[ \n\r])"
    rb"[\x20-\x7e\s\x80-\xff]*\Z"
).match
_HEAD_BYTES = 64  # bytes
_LEAST = 8  # bytes that tell whether a body is plain


class EncodingError(ValueError):
    """A body can't be decoded. The message is the reason, free of content.

    `decoded` is what came before the place where decoding failed.
    """

    decoded: bytes = b""


class TooLargeError(EncodingError):
    """A body is larger than is kept when decoded."""


class DecodingTimeoutError(EncodingError):
    """A body takes too long to decode."""


class ContentDecoder(Protocol):
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
                yield from _inflate(self._member, data)
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
            yield from _inflate(self._stream, data)


class _Brotli:
    """br. What is to be decoded in small steps may have a window of 4 MiB: it fills in 6 ms."""

    def __init__(self, *, stepwise: bool = False) -> None:
        self._stream = brotli.Decompressor()
        self._stepwise = stepwise

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stepwise and data:
            self._stepwise = False
            if read_brotli_window(data[0]) > _BROTLI_WINDOW:
                raise DecodingTimeoutError("brotli with a large window")
        return self._limited(data) if _BROTLI_LIMITS else self._sliced(data)

    def _limited(self, data: bytes) -> Iterator[bytes]:
        piece = bytes(self._stream.process(data, output_buffer_limit=DECODED_PIECE))
        # It may accept more while its result still waits.
        while piece or not self._stream.can_accept_more_data():
            yield piece
            piece = bytes(self._stream.process(b"", output_buffer_limit=DECODED_PIECE))

    def _sliced(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _BROTLI_SLICE):
            yield from _split_pieces(
                bytes(self._stream.process(data[start : start + _BROTLI_SLICE]))
            )


def read_brotli_window(first: int) -> int:
    """Return the size of the window as a power of two, of the first byte (RFC 7932, 9.1)."""
    if not first & 1:
        return 16
    if size := first >> 1 & 7:
        return 17 + size
    return 17 if not (size := first >> 4 & 7) else 8 + size if size > 1 else 30


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            yield from _split_pieces(self._stream.decompress(data[start : start + _ZSTD_SLICE]))


class _Plain:
    """What is named by no coding's name: text as it comes. Raises where it is none."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._text.decode(data)
        yield data


class _OrPlain:
    """A decoder, unless the body is plain in spite of what its header says."""

    def __init__(self, decoder: ContentDecoder) -> None:
        self._decoder: ContentDecoder | None = decoder
        self._head: bytes | None = b""  # until it is known

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._head is not None:
            data = self._head + data
            if _is_undecided(data):
                self._head = data
                return
            self._head = None
            if _is_plain(data[:_HEAD_BYTES]):
                self._decoder = None
        if self._decoder is None:
            yield data
        else:
            yield from self._decoder.feed(data)


_DECODERS: dict[str, Callable[[], ContentDecoder]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


class _Layer:
    """One coding of a body: its decoder, and how much has come of how much."""

    def __init__(self, name: str, *, ratio: int, free: int, stepwise: bool) -> None:
        self._decoder = _make_decoder(name, stepwise=stepwise)
        self._ratio, self._room = ratio, free  # bytes that may still come

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ENCODED_SLICE):
            piece = data[start : start + ENCODED_SLICE]
            self._room += self._ratio * len(piece)
            for decoded in self._decoder.feed(piece):
                self._room -= len(decoded)
                if self._room < 0:
                    raise EncodingError("the body expands too much")
                yield decoded


class Decoding:
    """The decoders for one body, in the order that its Content-Encoding needs.

    With `stepwise` each step takes a few milliseconds at most; `feed` raises DecodingTimeoutError
    where that can't be had. Raises EncodingError for an unknown coding, and for too many of them.
    """

    def __init__(self, content_encoding: str, *, stepwise: bool = False) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        names = [name for name in names if name and name != "identity"]
        if len(names) > CODINGS:
            raise EncodingError(f"more than {CODINGS} content codings")
        if not _OTHERS.isdisjoint(names):
            raise EncodingError("unknown content encoding")
        bounds = [(PLAIN_RATIO, PLAIN_FREE), *[(CODED_RATIO, CODED_FREE)] * CODINGS]
        layers = [
            _Layer(name, ratio=ratio, free=free, stepwise=stepwise)
            for name, (ratio, free) in zip(names, bounds, strict=False)
        ]
        self._layers = layers[::-1]

    @property
    def identity(self) -> bool:
        """Return whether the bytes are plain as they come."""
        return not self._layers

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decode a chunk, yielding pieces, empty ones as well; raise EncodingError on bad input."""
        try:
            yield from self._decoded(chunk, 0)
        except EncodingError:
            raise
        except Exception as error:  # noqa: BLE001 - each library raises its own kind
            raise EncodingError(f"bad content encoding ({type(error).__name__})") from None

    def _decoded(self, data: bytes, layer: int) -> Iterator[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for piece in self._layers[layer].feed(data):
            yield from self._decoded(piece, layer + 1)


def _make_decoder(name: str, *, stepwise: bool) -> ContentDecoder:
    if name not in _DECODERS:
        return _Plain()
    return _OrPlain(_Brotli(stepwise=stepwise) if name == "br" else _DECODERS[name]())


def decode(
    chunks: Iterable[bytes],
    content_encoding: str,
    limit: int,
    seconds: float = BODY_SECONDS,
    *,
    stepwise: bool = False,
) -> bytes:
    """Decode a whole body, `limit` bytes of it at most, within `seconds` of processor time.

    Raises EncodingError, TooLargeError, DecodingTimeoutError. A body that was cut off gives what
    can be had of it.
    """
    if not content_encoding:
        return _check_size(limit, b"".join(chunks))
    decoding = Decoding(content_encoding, stepwise=stepwise)
    if decoding.identity:
        return _check_size(limit, b"".join(chunks))
    deadline = Deadline(seconds, processor=True)
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in (piece for chunk in chunks for piece in decoding.feed(chunk)):
            size += len(piece)
            if size > limit:
                raise TooLargeError(f"more than {limit} bytes")
            if deadline.has_passed:
                raise DecodingTimeoutError("the body takes too long to decode")
            if piece:
                pieces.append(piece)
    except EncodingError as error:
        error.decoded = b"".join(pieces)
        raise
    return b"".join(pieces)


def _check_size(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise TooLargeError(f"more than {limit} bytes")
    return body


def _inflate(stream: Any, data: bytes) -> Iterator[bytes]:
    piece = b""
    # A full piece may leave some of its result behind although all input is used up.
    while data or len(piece) == DECODED_PIECE:
        piece = stream.decompress(data, DECODED_PIECE)
        yield piece
        if stream.eof:  # then what is left may stand in `unconsumed_tail` for ever
            return
        data = stream.unconsumed_tail


def _split_pieces(decoded: bytes) -> Iterator[bytes]:
    """Yield what was decoded at once in small pieces; at least one."""
    if len(decoded) <= DECODED_PIECE:
        yield decoded
        return
    for start in range(0, len(decoded), DECODED_PIECE):
        yield decoded[start : start + DECODED_PIECE]


def _is_zlib(head: bytes) -> bool:
    return head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0


def _is_undecided(head: bytes) -> bool:
    start = head.lstrip()
    may_be = not start or start[0] in b"{[:deir"
    return may_be and len(head) < _HEAD_BYTES and len(start) < _LEAST and not _is_plain(head)


def _is_plain(head: bytes) -> bool:
    if _begins_plain(head) is None:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
