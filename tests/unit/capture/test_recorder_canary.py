"""Nothing unclean is given to the journal: a canary in every place, cut at every byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from response_store.capture.recorder import TICK
from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy
from tests.fakes.cuts import CODINGS
from tests.harness.each import each
from tests.unit.capture.borders import answer_head, json_head
from tests.unit.capture.capturing import Capturing

CANARY = "c4n4ry-of-a-secret"
MARK = CANARY.encode()
Coding = Callable[[Iterable[bytes]], list[bytes]]
ALL_CODINGS: dict[str, tuple[str, Coding]] = {"plain": ("", list), **CODINGS}


def tool(**fields: Any) -> dict[str, Any]:
    """What calls an MCP server."""
    return {"type": "mcp", "server_label": "s"} | fields


HOLDERS: dict[str, Any] = {
    "authorization": {"tools": [tool(authorization=f"Bearer {CANARY}")]},
    "capital letter": {"tools": [tool(Authorization=CANARY)]},
    "headers": {"tools": [tool(headers={"X-Key": CANARY, "other": "x"})]},
    "headers as a text": {"tools": [tool(headers=CANARY)]},
    "authorization as an object": {"tools": [tool(authorization={"token": CANARY})]},
    "nested headers": {"tools": [tool(headers={"X-Key": [{"deep": CANARY}]})]},
    "domain secrets": {"tools": [{"container": {"domain_secrets": [{"value": CANARY}]}}]},
    "deep down": {"input": [{"a": [{"tools": [tool(authorization=CANARY)]}]}]},
}
TEXTS = {name: json.dumps(value).encode() for name, value in HOLDERS.items()} | {
    "escaped names": b'{"t\\u006fols":[{"\\u0068e\\u0061ders":{"k":"%s"}}]}' % MARK,
    "a name escaped all through": (
        b'{"x":[],"%s":[{"value":"%s"}]}'
        % ("".join(f"\\u{ord(c):04x}" for c in "domain_secrets").encode(), MARK)
    ),
    "escaped name": b'{"tools":[{"\\u0061uthorization":"%s"}]}' % MARK,
    "no space": json.dumps(HOLDERS["headers"], separators=(",", ":")).encode(),
    "a space before the colon": b'{"tools":[{"authorization" \n : "%s"}]}' % MARK,
}
ECHOED = b'data: {"type":"response.output_text.delta","delta":"%s"}\n\n' % MARK
PLAIN = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
TERMINAL = b'data: {"type":"response.completed","response":{"id":"r"}}\n\n'


def check(capturing: Capturing, *, passed: bool = True) -> None:
    """Check that no frame in the journal has the canary; `passed` where one in memory must."""
    for frame in capturing.journal.frames:
        assert MARK not in frame.packed
        assert MARK not in frame.body
    if passed:
        assert any(MARK in frame.body for frame in capturing.ingester.frames)


def flushed_at(text: bytes, at: int, code: Coding) -> list[bytes]:
    """A text that is sent in two pieces, each decodable when it has come."""
    return code([piece for piece in (text[:at], text[at:]) if piece])


@pytest.mark.exhaustive
@pytest.mark.parametrize("coding", ALL_CODINGS)
@each("name", TEXTS)
def test_in_a_stream(name: str, coding: str) -> None:
    """An event that holds it, cut at any byte, with a look after each piece."""
    encoding, code = ALL_CODINGS[coding]
    stream = b"event: response.created\ndata: " + TEXTS[name] + b"\n\n"
    # The pieces are the same ones once they are decoded: in a coding every fifth byte will do.
    for at in range(1, len(stream), 5 if encoding and name != "headers" else 1):
        capturing = Capturing()
        exchange = capturing.stream(answer=answer_head(content_encoding=encoding))
        capturing.loop.pass_time(2 * TICK)
        for piece in flushed_at(PLAIN + stream, len(PLAIN) + at, code):
            capturing.feed(exchange, piece)
            capturing.loop.pass_time(TICK)
            check(capturing, passed=False)
        capturing.recorder.finish("flow", EndedBy.CLIENT)
        check(capturing)
        assert capturing.journal.frames[0].kind is FrameKind.OPEN


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", TEXTS)
def test_a_stream_that_is_cut(name: str) -> None:
    """However much of the event has come when the exchange ends, or the proxy stops."""
    stream = PLAIN + b"data: " + TEXTS[name]
    for size in range(1, len(stream) + 1):
        for stops in (True, False):
            capturing = Capturing()
            exchange = capturing.stream()
            capturing.feed(exchange, stream[:size])
            if stops:
                capturing.recorder.stop()
            capturing.recorder.finish("flow", EndedBy.UPSTREAM)
            check(capturing, passed=MARK in stream[:size])


@each("limit", range(1024, 1400, 5))
def test_a_stream_above_the_limit(limit: int) -> None:
    """Wherever the prefix that is kept ends."""
    capturing = Capturing(capture={"max_body_bytes": limit})
    exchange = capturing.stream()
    capturing.loop.pass_time(2 * TICK)
    filler = b"data: " + b"x" * 998 + b"\n\n"
    for chunk in (filler, b"data: " + TEXTS["headers"] + b"\n\n", PLAIN * 4, TERMINAL):
        capturing.feed(exchange, chunk)
        capturing.loop.pass_time(TICK)
    capturing.recorder.finish("flow", EndedBy.BODY)
    check(capturing, passed=False)


@pytest.mark.parametrize("coding", ALL_CODINGS)
@each("name", TEXTS)
def test_in_a_request(name: str, coding: str) -> None:
    """Nor does anything of an exchange whose request holds it: the answer may repeat it."""
    encoding, code = ALL_CODINGS[coding]
    body = b"".join(code([TEXTS[name]]))
    for lasts in (0, 3):
        capturing = Capturing()
        exchange = capturing.stream(body, content_encoding=encoding)
        capturing.feed(exchange, PLAIN)
        for _ in range(lasts):
            capturing.loop.pass_time(TICK)
            capturing.feed(exchange, ECHOED, PLAIN)
        capturing.feed(exchange, TERMINAL)
        capturing.feed(exchange, ECHOED)
        capturing.recorder.finish("flow", EndedBy.BODY)
        assert capturing.journal.frames == []
        check(capturing)


@pytest.mark.parametrize("coding", ALL_CODINGS)
@each("name", TEXTS)
def test_in_a_whole_answer(name: str, coding: str) -> None:
    """Nor does an answer in one piece."""
    encoding, code = ALL_CODINGS[coding]
    for lasts in (0, 3):
        capturing = Capturing()
        exchange = capturing.begin()
        exchange.answer = json_head(content_encoding=encoding)
        capturing.loop.pass_time(lasts * TICK)
        capturing.recorder.finish("flow", EndedBy.BODY, b"".join(code([TEXTS[name]])))
        check(capturing)


@pytest.mark.parametrize("coding", ALL_CODINGS)
def test_a_request_that_breaks(coding: str) -> None:
    """Of a request that can't be decoded nothing is kept, wherever it breaks."""
    encoding, code = ALL_CODINGS[coding]
    if not encoding:
        return
    body = b"".join(code([TEXTS["authorization"], b" " * 100]))
    for size in range(len(body)):
        capturing = Capturing()
        capturing.begin(body[:size] + b"\xff\x00" * 9, content_encoding=encoding)
        capturing.recorder.finish("flow", EndedBy.CLIENT)
        check(capturing, passed=False)
        assert body[: max(size, 10)] not in b"".join(frame.body for frame in capturing.frames)


@pytest.mark.parametrize("coding", ALL_CODINGS)
def test_with_redaction_nothing_is_given_to_the_journal(coding: str) -> None:
    """What a pattern would find is known to the ingester alone."""
    encoding, code = ALL_CODINGS[coding]
    for lasts in (0, 3):
        capturing = Capturing(redact="common")
        body = b'{"input":"my key is %s"}' % MARK
        exchange = capturing.stream(body, answer=answer_head(content_encoding=encoding))
        for chunk in code([PLAIN, ECHOED, b"data: " + MARK, b"\n\n"]):
            capturing.feed(exchange, chunk)
            capturing.loop.pass_time(lasts * TICK)
        capturing.recorder.finish("flow", EndedBy.CLIENT)
        capturing.recorder.delete("t1", "r")
        assert capturing.journal.frames == []
        check(capturing)


def test_a_canary_is_seen_where_it_is() -> None:
    """The check finds a canary in a frame that is not private."""
    capturing = Capturing()
    capturing.begin(b'{"input":"%s"}' % MARK)
    capturing.recorder.finish("flow", EndedBy.BODY)
    with pytest.raises(AssertionError):
        check(capturing, passed=False)
