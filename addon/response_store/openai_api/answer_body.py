"""Bodies of answers to outcomes, whichever API, and however they are declared."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api import chat_completion, response_events, response_object
from response_store.openai_api.outcome import Fault, Outcome
from response_store.openai_api.plain_response import read_plain
from response_store.openai_api.sse import all_events
from response_store.redaction.credentials import mask_echoes
from response_store.store.records import Api, State, Transport

_EVENT_STARTS = (b"event:", b"data:")  # a stream that is declared as something else


class _ErrorBody(msgspec.Struct):
    error: Raw = ABSENT
    message: Raw = ABSENT
    detail: Raw = ABSENT


def read_answer(api: Api, transport: Transport, body: bytes) -> Outcome:
    """Read a whole answer. What is no UTF-8 in it is mended, and the outcome says so.

    Raises UnreadableError where it is neither a stream of events nor a JSON object, and where it
    has too many values, or takes too long.
    """
    text, flaw = json_text.repaired(body)
    start = text.lstrip()[:6]
    declared = transport is Transport.SSE and not start.startswith(b"{")
    if declared or start.startswith(_EVENT_STARTS):
        fold = response_events.fold if api is Api.RESPONSES else chat_completion.fold
        outcome = fold(all_events(text))
    else:
        outcome = _read_json(api, text.strip())
    if flaw is None:
        return outcome
    return replace(outcome, response=None, partial=outcome.response or outcome.partial, flaw=flaw)


def read_part(api: Api, transport: Transport, body: bytes) -> Outcome:
    """Read what there is of an answer whose rest is lost."""
    try:
        return read_answer(api, transport, body)
    except json_text.TooManyValuesError:
        raise
    except json_text.UnreadableError:
        return Outcome()


def without_echoes(outcome: Outcome, secrets: tuple[bytes, ...]) -> Outcome:
    """Mask what only came to be a credential when the pieces of a stream were joined."""
    if not secrets:
        return outcome
    text = outcome.output_text
    return replace(
        outcome,
        partial=mask_echoes(outcome.partial, secrets) if outcome.partial else None,
        items=tuple(mask_echoes(item, secrets) for item in outcome.items),
        output_text=mask_echoes(text.encode(), secrets).decode() if text else text,
    )


def _read_json(api: Api, text: bytes) -> Outcome:
    if not text:
        raise json_text.UnreadableError("the body is empty")
    json_text.check_values(text)
    if api is Api.RESPONSES and (plain := read_plain(text)) is not None:
        return plain
    if api is Api.RESPONSES and response_object.is_response(text):
        return response_object.read_response(text)
    if api is Api.CHAT_COMPLETIONS and chat_completion.is_completion(text):
        return chat_completion.read_completion(text)
    return _error_body(text)


def _error_body(text: bytes) -> Outcome:
    """Read a JSON object that is no answer of the API: an error in one of its usual shapes."""
    seen = json_text.members(text, _ErrorBody)
    fault = response_object.read_fault(seen.error)
    if fault is None:
        spoken = json_text.as_text(seen.message) or json_text.as_text(seen.detail)
        fault = Fault(None, spoken) if spoken else None
    elif fault.message is None:
        fault = replace(fault, message=json_text.as_text(seen.message))
    flaw = None if fault else "a JSON object, but not one of this API"
    return Outcome(state=State.FAILED if fault else None, partial=text, fault=fault, flaw=flaw)
