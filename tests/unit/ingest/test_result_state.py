"""What an answer comes to: by its status, by what it says, by how it ended."""

from __future__ import annotations

import pytest

from response_store.ingest.draft import AnswerDraft, Ending
from response_store.ingest.result_state import (
    UNREADABLE_BODY,
    classify,
    classify_unreadable,
    determine_cut_state,
    determine_state,
    with_decode_error,
)
from response_store.model.records import EndedBy, State, Transport
from response_store.openai_api.outcome import ApiError, ParsedResponse

NOTHING = ParsedResponse()
OBJECT = ParsedResponse(response=b"{}")


def answer(status: int = 200, decode_error: str | None = None) -> AnswerDraft:
    return AnswerDraft(Transport.HTTP, status, None, None, decode_error=decode_error)


def ending(by: EndedBy = EndedBy.BODY) -> Ending:
    return Ending(by, 1.0)


@pytest.mark.parametrize(
    ("outcome", "status", "by", "state"),
    [
        (ParsedResponse(state=State.QUEUED), 200, EndedBy.BODY, State.QUEUED),
        (ParsedResponse(state=State.COMPLETED), 200, EndedBy.CLIENT, State.COMPLETED),
        (ParsedResponse(state=State.COMPLETED), 302, EndedBy.BODY, State.REFUSED),
        (ParsedResponse(state=State.COMPLETED), 500, EndedBy.BODY, State.REFUSED),
        (OBJECT, 200, EndedBy.BODY, State.COMPLETED),
        (ParsedResponse(response=b"{}", error=ApiError("x", "y")), 200, EndedBy.BODY, State.FAILED),
        (NOTHING, 200, EndedBy.BODY, State.INTERRUPTED),
        (NOTHING, 200, EndedBy.UPSTREAM, State.INTERRUPTED),
        (NOTHING, 200, EndedBy.PROXY, State.REFUSED),
    ],
)
def test_state(outcome: ParsedResponse, status: int, by: EndedBy, state: State) -> None:
    """A status that is none of success comes first, then what the answer says, then its end."""
    assert determine_state(outcome, answer(status), ending(by)) is state


@pytest.mark.parametrize(
    ("by", "status", "state"),
    [
        (EndedBy.CLIENT, None, State.INTERRUPTED),
        (EndedBy.PROXY, None, State.REFUSED),
        (EndedBy.CLIENT, 404, State.REFUSED),
    ],
)
def test_state_of_what_was_cut(by: EndedBy, status: int | None, state: State) -> None:
    """Also where no answer came at all."""
    head = None if status is None else answer(status)
    assert determine_cut_state(ending(by), head) is state


@pytest.mark.parametrize(
    ("state", "by", "expected"),
    [
        (State.COMPLETED, EndedBy.BODY, State.UNREADABLE),
        (None, EndedBy.BODY, State.UNREADABLE),
        (None, EndedBy.UPSTREAM, State.INTERRUPTED),
        (State.FAILED, EndedBy.BODY, State.FAILED),
    ],
)
def test_a_parse_error(state: State | None, by: EndedBy, expected: State) -> None:
    """It makes unreadable what would be whole; what ended badly keeps its state."""
    outcome = ParsedResponse(state=state, response=b"{}" if state else None, parse_error="odd")
    classified = classify(outcome, b"body", answer(), ending(by))
    assert (classified.state, classified.body) == (expected, b"body")
    if expected is State.UNREADABLE:
        assert classified.outcome.error == ApiError(UNREADABLE_BODY, "odd")
        assert classified.outcome.response is None
        assert classified.outcome.partial == outcome.response


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b" Bad \x00gateway ", ApiError(None, "Bad \ufffdgateway")),
        (302, b"", ApiError("redirect", "the server redirects (status 302)")),
        (503, b" ", None),
    ],
)
def test_a_refusal_in_plain_words(status: int, body: bytes, error: ApiError | None) -> None:
    """The words of a page of an error are the exchange's error, read or not."""
    classified = classify(NOTHING, body, answer(status), ending())
    assert (classified.state, classified.outcome.error) == (State.REFUSED, error)
    unreadable = classify_unreadable("odd", body, answer(status), ending())
    assert (unreadable.state, unreadable.outcome.error) == (State.REFUSED, error)


@pytest.mark.parametrize(
    ("by", "state", "error"),
    [
        (EndedBy.BODY, State.UNREADABLE, ApiError(UNREADABLE_BODY, "odd")),
        (EndedBy.TERMINAL_EVENT, State.UNREADABLE, ApiError(UNREADABLE_BODY, "odd")),
        (EndedBy.CLIENT, State.INTERRUPTED, None),
    ],
)
def test_what_cannot_be_read(by: EndedBy, state: State, error: ApiError | None) -> None:
    """It is odd where it came whole, and cut where it did not; its bytes stay either way."""
    classified = classify_unreadable("odd", b"?", answer(), ending(by))
    assert (classified.state, classified.outcome.error) == (state, error)
    assert classified.body == b"?"


def test_an_encoding_that_breaks() -> None:
    """What breaks behind a terminal event changes nothing, what breaks before it does."""
    whole = ParsedResponse(state=State.COMPLETED, terminal=True)
    assert with_decode_error(whole, b"", answer(decode_error="gzip")).state is State.COMPLETED
    cut = ParsedResponse(state=State.COMPLETED)
    assert with_decode_error(cut, b"", answer(decode_error="gzip")).state is State.UNREADABLE
    broken = with_decode_error(NOTHING, b"?", answer(decode_error="gzip"))
    assert broken.state is State.UNREADABLE
    assert broken.outcome.error == ApiError(UNREADABLE_BODY, "gzip")
    assert with_decode_error(NOTHING, b"", answer(500, "gzip")).state is State.REFUSED
