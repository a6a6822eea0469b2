"""A streamed body: its terminal event is seen at once, and what is held stays within bounds."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.capture.memory import Budget
from response_store.capture.stream import StreamedBody
from response_store.openai_api.sse import Event
from response_store.store.records import Api
from tests.fakes import bodies
from tests.fakes.cuts import CODINGS, SPLITS, at_random
from tests.fakes.dialects import BOM, CHAT, DIALECTS, OPENAI
from tests.sampling import examples

LIMIT = 1 << 20
PLAIN: tuple[str, object] = ("", list)
TWICE = ("gzip, br", lambda pieces: CODINGS["br"][1](CODINGS["gzip"][1](pieces)))
MEMBERS = ("gzip", lambda pieces: [gzip.compress(piece) for piece in pieces])
FRAMES = ("zstd", lambda pieces: [zstandard.ZstdCompressor().compress(piece) for piece in pieces])
ALL_CODINGS = {
    **CODINGS,
    "plain": PLAIN,
    "two encodings": TWICE,
    "members of gzip": MEMBERS,
    "frames of zstd": FRAMES,
}
EVENTS = bodies.stream_events()
ENDS = {name: dialect for name, dialect in DIALECTS.items() if dialect.last_blank}


def body_of(api: Api = Api.RESPONSES, encoding: str = "", total: int = 4 * LIMIT) -> StreamedBody:
    return StreamedBody(api, encoding, LIMIT, Budget(total))


def completing(body: StreamedBody, chunks: list[bytes]) -> list[int]:
    """The places of the chunks that completed the terminal event."""
    return [at for at, chunk in enumerate(chunks) if not body.passes(chunk) and body.feed(chunk)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("coding", ALL_CODINGS)
def test_terminal(coding: str, split: str) -> None:
    """However a stream is encoded and cut, the same terminal event is seen, once."""
    encoding, code = ALL_CODINGS[coding]
    chunks = code(SPLITS[split](OPENAI.frames(EVENTS)))
    body = body_of(encoding=encoding)
    assert len(completing(body, chunks)) == 1
    whole = body_of()
    assert whole.feed(b"".join(OPENAI.frames(EVENTS)))
    assert body.terminal == whole.terminal is not None
    assert body.chunks == chunks


pieces = st.sampled_from(
    [b"data: x", b"data: response.completed", b"\n", b"\r", b"\n\n", b": c\n\n", BOM, b"", b"x" * 9]
    + [b"data: y\n\n", b'data: {"type":"response.completed"}\n\n', b"data: y\r\n\r\n"]
)


@given(st.lists(pieces, max_size=12), st.sampled_from([15, LIMIT]), st.sampled_from([20, LIMIT]))
@example([b"data: y\n\n"] * 2, 15, LIMIT)
@example([b"data: y\n\n"] * 3, LIMIT, 20)
@example(
    [b"data: y\n\n", b"data: y\r\n\n", b"data: y\r\r: c\r\n\n", b"\ndata: z\n\n"], LIMIT, LIMIT
)
def test_the_short_way_changes_nothing(chunks: list[bytes], limit: int, total: int) -> None:
    """What passes without a look leaves the body as if each chunk had been looked at."""
    short = StreamedBody(Api.RESPONSES, "", limit, Budget(total))
    long = StreamedBody(Api.RESPONSES, "", limit, Budget(total))
    for chunk in chunks:
        ends = not short.passes(chunk) and short.feed(chunk)
        assert ends == long.feed(chunk)
        assert short.chunks == long.chunks
        assert short.terminal == long.terminal
        assert (short.first_event, short.too_large) == (long.first_event, long.too_large)


def test_most_chunks_take_the_short_way() -> None:
    """Of a stream that comes event by event only the first and the terminal one are looked at."""
    body = body_of()
    looked_at = [frame for frame in OPENAI.frames(EVENTS) if not body.passes(frame)]
    assert len(looked_at) == len(EVENTS)  # nothing was watched before the first
    body.feed(looked_at[0])
    looked_at = [frame for frame in OPENAI.frames(EVENTS)[1:] if not body.passes(frame)]
    assert len(looked_at) == 1
    assert b"response.completed" in looked_at[0]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("dialect", ENDS)
def test_completing_chunk(dialect: str, split: str) -> None:
    """The terminal event is seen with the very chunk that holds the end of its blank line."""
    frames = ENDS[dialect].frames(EVENTS)
    mark = frames[-1] if ENDS[dialect].done else b""
    stream = b"".join(frames)
    # With CRLF the event is whole at the CR of its blank line: nothing else can follow.
    end = len(stream) - len(mark) - (1 if ENDS[dialect].newline == "\r\n" else 0)
    chunks, sizes = SPLITS[split]([stream]), 0
    expected = []
    for at, chunk in enumerate(chunks):
        if sizes < end <= sizes + len(chunk):
            expected.append(at)
        sizes += len(chunk)
    body = body_of()
    assert completing(body, chunks) == expected
    assert body.terminal is not None
    assert b"response.completed" in body.terminal.data


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 10**6),
    longest=st.integers(1, 3000),
    coding=st.sampled_from(sorted(ALL_CODINGS)),
    dialect=st.sampled_from(sorted(ENDS)),
)
def test_any_split(seed: int, longest: int, coding: str, dialect: str) -> None:
    """Any split of the encoded bytes gives the same terminal event."""
    encoding, code = ALL_CODINGS[coding]
    frames = ENDS[dialect].frames(EVENTS)
    coded = at_random(seed, longest)(code([b"".join(frames)]))
    body = body_of(encoding=encoding)
    assert len(completing(body, coded)) == 1
    assert body.terminal is not None
    assert b'"response.completed"' in body.terminal.data


ENDINGS = {
    "completed": (b'{"type":"response.completed","response":{}}', True),
    "incomplete": (b'{"type":"response.incomplete","response":{}}', True),
    "failed": (b'{"type":"response.failed","response":{}}', True),
    "cancelled": (b'{"type":"response.cancelled","response":{}}', True),
    "without its object": (b'{"type":"response.completed"}', True),
    "created": (b'{"type":"response.created","response":{"x":"response.completed"}}', False),
    "spoken of": (b'{"type":"response.output_text.delta","delta":"response.failed"}', False),
    "an error": (b'{"type":"error","message":"response.failed"}', False),
    "no JSON": (b'{"type":"response.completed"', False),
    "done mark": (b"[DONE]", False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(name: str) -> None:
    """Only the events that end a response end the stream."""
    data, ends = ENDINGS[name]
    assert body_of().feed(b"data: " + data + b"\n\n") is ends


def test_name_alone() -> None:
    """Where the data has no type, the event's name says what it is."""
    assert body_of().feed(b'event: response.completed\ndata: {"response":{}}\n\n')


def test_chat() -> None:
    """A stream of chunks ends with its mark, and with nothing that only mentions it."""
    frames = CHAT.frames(bodies.chat_chunks(text="say [DONE] please"))
    body = body_of(Api.CHAT_COMPLETIONS)
    assert completing(body, frames) == [len(frames) - 1]
    assert body.terminal == Event(b"", b"[DONE]")


def test_first_event() -> None:
    """Comments are no events."""
    body = body_of()
    body.feed(BOM + b": hello\n\n")
    assert not body.first_event
    body.feed(b"data: {}\n")
    assert not body.first_event
    body.feed(b"\n")
    assert body.first_event


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "br", "zstd", "gzip, br", "odd"])
@settings(max_examples=examples(60), deadline=None)
@given(chunks=st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes(encoding: str, chunks: list[bytes]) -> None:
    """Arbitrary bytes never raise, and are kept as they came."""
    budget = Budget(LIMIT)
    body = StreamedBody(Api.RESPONSES, encoding, LIMIT, budget)
    assert not completing(body, chunks)
    assert body.chunks == chunks
    body.release()
    assert budget.held == 0


def test_too_large() -> None:
    """Beyond its limit a body is dropped, and its memory is free at once."""
    budget = Budget(10 * LIMIT)
    body = StreamedBody(Api.RESPONSES, "", 10, budget)
    body.feed(b"1234567890")
    assert (body.too_large, budget.held) == (False, 10)
    assert not body.feed(b"1")
    assert (body.too_large, budget.held, body.chunks) == (True, 0, [])
    assert not body.feed(b'\n\ndata: {"type":"response.completed","response":{}}\n\n')
    body.release()
    assert budget.held == 0


def test_budget_used_up() -> None:
    """Where all bodies together hold too much, one more is dropped, and the others stay."""
    budget = Budget(15)
    one, other = (StreamedBody(Api.RESPONSES, "", LIMIT, budget) for _ in range(2))
    one.feed(b"1234567890")
    other.feed(b"123456")
    assert (one.too_large, other.too_large, budget.held) == (False, True, 10)
    one.release()
    one.release()
    assert budget.held == 0
    one.feed(b"late")
    assert (one.chunks, budget.held) == ([], 0)


@settings(max_examples=examples(60), deadline=None)
@given(
    plain=st.lists(st.integers(0, 300), max_size=12),
    encoding=st.sampled_from(["", "gzip"]),
    total=st.integers(0, 1500),
)
def test_budget(plain: list[int], encoding: str, total: int) -> None:
    """Whatever passes, what is held stays within the total and goes back to nothing."""
    budget = Budget(total)
    body = StreamedBody(Api.RESPONSES, encoding, 1000, budget)
    coder = zlib.compressobj(wbits=31)
    for size in plain:
        piece = b"x" * size + b"\n" * (size % 3)
        if encoding:
            piece = coder.compress(piece) + coder.flush(zlib.Z_SYNC_FLUSH)
        body.feed(piece)
        assert 0 <= budget.held <= total
    body.release()
    assert budget.held == 0


BOMBS = {
    "gzip": gzip.compress(b"data: " + bytes(1 << 26)),
    "br": brotli.compress(b"data: " + bytes(1 << 26), quality=3),
    "zstd": zstandard.ZstdCompressor().compress(b"data: " + bytes(1 << 26)),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_bomb(encoding: str) -> None:
    """A body that grows beyond the limit when decoded is watched no longer, but still kept."""
    budget = Budget(4 * LIMIT)
    body = StreamedBody(Api.RESPONSES, encoding, LIMIT, budget)
    assert not body.feed(BOMBS[encoding])
    assert body.chunks == [BOMBS[encoding]]
    assert budget.held == len(BOMBS[encoding])
    assert body._frames.held == 0


def test_unfinished_frames_count() -> None:
    """What decoding adds to the memory counts as well, until the frame is whole."""
    coder = zlib.compressobj(wbits=31)
    budget = Budget(LIMIT)
    body = StreamedBody(Api.RESPONSES, "gzip", LIMIT, budget)
    large = coder.compress(b"data: " + b"x" * 90_000) + coder.flush(zlib.Z_SYNC_FLUSH)
    body.feed(large)
    assert budget.held == len(large) + 90_006
    end = coder.compress(b"\n\n") + coder.flush(zlib.Z_SYNC_FLUSH)
    body.feed(end)
    assert budget.held == len(large) + len(end)
