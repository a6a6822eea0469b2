"""The bytes of one exchange, canned: only the response id changes from one to the next.

An id has a fixed length and fixed offsets, so that making a fresh answer costs two or three
slice assignments and nothing of it shows in the proxy's figures.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

ID_LENGTH = 53  # "resp_" and 48 hexadecimal digits, as OpenAI's are
PLACEHOLDER = "resp_" + "f" * (ID_LENGTH - 5)
JSON_BODY_BYTES = 2048
DELTAS = 64
WORDS = ("The ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog. ")
MODEL = "gpt-5.2-2025-12-11"
_SIZE = re.compile(r"(?:upload|download|flood)=(\d+)")
_COPIES = 5  # of its text in a stream: deltas, three events that end a part, the terminal one


def response_id(number: int) -> bytes:
    """The `number`-th id, always `ID_LENGTH` bytes."""
    return b"resp_%048x" % number


class Template:
    """Bytes with places for the response id."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        needle = PLACEHOLDER.encode()
        self._places: list[slice] = []
        start = data.find(needle)
        while start >= 0:
            self._places.append(slice(start, start + ID_LENGTH))
            start = data.find(needle, start + ID_LENGTH)

    def fill(self, number: int) -> bytes:
        """The bytes with the `number`-th id in every place."""
        data, filled = response_id(number), bytearray(self._data)
        for place in self._places:
            filled[place] = data
        return bytes(filled)


def streams(kind: str) -> bool:
    """Return whether exchanges of this kind are answered by a stream."""
    return kind.startswith(("sse", "flood"))


def size_of(kind: str) -> int:
    """Return the bytes of the large body of this kind; 0 where it has none."""
    found = _SIZE.fullmatch(kind)
    return int(found[1]) << 20 if found else 0


def request_body(*, stream: bool, size: int = 0) -> dict[str, Any]:
    """What a client posts; `size` are about the bytes of its text, if it is a large one."""
    return {
        "model": "gpt-5.2",
        "instructions": "You are a careful assistant. Answer in one short paragraph.",
        "input": [{"role": "user", "content": "What does the fox do? " * (size // 22 or 10)}],
        "temperature": 1.0,
        "max_output_tokens": 1024,
        "stream": stream,
    }


def request(kind: str) -> bytes:
    """The whole HTTP request; `kind` tells the upstream how to answer (see `upstream`)."""
    size = size_of(kind) if kind.startswith("upload") else 0
    body = json.dumps(request_body(stream=streams(kind), size=size)).encode()
    head = (
        "POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: OpenAI/Python 3.54.0\r\n"
        "Accept: application/json\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer not-a-key\r\nx-benchmark: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def response_object(status: str, text: str) -> dict[str, Any]:
    """A response as the API gives it, complete or just begun."""
    done = status == "completed"
    usage = {
        "input_tokens": 81,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 64,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 145,
    }
    return {
        "id": PLACEHOLDER,
        "object": "response",
        "created_at": 1764000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": request_body(stream=False)["instructions"],
        "max_output_tokens": 1024,
        "model": MODEL,
        "output": [message_item("completed", text)] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if done else None,
        "user": None,
        "metadata": {},
    }


def message_item(status: str, text: str) -> dict[str, Any]:
    """The one output item."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "msg_" + "e" * 48,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part] if text else [],
    }


@cache
def json_answer(size: int = JSON_BODY_BYTES) -> Template:
    """A complete HTTP answer whose JSON body has exactly so many bytes."""
    room = size - len(json.dumps(response_object("completed", "x"))) + 1
    text = ("".join(WORDS) * (size // 40))[:room]
    body = json.dumps(response_object("completed", text)).encode()
    assert len(body) == size, len(body)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_benchmark\r\n"
        f"openai-processing-ms: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Template(head.encode() + body)


def events(deltas: int = DELTAS, times: int = 1) -> list[dict[str, Any]]:
    """The events of one stream, as OpenAI sends them; each delta has a word, so many times."""
    words = [WORDS[number % len(WORDS)] * times for number in range(deltas)]
    text = "".join(words)
    place = {"item_id": "msg_" + "e" * 48, "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    full = {"type": "output_text", "text": text, "annotations": []}
    delta = "response.output_text.delta"
    in_progress = response_object("in_progress", "")
    started, ended = message_item("in_progress", ""), message_item("completed", text)
    listed: list[dict[str, Any]] = [
        {"type": "response.created", "response": in_progress},
        {"type": "response.in_progress", "response": in_progress},
        {"type": "response.output_item.added", "output_index": 0, "item": started},
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": delta, **place, "delta": word, "obfuscation": "aZ3x8Q"} for word in words),
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": full},
        {"type": "response.output_item.done", "output_index": 0, "item": ended},
        {"type": "response.completed", "response": response_object("completed", text)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(listed)]


@cache
def sse_answer(size: int = 0) -> tuple[Template, Template, Template]:
    """The head with the first event; what follows; the terminal event. An HTTP chunk an event.

    `size` are about the bytes of the whole, if it is a large one: its deltas have 4 KB then.
    """
    times = 800 if size else 1
    deltas = size // _COPIES // (5 * times) if size else DELTAS
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"x-request-id: req_benchmark\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    first, *middle, last = [_chunk(event) for event in events(deltas, times)]
    ended = last + b"0\r\n\r\n"
    return Template(head + first), Template(b"".join(middle)), Template(ended)


def _chunk(event: dict[str, Any]) -> bytes:
    frame = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(frame), frame)
