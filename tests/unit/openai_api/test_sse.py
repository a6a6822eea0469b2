"""Server-sent events: any dialect, cut anywhere, gives the same events."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.openai_api.sse import Event, SSEDecoder, parse_events, parse_stream
from tests.fakes import bodies
from tests.fakes.cuts import SPLITS
from tests.fakes.dialects import DIALECTS
from tests.harness.each import each
from tests.harness.expected import events_in
from tests.harness.work import at_most
from tests.hypothesis_profiles import examples

BOM = b"\xef\xbb\xbf"
AB = [Event(b"", b"a"), Event(b"", b"b")]
STREAMS = {
    "lf": (b"data: a\n\ndata: b\n\n", AB),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", AB),
    "cr": (b"data: a\r\rdata: b\r\r", AB),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\n", AB),
    "cr and lf": (b"data: a\r\ndata: b\n\r", [Event(b"", b"a\nb")]),
    "byte order mark": (BOM + b"data: a\n\ndata: b\n\n", AB),
    "mark inside": (b"data: a\n\n" + BOM + b"data: b\n\n", AB[:1]),
    "comments": (b": hello\n\n:\n\ndata: a\n: between\n\ndata: b\n\n", AB),
    "ping as data": (b"data: : ping\n\n", [Event(b"", b": ping")]),
    "several lines": (b"data: {\ndata:  1\ndata:}\n\n", [Event(b"", b"{\n 1\n}")]),
    "no last blank line": (b"data: a\n\ndata: b\n", AB),
    "no last line end": (b"data: a\n\ndata: b", AB),
    "data alone": (b"data\n\ndata:\n\n", [Event(b"", b""), Event(b"", b"")]),
    "data alone, twice": (b"data\ndata\n\n", [Event(b"", b"\n")]),
    "names": (b"event: x\ndata: a\n\nevent:y\ndata:b\n\n", [Event(b"x", b"a"), Event(b"y", b"b")]),
    "a name alone": (b"event: x\n\ndata: a\n\n", AB[:1]),
    "one space goes": (b"data:  a \n\n", [Event(b"", b" a ")]),
    "other fields": (b"id: 1\nretry: 3\ndatum: x\ndata: a\nxdata: y\n\n", AB[:1]),
    "many blank lines": (b"\n\n\n\r\ndata: a\n\n\n\n\n\n\ndata: b\n\n\n", AB),
    "empty": (b"", []),
    "half a mark": (BOM[:2], []),
}


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in chunks of these sizes, and the rest."""
    chunks = []
    for size in sizes:
        chunks.append(stream[:size])
        stream = stream[size:]
    return [*chunks, stream]


def blocks(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = SSEDecoder()
    return [splitter.feed(chunk) for chunk in chunks], splitter.rest()


def folded(chunks: list[bytes]) -> tuple[list[Event], bytes]:
    """The events of a stream in chunks, and the text that came out in all."""
    found, rest = blocks(chunks)
    read = [event for block in (*found, rest) for event in parse_events(block)]
    return read, b"".join(found) + rest


@each("name", STREAMS)
def test_dialect(name: str) -> None:
    """Each way to write events gives the events, whole and byte by byte."""
    stream, expected = STREAMS[name]
    assert list(parse_stream(stream)) == expected
    assert folded([stream[at : at + 1] for at in range(len(stream))])[0] == expected


@pytest.mark.parametrize("dialect", DIALECTS)
@each("split", SPLITS)
def test_recorded(dialect: str, split: str) -> None:
    """Every server's dialect gives the events that were sent, however it is cut."""
    frames = DIALECTS[dialect].frames(bodies.stream_events())
    sent = events_in(b"".join(frames))
    found = [event.data for event in folded(SPLITS[split](frames))[0]]
    assert len([data for data in found if data.startswith(b"{")]) == len(sent)
    assert found == [event.data for event in parse_stream(b"".join(frames))]


pieces = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\n\n", b"data:", b"data: ", b"event: x", b":", b" ", b"a", b"{}", BOM]
    + [BOM[:1], "é".encode(), b"\xff", b"data"]
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(pieces, max_size=20).map(b"".join), st.lists(st.integers(0, 9), max_size=20))
@example(BOM + b"data: a\r\n\r\n", [1, 1, 0, 9, 1, 1])
@example(b"data: a\n\n\ndata: b\n\n", [8, 1, 1])
def test_any_split(stream: bytes, sizes: list[int]) -> None:
    """Any bytes cut anywhere give the same events and the same text in all."""
    assert folded(cut(stream, sizes)) == folded([stream])


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(pieces, max_size=20).map(b"".join), st.lists(st.integers(0, 9), max_size=20))
def test_held(stream: bytes, sizes: list[int]) -> None:
    """What is held is one unfinished frame: no blank line ends it, and its size is known."""
    splitter = SSEDecoder()
    for chunk in cut(stream, sizes):
        splitter.feed(chunk)
        held = b"".join(splitter._pending)
        assert b"\n\n" not in held
        assert splitter.held == len(held) or held in (BOM[:1], BOM[:2])
    splitter.rest()
    assert splitter.held == 0


def test_block_comes_at_once() -> None:
    """A frame is whole with the chunk that completes its blank line, also at the CR of CRLF."""
    assert blocks([b"data: a\n", b"\n"])[0] == [b"", b"data: a\n\n"]
    assert blocks([b"data: a\r\n", b"\r", b"\n"])[0] == [b"", b"data: a\n\n", b""]
    assert blocks([b"data: a\r", b"\r", b"data: b\r"])[0] == [b"", b"data: a\n\n", b""]


def test_large_frame() -> None:
    """A frame of 20 MB in chunks of a kilobyte is joined once."""
    chunk = b"x" * 1024
    splitter = SSEDecoder()
    splitter.feed(b"data: ")
    with at_most(1):  # joining at every chunk takes minutes
        for _ in range(20_000):
            splitter.feed(chunk)
        block = splitter.feed(b"\n\n")
    assert len(block) == 6 + 20_000 * 1024 + 2


def test_a_name_many_times() -> None:
    """Two megabytes of `data:` are read once."""
    with at_most(1):  # dropping one after the other takes seconds
        assert list(parse_events(b"data: data:" * 200_000 + b"x\n\n")) == [Event(b"", b"x")]
