"""Read the answers of the endpoints beside Responses and Chat Completions.

A completion of the older API is read as that of a chat is, with its text as the message. Of
embeddings the vectors are left out, and their digests kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from msgspec import Raw

from response_store import json_text
from response_store.openai_api.accumulated import slice_array
from response_store.openai_api.answer_body import read_answer
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.openai_api.response_object import read_carefully
from response_store.openai_api.sse import parse_stream
from response_store.store.records import Api, State, Transport

Members = dict[str, Raw]
_EVENT_STARTS = (b"data", b"event", b":", b"id", b"retry")


def read_any(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    """Read a whole answer of any API that is captured.

    Raises UnreadableError where it is neither a stream of events nor JSON of the API.
    """
    reader = _READERS.get(api)
    if reader is None:
        return read_answer(api, transport, body)
    text, _ = json_text.repair_utf8(body)
    if api is Api.COMPLETIONS and text.lstrip().startswith(_EVENT_STARTS):
        return _read_text_stream(text)
    outcome = reader(text.strip())
    return read_answer(Api.CHAT_COMPLETIONS, transport, body) if outcome is None else outcome


def _read_text(text: bytes) -> ParsedResponse | None:
    members = _read_members(text)
    choices = slice_array(members.get("choices", json_text.ABSENT))
    if not choices or not any("text" in _read_members(choice) for choice in choices):
        return None
    chat = _convert_to_chat(members, choices, "message")
    return _replace_object(read_answer(Api.CHAT_COMPLETIONS, Transport.HTTP, chat), text)


def _read_text_stream(text: bytes) -> ParsedResponse:
    """Read a stream of texts: as chunks of a chat, whose result becomes a completion again."""
    chunks = []
    for event in parse_stream(text):
        members = _read_members(event.data)
        choices = slice_array(members.get("choices", json_text.ABSENT))
        data = _convert_to_chat(members, choices, "delta") if choices else event.data
        name = b"event: " + event.name + b"\n" if event.name else b""
        chunks.append(name + b"data: " + b"\ndata: ".join(data.split(b"\n")) + b"\n\n")
    outcome = read_answer(Api.CHAT_COMPLETIONS, Transport.SSE, b"".join(chunks))
    whole = outcome.response or outcome.partial
    return _replace_object(outcome, _convert_to_completion(whole)) if whole else outcome


def _convert_to_chat(members: Members, choices: list[Raw], name: str) -> bytes:
    """Return a completion, or a chunk of one, as Chat Completions have it."""
    kind = "chat.completion" if name == "message" else "chat.completion.chunk"
    whole = {"object": json_text.encode_string(kind), "choices": _convert_choices(choices, name)}
    return json_text.encode_object(members | whole)


def _convert_choices(choices: list[Raw], name: str) -> Raw:
    shaped = []
    for choice in choices:
        members = _read_members(choice)
        text = members.pop("text", None)
        content = {"content": text} if text is not None else {}
        inner = json_text.encode_object({"role": "assistant", **content})
        shaped.append(json_text.encode_object({**members, name: Raw(inner)}))
    return Raw(json_text.encode_array(shaped))


def _convert_to_completion(chat: bytes) -> bytes:
    """Return what a chat's chunks came to as a completion of the older API."""
    members = _read_members(chat)
    shaped = []
    for choice in slice_array(members.get("choices", json_text.ABSENT)):
        fields = _read_members(choice)
        message = _read_members(fields.pop("message", json_text.ABSENT))
        text = message.get("content", Raw(b'""'))
        shaped.append(json_text.encode_object({**fields, "text": text}))
    kind = json_text.encode_string("text_completion")
    return json_text.encode_object(
        members | {"object": kind, "choices": Raw(json_text.encode_array(shaped))}
    )


def _replace_object(outcome: ParsedResponse, text: bytes) -> ParsedResponse:
    """Return an outcome that keeps this text in place of its own."""
    return replace(outcome, response=None, partial=text)


def _read_embeddings(text: bytes) -> ParsedResponse | None:
    members = _read_members(text)
    vectors = slice_array(members.get("data", json_text.ABSENT))
    if not vectors or "embedding" not in _read_members(vectors[0]):
        return None
    data = Raw(
        json_text.encode_array([_digest_vector(_read_members(vector)) for vector in vectors])
    )
    kind = {"object": json_text.encode_string("list")}  # which some servers leave out
    return _read_object(json_text.encode_object(kind | members | {"data": data}))


def _digest_vector(members: Members) -> bytes:
    """Return an embedding with the digest of its vector in place of it."""
    vector = members.pop("embedding", json_text.ABSENT)
    digest = hashlib.sha256(bytes(vector)).hexdigest()
    shown: dict[str, object] = {"sha256": json_text.encode_string(digest)}
    if bytes(memoryview(vector)[:1]) == b"[":
        shown["dimensions"] = len(slice_array(vector))
    return json_text.encode_object(members | shown)


def _read_compaction(text: bytes) -> ParsedResponse | None:
    if "output" not in _read_members(text):
        return None
    outcome = read_carefully(text)
    state = outcome.state or (State.FAILED if outcome.error else State.COMPLETED)
    return replace(outcome, state=state, response=None, partial=text)


def _read_object(text: bytes) -> ParsedResponse | None:
    """Read any object of the API: by its `object` it says what it is."""
    members = _read_members(text)
    is_known = "object" in members or "type" in members
    if not is_known or json_text.is_present(members.get("error", json_text.ABSENT)):
        return None
    outcome = read_carefully(json_text.encode_object(_select_columns(members)))
    return replace(outcome, state=State.COMPLETED, response=None, partial=text, output_text=None)


def _read_stored(text: bytes) -> ParsedResponse | None:
    """Read what is asked of stored things: their tokens were counted when they were made."""
    outcome = _read_object(text)
    return replace(outcome, usage=Usage()) if outcome else None


def _read_conversation(text: bytes) -> ParsedResponse | None:
    """Read a conversation, or its items: the id is that of a conversation, and of no response."""
    outcome = _read_stored(text)
    if outcome is None:
        return None
    kind = json_text.read_text(_read_members(text).get("object", json_text.ABSENT)) or ""
    conversation = outcome.response_id if kind.startswith("conversation") else None
    return replace(outcome, response_id=None, conversation_id=conversation)


def _select_columns(members: Members) -> Members:
    """Return what columns are filled with, tokens under the names of Responses."""
    known = {name: members[name] for name in _COLUMNS if name in members}
    usage = _read_members(members.get("usage", json_text.ABSENT))
    if "prompt_tokens" in usage:
        usage.setdefault("input_tokens", usage["prompt_tokens"])
        known["usage"] = Raw(json_text.encode_object(usage))
    return known


_COLUMNS = ("id", "model", "created_at", "usage")


def _read_members(text: json_text.Text) -> Members:
    try:
        return json_text.slice_all_members(text)
    except json_text.UnreadableError:
        return {}


_READERS: dict[Api, Callable[[bytes], ParsedResponse | None]] = {
    Api.COMPLETIONS: _read_text,
    Api.EMBEDDINGS: _read_embeddings,
    Api.RESPONSES_COMPACT: _read_compaction,
    Api.CONVERSATIONS: _read_conversation,
    Api.STORED_COMPLETIONS: _read_stored,
}
