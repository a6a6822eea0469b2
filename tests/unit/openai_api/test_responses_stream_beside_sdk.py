"""The official SDK's own accumulators beside ours: whatever they return, ours holds too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai import NOT_GIVEN
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from response_store.model.records import Api, Transport
from response_store.openai_api.response_bodies import read_answer
from tests.acceptance.wire_play import CASES, load_cases
from tests.fakes import bodies
from tests.fakes.dialects import CHAT, DIALECTS
from tests.fakes.requests import Request
from tests.fakes.variants import CHATS, RESPONSES
from tests.harness.each import each

Json = dict[str, Any]
_ODD_NULLS = (None, [], {})  # which the SDK's models add


def asked(**fields: Any) -> Request:
    """A request for a stream."""
    body = json.dumps({"model": "gpt-5", "stream": True} | fields).encode()
    return Request("POST", "/", (("content-type", "application/json"),), body)


def body_of(answer: Any) -> bytes:
    """The bytes that an answer sends."""
    return b"".join(step for step in answer.steps if isinstance(step, bytes))


def datas(stream: bytes) -> list[Json]:
    """The events of a stream that is framed by the standard."""
    lines = stream.decode().replace("\r\n", "\n").splitlines()
    values = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(value) for value in values if value[:1] == "{"]


def holds(ours: Any, theirs: Any, place: str = "") -> None:
    """Assert that a value has whatever another has; what is null or empty there is free."""
    if theirs in _ODD_NULLS:
        return
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), place
        for name, value in theirs.items():
            if name not in ("parsed", "parsed_arguments"):
                holds(ours.get(name), value, f"{place}.{name}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), place
        assert len(ours) == len(theirs), place
        for at, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            holds(mine, other, f"{place}[{at}]")
    elif isinstance(theirs, str) and isinstance(ours, str) and ours:
        # The SDK joins a role, and other names, that each chunk repeats.
        assert theirs in (ours, ours * (len(theirs) // len(ours))), place
    else:
        assert ours == theirs, place


def sdk_chat(chunks: Iterable[Json]) -> Json:
    """What the SDK's accumulator returns for chunks."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=chunk))
    return state.current_completion_snapshot.to_dict(mode="json", warnings=False)


def assert_chat(stream: bytes) -> None:
    """Ours holds what the SDK returns for a stream of chunks."""
    outcome = read_answer(Api.CHAT_COMPLETIONS, Transport.SSE, stream)
    theirs = sdk_chat(datas(stream))
    ours = json.loads(outcome.partial or b"{}")
    for choice in theirs["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    holds(ours, theirs | {"object": None})
    content = theirs["choices"][0]["message"].get("content")
    assert (outcome.output_text or None) == (content or None)


def sdk_response(events: Iterable[Json]) -> Json:
    """What the SDK's accumulator has when a stream ends, or is cut."""
    state: ResponseStreamState[Any] = ResponseStreamState(
        input_tools=NOT_GIVEN,  # type: ignore[arg-type]
        text_format=NOT_GIVEN,  # type: ignore[arg-type]
    )
    snapshot: Any = None
    for event in events:
        state.handle_event(construct_type(type_=ResponseStreamEvent, value=event))
        snapshot = state._completed_response or state._ResponseStreamState__current_snapshot  # type: ignore[attr-defined]
    found: Json = snapshot.to_dict(mode="json", warnings=False)
    return found


def assert_response(stream: bytes, count: int | None = None) -> None:
    """Ours holds the items that the SDK has of a stream, cut behind so many events."""
    events = datas(stream)[:count]
    cut = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    outcome = read_answer(Api.RESPONSES, Transport.SSE, cut)
    theirs = sdk_response(events)
    items = [json.loads(item) for item in outcome.items]
    for item in theirs["output"]:  # a part that was added, and in which nothing is yet
        item.pop("status", None)  # it reads no item that is done
        item["content"] = [part for part in item.get("content") or () if part.get("text") != ""]
    holds(items, theirs["output"])
    assert outcome.response_id == theirs["id"]
    if text := _output_text(theirs["output"]):
        assert outcome.output_text == text


def _output_text(items: list[Json]) -> str:
    parts = [part for item in items for part in item.get("content") or ()]
    return "".join(part["text"] for part in parts if part.get("type") == "output_text")


@pytest.mark.parametrize("name", CHATS)
def test_chats(name: str) -> None:
    """Each server's chunks."""
    assert_chat(body_of(CHATS[name].play(asked(messages=[]))))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_texts_of_any_size(size: int) -> None:
    """Pieces of any size, and surrogates in them."""
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        for piece in bodies.deltas("Köln \U0001f600 and so on", size)
    ]
    assert_chat(b"".join(CHAT.frames(chunks)))


# What the SDK can't read, or reads otherwise than it was meant, is not compared.
_NOT_READ = {"f05a", "f05c", "f05f", "f06a", "f06d", "f06f", "f07a", "f19a", "f13c"}
_CHAT_CASES = [
    case_id
    for case_id, case in load_cases().items()
    if "chat" in case["path"] and str(case.get("response")).endswith(".sse")
]


@pytest.mark.parametrize("case_id", sorted(set(_CHAT_CASES) - _NOT_READ))
def test_recorded_chats(case_id: str) -> None:
    """The recorded streams of other servers, as far as the SDK reads them."""
    stream = (CASES / f"{case_id}.response.sse").read_bytes()
    chunks = [one for one in datas(stream) if "choices" in one]
    if chunks:
        outcome = read_answer(Api.CHAT_COMPLETIONS, Transport.SSE, stream)
        text = sdk_chat(chunks)["choices"][0]["message"].get("content")
        assert (outcome.output_text or None) == (text or None)


@pytest.mark.parametrize("name", RESPONSES)
def test_responses(name: str) -> None:
    """Each server's events, whole."""
    assert_response(body_of(RESPONSES[name].play(asked(input="x"))))


def test_cut_responses() -> None:
    """Cut behind any of its events, ours holds what the SDK has by then."""
    stream = body_of(RESPONSES["OpenAI"].play(asked(input="x")))
    for count in range(1, len(datas(stream)) + 1):
        assert_response(stream, count)


@each("name", DIALECTS)
def test_each_dialect_is_one_answer(name: str) -> None:
    """However a stream is framed, the outcome is the same."""
    events = bodies.stream_events({"model": "gpt-5"})
    plain = read_answer(Api.RESPONSES, Transport.SSE, b"".join(DIALECTS["openai"].frames(events)))
    framed = read_answer(Api.RESPONSES, Transport.SSE, b"".join(DIALECTS[name].frames(events)))
    assert [said(item) for item in framed.items] == [said(item) for item in plain.items]
    assert (framed.output_text, framed.usage, framed.lost) == (
        plain.output_text,
        plain.usage,
        None,
    )


def said(item: bytes) -> Json:
    """An item without its id, which is made anew each time."""
    members: Json = json.loads(item)
    return {name: value for name, value in members.items() if name != "id"}
