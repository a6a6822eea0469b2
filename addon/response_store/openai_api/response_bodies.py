"""Read bodies of any API into outcomes, however they are declared.

A completion of the older API is read as that of a chat is, with its text as the message. Of
embeddings the vectors are left out, and their digests kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from msgspec import Raw
from msgspec.structs import replace

from response_store import jsontext
from response_store.model.records import Api, State, Transport
from response_store.openai_api import chat_completions, chat_stream, responses, responses_stream
from response_store.openai_api.credentials import mask_repeated
from response_store.openai_api.error_body import read_error_body
from response_store.openai_api.items import slice_array
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.openai_api.responses import read_carefully, read_plain
from response_store.openai_api.sse import Event, begins_stream, parse_stream, skip_comments

_JSON_STARTS = (b"{", b"[")


def read_answer(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    """Read a whole answer. Bytes that are no UTF-8 are replaced, and `parse_error` says so.

    Raises UnreadableError where it is neither a stream of events nor JSON of the API, and where it
    has too many values, or takes too long.
    """
    text, parse_error = jsontext.repair_utf8(body)
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
    except jsontext.TooManyValuesError:
        raise
    except jsontext.UnreadableError:
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
        output_text=jsontext.decode_column(mask_repeated(jsontext.as_utf8(text), secrets))
        if text
        else text,
    )


def _accumulate(api: Api, events: Iterable[Event]) -> ParsedResponse:
    if api is Api.CHAT_COMPLETIONS:
        return chat_stream.accumulate(events)
    return responses_stream.accumulate(events)


def _read_json(api: Api, text: bytes) -> ParsedResponse:
    if not text:
        raise jsontext.UnreadableError("the body is empty")
    jsontext.check_values(text)
    if api is Api.RESPONSES and (plain := read_plain(text)) is not None:
        return plain
    try:
        members = jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        outcome = _read_values(api, text)
        if outcome is None:
            raise
        return outcome
    return _read_object(api, text, members)


def _read_object(api: Api, text: bytes, members: dict[str, Raw]) -> ParsedResponse:
    if api is Api.RESPONSES:
        inner = responses.unwrap_response(members)
        if inner is not None or responses.is_response(text):
            return responses.read_response(text if inner is None else inner)
    else:
        inner = chat_completions.unwrap_completion(members)
        if inner is not None or chat_completions.is_completion(text):
            return chat_completions.read_completion(text if inner is None else inner)
    return _read_error_body(text)


def _read_values(api: Api, text: bytes) -> ParsedResponse | None:
    """Read a list of objects, or objects one after the other: an error, or a stream's events."""
    try:
        values = jsontext.slice_elements(text) if text[:1] == b"[" else jsontext.slice_values(text)
    except jsontext.UnreadableError:
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


Members = dict[str, Raw]
_EVENT_STARTS = (b"data", b"event", b":", b"id", b"retry")


def read_any(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    """Read a whole answer of any API that is captured.

    Raises UnreadableError where it is neither a stream of events nor JSON of the API.
    """
    reader = _READERS.get(api)
    if reader is None:
        return read_answer(api, transport, body)
    text, _ = jsontext.repair_utf8(body)
    if api is Api.COMPLETIONS and text.lstrip().startswith(_EVENT_STARTS):
        return _read_text_stream(text)
    outcome = reader(text.strip())
    return read_answer(Api.CHAT_COMPLETIONS, transport, body) if outcome is None else outcome


def _read_text(text: bytes) -> ParsedResponse | None:
    members = _read_members(text)
    choices = slice_array(members.get("choices", jsontext.ABSENT))
    if not choices or not any("text" in _read_members(choice) for choice in choices):
        return None
    chat = _convert_to_chat(members, choices, "message")
    return _replace_object(read_answer(Api.CHAT_COMPLETIONS, Transport.HTTP, chat), text)


def _read_text_stream(text: bytes) -> ParsedResponse:
    """Read a stream of texts: as chunks of a chat, whose result becomes a completion again."""
    chunks = []
    for event in parse_stream(text):
        members = _read_members(event.data)
        choices = slice_array(members.get("choices", jsontext.ABSENT))
        data = _convert_to_chat(members, choices, "delta") if choices else event.data
        name = b"event: " + event.name + b"\n" if event.name else b""
        chunks.append(name + b"data: " + b"\ndata: ".join(data.split(b"\n")) + b"\n\n")
    outcome = read_answer(Api.CHAT_COMPLETIONS, Transport.SSE, b"".join(chunks))
    whole = outcome.response or outcome.partial
    return _replace_object(outcome, _convert_to_completion(whole)) if whole else outcome


def _convert_to_chat(members: Members, choices: list[Raw], name: str) -> bytes:
    """Return a completion, or a chunk of one, as Chat Completions have it."""
    kind = "chat.completion" if name == "message" else "chat.completion.chunk"
    whole = {"object": jsontext.encode_string(kind), "choices": _convert_choices(choices, name)}
    return jsontext.encode_object(members | whole)


def _convert_choices(choices: list[Raw], name: str) -> Raw:
    shaped = []
    for choice in choices:
        members = _read_members(choice)
        text = members.pop("text", None)
        content = {"content": text} if text is not None else {}
        inner = jsontext.encode_object({"role": "assistant", **content})
        shaped.append(jsontext.encode_object({**members, name: Raw(inner)}))
    return Raw(jsontext.encode_array(shaped))


def _convert_to_completion(chat: bytes) -> bytes:
    """Return what a chat's chunks came to as a completion of the older API."""
    members = _read_members(chat)
    shaped = []
    for choice in slice_array(members.get("choices", jsontext.ABSENT)):
        fields = _read_members(choice)
        message = _read_members(fields.pop("message", jsontext.ABSENT))
        text = message.get("content", Raw(b'""'))
        shaped.append(jsontext.encode_object({**fields, "text": text}))
    kind = jsontext.encode_string("text_completion")
    return jsontext.encode_object(
        members | {"object": kind, "choices": Raw(jsontext.encode_array(shaped))}
    )


def _replace_object(outcome: ParsedResponse, text: bytes) -> ParsedResponse:
    """Return an outcome that keeps this text in place of its own."""
    return replace(outcome, response=None, partial=text)


def _read_embeddings(text: bytes) -> ParsedResponse | None:
    members = _read_members(text)
    vectors = slice_array(members.get("data", jsontext.ABSENT))
    if not vectors or "embedding" not in _read_members(vectors[0]):
        return None
    data = Raw(jsontext.encode_array([_digest_vector(_read_members(vector)) for vector in vectors]))
    kind = {"object": jsontext.encode_string("list")}  # which some servers leave out
    return _read_any_object(jsontext.encode_object(kind | members | {"data": data}))


def _digest_vector(members: Members) -> bytes:
    """Return an embedding with the digest of its vector in place of it."""
    vector = members.pop("embedding", jsontext.ABSENT)
    digest = hashlib.sha256(bytes(vector)).hexdigest()
    shown: dict[str, object] = {"sha256": jsontext.encode_string(digest)}
    if bytes(memoryview(vector)[:1]) == b"[":
        shown["dimensions"] = len(slice_array(vector))
    return jsontext.encode_object(members | shown)


def _read_compaction(text: bytes) -> ParsedResponse | None:
    if "output" not in _read_members(text):
        return None
    outcome = read_carefully(text)
    state = outcome.state or (State.FAILED if outcome.error else State.COMPLETED)
    return replace(outcome, state=state, response=None, partial=text)


def _read_any_object(text: bytes) -> ParsedResponse | None:
    """Read any object of the API: by its `object` it says what it is."""
    members = _read_members(text)
    is_known = "object" in members or "type" in members
    if not is_known or jsontext.is_present(members.get("error", jsontext.ABSENT)):
        return None
    outcome = read_carefully(jsontext.encode_object(_select_columns(members)))
    return replace(outcome, state=State.COMPLETED, response=None, partial=text, output_text=None)


def _read_stored(text: bytes) -> ParsedResponse | None:
    """Read what is asked of stored things: their tokens were counted when they were made."""
    outcome = _read_any_object(text)
    return replace(outcome, usage=Usage()) if outcome else None


def _read_conversation(text: bytes) -> ParsedResponse | None:
    """Read a conversation, or its items: the id is that of a conversation, and of no response."""
    outcome = _read_stored(text)
    if outcome is None:
        return None
    kind = jsontext.read_text(_read_members(text).get("object", jsontext.ABSENT)) or ""
    conversation = outcome.response_id if kind.startswith("conversation") else None
    return replace(outcome, response_id=None, conversation_id=conversation)


def _select_columns(members: Members) -> Members:
    """Return what columns are filled with, tokens under the names of Responses."""
    known = {name: members[name] for name in _COLUMNS if name in members}
    usage = _read_members(members.get("usage", jsontext.ABSENT))
    if "prompt_tokens" in usage:
        usage.setdefault("input_tokens", usage["prompt_tokens"])
        known["usage"] = Raw(jsontext.encode_object(usage))
    return known


_COLUMNS = ("id", "model", "created_at", "usage")


def _read_members(text: jsontext.Text) -> Members:
    try:
        return jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return {}


_READERS: dict[Api, Callable[[bytes], ParsedResponse | None]] = {
    Api.COMPLETIONS: _read_text,
    Api.EMBEDDINGS: _read_embeddings,
    Api.RESPONSES_COMPACT: _read_compaction,
    Api.CONVERSATIONS: _read_conversation,
    Api.STORED_COMPLETIONS: _read_stored,
}
