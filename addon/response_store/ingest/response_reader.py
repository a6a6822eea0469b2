"""What came back, read: its body decoded and masked, what it says, and how it went.

Nothing here raises for what an answer holds: what can't be read is a reading that says so.
"""

from __future__ import annotations

from response_store import json_text
from response_store.capture.draft import Answer, Ending, Request
from response_store.config import CaptureConfig, RawBodies
from response_store.ingest.request_reader import ReadRequest
from response_store.ingest.result_state import (
    WELL,
    Reading,
    cut_state,
    judged,
    state_of,
    undecodable,
    unreadable,
)
from response_store.ingest.resumed_streams import Heads
from response_store.openai_api.answer_body import read_answer, read_part, without_echoes
from response_store.openai_api.chat_completion import DONE
from response_store.openai_api.content_encoding import EncodingError, TooLargeError, decode
from response_store.openai_api.outcome import Outcome
from response_store.openai_api.response_events import read_terminal
from response_store.openai_api.sse import Event
from response_store.redaction.credentials import mask, mask_echoes
from response_store.store.records import State


def keeps_raw(capture: CaptureConfig, state: State) -> bool:
    """Whether the bytes of an answer that went so are kept."""
    kept = capture.raw_bodies
    return kept is RawBodies.ALWAYS or (kept is RawBodies.ON_ERROR and state not in WELL)


class AnswerReader:
    """Reads answers. Not thread-safe: it remembers streams that broke off."""

    def __init__(self, capture: CaptureConfig, *, keeps_undecodable: bool = True) -> None:
        self._capture = capture
        self._keeps_undecodable = keeps_undecodable  # where not: nobody could redact it
        self._heads = Heads()

    def read(self, facts: Request, ending: Ending, request: ReadRequest) -> Reading:
        """Read what an exchange ended with."""
        api, answer = facts.api, ending.answer
        if answer is None:
            return Reading(Outcome(), cut_state(ending, None))
        terminal = self._terminal(answer, request)
        if terminal is not None:
            state = state_of(terminal, answer, ending)
            if not keeps_raw(self._capture, state):
                return Reading(terminal, state)
        if answer.too_large or answer.body is None:
            state = State.TOO_LARGE if answer.too_large else cut_state(ending, answer)
            return Reading(terminal or Outcome(), state)
        try:
            body = decode(answer.body, answer.content_encoding, self._capture.max_body_bytes)
        except TooLargeError:
            return Reading(terminal or Outcome(), State.TOO_LARGE)
        except EncodingError as error:
            part = self._scrub(error.decoded, request)
            outcome = terminal or without_echoes(read_part(api, answer, part), request.secrets)
            if self._keeps_undecodable:
                part = self._scrub(b"".join(answer.body), request)
            return undecodable(outcome, str(error), part, answer)
        body = self._scrub(body, request)
        stream = self._heads.before(facts, answer, body)
        try:
            outcome = terminal or without_echoes(read_answer(api, answer, stream), request.secrets)
        except json_text.UnreadableError as error:
            return unreadable(str(error), body, answer, ending)
        reading = judged(outcome, body, answer, ending)
        self._heads.note(facts, reading, stream)
        return reading

    def _terminal(self, answer: Answer, request: ReadRequest) -> Outcome | None:
        """Read the terminal event alone, where it says everything."""
        if answer.terminal is None or answer.terminal.data == DONE:
            return None
        data, flaw = json_text.repaired(self._scrub(answer.terminal.data, request))
        if flaw is not None:
            return None
        return read_terminal(Event(answer.terminal.name, data))

    def _scrub(self, body: bytes, request: ReadRequest) -> bytes:
        return mask_echoes(mask(body).body, request.secrets)
