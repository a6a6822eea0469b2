"""Where a body is split into writes, and how it is encoded on the way."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Sequence

import brotli
import zstandard

Split = Callable[[Sequence[bytes]], list[bytes]]
Coding = Callable[[Iterable[bytes]], list[bytes]]


def by_event(frames: Sequence[bytes]) -> list[bytes]:
    """One write an event."""
    return list(frames)


def at_once(frames: Sequence[bytes]) -> list[bytes]:
    """Everything in one write."""
    return [b"".join(frames)]


def every(size: int) -> Split:
    """Writes of a fixed size, wherever that cuts events and characters."""

    def split(frames: Sequence[bytes]) -> list[bytes]:
        body = b"".join(frames)
        return [body[at : at + size] for at in range(0, len(body), size)]

    return split


def at_random(seed: int, longest: int = 200) -> Split:
    """Writes of random sizes, the same ones for the same seed."""

    def split(frames: Sequence[bytes]) -> list[bytes]:
        body, sizes, pieces = b"".join(frames), random.Random(seed), []
        while body:
            size = sizes.randint(1, longest)
            pieces.append(body[:size])
            body = body[size:]
        return pieces

    return split


def inside_characters(frames: Sequence[bytes]) -> list[bytes]:
    """A cut inside each character that takes more than one byte."""
    body = b"".join(frames)
    cuts = [at for at, byte in enumerate(body) if byte & 0xC0 == 0x80]
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


SPLITS: dict[str, Split] = {
    "an event a write": by_event,
    "one write": at_once,
    "a byte a write": every(1),
    "7 bytes a write": every(7),
    "1000 bytes a write": every(1000),
    "inside characters": inside_characters,
    "random sizes, 1": at_random(1),
    "random sizes, 2": at_random(2),
}


def _flushed(
    feed: Callable[[bytes], bytes], flush: Callable[[], bytes], end: Callable[[], bytes]
) -> Coding:
    def code(pieces: Iterable[bytes]) -> list[bytes]:
        coded = [feed(piece) + flush() for piece in pieces]
        return [*coded, end()]

    return code


def _zlib(pieces: Iterable[bytes], wbits: int) -> list[bytes]:
    coder = zlib.compressobj(wbits=wbits)
    code = _flushed(coder.compress, lambda: coder.flush(zlib.Z_SYNC_FLUSH), coder.flush)
    return code(pieces)


def gzip(pieces: Iterable[bytes]) -> list[bytes]:
    """gzip, flushed after each piece."""
    return _zlib(pieces, 31)


def deflate(pieces: Iterable[bytes]) -> list[bytes]:
    """Deflate in its zlib wrapping, flushed after each piece."""
    return _zlib(pieces, 15)


def raw_deflate(pieces: Iterable[bytes]) -> list[bytes]:
    """Deflate without its wrapping, as some servers send it."""
    return _zlib(pieces, -15)


def br(pieces: Iterable[bytes]) -> list[bytes]:
    """Brotli, flushed after each piece."""
    coder = brotli.Compressor()
    return _flushed(coder.process, coder.flush, coder.finish)(pieces)


def zstd(pieces: Iterable[bytes]) -> list[bytes]:
    """Zstandard, flushed after each piece."""
    coder = zstandard.ZstdCompressor().compressobj()
    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return _flushed(coder.compress, lambda: coder.flush(flush), coder.flush)(pieces)


CODINGS: dict[str, tuple[str, Coding]] = {
    "gzip": ("gzip", gzip),
    "deflate": ("deflate", deflate),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", br),
    "zstd": ("zstd", zstd),
}
