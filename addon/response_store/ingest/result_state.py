"""Determine an answer's state, by what it says, its HTTP status and how it ended.

What can't be read is never lost: its bytes are kept, and the reason is the exchange's error.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from response_store import jsontext
from response_store.ingest.draft import AnswerDraft, Ending
from response_store.model.records import EndedBy, State
from response_store.openai_api.outcome import ApiError, ParsedResponse

UNREADABLE_BODY = "unreadable_body"

_READ_BYTES = 65_536  # of a plain refusal: more than is kept, as redacting comes before clipping
INTACT_STATES = frozenset({State.OPEN, State.COMPLETED, State.QUEUED, State.IN_PROGRESS})
"""States in which nothing is missing, so that the bytes need not be kept."""


class ClassifiedResponse(Struct, frozen=True):
    """What was read of an answer: its state, and its body, decoded and masked, where kept."""

    outcome: ParsedResponse
    state: State
    body: bytes | None = None


def classify(
    outcome: ParsedResponse, body: bytes, answer: AnswerDraft, ending: Ending
) -> ClassifiedResponse:
    """Classify a parsed response; a parse error makes it unreadable, unless it ended badly."""
    state = determine_state(outcome, answer, ending)
    came_whole = state is State.INTERRUPTED and ending.ended_by is EndedBy.BODY
    if outcome.parse_error is not None and (came_whole or state in INTACT_STATES):
        state = State.UNREADABLE
        api_error = outcome.error or ApiError(UNREADABLE_BODY, outcome.parse_error)
        partial = outcome.response or outcome.partial
        outcome = replace(outcome, response=None, partial=partial, error=api_error)
    elif state is State.REFUSED and outcome.error is None:
        outcome = replace(outcome, error=_read_plain_error(body) or _describe_redirect(answer))
    return ClassifiedResponse(outcome, state, body)


def determine_state(outcome: ParsedResponse, answer: AnswerDraft, ending: Ending) -> State:
    """Return what became of an exchange whose answer was read."""
    if _is_refusal(answer):
        return State.REFUSED
    if outcome.state is not None:
        return outcome.state
    if outcome.response is not None:  # some servers leave the status out
        return State.FAILED if outcome.error else State.COMPLETED
    return determine_cut_state(ending, answer)


def determine_cut_state(ending: Ending, answer: AnswerDraft | None) -> State:
    """Return what became of an exchange whose answer does not say."""
    refused = answer is not None and _is_refusal(answer)
    return State.REFUSED if refused or ending.ended_by is EndedBy.PROXY else State.INTERRUPTED


def classify_unreadable(
    reason: str, body: bytes, answer: AnswerDraft, ending: Ending
) -> ClassifiedResponse:
    """Classify an answer that can't be read: as refused, interrupted or unreadable."""
    if _is_refusal(answer):
        api_error = _read_plain_error(body) or _describe_redirect(answer)
        return ClassifiedResponse(ParsedResponse(error=api_error), State.REFUSED, body)
    if ending.ended_by not in (EndedBy.BODY, EndedBy.TERMINAL_EVENT):
        return ClassifiedResponse(ParsedResponse(), determine_cut_state(ending, answer), body)
    return ClassifiedResponse(
        ParsedResponse(error=ApiError(UNREADABLE_BODY, reason)), State.UNREADABLE, body
    )


def with_decode_error(
    outcome: ParsedResponse, body: bytes, answer: AnswerDraft
) -> ClassifiedResponse:
    """Return what an answer comes to whose encoding breaks, perhaps behind its terminal event."""
    refused = _is_refusal(answer)
    if outcome.terminal and outcome.state is not None:
        return ClassifiedResponse(outcome, State.REFUSED if refused else outcome.state, body)
    outcome = replace(
        outcome, error=outcome.error or ApiError(UNREADABLE_BODY, answer.decode_error)
    )
    return ClassifiedResponse(outcome, State.REFUSED if refused else State.UNREADABLE, body)


def _is_refusal(answer: AnswerDraft) -> bool:
    """Return whether a status says that no answer came: a redirect (3xx), or an error."""
    return answer.status_code >= 300


def _describe_redirect(answer: AnswerDraft) -> ApiError | None:
    if answer.status_code >= 400:
        return None
    return ApiError("redirect", f"the server redirects (status {answer.status_code})")


def _read_plain_error(body: bytes) -> ApiError | None:
    text = jsontext.replace_unstorable(body[:_READ_BYTES].decode(errors="replace")).strip()
    return ApiError(None, text) if text else None
