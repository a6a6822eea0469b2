"""The objects that OpenAI's API answers with, as plain values, whole enough for the real SDK."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]

TEXT = 'Grüße, wörld 🌍! Two lines:\nand a "quote".'
USAGE: Json = {
    "input_tokens": 31,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 17,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 48,
}
CHAT_USAGE: Json = {
    "prompt_tokens": 31,
    "completion_tokens": 17,
    "total_tokens": 48,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
}
ECHOED = ("instructions", "metadata", "previous_response_id", "store", "temperature", "tools")


def new_id(prefix: str) -> str:
    """An id that no other request of any server got."""
    return f"{prefix}_{uuid.uuid4().hex}"


def dated(model: str) -> str:
    """The name a server answers with, which is not the one asked for."""
    return f"{model}-2025-08-07"


def message(text: str, *, item_id: str, status: str = "completed") -> Json:
    """An assistant's message as an output item."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part] if text else [],
    }


def function_call(name: str, arguments: str, *, item_id: str) -> Json:
    """A tool call as an output item."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": item_id.replace("fc_", "call_"),
        "name": name,
        "arguments": arguments,
    }


def response(
    asked: Mapping[str, Any] | None = None,
    *,
    response_id: str | None = None,
    status: str = "completed",
    output: Iterable[Json] = (),
    usage: Json | None = None,
    **fields: Any,
) -> Json:
    """A Response object that answers the request `asked`; `fields` replace or add keys."""
    asked = asked or {}
    made: Json = {
        "id": response_id or new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": bool(asked.get("background", False)),
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": dated(str(asked.get("model", "gpt-5"))),
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }
    made.update({key: asked[key] for key in ECHOED if key in asked})
    return made | fields


def whole_response(asked: Mapping[str, Any] | None = None, text: str = TEXT, **fields: Any) -> Json:
    """A completed Response object with one message."""
    given = {"output": [message(text, item_id=new_id("msg"))], "usage": USAGE} | fields
    return response(asked, **given)


def deltas(text: str, size: int = 7) -> list[str]:
    """The text in the pieces it is streamed in."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def number(events: Iterable[Json], start: int = 0) -> list[Json]:
    """The events with their `sequence_number`."""
    return [event | {"sequence_number": at} for at, event in enumerate(events, start)]


def text_events(item_id: str, text: str, *, obfuscated: bool = False) -> Iterator[Json]:
    """The events that stream one message, from its announcement to its end."""
    place: Json = {"item_id": item_id, "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = message("", item_id=item_id, status="in_progress")
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.content_part.added", **place, "part": part}
    for delta in deltas(text):
        padding = {"obfuscation": "xY7" * (len(delta) % 4)} if obfuscated else {}
        made = {"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []}
        yield made | padding
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part | {"text": text}}
    item = message(text, item_id=item_id)
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def stream_events(
    asked: Mapping[str, Any] | None = None,
    *,
    text: str = TEXT,
    status: str = "completed",
    obfuscated: bool = False,
    last: Json | None = None,
    **fields: Any,
) -> list[Json]:
    """The events of one streamed response: created, in progress, its text, its terminal event.

    `fields` go into every Response object, `last` into the terminal one alone.
    """
    begun = response(asked, status="in_progress", **fields)
    item_id = new_id("msg")
    done = {"status": status, "output": [message(text, item_id=item_id)], "usage": USAGE}
    ended = begun | done | (last or {})
    return number(
        itertools.chain(
            [
                {"type": "response.created", "response": begun},
                {"type": "response.in_progress", "response": begun},
            ],
            text_events(item_id, text, obfuscated=obfuscated),
            [{"type": f"response.{status}", "response": ended}],
        )
    )


def failed_events(asked: Mapping[str, Any] | None = None, **fields: Any) -> list[Json]:
    """A stream that ends with `response.failed`."""
    error = {"code": "server_error", "message": "The model ran into a wall."}
    last = {"error": error, "usage": None}
    return stream_events(asked, status="failed", last=last, **fields)


def incomplete_events(asked: Mapping[str, Any] | None = None, **fields: Any) -> list[Json]:
    """A stream that ends with `response.incomplete`, its limit reached."""
    last = {"incomplete_details": {"reason": "max_output_tokens"}}
    return stream_events(asked, status="incomplete", last=last, **fields)


def error_event(*, nested: bool) -> Json:
    """An `error` event in one of its two shapes."""
    error = {"code": "rate_limit_exceeded", "message": "Slow down, please.", "param": None}
    if nested:
        return {"type": "error", "error": {"type": "requests"} | error}
    return {"type": "error"} | error


def error_stream(
    asked: Mapping[str, Any] | None = None, *, nested: bool, then_failed: bool
) -> list[Json]:
    """A stream that breaks off with an `error`, perhaps followed by `response.failed`."""
    events = failed_events(asked)
    tail = [error_event(nested=nested)] + (events[-1:] if then_failed else [])
    return number(events[:5] + tail)


def error_body(message: str, *, kind: str, code: str | None = None) -> Json:
    """The body of a refusal, in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


TOOL_CALLS = [
    {"id": "call_a", "name": "get_weather", "arguments": '{"city":"Köln"}'},
    {"id": "call_b", "name": "get_time", "arguments": '{"zone":"UTC"}'},
]


def chat_completion(asked: Mapping[str, Any] | None = None, text: str = TEXT) -> Json:
    """A chat completion with text and two tool calls."""
    asked = asked or {}
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in TOOL_CALLS
    ]
    said = {"role": "assistant", "content": text, "refusal": None, "tool_calls": calls}
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": dated(str(asked.get("model", "gpt-5"))),
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": "tool_calls"}],
        "usage": CHAT_USAGE,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def tool_call_deltas() -> Iterator[Json]:
    """Two tool calls, each announced first and then given argument by argument."""
    for index, call in enumerate(TOOL_CALLS):
        function = {"name": call["name"], "arguments": ""}
        yield {"index": index, "id": call["id"], "type": "function", "function": function}
        for part in deltas(call["arguments"], 5):
            yield {"index": index, "function": {"arguments": part}}


def chat_chunks(asked: Mapping[str, Any] | None = None, text: str = TEXT) -> list[Json]:
    """The chunks of a streamed chat completion; the usage comes last if it was asked for."""
    asked = asked or {}
    base = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": dated(str(asked.get("model", "gpt-5"))),
        "system_fingerprint": None,
    }

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return base | {"choices": [choice], "usage": None}

    chunks = [chunk({"role": "assistant", "content": "", "refusal": None})]
    chunks += [chunk({"content": delta}) for delta in deltas(text)]
    chunks += [chunk({"tool_calls": [call]}) for call in tool_call_deltas()]
    chunks += [chunk({}, "tool_calls")]
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks += [base | {"choices": [], "usage": CHAT_USAGE}]
    return chunks
