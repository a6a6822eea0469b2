"""Requests: which are ours, and what the columns need of them.

A request counts by the shape of its body, whatever the host: a JSON object with `model` and one
of `input`, `prompt`, `messages`, `previous_response_id`, `conversation`. One that can't be read
but looks like it is kept as raw bytes, with the reason. Where the body is missing, the path alone
makes it ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.ingest.draft import Request
from response_store.json_text import ABSENT
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.response_object import read_conversation
from response_store.redaction.credentials import Masked, UncleanableError, mask
from response_store.store.records import Api

EMPTY_ARRAY = b"[]"
NOT_KEPT = "request body: not kept"
"""Why a body is missing, where nothing else says so."""
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


class _Steer(msgspec.Struct):
    input: Raw = ABSENT


def read_request(request: Request) -> ReadRequest | Skip:
    """Return what the columns need of a request, or why it makes no row. Never raises."""
    if request.body is None:
        return ReadRequest(None, reason=request.missing or NOT_KEPT)
    try:
        masked = mask(request.body)
    except UncleanableError as error:
        return ReadRequest(None, reason=f"request body: {error}")
    try:
        json_text.check_values(masked.body)
        return _read_body(request.api, masked)
    except json_text.UnreadableError as error:
        return _unread(masked, f"request body: {error}")


def read_steering(
    messages: Sequence[bytes], previous_response_id: str | None, *, stored: bool
) -> ReadRequest:
    """Return the request that steering messages amount to: they led to a response without one.

    `previous_response_id` and `stored` are what that response says of itself. Never raises.
    """
    try:
        masked = [mask(message) for message in messages]
        json_text.check_values(b"\n".join(message for message, _ in masked))
    except (UncleanableError, json_text.UnreadableError) as error:
        return ReadRequest(None, reason=f"request body: {error}")
    items = [items for message, _ in masked if (items := _steering_items(message))]
    return ReadRequest(
        body=b"\n".join(message for message, _ in masked) or None,
        secrets=tuple(secret for _, secrets in masked for secret in secrets),
        input=json_text.array(items) if items else EMPTY_ARRAY,
        has_input=bool(items),
        previous_response_id=previous_response_id,
        store=stored,
    )


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
    """Return the input as a JSON array of items; a string is one message of the user.

    None where it is neither an array nor a string.
    """
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


def _steering_items(message: bytes) -> bytes:
    """Return the items of a steering message, separated by commas; empty where there are none."""
    try:
        items = input_items(json_text.members(message, _Steer).input)
    except json_text.UnreadableError:
        return b""
    return json_text.array_inner(items) if items is not None else b""
