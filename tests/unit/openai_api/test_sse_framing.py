"""Bodies against the standard, read as they are meant."""

from __future__ import annotations

import json

import pytest

from response_store.model.records import Api, State, Transport
from response_store.openai_api.outcome import ParsedResponse
from response_store.openai_api.response_bodies import read_answer
from tests.harness.each import each

WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}],
}
CHUNKS = [
    json.dumps({"id": "c1", "model": "m", "choices": [choice]}).encode()
    for choice in (
        {"index": 0, "delta": {"content": "Hi"}},
        {"index": 0, "delta": {"content": "."}, "finish_reason": "stop"},
    )
]
ONE = b"".join(b"data: " + chunk + b"\n\n" for chunk in CHUNKS)
BODIES = {
    "a stream": ONE,
    "a comment first": b": hi\n\n" + ONE,
    "an id first": b"id: 1\n" + ONE,
    "a retry first": b"retry: 3000\n\n" + ONE,
    "an event first": b"event: message\n" + ONE,
    "blank lines first": b"\r\n\n" + ONE,
    "one line end": ONE.replace(b"\n\n", b"\n"),
    "one line end, CRLF": ONE.replace(b"\n\n", b"\r\n"),
    "one line end, with names": b"".join(
        b"event: chunk\ndata: " + chunk + b"\n" for chunk in CHUNKS
    ),
    "one line end, and the mark": ONE.replace(b"\n\n", b"\n") + b"data: [DONE]\n",
    "data twice": ONE.replace(b"data: ", b"data: data: "),
    "data twice, without blanks": ONE.replace(b"data: ", b"data:data:"),
    "NDJSON": b"\n".join(CHUNKS),
    "NDJSON, CRLF and an end": b"\r\n".join([*CHUNKS, b""]),
    "NDJSON, blank lines between": b"\n\n".join(CHUNKS),
    "values side by side": b"".join(CHUNKS),
    "a list of chunks": b"[" + b",\n".join(CHUNKS) + b"]",
    "JSON": json.dumps(WHOLE).encode(),
    "JSON behind comments": b": hi\n\n: hi\n\n\n" + json.dumps(WHOLE).encode(),
    "JSON behind a comment with braces": b": {hi}\n\n" + json.dumps(WHOLE, indent=1).encode(),
    "JSON behind blanks": b" \n \n" + json.dumps(WHOLE).encode(),
    "an event with the whole": b"data: " + json.dumps(WHOLE).encode() + b"\n\ndata: [DONE]\n\n",
    "several lines": b"data: " + json.dumps(WHOLE, indent=1).replace("\n", "\ndata: ").encode(),
}


def assert_right(outcome: ParsedResponse) -> None:
    """It is the whole answer, and nothing of it is lost."""
    assert (outcome.state, outcome.response_id, outcome.model) == (State.COMPLETED, "c1", "m")
    assert (outcome.output_text, outcome.parse_error, outcome.lost) == ("Hi.", None, None)


@pytest.mark.parametrize("transport", [Transport.SSE, Transport.HTTP])
@each("name", BODIES)
def test_framing(name: str, transport: Transport) -> None:
    """Whatever is declared, what begins as a stream is one, and JSON is JSON."""
    assert_right(read_answer(Api.CHAT_COMPLETIONS, transport, BODIES[name]))


EVENTS = [
    {"type": "response.created", "response": {"id": "c1", "model": "m", "output": []}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi."},
    {
        "type": "response.completed",
        "response": {"id": "c1", "object": "response", "status": "completed", "output": []},
    },
]
LINES = [json.dumps(event).encode() for event in EVENTS]
RESPONSES = {
    "one line end": b"".join(
        b"event: %b\ndata: %b\n" % (str(event["type"]).encode(), line)
        for event, line in zip(EVENTS, LINES, strict=True)
    ),
    "data twice": b"".join(b"data: data: " + line + b"\n\n" for line in LINES),
    "NDJSON": b"\n".join(LINES),
    "a comment first": b":\n\n" + b"".join(b"data: " + line + b"\n\n" for line in LINES),
}


@pytest.mark.parametrize("transport", [Transport.SSE, Transport.HTTP])
@pytest.mark.parametrize("name", RESPONSES)
def test_framing_of_responses(name: str, transport: Transport) -> None:
    """So it is with the Responses API."""
    assert_right(read_answer(Api.RESPONSES, transport, RESPONSES[name]))
