"""Requests: which are ours, and what the columns need of them.

A request counts by the shape of its body, whatever the host: a JSON object with `model` and one
of `input`, `prompt`, `messages`, `previous_response_id`, `conversation`. One that can't be read
but looks like it is kept as raw bytes, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.capture.draft import Request
from response_store.json_text import ABSENT
from response_store.openai_api.content_encoding import EncodingError, TooLargeError, decode
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.response_object import read_conversation
from response_store.redaction.credentials import Masked, mask
from response_store.store.records import Api

EMPTY_ARRAY = b"[]"
_CONTENT_NAMES = (
    b'"input"',
    b'"prompt"',
    b'"messages"',
    b'"previous_response_id"',
    b'"conversation"',
)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request of ours. `body` has its credentials masked; `input` is a JSON array."""

    body: bytes | None
    secrets: tuple[bytes, ...] = ()
    model: str | None = None
    input: bytes = EMPTY_ARRAY
    has_input: bool = False
    previous_response_id: str | None = None
    conversation_id: str | None = None
    store: bool = True
    reason: str | None = None  # why it could not be read


class _Body(msgspec.Struct):
    model: Raw = ABSENT
    input: Raw = ABSENT
    prompt: Raw = ABSENT
    messages: Raw = ABSENT
    previous_response_id: Raw = ABSENT
    conversation: Raw = ABSENT
    store: Raw = ABSENT


def read_request(request: Request, limit: int) -> ReadRequest | Skip:
    """Read a request's body; `limit` is the most bytes of it that are kept. Never raises."""
    if request.body is None:
        return Skip.BODY_MISSING
    try:
        body = decode((request.body,), request.content_encoding, limit)
    except TooLargeError:
        return ReadRequest(None, reason="request body: above max_body_bytes")
    except EncodingError as error:
        return _undecodable(request.body, error)
    masked = mask(body)
    try:
        return _read_body(request.api, masked)
    except json_text.UnreadableError as error:
        return _unread(masked, f"request body: {error}")


def _read_body(api: Api, masked: Masked) -> ReadRequest | Skip:
    seen = json_text.members(json_text.checked(masked.body), _Body)
    if not _is_ours(seen):
        return Skip.BODY_SHAPE
    items = input_items(seen.input if api is Api.RESPONSES else seen.messages)
    return ReadRequest(
        body=masked.body,
        secrets=masked.secrets,
        model=json_text.as_text(seen.model),
        input=items if items is not None else EMPTY_ARRAY,
        has_input=items is not None,
        previous_response_id=json_text.as_text(seen.previous_response_id),
        conversation_id=read_conversation(seen.conversation),
        store=bytes(seen.store) != b"false",
    )


def _undecodable(body: bytes, error: EncodingError) -> ReadRequest:
    """Keep what can be had of a body that is not encoded as it says.

    Bytes that are no text are not kept: credentials in them could not be masked.
    """
    is_text = json_text.repaired(body)[1] is None
    masked = mask(body if is_text else error.decoded)
    return ReadRequest(masked.body or None, masked.secrets, reason=f"request body: {error}")


def _unread(masked: Masked, reason: str) -> ReadRequest | Skip:
    body = masked.body
    named = b'"model"' in body and any(name in body for name in _CONTENT_NAMES)
    if not (named and body.lstrip().startswith(b"{")):
        return Skip.BODY_SHAPE
    return ReadRequest(masked.body, masked.secrets, reason=reason)


def _is_ours(seen: _Body) -> bool:
    contents = (
        seen.input,
        seen.prompt,
        seen.messages,
        seen.previous_response_id,
        seen.conversation,
    )
    return json_text.present(seen.model) and any(map(json_text.present, contents))


def input_items(text: Raw) -> bytes | None:
    """The input as a JSON array of items; a string is one message of the user."""
    if not json_text.present(text):
        return None
    start = bytes(memoryview(text)[:1])
    if start == b"[":
        return bytes(text)
    if start == b'"':
        content = json_text.array([json_text.object_of({"type": "input_text", "text": text})])
        message = {"type": "message", "role": "user", "content": Raw(content)}
        return json_text.array([json_text.object_of(message)])
    return None
