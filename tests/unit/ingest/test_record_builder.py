"""A draft gives one record, whatever its bodies hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from response_store.config import RawBodies, StoreFalse
from response_store.diagnostics import Counters
from response_store.ingest.draft import AnswerDraft, Draft, Ending
from response_store.ingest.request_reader import NOT_KEPT
from response_store.ingest.response_reader import find_rate_limits, find_terminal_event
from response_store.model.records import Api, EndedBy, ExchangeRow, Record, State, Transport
from response_store.model.zstd import Compressor
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.sse import parse_stream
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.fakes import bodies
from tests.fakes.dialects import CHAT, DIALECTS, OPENAI
from tests.harness.each import each
from tests.hypothesis_profiles import examples
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
    undecodable,
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
    answer = AnswerDraft(Transport.HTTP, 200, None, None) if answered else None
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
    "badly encoded": (undecodable(b"", b"xyz", status=500), "unreadable_body", "*"),
    "too deep": (whole(b"[" * 100_000, status=500), None, "[" * 2000),
}


@each("name", REFUSALS)
def test_refused(name: str) -> None:
    """A refusal is one whatever its body, and says what it said."""
    ending, code, message = REFUSALS[name]
    found = row(ending)
    assert held(found, "state", "error_code") == ("refused", code)
    assert message == "*" or found.error_message == message
    assert ending.answer is not None
    if came := ending.answer.raw or ending.answer.body:
        assert unpacked(found.raw_response) == came


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
        b'{"object":"response","a":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
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


@pytest.mark.parametrize("streams", [False, True])
def test_decode_error(streams: bool) -> None:
    """A body that can't be decoded is kept as it came, with the reason."""
    found = row(undecodable(b"", b"as it came", streams=streams))
    assert held(found, "state", "error_code", "error_message") == (
        "unreadable",
        "unreadable_body",
        "bad content encoding (error)",
    )
    assert unpacked(found.raw_response) == b"as it came"


def test_decoded_in_part() -> None:
    """What came before the damage is read; damage behind the terminal event harms nothing."""
    found = row(undecodable(b"".join(FRAMES[:7]), b"raw", streams=True))
    assert held(found, "state", "error_code") == ("unreadable", "unreadable_body")
    assert found.output_text == "".join(one["delta"] for one in EVENTS[:7] if "delta" in one)
    assert unpacked(found.raw_response) == b"raw"
    ending = undecodable(b"".join(FRAMES), b"raw", streams=True)
    for raw in RawBodies:
        assert rows(ending, raw=raw)[0].state == "completed"
    assert unpacked(rows(ending, raw=RawBodies.ALWAYS)[0].raw_response) == b"raw"


def test_decode_error_without_raw_bytes() -> None:
    """Where the bytes were not kept, what was decoded of them is."""
    found = row(undecodable(b"".join(FRAMES[:7]), None, streams=True))
    assert unpacked(found.raw_response) == b"".join(FRAMES[:7])


# Answers of which only the beginning is kept

LARGE = encoded(bodies.whole_response(text=bodies.TEXT * 100))
CHAT_LARGE = encoded(bodies.chat_completion(text=bodies.TEXT * 100))
BEGINNINGS: dict[str, tuple[Ending, Api]] = {
    "json": (whole(LARGE[: len(LARGE) // 2], too_large=True), Api.RESPONSES),
    "chat": (whole(CHAT_LARGE[: len(CHAT_LARGE) // 2], too_large=True), Api.CHAT_COMPLETIONS),
    "stream": (
        streamed([b"".join(OPENAI.frames(EVENTS))[:-900]], too_large=True, by=EndedBy.CLIENT),
        Api.RESPONSES,
    ),
    "chunks": (
        streamed(CHAT.frames(bodies.chat_chunks())[:5], too_large=True, api=Api.CHAT_COMPLETIONS),
        Api.CHAT_COMPLETIONS,
    ),
}


@pytest.mark.parametrize("raw", RawBodies)
@pytest.mark.parametrize("name", BEGINNINGS)
def test_too_large(name: str, raw: RawBodies) -> None:
    """An answer beyond the limit says so, and keeps the beginning of its text."""
    ending, api = BEGINNINGS[name]
    found = row(ending, {"model": "m", "input": "x", "messages": []}, api=api, raw=raw)
    assert held(found, "state", "status_code", "raw_response", "result", "total_tokens") == (
        "too_large",
        200,
        None,
        None,
        None,
    )
    assert found.output_text
    assert (bodies.TEXT * 100).startswith(found.output_text)
    assert found.response_id


@pytest.mark.parametrize(
    "answer",
    [
        AnswerDraft(Transport.SSE, 200, None, None, too_large=True),
        AnswerDraft(Transport.HTTP, 200, None, b"", too_large=True),
        AnswerDraft(Transport.HTTP, 200, None, HTML, too_large=True),
        AnswerDraft(Transport.SSE, 500, None, b"data: {", too_large=True),
    ],
)
def test_too_large_without_text(answer: AnswerDraft) -> None:
    """Where nothing can be read of the beginning, the row says only what became of it."""
    found = row(Ending(EndedBy.BODY, 1.0, None, answer), raw=RawBodies.ALWAYS)
    assert held(found, "state", "output_text", "raw_response") == ("too_large", None, None)


def test_too_large_behind_its_end() -> None:
    """Where the terminal event is kept, and the bytes are not wanted, nothing is missing."""
    ending = streamed(FRAMES, too_large=True)
    exchange, response = rows(ending)
    assert held(exchange, "state", "output_text") == ("completed", bodies.TEXT)
    assert response.final
    exchange, response = rows(ending, raw=RawBodies.ALWAYS)
    assert held(exchange, "state", "output_text") == ("too_large", bodies.TEXT)
    assert exchange.raw_response is None


def test_too_large_poll() -> None:
    """A response that is asked after and too large has a row with its text; another object none."""
    asking = replace(request(b""), method="GET", target_response_id="r1")
    record = builder().build(Draft(asking, BEGINNINGS["json"][0]))
    assert isinstance(record, Record)
    assert held(record.exchange, "state", "result") == ("too_large", None)
    assert record.exchange.output_text
    assert record.response is None
    other = whole(b'{"object":"list","data":["', too_large=True)
    assert builder().build(Draft(asking, other)) is Skip.NO_RESPONSE


def test_half_a_secret_at_the_limit() -> None:
    """Where secrets are taken out, the word that the limit cuts is left out: it may be half one."""
    redact = Redactor(Patterns((), {"mine": "canary"}), Compressor().frame, Counters())
    for text, kept in (("a canary", "a "), ("canary", None)):
        body = encoded(bodies.whole_response(text=text)).partition(b"nary")[0]
        ending = whole(body, too_large=True)
        assert row(ending, redact=redact).output_text == kept
        assert row(ending, ASKED).output_text == kept
        assert row(ending).output_text == text[:-4]


def test_unreadable_request() -> None:
    """A request that can't be read is kept with the reason; its answer is read all the same."""
    body = b'{"model":"m","input":{]}'
    exchange, response = rows(whole(bodies.whole_response()), body)
    assert held(exchange, "state", "error_code") == ("completed", "unreadable_request")
    assert exchange.error_message == "request body: not JSON at character 21"
    assert unpacked(exchange.request_body) == body
    assert (response.input, response.has_input) == ("[]", False)


@pytest.mark.parametrize("missing", [None, "request body: above max_body_bytes"])
def test_missing_request(missing: str | None) -> None:
    """A request whose body did not come leaves a row with the reason, and its answer."""
    asked = replace(request(), body=None, missing=missing)
    for ending in (None, whole(bodies.whole_response())):
        record = builder().build(Draft(asked, ending))
        assert isinstance(record, Record)
        assert held(record.exchange, "error_code", "request_body", "requested_model") == (
            "unreadable_request",
            None,
            None,
        )
        assert record.exchange.error_message == (missing or NOT_KEPT)
    assert record.response is not None
    assert record.response.has_input is False


def test_no_duration() -> None:
    """Of an exchange that a killed proxy left nobody knows how long it took."""
    cut = replace(
        streamed(FRAMES[:7], by=EndedBy.PROXY_STOPPED), duration_ms=None, first_event_ms=None
    )
    found = row(cut)
    assert held(found, "state", "ended_by", "duration_ms") == ("interrupted", "proxy_stopped", None)
    assert found.output_text


# The terminal event alone


def test_the_quick_way() -> None:
    """Where the terminal event passed, the end of a stream is read, and gives what all of it does.

    Behind it may come pings and marks, whatever the line ends.
    """
    for name, dialect in DIALECTS.items():
        stream = b"".join(dialect.frames(EVENTS))
        pings = (b": ping\r\n\r\n", b"data: [DONE]\n\n: bye\n\n") if dialect.last_blank else ()
        for more in (b"", *pings):
            quick = streamed([stream + more], is_terminated=True)
            slow = streamed([stream + more], is_terminated=False, by=EndedBy.TERMINAL_EVENT)
            assert rows(quick) == rows(slow), name
            assert find_terminal_event(stream + more) is not None, name


def test_the_quick_way_reads_the_end_alone() -> None:
    """What stands before is not looked at, however odd it is."""
    assert rows(streamed([b"data: \xff{\n\n" * 20, *FRAMES[-1:]]))[0].output_text == bodies.TEXT
    assert find_terminal_event(b"".join(FRAMES)) == next(parse_stream(FRAMES[-1]))
    assert find_terminal_event(b"".join(FRAMES) + b": ping\n\n" * 20) is None
    assert find_terminal_event(b"") is None


def test_the_first_of_two_terminal_events_counts() -> None:
    """As where the whole stream is read."""
    failed = OPENAI.frames(bodies.failed_events())[-1]
    for chunks in ([*FRAMES, failed], [*FRAMES[:-1], failed, FRAMES[-1]]):
        quick, slow = streamed(chunks), streamed(chunks, is_terminated=False)
        assert build(quick).exchange.state == build(slow).exchange.state


def test_chunks_have_no_quick_way() -> None:
    """A chat's answer is in all of its chunks, whatever stands among them."""
    asked = {"model": "m", "messages": []}
    chunks = [*CHAT.frames(bodies.chat_chunks(asked)), FRAMES[-1], b"data: [DONE]\n\n"]
    ending = streamed(chunks, api=Api.CHAT_COMPLETIONS)
    found = row(ending, asked, api=Api.CHAT_COMPLETIONS)
    assert json.loads(found.result or "")["object"] == "chat.completion"


def test_a_terminal_event_that_is_not_found() -> None:
    """Far from the end of its stream it is found by reading all."""
    assert rows(streamed([*FRAMES, b": ping\n\n" * 20]))[0].state == "completed"


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
            assert unpacked(exchange.raw_response) == ending.answer.body
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
    """A poll that brought no response makes no record; whatever was posted makes one."""
    poll = replace(request(), target_response_id="resp_9", method="GET")
    assert builder().build(Draft(poll, whole({"a": 1}))) is Skip.NO_RESPONSE
    assert isinstance(builder().build(Draft(request({"a": 1}), None)), Record)


def test_request_is_read_once() -> None:
    """The open row and the final one read the request once."""
    asked, build_one = request(), builder().build
    build_one(Draft(asked))
    read = asked.parsed
    build_one(Draft(asked, whole(bodies.response())))
    assert asked.parsed is read is not None


def test_redaction() -> None:
    """A redaction reaches every body and text; what can't be decoded is not kept."""
    patterns = Patterns((), {"mine": "canary"})
    redact = Redactor(patterns, Compressor().frame, Counters())
    asked = {"model": "m", "input": "canary"}
    answer = bodies.whole_response(text="a canary")
    for ending in (
        whole(answer),
        streamed(OPENAI.frames(bodies.stream_events(text="canary", last=answer))),
        whole(b"canary", status=500),
        undecodable(b"", b"canary"),
        undecodable(b"a canary", b"canary", streams=True),
    ):
        record = build(ending, asked, redact=redact, raw=RawBodies.ALWAYS)
        assert "canary" not in repr(record)
        assert b"canary" not in unpacked(record.exchange.request_body)
        assert ending.answer is not None
        raw = record.exchange.raw_response
        assert (raw is None) == (not ending.answer.body)
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
    "wrongly encoded": undecodable(b"", SAYS.encode()),
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
    broken=st.sampled_from(["", "decode_error", "too_large"]),
    by=st.sampled_from(list(EndedBy)),
    api=st.sampled_from(list(Api)),
)
def test_anything(
    answer: bytes, asked: bytes, sse: bool, status: int, broken: str, by: EndedBy, api: Api
) -> None:
    """Whatever comes back, there is one row in an ended state, fit for a database."""
    how: dict[str, Any] = {"status": status, "by": by}
    how |= {broken: "odd"} if broken else {}
    ending = streamed([answer], api=api, **how) if sse else whole(answer, **how)
    record = build(ending, asked, api=api)
    assert record.exchange.state != State.OPEN
    for text in (record.exchange.result, record.exchange.output_text):
        assert text is None or text.encode()
    assert "\x00" not in (record.exchange.error_message or "")


ODD_CHAT = [
    b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"Hi."}}]}\n\n',
    b"data: the queue is long today\n\n",
    b'data: {"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
]
OTHER_WORDS = [
    b'data: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n',
    (
        b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message",'
        b'"id":"a","content":[{"type":"output_text","text":"Hi."}]}}\n\n'
    ),
    (
        b'data: {"type":"response.output_item.done","output_index":1,"item":{"type":"message",'
        b'"id":"b","content":[{"type":"output_text","text":"Bye."}]}}\n\n'
    ),
    (
        b'data: {"type":"response.completed","response":{"id":"r","object":"response","model":"m",'
        b'"status":"completed","output":[{"type":"message","id":"a","content":[{"type":'
        b'"output_text","text":"Other words."}]}]}}\n\n'
    ),
]


@pytest.mark.parametrize(
    ("api", "chunks"), [(Api.CHAT_COMPLETIONS, ODD_CHAT), (Api.RESPONSES, OTHER_WORDS)]
)
def test_nothing_is_lost_silently(api: Api, chunks: list[bytes]) -> None:
    """What came and is in no column keeps the bytes, completed or not, and is counted."""
    ending = streamed(chunks, api=api)
    for raw, kept in ((RawBodies.ON_ERROR, True), (RawBodies.NEVER, False)):
        building = builder(raw=raw)
        record = building.build(Draft(request(api=api), ending))
        assert isinstance(record, Record)
        assert (record.exchange.state, building.incomplete) == ("completed", 1)
        packed = record.exchange.raw_response
        assert (packed is not None) is kept
        if packed is not None:
            assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == b"".join(
                chunks
            )


def test_nothing_is_kept_twice() -> None:
    """Where all that came is in the columns, the bytes are not kept, and nothing is counted."""
    building = builder()
    record = building.build(Draft(request(), streamed(OTHER_WORDS[:1] + OTHER_WORDS[3:])))
    assert isinstance(record, Record)
    assert (record.exchange.raw_response, building.incomplete) == (None, 0)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_redirects(status: int) -> None:
    """A redirect is refused: it needs no body, and no answer came."""
    found = row(whole(b"", status=status))
    assert (found.state, found.error_code, found.status_code) == ("refused", "redirect", status)


def test_a_server_that_never_answered() -> None:
    """The row says what failed."""
    ending = Ending(EndedBy.UPSTREAM, 1.0, problem=("connection_failed", "refused"))
    found = row(ending)
    assert (found.state, found.error_code) == ("interrupted", "connection_failed")
    assert found.error_message == "refused"


LIMITS = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 5}}}


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_rate_limits_of_a_stream(line_end: bytes) -> None:
    """They are kept where the terminal object has all else; the last counts, before headers."""
    events = [{"type": "codex.rate_limits", "rate_limits": None}, LIMITS]
    told = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    named = b'event: note\ndata: {"text": "codex.rate_limits"}\n\n'
    terminal = {"type": "response.completed", "response": bodies.whole_response()}
    chunks = [*told, named, f"data: {json.dumps(terminal)}\n\n".encode(), b"data: [DONE]\n\n"]
    ending = streamed([chunk.replace(b"\n", line_end) for chunk in chunks])
    assert ending.answer is not None
    answer = replace(ending.answer, limits={"x-ratelimit-limit-tokens": "1"})
    exchange = rows(replace(ending, answer=answer))[0]
    assert json.loads(exchange.rate_limits or "") == LIMITS
    assert find_rate_limits(b"".join([told[1], *[named] * 20])) is None
    assert find_rate_limits(told[1].replace(b"5", b"5" * 5_000)) is None
