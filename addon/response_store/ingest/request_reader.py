"""Read of a request what the columns need.

Method and path have made them ours, so whatever the body looks like there is a row: one that can't
be read is kept as it came, with the reason. The model may be in the path, as Azure has it, or in
the URL of a socket.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw, field
from msgspec.structs import replace

from response_store import jsontext
from response_store.ingest.draft import ReadRequest, Request
from response_store.model.records import Api
from response_store.openai_api.credentials import Masked, UncleanableError, mask
from response_store.openai_api.endpoints import find_model
from response_store.openai_api.other_requests import read_other_request
from response_store.openai_api.request_input import (
    EMPTY_ARRAY,
    join_steering,
    read_input_items,
    slice_request,
)
from response_store.openai_api.responses import read_conversation

NOT_KEPT = "request body: not kept"
"""Why a body is missing, where nothing else says so."""


class _Body(msgspec.Struct):
    model: Raw = jsontext.ABSENT
    input: Raw = jsontext.ABSENT
    messages: Raw = jsontext.ABSENT
    response: Raw = jsontext.ABSENT
    previous_response_id: Raw = jsontext.ABSENT
    conversation: Raw = jsontext.ABSENT
    store: Raw = jsontext.ABSENT
    metadata: Raw = jsontext.ABSENT
    client_metadata: Raw = jsontext.ABSENT
    prompt_cache_key: Raw = jsontext.ABSENT


class _Named(msgspec.Struct):
    session_id: Raw = jsontext.ABSENT
    thread_id: Raw = jsontext.ABSENT
    conversation_id: Raw = jsontext.ABSENT
    agent: Raw = field(default=jsontext.ABSENT, name="x-openai-subagent")


def read_request(request: Request) -> ReadRequest:
    """Return what the columns need of a request. Never raises."""
    model = find_model(request.path)
    if request.body is None:
        return ReadRequest(None, model=model, reason=request.missing or NOT_KEPT)
    try:
        masked = mask(request.body)
    except UncleanableError as error:
        return ReadRequest(None, model=model, reason=f"request body: {error}")
    if request.api not in (Api.RESPONSES, Api.CHAT_COMPLETIONS):
        return _read_other(request, masked, model)
    try:
        jsontext.check_readable(masked.body)
        read = _read_body(request.api, masked)
    except jsontext.UnreadableError as error:
        reason = f"request body: {error}"
        return ReadRequest(masked.body or None, masked.secrets, model=model, reason=reason)
    return read if read.model else replace(read, model=model)


def read_steering(
    messages: Sequence[bytes], previous_response_id: str | None, *, stored: bool
) -> ReadRequest:
    """Return the request that steering messages amount to: they led to a response without one.

    `previous_response_id` and `stored` are what that response says of itself. Never raises.
    """
    try:
        masked = [mask(message) for message in messages]
        whole = b"\n".join(message for message, _ in masked)
        jsontext.check_readable(whole)
    except (UncleanableError, jsontext.UnreadableError) as error:
        return ReadRequest(None, reason=f"request body: {error}")
    items = join_steering([message for message, _ in masked])
    return ReadRequest(
        body=whole or None,
        secrets=tuple(secret for _, secrets in masked for secret in secrets),
        input=items or EMPTY_ARRAY,
        has_input=bool(items),
        previous_response_id=previous_response_id,
        store=stored,
    )


def _read_other(request: Request, masked: Masked, model: str | None) -> ReadRequest:
    seen = read_other_request(masked.body, request.path)
    items = None
    if request.api is Api.RESPONSES_COMPACT and seen.problem is None and masked.body.strip():
        items = read_input_items(slice_request(jsontext.check_utf8(masked.body), _Body).input)
    return ReadRequest(
        body=masked.body or None,
        secrets=masked.secrets,
        input=items or EMPTY_ARRAY,
        model=seen.model or model,
        previous_response_id=seen.previous_response_id,
        conversation_id=seen.conversation_id,
        store=seen.stores,
        reason=seen.problem,
    )


def _read_body(api: Api, masked: Masked) -> ReadRequest:
    seen = slice_request(jsontext.check_utf8(masked.body), _Body)
    items = read_input_items(seen.input if api is Api.RESPONSES else seen.messages)
    return ReadRequest(
        body=masked.body,
        secrets=masked.secrets,
        model=jsontext.read_text(seen.model) or None,
        input=items if items is not None else EMPTY_ARRAY,
        has_input=items is not None,
        previous_response_id=jsontext.read_text(seen.previous_response_id),
        conversation_id=read_conversation(seen.conversation),
        store=bytes(seen.store) != b"false",
        columns=_find_columns(seen),
    )


# Some clients have one key for all that they ask: only what is sure to be of one session counts.
_is_unique = re.compile(
    r"(?:\w{1,12}[_-])?(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26})",
    re.IGNORECASE,
).fullmatch
_is_opencode = re.compile(r"ses_\w{16,}").fullmatch


def _find_columns(seen: _Body) -> dict[str, str]:
    """Return the columns of which a body says what else a header does: session and agent.

    The session is named in its metadata, or by the key of its cache.
    """
    columns: dict[str, str] = {}
    for value in (seen.metadata, seen.client_metadata):
        if bytes(memoryview(value)[:1]) == b"{":
            named = jsontext.slice_members(value, _Named)
            if agent := jsontext.read_text(named.agent):
                columns["agent"] = agent
            for one in (named.session_id, named.thread_id, named.conversation_id):
                if text := jsontext.read_text(one):
                    return columns | {"session_id": text}
    key = jsontext.read_text(seen.prompt_cache_key) or ""
    if _is_unique(key) or _is_opencode(key):
        columns["session_id"] = key
    return columns
