"""Content encodings: decoded piece by piece, within bounds, and as far as they go."""

from __future__ import annotations

import contextlib
import gzip
import random
import tracemalloc
import zlib
from functools import cache

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.openai_api.content_encoding import (
    Decoding,
    DecodingTimeoutError,
    EncodingError,
    TooLargeError,
    decode,
    read_brotli_window,
)
from tests.harness.each import each
from tests.harness.work import at_most, check, measure
from tests.hypothesis_profiles import examples

PLAIN = random.Random(7).randbytes(3000) + b"data: x\n\n" * 9000


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


ENCODED = {
    "plain": ("", PLAIN),
    "identity": ("identity", PLAIN),
    "gzip": ("gzip", gzip.compress(PLAIN)),
    "x-gzip": (" X-GZIP ", gzip.compress(PLAIN)),
    "members of gzip": ("gzip", gzip.compress(PLAIN[:999]) + gzip.compress(PLAIN[999:])),
    "gzip, then padding": ("gzip", gzip.compress(PLAIN) + bytes(700)),
    "gzip, then anything": ("gzip", gzip.compress(PLAIN) + b"\x1fhello" * 99),
    "deflate": ("deflate", zlib.compress(PLAIN)),
    "deflate, then anything": ("deflate", zlib.compress(PLAIN) + b"?" * 99),
    "raw deflate": ("deflate", raw_deflate(PLAIN)),
    "br": ("br", brotli.compress(PLAIN, quality=5)),
    "zstd": ("zstd", zstd(PLAIN)),
    "frames of zstd": ("zstd", zstd(PLAIN[:999]) + zstd(PLAIN[999:])),
    "gzip in br": ("gzip, br", brotli.compress(gzip.compress(PLAIN))),
    "zstd in gzip": ("zstd,identity,,gzip", gzip.compress(zstd(PLAIN))),
}


@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
@each("name", ENCODED)
def test_decoding(name: str, size: int) -> None:
    """Every encoding gives the body back, whatever the chunks."""
    encoding, body = ENCODED[name]
    if size == 1:
        body = body[-20_000:] if not encoding else body
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    expected = body if encoding in ("", "identity") else PLAIN
    assert decode(chunks, encoding, len(PLAIN)) == expected


@each("name", ENCODED)
def test_limit(name: str) -> None:
    """A byte more than the limit is too much."""
    encoding, body = ENCODED[name]
    with pytest.raises(TooLargeError):
        decode([body], encoding, len(PLAIN) - 1)


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate", "br", "zstd", "gzip in br"])
def test_cut_off(name: str) -> None:
    """A body that was cut off gives what can be had of it."""
    encoding, body = ENCODED[name]
    part = decode([body[:-30]], encoding, len(PLAIN))
    assert PLAIN.startswith(part)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
@settings(max_examples=examples(60), deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes(encoding: str, body: bytes) -> None:
    """Bytes that are encoded otherwise are decoded or refused, nothing else."""
    with contextlib.suppress(EncodingError):
        decode([body[:9], body[9:]], encoding, 10**6)


def test_unknown() -> None:
    """A coding that nothing here decodes is refused by name of the rule, not of the coding."""
    with pytest.raises(EncodingError, match=r"^unknown content encoding$"):
        decode([b"x"], "gzip, compress", 10)


@pytest.mark.parametrize("name", ["UTF-8", "none", "chunked", "binary", "utf8, identity", "xyz"])
def test_a_name_that_is_no_coding(name: str) -> None:
    """What no coding is called so stands for is text as it is; what is no text is refused."""
    text = '{"text": "Köln"}'.encode()
    assert decode([text[:12], text[12:]], name, 100) == text
    assert decode([gzip.compress(text)], f"{name}, gzip", 100) == text
    with pytest.raises(EncodingError, match="bad content encoding"):
        decode([gzip.compress(text)], name, 100)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
@each(
    "body",
    [b'{"id":1}', b"{}  ", b'\n { "a": 2}', b"data: {}\n\n", b": hi\n\ndata: 1\n\n", b'[{"a": 1}]'],
)
def test_a_body_that_is_plain_all_the_same(coding: str, body: bytes) -> None:
    """A body that is not in the coding that its header names is taken as it is, cut or whole."""
    assert decode([body], coding, 100) == body
    assert decode([body[at : at + 1] for at in range(len(body))], coding, 100) == body


def test_damage() -> None:
    """What came before a damaged place is handed over with the error."""
    body = bytearray(gzip.compress(random.Random(1).randbytes(100_000)))
    body[60_000:60_400] = b"\xff" * 400
    members = gzip.compress(PLAIN) + bytes(body)
    with pytest.raises(EncodingError) as caught:
        decode([members[:5000], members[5000:]], "gzip", 10**6)
    assert caught.value.decoded.startswith(PLAIN)


BOMBS = {
    "gzip": lambda: gzip.compress(bytes(1 << 27)),
    "deflate": lambda: zlib.compress(bytes(1 << 27)),
    "br": lambda: brotli.compress(bytes(1 << 27), quality=3),
    "zstd": lambda: zstd(bytes(1 << 27)),
    "br, br": lambda: brotli.compress(brotli.compress(bytes(1 << 27), quality=3)),
}


@cache
def make_bomb(name: str) -> bytes:
    return BOMBS[name]()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", BOMBS)
def test_bomb(name: str) -> None:
    """A small body that stands for a large one is decoded no further than asked for."""
    body = make_bomb(name)
    largest = 0
    tracemalloc.start()
    try:
        pieces = Decoding(name).feed(body)
        for piece in pieces:
            largest = max(largest, len(piece))
            if largest:
                break
        pieces.close()
        with pytest.raises(TooLargeError):
            decode([body], name, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest <= 40 << 20
    assert peak < 90 << 20


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_many_codings(name: str) -> None:
    """More than three codings are not decoded, whatever they are; the plain ones do not count."""
    for count in (4, 200, 60_000):
        with pytest.raises(EncodingError, match="more than 3"):
            Decoding(",".join([name] * count))
    assert decode([b"x"], "identity," * 60_000, 10) == b"x"


def nested_gzip(inner: bytes, times: int) -> bytes:
    """Return bytes that gzip packs over and over."""
    for _ in range(times):
        inner = gzip.compress(inner)
    return inner


EMPTY_BLOCKS = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * 10_000_000
NOTHING = {
    "empty blocks": ("gzip, gzip", lambda: nested_gzip(EMPTY_BLOCKS, 1)),
    "empty blocks, twice": ("gzip, gzip, gzip", lambda: nested_gzip(EMPTY_BLOCKS, 2)),
    "empty members": ("gzip, gzip", lambda: nested_gzip(gzip.compress(b"") * 2_000_000, 1)),
    "in brotli": ("gzip, br", lambda: brotli.compress(EMPTY_BLOCKS, quality=3)),
    "in zstd": ("gzip, zstd", lambda: zstd(EMPTY_BLOCKS)),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NOTHING)
def test_what_comes_to_nothing(name: str) -> None:
    """What stands for much work and no bytes is given up soon, as the codings expand too much."""
    encoding, make = NOTHING[name]
    body = make()
    with at_most(1), pytest.raises(EncodingError, match="expands too much"):
        decode([body], encoding, 1 << 26)


def test_time() -> None:
    """A body that takes too long is given up, and what came before is handed over."""
    body = gzip.compress(random.Random(3).randbytes(1 << 22))
    with pytest.raises(DecodingTimeoutError) as caught:
        decode([body], "gzip", 1 << 26, 0.001)
    assert 0 < len(caught.value.decoded) < 1 << 22
    members = gzip.compress(b"") * 400_000  # a small thing each, and no byte
    with pytest.raises(DecodingTimeoutError):
        decode([members], "gzip", 1 << 26, 0.2)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", BOMBS)
def test_steps(name: str) -> None:
    """Each step takes a few milliseconds at most, or is refused before it is done."""
    longest = 0.0
    steps = Decoding(name, stepwise=True).feed(make_bomb(name))
    while True:
        used = measure()
        try:
            next(steps)
        except (StopIteration, EncodingError):
            break
        longest = max(longest, used())
    has_limits = "br" not in name or hasattr(brotli.Decompressor, "can_accept_more_data")
    check(longest, 0.03 if has_limits else 0.3)  # measured: 6 ms; before brotli 1.2 100 ms


def test_large_windows() -> None:
    """Brotli with a window of 16 MiB, which fills in one step, is not decoded in small steps."""
    body = brotli.compress(bytes(1 << 20), lgwin=24)
    with pytest.raises(DecodingTimeoutError):
        list(Decoding("br", stepwise=True).feed(body))
    assert decode([body], "br", 1 << 20) == bytes(1 << 20)
    for window in range(10, 25):
        assert read_brotli_window(brotli.compress(PLAIN, lgwin=window)[0]) == window


def test_tail_of_a_stream() -> None:
    """What follows the end of a stream is neither kept nor looked through again and again."""
    decoding = Decoding("deflate")
    assert b"".join(decoding.feed(zlib.compress(b"x"))) == b"x"
    for _ in range(1000):
        assert not b"".join(decoding.feed(bytes(10_000)))
    (layer,) = decoding._layers
    assert len(layer._decoder._decoder._stream.unused_data) <= 10_000


@pytest.mark.parametrize("more", [0, 1, 100, 257, 300])
def test_whole_pieces(more: int) -> None:
    """Of a result that just fills a piece nothing waits for the next chunk."""
    plain = b"x" * ((1 << 20) + more)
    coder = zlib.compressobj(wbits=31)
    chunk = coder.compress(plain) + coder.flush(zlib.Z_SYNC_FLUSH)
    for end in range(len(chunk) - 6, len(chunk) + 1):
        expected = zlib.decompressobj(wbits=31).decompress(chunk[:end])
        assert b"".join(Decoding("gzip").feed(chunk[:end])) == expected


@pytest.mark.parametrize("size", [65_536, 65_537, 98_272, 1 << 20])
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_nothing_waits(encoding: str, size: int) -> None:
    """All that a chunk stands for comes with it, also where a piece of it is full."""
    packed = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd}[encoding](bytes(size))
    assert decode([packed], encoding, 1 << 20) == bytes(size)
