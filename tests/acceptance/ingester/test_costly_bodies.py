"""Bodies that were made to cost: reading one takes bounded memory and time, and keeps its bytes.

With `-m soak` bodies have the full size; else a quarter of it, in which there are more values than
are read already.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from response_store.config import load_config
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.record_builder import RecordBuilder
from response_store.limits import PLACES
from response_store.model.records import Api, EndedBy, Record, Transport

SIZE = 12 << 20
MEMORY = 256  # MB over what the process takes with the body in its hands
SECONDS = 5.0
PARTS = [4, pytest.param(1, marks=pytest.mark.soak)]
ASKED = b'{"model":"m","input":"x","messages":[]}'
RESPONSE = b'{"id":"r","object":"response","status":"completed","output":['


Body = Callable[[int], bytes]


def filled(unit: bytes, before: bytes = b"", after: bytes = b"") -> Body:
    """Return what makes a body of that size of one unit."""
    return lambda size: before + unit * (size // len(unit)) + after


def counted(unit: bytes) -> Body:
    """Return what makes a stream of that size, each event with a number of its own."""
    step = len(unit) + 8
    return lambda size: b"".join(
        unit.replace(b"%d", b"%d" % n) + b"\n\n" for n in range(size // step)
    )


TEXT = RESPONSE + b'{"type":"message","content":[{"type":"output_text","text":"'
JSON = {
    "zeros": filled(b"0,", RESPONSE, b"0]}"),
    "objects": filled(b"{},", RESPONSE, b"0]}"),
    "items": filled(b'{"type":"message","content":[]},', RESPONSE, b"0]}"),
    "nested": filled(b"[", b'{"headers":1,"output":'),
    "nested objects": filled(b'{"a":', b'{"headers":1,"output":'),
    "strings": filled(b'"",', RESPONSE, b"0]}"),
    "strings without commas": filled(b'""', b'{"headers":1,"output":'),
    "members": filled(b'"a":0,', RESPONSE + b"],", b'"b":0}'),
    "usage": filled(b'"a":0,', RESPONSE + b'],"usage":{', b'"b":0}}'),
    "a text": filled(b"a, ", TEXT, b'"}]}]}'),
    "escapes": filled(b"\\n", TEXT, b'"}]}]}'),
    "surrogate": filled(b"a", TEXT + b"\\ud800", b'"}]}]}'),
    "no text": filled(b"\xff", TEXT, b'"}]}]}'),
    "cut off": filled(b"a", TEXT),
    "a long id": filled(b"A", b'{"id":"', b'","object":"response","output":[]}'),
    "credentials": filled(b'{"headers":{"a":"bcdefghij"}},', RESPONSE + b'],"tools":[', b"0]}"),
}
_DELTA = b'data: {"type":"response.output_text.delta",'
STREAMS = {
    "newlines": filled(b"\n"),
    "carriage returns": filled(b"\r"),
    "frames": filled(b"a\n\n"),
    "lines": filled(b"a\n"),
    "lines of data": filled(b"data:\n"),
    "pings": filled(b": ping\n\n"),
    "deltas": filled(_DELTA + b'"output_index":0,"delta":""}\n\n'),
    "output indexes": counted(_DELTA + b'"output_index":%d,"delta":""}'),
    "content indexes": counted(_DELTA + b'"output_index":0,"content_index":%d,"delta":""}'),
    "added items": counted(
        b'data: {"type":"response.output_item.added","output_index":%d,"item":{'
        + b'"a":0,' * 50
        + b'"b":0}}'
    ),
    "one event": filled(
        b"0,", b'data: {"type":"response.completed","response":{"output":[', b"0]}}"
    ),
    "unbalanced": filled(b'data: {"headers":[\n\n'),
}
CHATS = {
    "choices": counted(b'data: {"choices":[{"index":%d}]}'),
    "tool calls": counted(b'data: {"choices":[{"delta":{"tool_calls":[{"index":%d}]}}]}'),
    "names": counted(b'data: {"choices":[{"index":0,"delta":{"n%d":""}}]}'),
    "members": counted(b'data: {"a%d":"","b":1}'),
    "one row": filled(b"0,", b'data: {"choices":[{"index":0,"delta":{"x":[', b"0]}}]}\n\n"),
    "rows": filled(b'data: {"choices":[{"index":0,"delta":{"x":[' + b"0," * 999 + b"0]}}]}\n\n"),
}
CASES = {
    **{f"json: {name}": ("json", make) for name, make in JSON.items()},
    **{f"request: {name}": ("request", make) for name, make in JSON.items()},
    **{f"stream: {name}": ("stream", make) for name, make in STREAMS.items()},
    **{f"chat: {name}": ("chat", make) for name, make in CHATS.items()},
}


def draft_of(kind: str, body: bytes) -> Draft:
    """Return an exchange with a body in one of its places."""
    api = Api.CHAT_COMPLETIONS if kind == "chat" else Api.RESPONSES
    request = body if kind == "request" else ASKED
    answer = AnswerDraft(
        Transport.SSE if kind in ("stream", "chat") else Transport.HTTP,
        200,
        None,
        RESPONSE + b"]}" if kind == "request" else body,
    )
    asked = Request("e", "t", api, "POST", "http", "h", "/v1/responses", request, 1.0)
    return Draft(asked, Ending(EndedBy.BODY, 1.0, None, answer))


def peak() -> int:
    """Return the most memory that this process has had, in MB."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) // 1024


def measure(name: str, part: int, line: Any) -> None:
    """Read a body; send memory, seconds, state and kept bytes."""
    kind, make = CASES[name]
    body = make(SIZE // part)
    if kind == "request":
        body = body.replace(b'{"', b'{"model":"m","input":1,"', 1)
    draft = draft_of(kind, body)
    builder = RecordBuilder(load_config(None, {}).capture, "recorder")
    Path("/proc/self/clear_refs").write_text("5")  # begins to measure here
    before, start = peak(), time.thread_time()
    change = builder.build(draft)
    took = time.thread_time() - start
    assert isinstance(change, Record)
    row = change.exchange
    line.send((peak() - before, took, row.state, bool(row.raw_response or row.request_body)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", CASES)
def test_memory_and_time(name: str, part: int) -> None:
    """Whatever a body holds, reading it takes at most 256 MB and 5 seconds, and its row is made."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=measure, args=(name, part, theirs))
    child.start()
    theirs.close()
    try:
        memory, seconds, state, _ = ours.recv()
    finally:
        child.join(60)
    assert (memory <= MEMORY, seconds <= SECONDS) == (True, True), (memory, seconds, state)


@pytest.mark.parametrize("kind", ["json", "stream", "chat"])
def test_what_has_too_many_values_keeps_its_bytes(kind: str) -> None:
    """An answer with more values than are read is too large; its bytes stay, and its names."""
    made = {
        "json": b'{"id":"r","object":"response","model":"m","output":[' + b"0," * 600_000 + b"0]}",
        "stream": b'data: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n'
        b'data: {"type":"response.completed","response":{"id":"r","output":['
        + b"0," * 600_000
        + b"0]}}\n\n",
        "chat": b'data: {"id":"r","model":"m","choices":[]}\n\ndata: {"x":['
        + b"0," * 600_000
        + b"0]}\n\n",
    }[kind]
    change = RecordBuilder(load_config(None, {}).capture, "x").build(draft_of(kind, made))
    assert isinstance(change, Record)
    row = change.exchange
    assert (row.state, row.response_id, row.model) == ("too_large", "r", "m")
    assert row.raw_response
    assert change.response is None


PLACES_OF = {
    "output indexes": b'data: {"type":"response.output_text.delta","output_index":%d,"delta":"x"}',
    "content indexes": b'data: {"type":"response.output_text.delta","output_index":0,'
    b'"content_index":%d,"delta":"x"}',
    "choices": b'data: {"choices":[{"index":%d,"delta":{"content":"x"}}]}',
    "tool calls": b'data: {"choices":[{"delta":{"tool_calls":[{"index":%d,"id":"c%d"}]}}]}',
}


@pytest.mark.parametrize("name", PLACES_OF)
def test_places_are_counted(name: str) -> None:
    """A stream may number 10,000 items, parts, choices or calls; one of more keeps its bytes."""
    is_chat = name in ("choices", "tool calls")
    begin = (
        b'{"id":"r","model":"m","choices":[]}'
        if is_chat
        else b'{"type":"response.created","response":{"id":"r","model":"m"}}'
    )
    for number, is_too_large in ((PLACES // 2 - 10, False), (PLACES + 1, True)):
        events = [PLACES_OF[name].replace(b"%d", b"%d" % n) for n in range(number)]
        body = b"\n\n".join([b"data: " + begin, *events, b""])
        change = RecordBuilder(load_config(None, {}).capture, "x").build(
            draft_of("chat" if is_chat else "stream", body)
        )
        assert isinstance(change, Record)
        row = change.exchange
        assert (row.state == "too_large", row.response_id, row.model) == (is_too_large, "r", "m")
        assert row.raw_response or not is_too_large


def test_a_request_with_too_many_values_keeps_its_bytes() -> None:
    """A request with more values than are read keeps its bytes, and says why there is no input."""
    body = b'{"model":"m","input":[' + b"0," * 600_000 + b"0]}"
    change = RecordBuilder(load_config(None, {}).capture, "x").build(draft_of("request", body))
    assert isinstance(change, Record)
    assert change.exchange.error_message == "request body: more than 500000 values"
    assert change.exchange.request_body


def test_marks_in_texts_are_no_values() -> None:
    """Commas and brackets in strings do not count: a long text is read."""
    text = b"[{,}]" * 400_000
    body = TEXT + text + b'"}]}]}'
    change = RecordBuilder(load_config(None, {}).capture, "x").build(draft_of("json", body))
    assert isinstance(change, Record)
    assert (change.exchange.state, change.exchange.output_text) == ("completed", text.decode())
