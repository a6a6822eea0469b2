"""Chat Completions: the whole object, read for its columns and kept as it came.

Source: the API reference, "The chat completion object". Some servers have the choice's text in
`delta`, put an envelope around the object, or call its members as the other API does.
"""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.api_error import read_error
from response_store.openai_api.chat_content import extract_answer_text
from response_store.openai_api.outcome import ApiError, ParsedResponse
from response_store.openai_api.timestamps import read_seconds
from response_store.openai_api.usage import find_usage, read_usage
from response_store.store.records import State

Members = dict[str, Raw]
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ENVELOPES = ("data", "result", "response", "body", "completion")


def is_completion(text: json_text.Text) -> bool:
    """Return whether a JSON object is a chat completion, by what it says of itself or holds."""
    return _is_completion(json_text.slice_all_members(text))


def unwrap_completion(members: Members) -> Raw | None:
    """Return the completion in an envelope; None where the members are no envelope of one."""
    if "choices" in members:
        return None
    for name in _ENVELOPES:
        value = members.get(name, ABSENT)
        if bytes(memoryview(value)[:1]) == b"{" and _holds_choices(value):
            return value
    return None


def read_completion(text: json_text.Text, state: State | None = State.COMPLETED) -> ParsedResponse:
    """Read a chat completion. Raises UnreadableError when `text` is no JSON object."""
    members = json_text.slice_all_members(text)
    choices = _read_choices(members)
    api_error = read_error(members) or _find_bad_finish(choices)
    if api_error is not None:
        state = State.FAILED
    elif state is State.COMPLETED and (reason := _find_cut_reason(choices)) is not None:
        state, api_error = State.INCOMPLETE, ApiError(reason, None)
    return ParsedResponse(
        state=state,
        response_id=json_text.read_text(members.get("id", ABSENT)) or None,
        model=json_text.read_text(members.get("model", ABSENT)) or None,
        created_at=read_seconds(members.get("created", members.get("created_at", ABSENT))),
        partial=bytes(text),
        output_text=_read_first_text(choices),
        usage=read_usage(find_usage(members, choices)),
        error=api_error,
    )


def _is_completion(members: Members) -> bool:
    kind = json_text.read_text(members.get("object", ABSENT))
    if kind:
        return kind.startswith("chat.completion")
    return json_text.is_present(members.get("choices", ABSENT))


def _holds_choices(text: Raw) -> bool:
    try:
        members = json_text.slice_all_members(text)
    except json_text.UnreadableError:
        return False
    return json_text.is_present(members.get("choices", ABSENT))


def _read_choices(members: Members) -> list[Members]:
    choices = members.get("choices", ABSENT)
    try:
        return [json_text.slice_all_members(choice) for choice in json_text.slice_elements(choices)]
    except json_text.UnreadableError:
        return []


def _find_bad_finish(choices: list[Members]) -> ApiError | None:
    reasons = (json_text.read_text(choice.get("finish_reason", ABSENT)) for choice in choices)
    return ApiError("error") if "error" in reasons else None


def _find_cut_reason(choices: list[Members]) -> str | None:
    """Return why the first choice is not whole, in words of the Responses API; None if it is."""
    finish = choices[0].get("finish_reason", ABSENT) if choices else ABSENT
    return _REASONS.get(json_text.read_text(finish) or "")


def _read_first_text(choices: list[Members]) -> json_text.LongText | None:
    """Return the text of the first choice; some servers send its content in parts or as a delta."""
    if not choices:
        return None
    try:
        for name in ("message", "delta"):
            content = choices[0].get(name, ABSENT)
            if bytes(memoryview(content)[:1]) == b"{":
                return extract_answer_text(
                    json_text.slice_all_members(content).get("content", ABSENT)
                )
    except json_text.UnreadableError:
        return None
    return None
