"""A streamed body: its terminal event is seen at once, and what is held stays within bounds."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.capture.budget import Budget
from response_store.capture.stream_tee import StreamTee
from response_store.model.records import Api
from response_store.openai_api.sse import parse_stream
from tests.fakes import bodies
from tests.fakes.cuts import CODINGS, SPLITS, Coding, at_random
from tests.fakes.dialects import BOM, CHAT, DIALECTS, OPENAI
from tests.harness.each import each
from tests.hypothesis_profiles import examples

LIMIT = 1 << 20
PLAIN: tuple[str, Coding] = ("", list)
TWICE = ("gzip, br", lambda pieces: CODINGS["br"][1](CODINGS["gzip"][1](pieces)))
MEMBERS = ("gzip", lambda pieces: [gzip.compress(piece) for piece in pieces])
FRAMES = ("zstd", lambda pieces: [zstandard.ZstdCompressor().compress(piece) for piece in pieces])
ALL_CODINGS: dict[str, tuple[str, Coding]] = {
    **CODINGS,
    "plain": PLAIN,
    "two encodings": TWICE,
    "members of gzip": MEMBERS,
    "frames of zstd": FRAMES,
}
EVENTS = bodies.stream_events()
SHORT = [
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_text.delta", "delta": "Grüße 🌍"},
    {"type": "response.completed", "response": {"id": "r", "status": "completed"}},
]
ENDS = {name: dialect for name, dialect in DIALECTS.items() if dialect.last_blank}


def body_of(api: Api = Api.RESPONSES, encoding: str = "", total: int = 4 * LIMIT) -> StreamTee:
    return StreamTee(api, encoding, LIMIT, Budget(total))


def events_to(split: str) -> list[dict[str, Any]]:
    """A stream for that split: a short one has every place where a byte alone may come."""
    return SHORT if split == "a byte a write" else EVENTS


def completing(body: StreamTee, chunks: list[bytes]) -> list[int]:
    """The places of the chunks that completed the terminal event."""
    return [at for at, chunk in enumerate(chunks) if not body.feed_fast(chunk) and body.feed(chunk)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("coding", ALL_CODINGS)
@each("split", SPLITS)
def test_terminal(coding: str, split: str) -> None:
    """However a stream is encoded and cut, the same terminal event is seen, once."""
    encoding, code = ALL_CODINGS[coding]
    frames = OPENAI.frames(events_to(split))
    chunks = code(SPLITS[split](frames))
    body = body_of(encoding=encoding)
    (at,) = completing(body, chunks)
    before = body_of(encoding=encoding)
    assert not completing(before, chunks[:at])
    assert body.is_terminated
    assert not before.is_terminated
    assert body.chunks == chunks
    assert b"".join(body.take(all_of_it=True)) == b"".join(frames)


pieces = st.sampled_from(
    [b"data: x", b"data: response.completed", b"\n", b"\r", b"\n\n", b": c\n\n", BOM, b"", b"x" * 9]
    + [b"data: y\n\n", b'data: {"type":"response.completed"}\n\n', b"data: y\r\n\r\n"]
)


@given(
    st.lists(pieces, max_size=12),
    st.sampled_from([15, 40, LIMIT]),
    st.sampled_from([20, LIMIT]),
    st.sets(st.integers(0, 12)),
)
@example([b"data: y\n\n"] * 2, 15, LIMIT, set())
@example([b"data: y\n\n"] * 3, LIMIT, 20, set())
@example([b"data: y\n\n"] * 8, 40, LIMIT, set())
@example([b"data: y\n\n"] * 8, 40, LIMIT, {2, 3, 5})
@example(
    [b"data: y\n\n", b"data: y\r\n\n", b"data: y\r\r: c\r\n\n", b"\ndata: z\n\n"],
    LIMIT,
    LIMIT,
    set(),
)
def test_the_short_way_changes_nothing(
    chunks: list[bytes], limit: int, total: int, looks: set[int]
) -> None:
    """What passes without a look leaves the body as if each chunk had been looked at."""
    short = StreamTee(Api.RESPONSES, "", limit, Budget(total))
    long = StreamTee(Api.RESPONSES, "", limit, Budget(total))
    for number, chunk in enumerate(chunks):
        ends = not short.feed_fast(chunk) and short.feed(chunk)
        assert ends == long.feed(chunk)
        if number in looks:
            assert short.pending_size == long.pending_size
            assert short._budget.held == long._budget.held
        assert short.chunks == long.chunks
        assert short.is_terminated == long.is_terminated
        assert (short.first_event, short.too_large) == (long.first_event, long.too_large)
    assert short.pending_size == long.pending_size
    assert b"".join(short.take(all_of_it=True)) == b"".join(long.take(all_of_it=True))
    assert short._budget.held == long._budget.held
    for body in (short, long):
        body.release()
        assert body._budget.held == 0


def test_what_passes_is_let_go() -> None:
    """Whatever has passed without a look when the stream is let go, nothing of it stays."""
    body = body_of()
    for frame in OPENAI.frames(EVENTS)[:4]:
        assert body.feed_fast(frame) or not body.feed(frame)
    assert body._budget.held > 0
    body.release()
    assert body._budget.held == 0
    assert not body.feed_fast(b"data: x\n\n")


def test_chunks_that_were_given_up_stay_away() -> None:
    """Once the flow will not get the body back, room that comes later changes nothing."""
    body = body_of()
    budget = body._budget
    budget.take(4 * LIMIT)
    body.feed(b"data: 1\n\n")
    budget.release(4 * LIMIT)
    for _ in range(3):
        assert not body.feed_fast(b"data: 2\n\n")
        body.feed(b"data: 2\n\n")
    assert (body.chunks, budget.held) == ([], 0)
    assert b"".join(body.take(all_of_it=True)) == b"data: 1\n\n" + b"data: 2\n\n" * 3


def test_most_chunks_take_the_short_way() -> None:
    """Of a stream that comes event by event only the first and the terminal one are looked at."""
    body = body_of()
    looked_at = [frame for frame in OPENAI.frames(EVENTS) if not body.feed_fast(frame)]
    assert len(looked_at) == len(EVENTS)  # nothing was watched before the first
    body.feed(looked_at[0])
    looked_at = [frame for frame in OPENAI.frames(EVENTS)[1:] if not body.feed_fast(frame)]
    assert len(looked_at) == 1
    assert b"response.completed" in looked_at[0]


@pytest.mark.parametrize("dialect", ENDS)
@each("split", SPLITS)
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
    assert body.is_terminated


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
    assert body.is_terminated


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
    assert body.is_terminated


def test_first_event() -> None:
    """Comments are no events."""
    body = body_of()
    body.feed(BOM + b": hello\n\n")
    assert not body.first_event
    body.feed(b"data: {}\n")
    assert not body.first_event
    body.feed(b"\n")
    assert body.first_event


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "br", "zstd", "gzip, br", "xz"])
@settings(max_examples=examples(60), deadline=None)
@given(chunks=st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes(encoding: str, chunks: list[bytes]) -> None:
    """Arbitrary bytes never raise, and are kept as they came."""
    budget = Budget(LIMIT)
    body = StreamTee(Api.RESPONSES, encoding, LIMIT, budget)
    assert not completing(body, chunks)
    assert body.chunks == chunks
    assert (body.decode_error is not None) or encoding != "xz"
    body.release()
    assert budget.held == 0


def test_too_large() -> None:
    """Beyond its limit the flow still gets the bytes back, and the journal a beginning."""
    budget = Budget(10 * LIMIT)
    body = StreamTee(Api.RESPONSES, "", 20, budget)
    body.feed(b"data: 1\n\ndata: 2345")
    assert (body.too_large, budget.held) == (False, 19)
    assert not body.feed(b"67890")
    assert (body.too_large, budget.held) == (True, 24)
    assert body.chunks == [b"data: 1\n\ndata: 2345", b"67890"]
    assert body.take(all_of_it=False) == [b"data: 1\n\n"]
    assert b"".join(body.take(all_of_it=True)) == b"data: 23456"
    body.release()
    assert budget.held == 0


@pytest.mark.parametrize("size", [1, 7, 1000])
@each("limit", [*range(70, 253, 3), 2000])
def test_too_large_keeps_whole_events_and_the_terminal_one(size: int, limit: int) -> None:
    """What is kept of a stream above the limit is a prefix of whole events, and how it ended."""
    frames = [b"event: e\ndata: %d\n\n" % number for number in range(10)]
    last = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    whole = b"".join((*frames, last))
    body = StreamTee(Api.RESPONSES, "", limit, Budget(LIMIT))
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert completing(body, chunks) == [len(chunks) - 1]
    kept = b"".join(body.take(all_of_it=True))
    if limit >= len(whole):
        assert (body.too_large, kept) == (False, whole)
        return
    fitting = limit // len(frames[0])
    assert body.too_large
    assert kept == b"".join((*frames[:fitting], last))


def test_too_large_after_parts_were_taken() -> None:
    """What was taken before counts as well, and the rest goes on behind it."""
    body = StreamTee(Api.RESPONSES, "", 30, Budget(LIMIT))
    last = b'data: {"type":"response.completed"}\n\n'
    body.feed(b"data: one\n\ndata: t")
    taken = body.take(all_of_it=False)
    assert body.feed(b"wo\n\ndata: three\n\n" + last)
    assert b"".join([*taken, *body.take(all_of_it=True)]) == b"data: one\n\ndata: two\n\n" + last


def test_budget_used_up() -> None:
    """Where all bodies together hold too much, the flow gets one less back, the journal all."""
    budget = Budget(15)
    one, other = (StreamTee(Api.RESPONSES, "", LIMIT, budget) for _ in range(2))
    one.feed(b"1234567890")
    other.feed(b"123456")
    assert (one.has_whole_body, other.has_whole_body, budget.held) == (True, False, 10)
    assert not other.too_large
    assert (other.chunks, other.take(all_of_it=True)) == ([], [b"123456"])
    one.release()
    one.release()
    assert budget.held == 0
    one.feed(b"late")
    other.feed(b"7")
    assert (one.chunks, other.chunks, budget.held) == ([], [], 0)
    assert other.take(all_of_it=True) == [b"7"]


@pytest.mark.parametrize("sizes", [[10] * 10, [7] * 14, [33, 33, 33], [1] * 100])
@each("total", range(100, 112))
def test_the_journal_comes_before_the_flow(total: int, sizes: list[int]) -> None:
    """A body that stays until its end is kept whole where it fits; for that the flow's goes."""
    budget = Budget(total)
    body = StreamTee(Api.RESPONSES, "", LIMIT, budget, holds_whole=True)
    for size in sizes:
        body.feed(b"x" * size)
        assert budget.held <= total
    assert not body.too_large
    assert b"".join(body.take(all_of_it=True)) == b"x" * sum(sizes)
    body.release()
    assert budget.held == 0


def test_all_of_a_body_that_stays_counts() -> None:
    """Whichever way its chunks take, what the flow and the journal get counts."""
    budget = Budget(LIMIT)
    body = StreamTee(Api.RESPONSES, "", LIMIT, budget, holds_whole=True)
    for number in range(1, 20):
        chunk = b"data: x\n\n"
        if not body.feed_fast(chunk):
            body.feed(chunk)
        assert budget.held >= 2 * number * len(chunk)
        if number % 5 == 0:
            assert body.pending_size == number * len(chunk)
            assert budget.held == 2 * number * len(chunk)


@pytest.mark.parametrize("holds_whole", [False, True])
def test_streams_keep_no_room_from_others(holds_whole: bool) -> None:
    """What many streams may take on the quick way, and do not, is there for what others hold."""
    budget = Budget(LIMIT)
    event = b"data: x\n\n"
    bodies = [
        StreamTee(Api.RESPONSES, "", LIMIT, budget, holds_whole=holds_whole) for _ in range(40)
    ]
    for body in bodies * 3:
        assert body.feed_fast(event) or not body.feed(event)
    large = StreamTee(Api.RESPONSES, "", LIMIT, budget)
    large.feed(b"x" * (LIMIT - 40 * 6 * len(event)))
    assert large.has_whole_body
    for body in (large, *bodies):
        assert (body.has_whole_body, body.too_large) == (True, False)
        body.release()
    assert budget.held == 0


def test_a_body_that_stays_is_bounded() -> None:
    """What finds no room at all is left out, and said; nothing of the others goes."""
    budget = Budget(20)
    other = StreamTee(Api.RESPONSES, "", LIMIT, budget)
    other.feed(b"0123456789")
    body = StreamTee(Api.RESPONSES, "gzip", LIMIT, budget, holds_whole=True)
    coder = zlib.compressobj(wbits=31)
    body.feed(coder.compress(b"x" * 1000) + coder.flush(zlib.Z_SYNC_FLUSH))
    assert (body.too_large, body.take(all_of_it=True)) == (True, [])
    assert other.chunks == [b"0123456789"]
    assert budget.held == 10


def test_staying_from_the_middle_on() -> None:
    """A body may turn out to stay when some of it waits; that counts from then on."""
    budget = Budget(LIMIT)
    body = StreamTee(Api.RESPONSES, "", LIMIT, budget)
    body.feed(b"data: 1\n\n")
    assert body.pending_size == budget.held == 9
    body.hold_whole()
    assert budget.held == 18
    assert not body.feed_fast(b"data: 2\n\n")
    body.feed(b"data: 2\n\n")
    assert body.feed_fast(b"data: 3\n\n")
    assert (body.pending_size, budget.held) == (27, 54)
    assert b"".join(body.take(all_of_it=True)) == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    body.release()
    assert budget.held == 0
    full = StreamTee(Api.RESPONSES, "", LIMIT, budget)
    budget.take(LIMIT)
    full.feed(b"data: 1\n\n")
    full.hold_whole()
    assert full.too_large


# What is taken while the stream goes on

NEWLINES = [b"\n", b"\r\n", b"\r"]


@settings(max_examples=examples(200), deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from([b"data: x", b": c", b"id"]), st.booleans())),
    newline=st.sampled_from(NEWLINES),
    cuts=st.lists(st.integers(1, 12), max_size=60),
    takes=st.sets(st.integers(0, 60)),
)
def test_parts_are_whole_events(
    lines: list[tuple[bytes, bool]], newline: bytes, cuts: list[int], takes: set[int]
) -> None:
    """Whatever the chunks, each part ends where an event ends, and all of them are the stream."""
    stream = b"".join(line + newline * (2 if ends else 1) for line, ends in lines)
    body = StreamTee(Api.RESPONSES, "", LIMIT, Budget(LIMIT))
    parts, at = [], 0
    for number, size in enumerate([*cuts, len(stream)]):
        body.feed(stream[at : at + size])
        at += size
        if number in takes:
            parts.append(b"".join(body.take(all_of_it=False)))
            assert not parts[-1] or parts[-1].endswith(newline * 2)
            assert newline * 2 not in b"".join(body._pending)
    waits = b"".join(body._pending)
    body.take(all_of_it=False)
    rest = b"".join(body.take(all_of_it=True))
    assert newline * 2 not in rest
    assert b"".join(parts) + waits == stream


@pytest.mark.exhaustive
@pytest.mark.parametrize("coding", ALL_CODINGS)
@pytest.mark.parametrize("dialect", ["openai", "crlf", "cr"])
@each("split", SPLITS)
def test_parts_of_any_coding(coding: str, split: str, dialect: str) -> None:
    """Parts are decoded, and read one by one they have the events of the whole."""
    encoding, code = ALL_CODINGS[coding]
    frames = ENDS[dialect].frames(events_to(split))
    body, parts = body_of(encoding=encoding), []
    for chunk in code(SPLITS[split](frames)):
        if not body.feed_fast(chunk):
            body.feed(chunk)
        parts.append(b"".join(body.take(all_of_it=False)))
    parts.append(b"".join(body.take(all_of_it=True)))
    assert b"".join(parts) == b"".join(frames)
    read = [event for part in parts for event in parse_stream(part)]
    assert read == list(parse_stream(b"".join(frames)))


def test_an_event_of_many_chunks_is_not_joined() -> None:
    """An event of megabytes waits in its pieces, and each of them is searched once."""
    body = StreamTee(Api.RESPONSES, "", 64 * LIMIT, Budget(64 * LIMIT))
    pieces = [b"data: {"] + [b"x" * 1000] * 1000
    for piece in pieces:
        body.feed(piece)
        assert body.take(all_of_it=False) == []
    assert body._searched == len(pieces)
    assert all(one is other for one, other in zip(body._pending, pieces, strict=True))
    body.feed(b"}\n\ndata: next")
    taken = body.take(all_of_it=False)
    assert len(taken) == len(pieces) + 1
    assert taken[-1] == b"}\n\n"
    body.feed(b"\n\nda")
    assert body.take(all_of_it=False) == [b"data: next", b"\n\n"]
    assert body.take(all_of_it=True) == [b"da"]


def test_all_that_was_decoded() -> None:
    """The whole is to be had again as long as its chunks are there."""
    body = body_of()
    body.feed(b"data: 1\n\nda")
    assert body.whole() == [b"data: 1\n\nda"]
    body.take(all_of_it=False)
    body.feed(b"ta: 2\n\n")
    assert b"".join(body.whole() or []) == b"data: 1\n\ndata: 2\n\n"
    body.release()
    assert body.whole() is None
    coded = body_of(encoding="gzip")
    coded.feed(gzip.compress(b"data: 1\n\n"))
    assert coded.whole() == [b"data: 1\n\n"]
    coded.take(all_of_it=True)
    assert coded.whole() is None  # only encoded chunks are left


def test_a_body_that_breaks() -> None:
    """What came before a coding broke is kept, and so are the bytes as they came."""
    body = body_of(encoding="gzip")
    coder = zlib.compressobj(wbits=31)
    good = coder.compress(b"data: 1\n\n") + coder.flush(zlib.Z_SYNC_FLUSH)
    body.feed(good)
    assert (body.decode_error, body.raw_size) == (None, 0)
    body.feed(b"\xff" * 10)
    body.feed(b"more")
    assert body.decode_error is not None
    assert body.raw_size == len(good) + 14
    assert body.take(all_of_it=True) == [b"data: 1\n\n"]
    assert body.chunks == [good, b"\xff" * 10, b"more"]


@settings(max_examples=examples(60), deadline=None)
@given(
    plain=st.lists(st.integers(0, 300), max_size=12),
    encoding=st.sampled_from(["", "gzip"]),
    total=st.integers(0, 1500),
)
def test_budget(plain: list[int], encoding: str, total: int) -> None:
    """Whatever passes, what is held stays within the total and goes back to nothing."""
    budget = Budget(total)
    body = StreamTee(Api.RESPONSES, encoding, 1000, budget)
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
    "gzip": gzip.compress,
    "br": lambda data: brotli.compress(data, quality=3),
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("holds_whole", [False, True])
@pytest.mark.parametrize("encoding", BOMBS)
def test_bomb(encoding: str, holds_whole: bool) -> None:
    """A body that grows and grows when decoded is watched no longer, but still kept."""
    budget = Budget(4 * LIMIT)
    body = StreamTee(Api.RESPONSES, encoding, LIMIT, budget, holds_whole=holds_whole)
    bomb = BOMBS[encoding](b"data: " + bytes(1 << 26))
    assert not body.feed(bomb)
    assert body.chunks == [bomb]
    assert budget.held <= len(bomb) + (LIMIT if holds_whole else 0)
    assert body._frames is None
    assert body.is_deferred or body.decode_error == "the body expands too much"
    assert sum(map(len, body.take(all_of_it=True))) <= LIMIT
    body.release()
    assert budget.held == 0


def test_a_terminal_event_behind_the_limit_counts_in_any_coding() -> None:
    """Of a packed stream above the limit the terminal event is seen and kept, as of a plain one."""
    begins, ends = b'data: {"type":"x"}\n\n' * 9000, b'data: {"type":"response.failed"}\n\n'
    body = StreamTee(Api.RESPONSES, "gzip", 1000, Budget(LIMIT))
    packed = gzip.compress(begins + ends)
    assert [body.feed(packed[at : at + 100]) for at in range(0, len(packed), 100)][-1]
    assert body.too_large
    assert body.is_terminated
    assert b"".join(body.take(all_of_it=True)).endswith(ends)


def test_decoding_that_takes_long_is_left_to_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A chunk whose decoding takes long is kept and not watched; without its bytes that is said."""
    monkeypatch.setattr("response_store.capture.stream_tee.CHUNK_SECONDS", 0)
    budget = Budget(LIMIT)
    body = StreamTee(Api.RESPONSES, "gzip", LIMIT, budget)
    packed = gzip.compress(b"data: {}\n\n")
    assert not body.feed(packed)
    assert (body.is_deferred, body.decode_error, body.chunks) == (True, None, [packed])
    assert not body.feed(b"more")
    assert body.chunks == [packed, b"more"]
    budget.take(LIMIT - budget.held)
    assert not body.feed(b"too much")
    assert (body.is_deferred, body.chunks) == (False, [])
    assert body.decode_error == "the body takes too long to decode"


LARGE_EVENTS = {
    "type first": b'data: {"type":"response.completed","response":{"id":"r","x":"%s"}}',
    "type last": b'data: {"response":{"x":"%s"},"sequence_number":7,"type":"response.completed"}',
    "name": b'event: response.completed\ndata: {"response":{"x":"%s"}}',
    "name behind": b'data: {"response":{"x":"%s"}}\nevent: response.completed',
    "lines": b'data: {"response":{\ndata: "x":"%s"},\ndata: "type":"response.completed"}',
}
NO_LARGE_EVENTS = {
    "text": b'data: {"type":"other","x":"response.completed %s"}',
    "nested": b'data: {"x":"%s","y":{"type":"response.completed"}}',
    "other name": b'event: response.completed\ndata: {"x":"%s","type":"other"}',
}


@pytest.mark.parametrize("name", [*LARGE_EVENTS, *NO_LARGE_EVENTS])
@pytest.mark.parametrize("limit", [1 << 22, 1 << 18])
def test_a_large_event_is_known_by_its_ends(name: str, limit: int) -> None:
    """The type of an event of megabytes is found at its ends, wherever it stands there."""
    event = (LARGE_EVENTS | NO_LARGE_EVENTS)[name].replace(b"%s", b"response.failed " * 30_000)
    stream = b"data: {}\n\n" + event + b"\n\n"
    body = StreamTee(Api.RESPONSES, "", limit, Budget(1 << 23))
    ends = [body.feed(stream[at : at + 65_535]) for at in range(0, len(stream), 65_535)]
    if limit > len(stream):
        assert ends[-1] == (name in LARGE_EVENTS)
        assert b"".join(body.take(all_of_it=True)) == stream
    assert body.has_whole_body


@each("at", range(23))
def test_a_mark_that_is_cut_in_two(at: int) -> None:
    """A terminal event is seen wherever its name is cut, in small and in large events."""
    for filler in (0, 300_000):
        start = b'data: {"x":"' + b"x" * filler + b'","type":"'
        stream = start + b'response.incomplete"}\n\n'
        cut = len(start) + at
        body = StreamTee(Api.RESPONSES, "", LIMIT, Budget(LIMIT))
        assert [body.feed(stream[:cut]), body.feed(stream[cut:])] == [False, True]


@pytest.mark.parametrize("filler", [0, 300_000])
def test_a_blank_line_that_is_cut_in_two(filler: int) -> None:
    """The event behind it is seen for itself, also where the one before it is large."""
    before = b'data: {"type":"delta","delta":"' + b"x" * filler + b'"}\n'
    last = b'\nevent: response.failed\ndata: {"type":"response.failed"}\n\n'
    body = StreamTee(Api.RESPONSES, "", LIMIT, Budget(LIMIT))
    assert [body.feed(before), body.feed(last)] == [False, True]


def test_an_endless_event() -> None:
    """A frame that never ends is not held beyond the limit."""
    body = StreamTee(Api.RESPONSES, "", 1000, Budget(LIMIT))
    for _ in range(100):
        body.feed(b"data: " + b"x" * 100)
    assert body._frames is None
    assert body.pending_size == 1000


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("behind", [0, 2])
def test_marks_in_texts(before: int, behind: int) -> None:
    """Events that only speak of a terminal one, in the same chunk, hide none and are none."""
    text = b'event: delta\ndata: {"type":"delta","delta":"response.completed"}\n\n'
    last = b'event: response.failed\ndata: {"type":"response.failed"}\n\n'
    body = StreamTee(Api.RESPONSES, "", 600, Budget(LIMIT))
    assert body.feed(text) is False
    assert body.feed(text * before + last + text * behind) is True
    body = StreamTee(Api.RESPONSES, "", 30, Budget(LIMIT))
    body.feed(text * before + last + text * behind)
    assert body.is_terminated
    assert b"".join(body.take(all_of_it=True)).endswith(last)
