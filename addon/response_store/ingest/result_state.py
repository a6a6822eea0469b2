"""What an answer comes to: its state, by what it says, its status and how it ended.

What can't be read is never lost: its bytes are kept, and the reason is the exchange's error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from response_store import json_text
from response_store.ingest.draft import Answer, Ending
from response_store.openai_api.outcome import Fault, Outcome
from response_store.store.records import EndedBy, State

UNREADABLE_BODY = "unreadable_body"
MESSAGE_CHARS = 2000
_READ_BYTES = 65_536  # of a plain refusal: more than is kept, as redacting comes before clipping
INTACT_STATES = frozenset({State.OPEN, State.COMPLETED, State.QUEUED, State.IN_PROGRESS})
"""States in which nothing is missing, so that the bytes need not be kept."""


@dataclass(frozen=True, slots=True)
class ClassifiedResponse:
    """What was read of an answer: its state, and its body, decoded and masked, where kept."""

    outcome: Outcome
    state: State
    body: bytes | None = None


def classify(outcome: Outcome, body: bytes, answer: Answer, ending: Ending) -> ClassifiedResponse:
    """Return what an outcome comes to: a flaw makes it unreadable, unless it ended badly anyway."""
    state = state_of(outcome, answer, ending)
    came_whole = state is State.INTERRUPTED and ending.ended_by is EndedBy.BODY
    if outcome.flaw is not None and (came_whole or state in INTACT_STATES):
        state = State.UNREADABLE
        fault = outcome.fault or Fault(UNREADABLE_BODY, outcome.flaw)
        partial = outcome.response or outcome.partial
        outcome = replace(outcome, response=None, partial=partial, fault=fault)
    elif state is State.REFUSED and outcome.fault is None:
        outcome = replace(outcome, fault=_plain_fault(body) or _redirect(answer))
    return ClassifiedResponse(outcome, state, body)


def state_of(outcome: Outcome, answer: Answer, ending: Ending) -> State:
    """Return what became of an exchange whose answer was read."""
    if _is_refusal(answer):
        return State.REFUSED
    if outcome.state is not None:
        return outcome.state
    if outcome.response is not None:  # some servers leave the status out
        return State.FAILED if outcome.fault else State.COMPLETED
    return cut_state(ending, answer)


def cut_state(ending: Ending, answer: Answer | None) -> State:
    """Return what became of an exchange whose answer does not say."""
    refused = answer is not None and _is_refusal(answer)
    return State.REFUSED if refused or ending.ended_by is EndedBy.PROXY else State.INTERRUPTED


def classify_unreadable(
    reason: str, body: bytes, answer: Answer, ending: Ending
) -> ClassifiedResponse:
    """Return what an answer comes to that can't be read: a refusal, one that was cut, or odd."""
    if _is_refusal(answer):
        fault = _plain_fault(body) or _redirect(answer)
        return ClassifiedResponse(Outcome(fault=fault), State.REFUSED, body)
    if ending.ended_by not in (EndedBy.BODY, EndedBy.TERMINAL_EVENT):
        return ClassifiedResponse(Outcome(), cut_state(ending, answer), body)
    return ClassifiedResponse(Outcome(fault=Fault(UNREADABLE_BODY, reason)), State.UNREADABLE, body)


def with_decode_error(outcome: Outcome, body: bytes, answer: Answer) -> ClassifiedResponse:
    """Return what an answer comes to whose encoding breaks, perhaps behind its terminal event."""
    refused = _is_refusal(answer)
    if outcome.terminal and outcome.state is not None:
        return ClassifiedResponse(outcome, State.REFUSED if refused else outcome.state, body)
    outcome = replace(outcome, fault=outcome.fault or Fault(UNREADABLE_BODY, answer.decode_error))
    return ClassifiedResponse(outcome, State.REFUSED if refused else State.UNREADABLE, body)


def _is_refusal(answer: Answer) -> bool:
    """Return whether a status says that no answer came: a redirect (3xx), or an error."""
    return answer.status_code >= 300


def _redirect(answer: Answer) -> Fault | None:
    if answer.status_code >= 400:
        return None
    return Fault("redirect", f"the server redirects (status {answer.status_code})")


def _plain_fault(body: bytes) -> Fault | None:
    text = json_text.storable(body[:_READ_BYTES].decode(errors="replace")).strip()
    return Fault(None, text) if text else None
