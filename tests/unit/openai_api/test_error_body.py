"""Errors as servers word them: found wherever they stand, and none made of nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.model.records import Api, State, Transport
from response_store.openai_api.error_body import read_error_body
from response_store.openai_api.outcome import ApiError
from response_store.openai_api.response_bodies import read_answer
from tests.harness.each import each

BODIES: dict[str, tuple[Any, ApiError | None]] = {
    "OpenAI": (
        {"error": {"message": "m", "type": "t", "param": None, "code": "c"}},
        ApiError("c", "m"),
    ),
    "OpenAI, no code": ({"error": {"message": "m", "type": "t", "code": None}}, ApiError("t", "m")),
    "OpenRouter": ({"error": {"code": 502, "message": "m", "metadata": {}}}, ApiError("502", "m")),
    "vLLM": (
        {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
        ApiError("BadRequestError", "m"),
    ),
    "Mistral": (
        {"object": "error", "message": {"detail": [{"msg": "m", "loc": ["body"]}]}, "type": "t"},
        ApiError("t", "m"),
    ),
    "xAI": ({"code": "c", "error": "m"}, ApiError("c", "m")),
    "Gemini": ([{"error": {"code": 429, "message": "m", "status": "S"}}], ApiError("429", "m")),
    "Gemini, status alone": ({"error": {"message": "m", "status": "S"}}, ApiError("S", "m")),
    "Ollama": ({"error": "m"}, ApiError(None, "m")),
    "text-generation-inference": ({"error": "m", "error_type": "t"}, ApiError("t", "m")),
    "Hugging Face": ({"error": ["m", "n"]}, ApiError(None, "m; n")),
    "FastAPI": ({"detail": "m"}, ApiError(None, "m")),
    "FastAPI, a list": ({"detail": [{"loc": ["a"], "msg": "m", "type": "t"}]}, ApiError(None, "m")),
    "Cloudflare": (
        {"success": False, "errors": [{"code": 7003, "message": "m"}], "result": None},
        ApiError("7003", "m"),
    ),
    "Azure API Management": ({"statusCode": 401, "message": "m"}, ApiError("401", "m")),
    "MiniMax": (
        {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "m"}},
        ApiError("1004", "m"),
    ),
    "Anthropic's shape": (
        {"type": "error", "error": {"type": "t", "message": "m"}},
        ApiError("t", "m"),
    ),
    "code and message": ({"code": "c", "message": "m"}, ApiError("c", "m")),
    "a text behind code 500": ({"code": 500, "msg": "m"}, ApiError("500", "m")),
    "an error within": ({"error": {"error": {"code": "c", "message": "m"}}}, ApiError("c", "m")),
    "true, and words": ({"error": True, "message": "m"}, ApiError(None, "m")),
    "a number": ({"error": 17}, ApiError("17", None)),
    "in a choice": ({"choices": [{"error": {"code": 502, "message": "m"}}]}, ApiError("502", "m")),
    "beside an answer": ({"choices": [{}], "error": {"message": "m"}}, ApiError(None, "m")),
    "unheard-of members": ({"error": {"odd": 1}}, ApiError(None, '{"odd": 1}')),
    "null": ({"error": None}, None),
    "an empty text": ({"error": ""}, None),
    "an empty object": ({"error": {}}, None),
    "an empty list": ({"error": []}, None),
    "false": ({"error": False}, None),
    "zero": ({"error": 0}, None),
    "an object of nothing": ({"error": {"message": "", "code": None}}, None),
    "success": ({"code": 0, "message": "success", "data": {}}, None),
    "a status of success": ({"base_resp": {"status_code": 0, "status_msg": ""}}, None),
    "words beside an answer": ({"choices": [], "message": "m"}, None),
    "a message that is a turn": ({"message": {"role": "assistant", "content": "hi"}}, None),
    "no error": ({"a": 1}, None),
    "a list of none": ([1, {"a": 2}], None),
}


@each("name", BODIES)
def test_errors(name: str) -> None:
    """Each server's shape gives code and words; what says nothing is none."""
    body, api_error = BODIES[name]
    assert read_error_body(json.dumps(body).encode()) == api_error


@pytest.mark.parametrize("api", list(Api))
@each("name", [name for name, (_, api_error) in BODIES.items() if api_error])
def test_an_answer_that_is_one(name: str, api: Api) -> None:
    """A body that is an error makes a failed answer, whichever API it was asked of."""
    body, api_error = BODIES[name]
    outcome = read_answer(api, Transport.HTTP, json.dumps(body).encode())
    assert (outcome.state, outcome.error) == (State.FAILED, api_error)


COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
}
RESPONSE = {"id": "r1", "object": "response", "model": "m", "status": "completed", "output": []}
ENVELOPES: list[dict[str, Any]] = [
    {"code": 0, "message": "success", "data": None},
    {"success": True, "errors": [], "messages": [], "result": None},
    {"status": "ok", "response": None},
]


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize(
    ("api", "inner"), [(Api.CHAT_COMPLETIONS, COMPLETION), (Api.RESPONSES, RESPONSE)]
)
def test_envelopes(envelope: dict[str, Any], api: Api, inner: dict[str, Any]) -> None:
    """An answer in an envelope that says success is read as if it came without."""
    body = {name: inner if value is None else value for name, value in envelope.items()}
    outcome = read_answer(api, Transport.HTTP, json.dumps(body).encode())
    alone = read_answer(api, Transport.HTTP, json.dumps(inner).encode())
    assert outcome == alone
    assert (outcome.state, outcome.error) == (State.COMPLETED, None)


STREAMS = {
    "a chunk": b'data: {"error":{"code":"c","message":"m"}}\n\n',
    "a flat chunk": b'data: {"object":"error","code":"c","message":"m"}\n\n',
    "a field": b'error: {"code":"c","message":"m"}\n\n',
    "a field, text": b"error: m\n\n",
    "a name": b'event: error\ndata: {"code":"c","message":"m"}\n\n',
    "a name, text": b"event: error\ndata: m\n\n",
    "bare JSON": b'{"error":{"code":"c","message":"m"}}',
    "bare JSON of several lines": b'{"error": {\n  "code": "c",\n  "message": "m"\n}}\n',
    "bare JSON behind pings": b': ping\n\n: ping\n\n{"code":"c","message":"m"}\n\n',
    "a list": b'data: [{"error":{"code":"c","message":"m"}}]\n\n',
    "a detail": b'data: {"detail":"m"}\n\n',
    "the other API's event": b'event: response.error\ndata: {"error":{"message":"m"}}\n\n',
}
STARTS = {
    Api.CHAT_COMPLETIONS: b'data: {"id":"c1","choices":[{"delta":{"content":"On"}}]}\n\n',
    Api.RESPONSES: b'data: {"type":"response.created","response":{"id":"r1"}}\n\ndata: {"type":'
    b'"response.output_text.delta","output_index":0,"content_index":0,"delta":"On"}\n\n',
}


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
@pytest.mark.parametrize("api", list(STARTS))
@each("name", STREAMS)
def test_errors_in_streams(name: str, api: Api, end: bytes) -> None:
    """However it is framed, an error makes the stream failed, with words and the text so far."""
    outcome = read_answer(api, Transport.SSE, STARTS[api] + STREAMS[name] + b"\n\n" + end)
    assert outcome.state is State.FAILED
    assert outcome.error in (ApiError("c", "m"), ApiError(None, "m"))
    assert outcome.output_text == "On"
    assert outcome.response_id in ("c1", "r1")


@pytest.mark.parametrize("nothing", [None, "", {}, [], False, 0])
def test_chunks_with_an_empty_error(nothing: Any) -> None:
    """An error that says nothing, in each chunk or choice, fails nothing."""
    chunks = [
        {"error": nothing, "choices": [{"delta": {"content": "hi"}, "error": nothing}]},
        {"error": nothing, "choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    outcome = read_answer(Api.CHAT_COMPLETIONS, Transport.SSE, stream)
    assert (outcome.state, outcome.error, outcome.output_text) == (State.COMPLETED, None, "hi")
