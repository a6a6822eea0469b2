"""A draft gives one record, whatever its bodies hold."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.capture.draft import Answer, Draft, Ending
from response_store.config import RawBodies, StoreFalse
from response_store.counts import Counts
from response_store.ingest.compression import Compressor
from response_store.openai_api.endpoints import Skip
from response_store.redaction.patterns import Patterns
from response_store.redaction.rows import Redaction
from response_store.store.records import Api, EndedBy, ExchangeRow, State, Transport
from tests.fakes import bodies
from tests.fakes.dialects import CHAT, OPENAI
from tests.sampling import examples
from tests.unit.ingest.drafts import (
    QUESTION,
    STARTED,
    build,
    builder,
    encoded,
    request,
    row,
    rows,
    streamed,
    whole,
)

EVENTS = bodies.stream_events({"model": "gpt-5"})
FRAMES = OPENAI.frames(EVENTS)


def unpacked(frame: bytes | None) -> bytes:
    assert frame is not None
    return zstandard.ZstdDecompressor().decompress(frame)


def held(found: ExchangeRow, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(found, name) for name in names)


# Answers that came well


def test_json() -> None:
    """A JSON answer fills both rows, each text to the letter."""
    answer = b'{"id":"r1","object":"response","created_at":17.9,"status":"completed","model":"m1",'
    answer += b'"output":[ {"type":"message","content":[{"type":"output_text","text":"\\u0041"}]'
    answer += b' , "x":1e400} ],"usage":{"input_tokens":3,"total_tokens":5}}'
    asked = b'{"model":"m","input":[ {"role":"user","n":1.50} , 2 ],"previous_response_id":"r0"}'
    exchange, response = rows(whole(b" " + answer + b"\n"), asked)
    item = answer[answer.index(b'{"type":"message"') : answer.index(b" ],")].decode()
    assert response.response_object == answer.decode()
    assert response.input == '[ {"role":"user","n":1.50} , 2 ]'
    assert response.messages == '[{"role":"user","n":1.50} , 2,' + item + "]"
    assert (response.tenant_id, response.id, response.created_at) == ("t1", "r1", 17)
    assert (response.model, response.final, response.has_input) == ("m1", True, True)
    assert exchange == ExchangeRow(
        exchange_id="e1",
        tenant_id="t1",
        response_id="r1",
        previous_response_id="r0",
        api="responses",
        transport="http",
        state="completed",
        ended_by="body",
        status_code=200,
        started_at=STARTED,
        duration_ms=12.5,
        requested_model="m",
        model="m1",
        input_tokens=3,
        total_tokens=5,
        method="POST",
        scheme="https",
        host="api.example",
        path="/v1/responses",
        user_agent="tests",
        upstream_request_id="req_1",
        request_body=exchange.request_body,
        output_text="A",
        recorder_id="rec_1",
    )
    assert unpacked(exchange.request_body) == asked


def test_stream() -> None:
    """A streamed answer is its terminal event's object, to the letter."""
    exchange, response = rows(streamed(FRAMES))
    assert response.response_object.encode() in b"".join(FRAMES)
    assert json.loads(response.messages) == QUESTION["input"] + EVENTS[-1]["response"]["output"]  # type: ignore[operator]
    assert held(exchange, "state", "ended_by", "transport", "first_event_ms") == (
        "completed",
        "terminal_event",
        "sse",
        3.5,
    )
    assert exchange.output_text == bodies.TEXT
    assert exchange.raw_response is None


def test_no_last_blank_line() -> None:
    """A terminal event whose blank line never came has still ended the response."""
    exchange, _ = rows(streamed([b"".join(FRAMES).rstrip()]))
    assert held(exchange, "state", "ended_by") == ("completed", "terminal_event")


def test_stream_under_another_name() -> None:
    """A stream that is declared as something else is read as what it is."""
    exchange, _ = rows(whole(b"".join(FRAMES)))
    assert held(exchange, "state", "ended_by", "transport") == (
        "completed",
        "terminal_event",
        "http",
    )


def test_json_under_another_name() -> None:
    """An answer that is declared as a stream but is none is read as what it is."""
    exchange, _ = rows(streamed([encoded(bodies.whole_response())]))
    assert exchange.state == "completed"
    refused = row(streamed([encoded(bodies.error_body("no", kind="k", code="c"))], status=400))
    assert held(refused, "state", "error_code", "error_message") == ("refused", "c", "no")


def test_backend_without_output() -> None:
    """Where the terminal object leaves its output out, the items that came stand in."""
    events = [*EVENTS[:-1], EVENTS[-1] | {"response": EVENTS[-1]["response"] | {"output": []}}]
    exchange, response = rows(streamed(OPENAI.frames(events)))
    assert json.loads(response.response_object)["output"] == []
    assert json.loads(response.messages)[1:] == EVENTS[-1]["response"]["output"]
    assert exchange.output_text == bodies.TEXT


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_unfinished(status: str) -> None:
    """A response that promises a later one is stored, and not final."""
    exchange, response = rows(whole(bodies.response(status=status)))
    assert (exchange.state, response.final, exchange.raw_response) == (status, False, None)


def test_members_missing() -> None:
    """What the object does not say comes from the request."""
    exchange, response = rows(whole({"object": "response", "id": "r1"}))
    assert (response.created_at, response.model) == (int(STARTED), "gpt-5")
    assert (exchange.state, exchange.model) == ("completed", None)
    exchange, response = rows(whole({"object": "response", "id": "r1", "error": {"code": "c"}}))
    assert held(exchange, "state", "error_code") == ("failed", "c")


def test_no_id() -> None:
    """A response without an id has no row of its own; the exchange's holds it."""
    answer = encoded(bodies.whole_response() | {"id": None})
    found = row(whole(answer))
    assert (found.state, found.result) == ("completed", answer.decode())


def test_no_input() -> None:
    """A request that only names a prompt has no known input."""
    asked = {"model": "m", "prompt": {"id": "p"}, "conversation": "c1"}
    exchange, response = rows(whole(bodies.response()), asked)
    assert (response.input, response.messages, response.has_input) == ("[]", "[]", False)
    assert exchange.conversation_id == "c1"


def test_chat() -> None:
    """A chat completion is kept as the exchange's result, whole or put together."""
    asked = {"model": "gpt-5", "messages": [{"role": "user"}]}
    answer = encoded(bodies.chat_completion(asked))
    found = row(whole(answer), asked, api=Api.CHAT_COMPLETIONS)
    assert (found.result, found.state, found.output_text) == (
        answer.decode(),
        "completed",
        bodies.TEXT,
    )
    frames = CHAT.frames(bodies.chat_chunks(asked))
    ending = streamed(frames, api=Api.CHAT_COMPLETIONS)
    found = row(ending, asked, api=Api.CHAT_COMPLETIONS)
    assert held(found, "state", "ended_by", "output_text") == (
        "completed",
        "terminal_event",
        bodies.TEXT,
    )
    assert json.loads(found.result or "")["object"] == "chat.completion"
    cut = streamed(frames[:4], api=Api.CHAT_COMPLETIONS, by=EndedBy.UPSTREAM)
    found = row(cut, asked, api=Api.CHAT_COMPLETIONS)
    assert held(found, "state", "ended_by") == ("interrupted", "upstream")
    assert found.output_text == "".join(bodies.deltas(bodies.TEXT)[:3])


# Answers that ended badly


def test_open() -> None:
    """Without an ending the row is open."""
    found = row(None)
    assert held(found, "state", "ended_by", "status_code", "duration_ms", "requested_model") == (
        "open",
        None,
        None,
        None,
        "gpt-5",
    )


@pytest.mark.parametrize("by", [EndedBy.CLIENT, EndedBy.UPSTREAM, EndedBy.PROXY_STOPPED])
def test_cut_stream(by: EndedBy) -> None:
    """A stream that was cut keeps the text that came, its object, and its bytes."""
    chunks = [*FRAMES[:7], FRAMES[7][:9]]
    found = row(streamed(chunks, by=by))
    assert held(found, "state", "ended_by", "error_code") == ("interrupted", by.value, None)
    assert found.output_text == "".join(one["delta"] for one in EVENTS[:7] if "delta" in one)
    assert json.loads(found.result or "")["id"] == found.response_id
    assert unpacked(found.raw_response) == b"".join(chunks)


@pytest.mark.parametrize("by", [EndedBy.CLIENT, EndedBy.UPSTREAM, EndedBy.PROXY_STOPPED])
@pytest.mark.parametrize("answered", [False, True])
def test_cut_before_its_body(by: EndedBy, answered: bool) -> None:
    """An exchange may be cut before anything came."""
    answer = Answer(Transport.HTTP, 200, "", None, None) if answered else None
    found = row(Ending(by, 1.0, None, answer))
    assert held(found, "state", "ended_by", "raw_response") == ("interrupted", by.value, None)


def test_cut_json() -> None:
    """A JSON answer that was cut is interrupted, and its bytes are kept."""
    found = row(whole(b'{"id":"r1","obj', by=EndedBy.UPSTREAM))
    assert held(found, "state", "ended_by") == ("interrupted", "upstream")
    assert unpacked(found.raw_response) == b'{"id":"r1","obj'


def test_refused_here() -> None:
    """What this proxy refuses, or kills, is refused."""
    error = {"error": {"code": "response_store_unavailable", "message": "no"}}
    found = row(whole(error, status=503, by=EndedBy.PROXY))
    assert held(found, "state", "ended_by", "error_code") == (
        "refused",
        "proxy",
        "response_store_unavailable",
    )
    assert row(Ending(EndedBy.PROXY, 1.0)).state == "refused"


HTML = b"<html><h1>502 Bad Gateway</h1></html>\n"
REFUSALS: dict[str, tuple[Ending, str | None, str | None]] = {
    "json": (whole(bodies.error_body("Slow", kind="k", code="c"), status=429), "c", "Slow"),
    "without a code": (whole({"error": {"type": "t", "message": "m"}}, status=400), "t", "m"),
    "as a text": (whole({"error": "no such model"}, status=404), None, "no such model"),
    "as a message": (whole({"message": "no"}, status=401), None, "no"),
    "as a detail": (whole({"detail": "no"}, status=401), None, "no"),
    "as anything": (whole({"detail": [1]}, status=422), None, '{"detail": [1]}'),
    "html": (whole(HTML, status=502), None, HTML.decode().strip()),
    "html as a stream": (streamed([HTML], status=502), None, HTML.decode().strip()),
    "bytes": (whole(b"\xff\x00x", status=502), None, "\ufffd\ufffdx"),
    "nothing": (whole(b"", status=500), None, None),
    "not kept": (whole(None, status=500), None, None),
    "an event": (streamed(OPENAI.frames([bodies.error_event(nested=True)]), status=500),)
    + ("rate_limit_exceeded", "Slow down, please."),
    "badly encoded": (whole(b"xyz", status=500, encoding="gzip"), "unreadable_body", "*"),
    "too deep": (whole(b"[" * 100_000, status=500), None, "[" * 2000),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(name: str) -> None:
    """A refusal is one whatever its body, and says what it said."""
    ending, code, message = REFUSALS[name]
    found = row(ending)
    assert held(found, "state", "error_code") == ("refused", code)
    assert message == "*" or found.error_message == message
    assert ending.answer is not None
    if ending.answer.size:
        assert unpacked(found.raw_response) == b"".join(ending.answer.body or ())


def test_refused_response() -> None:
    """A response that comes with a refusal's status is the exchange's result."""
    answer = bodies.response(status="failed", error={"code": "c", "message": "m"})
    found = row(whole(answer, status=500))
    assert held(found, "state", "error_code") == ("refused", "c")
    assert json.loads(found.result or "") == answer


def test_error_with_status_200() -> None:
    """An error is one although its status says otherwise."""
    found = row(whole(bodies.error_body("no", kind="k")))
    assert held(found, "state", "error_code", "error_message") == ("failed", "k", "no")
    assert json.loads(found.result or "") == bodies.error_body("no", kind="k")
    assert found.raw_response


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("then_failed", [False, True])
def test_error_in_a_stream(nested: bool, then_failed: bool) -> None:
    """An error in a stream fails the exchange, with or without a terminal event after it."""
    frames = OPENAI.frames(bodies.error_stream(nested=nested, then_failed=then_failed))
    record = build(streamed(frames))
    code = "server_error" if then_failed else "rate_limit_exceeded"
    assert held(record.exchange, "state", "error_code") == ("failed", code)
    assert record.exchange.output_text
    assert (record.response is not None) is then_failed


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the body is empty"),
    "blank": (b" \n", "the body is empty"),
    "a list": (b"[]", "not JSON: a JSON object expected at character 0"),
    "html": (HTML, "not JSON: a JSON object expected at character 0"),
    "half": (b'{"id":"r1","obj', "not JSON: a name without an end at character 12"),
    "another object": (b'{"no":"answer"}', "a JSON object, but not one of this API"),
    "another API": (
        encoded(bodies.chat_completion()),
        "a JSON object, but not one of this API",
    ),
    "too deep": (
        b'{"object":"response","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nested too deeply at character 25",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable(name: str) -> None:
    """What is no answer of the API is kept as it came, with the reason."""
    body, reason = UNREADABLE[name]
    found = row(whole(body))
    assert held(found, "state", "ended_by", "error_code", "error_message") == (
        "unreadable",
        "body",
        "unreadable_body",
        reason,
    )
    if body:
        assert unpacked(found.raw_response) == body


def test_invalid_utf8() -> None:
    """An answer that is no UTF-8 is kept as bytes, with the reason and what can be read of it."""
    answer = encoded(bodies.whole_response() | {"metadata": "@"}).replace(b'"@"', b'"\xff"')
    found = row(whole(answer))
    assert held(found, "state", "error_code", "output_text", "total_tokens") == (
        "unreadable",
        "unreadable_body",
        bodies.TEXT,
        48,
    )
    assert (found.error_message or "").startswith("invalid UTF-8 at byte ")
    assert found.response_id is not None
    assert unpacked(found.raw_response) == answer
    assert json.loads(found.result or "")["metadata"] == "\ufffd"


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"\xed\xa0\xbd"])
def test_invalid_utf8_in_a_terminal_event(odd: bytes) -> None:
    """A terminal event that is no UTF-8 loses neither the text nor the bytes."""
    last = EVENTS[-1] | {"response": EVENTS[-1]["response"] | {"user": "@"}}
    frames = [*FRAMES[:-1], *OPENAI.frames([last])]
    frames[-1] = frames[-1].replace(b'"@"', b'"' + odd + b'"')
    found = row(streamed(frames))
    assert held(found, "state", "ended_by", "error_code", "output_text") == (
        "unreadable",
        "terminal_event",
        "unreadable_body",
        bodies.TEXT,
    )
    assert unpacked(found.raw_response) == b"".join(frames)


def test_invalid_utf8_in_a_delta() -> None:
    """One bad event loses nothing where the terminal event says it all."""
    bad = b'data: {"type":"response.output_text.delta","output_index":0,"delta":"\xff"}\n\n'
    exchange, _ = rows(streamed([*FRAMES[:6], bad, *FRAMES[6:]]))
    assert held(exchange, "state", "output_text") == ("completed", bodies.TEXT)
    found = row(streamed([*FRAMES[:5], bad], by=EndedBy.CLIENT))
    assert found.state == "interrupted"
    assert (found.output_text or "").endswith("\ufffd")


def test_broken_terminal_event() -> None:
    """A terminal event that is no JSON: the text is kept, the bytes, and the reason."""
    broken = b'event: response.completed\ndata: {"type":"response.completed","response":{]}}\n\n'
    found = row(streamed([*FRAMES[:-1], broken]))
    assert held(found, "state", "error_code", "output_text") == (
        "unreadable",
        "unreadable_body",
        bodies.TEXT,
    )
    assert (found.error_message or "").startswith("event: not JSON")
    assert unpacked(found.raw_response) == b"".join([*FRAMES[:-1], broken])


def test_cut_character() -> None:
    """A stream that was cut inside a character is interrupted, not unreadable."""
    found = row(streamed([*FRAMES[:5], b'data: {"delta":"\xc3'], by=EndedBy.BODY))
    assert held(found, "state", "error_code") == ("interrupted", None)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "unheard-of"])
def test_wrong_encoding(encoding: str) -> None:
    """A body that is not encoded as it says is kept as bytes, with the reason."""
    for ending in (whole({"a": 1}, encoding=encoding), streamed(FRAMES, encoding=encoding)):
        found = row(ending)
        assert held(found, "state", "error_code") == ("unreadable", "unreadable_body")
        assert "content encoding" in (found.error_message or "")
        assert ending.answer is not None
        assert unpacked(found.raw_response) == b"".join(ending.answer.body or ())


def test_damaged_encoding() -> None:
    """What came before the damage is read; damage after the terminal event harms nothing."""
    packed = [gzip.compress(frame) for frame in FRAMES]
    damage = b"\x1f\x8b\x08" + b"\xff" * 40
    found = row(streamed([*packed[:7], damage], encoding="gzip"))
    assert held(found, "state", "error_code") == ("unreadable", "unreadable_body")
    assert found.output_text == "".join(one["delta"] for one in EVENTS[:7] if "delta" in one)
    ending = streamed([*packed, damage], encoding="gzip")
    for raw in RawBodies:
        assert rows(ending, raw=raw)[0].state == "completed"


def test_too_large() -> None:
    """An answer beyond the limit, as it came or decoded, says so."""
    large = encoded(bodies.whole_response(text="x" * 5000))
    for ending in (
        whole(large),
        whole(gzip.compress(large), encoding="gzip"),
        Ending(EndedBy.BODY, 1.0, None, Answer(Transport.SSE, 200, "", None, None, None, True)),
    ):
        found = row(ending, limit=3000)
        assert held(found, "state", "status_code", "raw_response") == ("too_large", 200, None)


def test_unreadable_request() -> None:
    """A request that can't be read is kept with the reason; its answer is read all the same."""
    body = b'{"model":"m","input":{]}'
    exchange, response = rows(whole(bodies.whole_response()), body)
    assert held(exchange, "state", "error_code") == ("completed", "unreadable_request")
    assert exchange.error_message == "request body: not JSON at character 21"
    assert unpacked(exchange.request_body) == body
    assert (response.input, response.has_input) == ("[]", False)


def test_too_large_request() -> None:
    """A request beyond the limit leaves a row without its body."""
    record = build(whole(bodies.response()), {"model": "m", "input": "x" * 3000}, limit=2000)
    assert record.exchange.request_body is None
    assert record.exchange.error_message == "request body: above max_body_bytes"


# Configuration


RAW = [
    (RawBodies.ALWAYS, True, True),
    (RawBodies.ON_ERROR, False, True),
    (RawBodies.NEVER, False, False),
]


@pytest.mark.parametrize(("raw", "well", "badly"), RAW)
def test_raw_bodies(raw: RawBodies, well: bool, badly: bool) -> None:
    """The bytes of an answer are kept as configured."""
    for ending in (whole(bodies.whole_response()), streamed(FRAMES)):
        exchange, _ = rows(ending, raw=raw)
        assert (exchange.raw_response is not None) is well
        assert ending.answer is not None
        if well:
            assert unpacked(exchange.raw_response) == b"".join(ending.answer.body or ())
    for ending in (whole(HTML, status=502), streamed(FRAMES[:5], by=EndedBy.CLIENT), whole(HTML)):
        assert (row(ending, raw=raw).raw_response is not None) is badly


def test_store_false() -> None:
    """A request that asks for no storing is captured or skipped, as configured."""
    asked = QUESTION | {"store": False}
    assert rows(whole(bodies.response()), asked)[0].state == "completed"
    skips = builder(store_false=StoreFalse.SKIP)
    assert skips.build(Draft(request(asked), None)) is Skip.STORE_FALSE
    assert skips.build(Draft(request(), None)) is not Skip.STORE_FALSE


def test_skips() -> None:
    """What is none of ours makes no record."""
    assert builder().build(Draft(request({"a": 1}), None)) is Skip.BODY_SHAPE


def test_request_is_read_once() -> None:
    """The open row and the final one read the request once."""
    asked, build_one = request(), builder().build
    build_one(Draft(asked))
    read = asked.read
    build_one(Draft(asked, whole(bodies.response())))
    assert asked.read is read is not None


def test_redaction() -> None:
    """A redaction reaches every body and text; what can't be decoded is not kept."""
    patterns = Patterns((), {"mine": "canary"})
    redact = Redaction(patterns, Compressor().frame, Counts())
    asked = {"model": "m", "input": "canary"}
    answer = bodies.whole_response(text="a canary")
    for ending in (
        whole(answer),
        streamed(OPENAI.frames(bodies.stream_events(text="canary", last=answer))),
        whole(b"canary", status=500),
        whole(b"canary", encoding="gzip"),
    ):
        record = build(ending, asked, redact=redact, raw=RawBodies.ALWAYS)
        assert "canary" not in repr(record)
        assert b"canary" not in unpacked(record.exchange.request_body)
        raw = record.exchange.raw_response
        assert (raw is None) == (ending.answer.content_encoding == "gzip")
        assert raw is None or b"canary" not in unpacked(raw)


# Secrets

SECRET = "s3cr3t-of-mine"
ASKED = QUESTION | {"tools": [{"type": "mcp", "headers": {"X-Key": SECRET}}]}
TOOL = {"tools": [{"type": "mcp", "headers": {"X-Key": SECRET}}]}
SAYS = f"the key is {SECRET}"
ECHOING: dict[str, Ending] = {
    "a tool": whole(bodies.whole_response() | TOOL),
    "the text": whole(bodies.whole_response(text=SAYS)),
    "a stream": streamed(OPENAI.frames(bodies.stream_events(ASKED, text=SAYS, last=TOOL))),
    "a cut stream": streamed(OPENAI.frames(bodies.stream_events(ASKED))[:6], by=EndedBy.CLIENT),
    "a refusal": whole(bodies.error_body(SAYS, kind="k"), status=400),
    "a plain refusal": whole(SAYS.encode(), status=400),
    "what is no answer": whole({"no": SAYS}),
    "what can't be read": whole(b"{" + SAYS.encode()),
    "wrongly encoded": whole(SAYS.encode(), encoding="gzip"),
    "invalid UTF-8": whole(encoded(bodies.whole_response(text=SAYS)) + b"\xff"),
}


@pytest.mark.parametrize("name", ECHOING)
def test_echoes(name: str) -> None:
    """An answer that repeats the request's credentials is masked in every column."""
    record = build(ECHOING[name], ASKED, raw=RawBodies.ALWAYS)
    assert SECRET not in repr(record)
    assert SECRET.encode() not in unpacked(record.exchange.request_body)
    assert SECRET.encode() not in unpacked(record.exchange.raw_response)
    assert "***" in repr(record) or b"***" in unpacked(record.exchange.raw_response)


def test_echo_over_two_deltas() -> None:
    """A credential that is repeated in pieces is masked where the pieces are joined."""
    frames = OPENAI.frames(bodies.stream_events(text=SAYS)[:-3])
    record = build(streamed(frames, by=EndedBy.CLIENT), ASKED)
    assert record.exchange.output_text
    assert SECRET not in repr(record)


# Anything


@settings(max_examples=examples(150), deadline=None)
@given(
    answer=st.binary(max_size=60) | st.sampled_from(FRAMES),
    asked=st.sampled_from([b'{"model":"m","input":"\\ud83d"}', b'{"model":1,"input":{}}']),
    sse=st.booleans(),
    status=st.sampled_from([200, 204, 404, 500]),
    encoding=st.sampled_from(["", "gzip", "br"]),
    by=st.sampled_from(list(EndedBy)),
    api=st.sampled_from(list(Api)),
)
def test_anything(
    answer: bytes, asked: bytes, sse: bool, status: int, encoding: str, by: EndedBy, api: Api
) -> None:
    """Whatever comes back, there is one row in an ended state, fit for a database."""
    chunks = [answer[:20], answer[20:]]
    how = {"status": status, "encoding": encoding, "by": by}
    ending = streamed(chunks, api=api, **how) if sse else whole(answer, **how)  # type: ignore[arg-type]
    record = build(ending, asked, api=api)
    assert record.exchange.state != State.OPEN
    for text in (record.exchange.result, record.exchange.output_text):
        assert text is None or text.encode()
    assert "\x00" not in (record.exchange.error_message or "")
