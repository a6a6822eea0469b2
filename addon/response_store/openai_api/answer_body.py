"""Bodies of answers to outcomes, whichever API, and however they are declared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import Raw

from response_store import json_text
from response_store.openai_api import chat_completion, chat_stream, response_events, response_object
from response_store.openai_api.api_error import read_error_body
from response_store.openai_api.outcome import ParsedResponse
from response_store.openai_api.plain_response import read_plain
from response_store.openai_api.sse import Event, begins_stream, parse_stream, skip_comments
from response_store.redaction.credentials import mask_repeated
from response_store.store.records import Api, State, Transport

_JSON_STARTS = (b"{", b"[")


def read_answer(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    """Read a whole answer. Bytes that are no UTF-8 are replaced, and `parse_error` says so.

    Raises UnreadableError where it is neither a stream of events nor JSON of the API, and where it
    has too many values, or takes too long.
    """
    text, parse_error = json_text.repair_utf8(body)
    plain = skip_comments(text)
    if plain[:1] in _JSON_STARTS:
        outcome = _read_json(api, plain.strip())
    elif transport is Transport.SSE or begins_stream(text):
        outcome = _accumulate(api, parse_stream(text))
    else:
        outcome = _read_json(api, text.strip())
    if parse_error is None:
        return outcome
    return replace(
        outcome, response=None, partial=outcome.response or outcome.partial, parse_error=parse_error
    )


def read_part(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    """Read what there is of an answer whose rest is lost."""
    try:
        return read_answer(api, transport, body)
    except json_text.TooManyValuesError:
        raise
    except json_text.UnreadableError:
        return ParsedResponse()


def mask_joined_credentials(outcome: ParsedResponse, secrets: tuple[bytes, ...]) -> ParsedResponse:
    """Mask what only came to be a credential when the pieces of a stream were joined."""
    if not secrets:
        return outcome
    text, error = outcome.output_text, outcome.error
    if error is not None and error.message:
        message = mask_repeated(error.message.encode(errors="replace"), secrets).decode()
        error = replace(error, message=message)
    return replace(
        outcome,
        error=error,
        partial=mask_repeated(outcome.partial, secrets) if outcome.partial else None,
        items=tuple(mask_repeated(item, secrets) for item in outcome.items),
        output_text=json_text.column(mask_repeated(json_text.as_utf8(text), secrets))
        if text
        else text,
    )


def _accumulate(api: Api, events: Iterable[Event]) -> ParsedResponse:
    if api is Api.CHAT_COMPLETIONS:
        return chat_stream.accumulate(events)
    return response_events.accumulate(events)


def _read_json(api: Api, text: bytes) -> ParsedResponse:
    if not text:
        raise json_text.UnreadableError("the body is empty")
    json_text.check_values(text)
    if api is Api.RESPONSES and (plain := read_plain(text)) is not None:
        return plain
    try:
        members = json_text.slice_all_members(text)
    except json_text.UnreadableError:
        outcome = _read_values(api, text)
        if outcome is None:
            raise
        return outcome
    return _read_object(api, text, members)


def _read_object(api: Api, text: bytes, members: dict[str, Raw]) -> ParsedResponse:
    if api is Api.RESPONSES:
        inner = response_object.unwrap_response(members)
        if inner is not None or response_object.is_response(text):
            return response_object.read_response(text if inner is None else inner)
    else:
        inner = chat_completion.unwrap_completion(members)
        if inner is not None or chat_completion.is_completion(text):
            return chat_completion.read_completion(text if inner is None else inner)
    return _read_error_body(text)


def _read_values(api: Api, text: bytes) -> ParsedResponse | None:
    """Read a list of objects, or objects one after the other: an error, or a stream's events."""
    try:
        values = (
            json_text.slice_elements(text) if text[:1] == b"[" else json_text.slice_values(text)
        )
    except json_text.UnreadableError:
        return None
    objects = [value for value in values if bytes(memoryview(value)[:1]) == b"{"]
    if len(objects) == 1 and (api_error := read_error_body(objects[0])):
        return ParsedResponse(state=State.FAILED, partial=bytes(objects[0]), error=api_error)
    outcome = _accumulate(api, (Event(b"", bytes(value)) for value in objects))
    return None if outcome == ParsedResponse() else outcome


def _read_error_body(text: bytes) -> ParsedResponse:
    """Read a JSON object that is no answer of the API: an error in one of its usual shapes."""
    api_error = read_error_body(text)
    parse_error = None if api_error else "a JSON object, but not one of this API"
    return ParsedResponse(
        state=State.FAILED if api_error else None,
        partial=text,
        error=api_error,
        parse_error=parse_error,
    )
