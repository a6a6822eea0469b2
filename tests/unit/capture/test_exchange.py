"""An exchange ends once, with whichever end comes first."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.capture.draft import Request
from response_store.capture.exchange import Exchange
from response_store.capture.facts import AnswerHead
from response_store.capture.memory import Budget
from response_store.store.records import Api, EndedBy, Transport

START = 1000.0
TERMINAL = b'data: {"type":"response.completed","response":{}}\n\n'
STREAM = AnswerHead(200, "Text/Event-Stream; charset=utf-8", "", "req_1")
JSON = AnswerHead(200, "application/json", "gzip", "req_1")


class Timer:
    cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def exchange(limit: int = 1000, budget: Budget | None = None) -> Exchange:
    request = Request(
        exchange_id="e",
        tenant_id="t",
        api=Api.RESPONSES,
        method="POST",
        scheme="https",
        host="h",
        path="/v1/responses",
        user_agent=None,
        content_encoding="",
        body=b"{}",
        started_at=START,
    )
    return Exchange(request, True, limit, budget or Budget(10_000))


def streamed(**how: Any) -> Exchange:
    made = exchange(**how)
    made.answered(STREAM)
    made.start_stream(STREAM)
    return made


def test_terminal_event_ends() -> None:
    """The chunk that completes the terminal event ends the exchange, with all that came."""
    live = streamed()
    live.timer = Timer()
    assert live.feed(b": hello\n\n", START + 0.1) is None
    assert live.feed(b"data: {}\n\n", START + 0.25) is None
    draft = live.feed(TERMINAL, START + 1.5)
    assert draft is not None
    assert draft.ending is not None
    assert (draft.ending.ended_by, draft.ending.duration_ms) == (EndedBy.TERMINAL_EVENT, 1500)
    assert draft.ending.first_event_ms == 250
    answer = draft.ending.answer
    assert answer is not None
    assert answer.body == (b": hello\n\n", b"data: {}\n\n", TERMINAL)
    assert (answer.transport, answer.upstream_request_id) == (Transport.SSE, "req_1")
    assert answer.terminal is not None
    assert draft.size == len(b"{}") + answer.size
    assert live.timer.cancelled == 1


ENDS = [EndedBy.BODY, EndedBy.CLIENT, EndedBy.UPSTREAM, EndedBy.PROXY_STOPPED]


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_first_end_wins(first: EndedBy, second: EndedBy) -> None:
    """Of two ends the first one counts, and a terminal event after it changes nothing."""
    live = streamed()
    draft = live.end(first, START + 1)
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.ended_by is first
    assert live.end(second, START + 2) is None
    assert live.feed(TERMINAL, START + 3) is None
    assert live.ended


def test_end_after_terminal_event() -> None:
    """After the terminal event no other end counts."""
    live = streamed()
    assert live.feed(TERMINAL, START) is not None
    assert live.end(EndedBy.CLIENT, START + 1) is None


def test_amended() -> None:
    """What came after the terminal event is handed over once, if anything did."""
    live = streamed()
    assert live.amended(START) is None
    live.feed(TERMINAL, START + 1)
    assert live.amended(START + 2) is None
    live.feed(b"data: [DONE]\n\n", START + 2)
    draft = live.amended(START + 3)
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.answer is not None
    assert draft.ending.answer.body == (TERMINAL, b"data: [DONE]\n\n")
    assert draft.ending.ended_by is EndedBy.TERMINAL_EVENT
    assert live.amended(START + 3) is None


def test_not_amended() -> None:
    """A stream that was cut, or grew too large, is not handed over again."""
    live = streamed()
    live.end(EndedBy.CLIENT, START)
    live.feed(b"data: x\n\n", START)
    assert live.amended(START) is None
    large = streamed(limit=len(TERMINAL))
    assert large.feed(TERMINAL, START) is not None
    large.feed(b"x", START)
    assert large.amended(START) is None


def test_json() -> None:
    """A whole body comes with the end."""
    live = exchange()
    live.answered(JSON)
    draft = live.end(EndedBy.BODY, START - 5, b"body")
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.duration_ms == 0  # a clock may go back
    assert draft.ending.first_event_ms is None
    answer = draft.ending.answer
    assert answer is not None
    assert (answer.body, answer.transport, answer.too_large) == ((b"body",), Transport.HTTP, False)
    assert (answer.status_code, answer.content_encoding, answer.size) == (200, "gzip", 4)


def test_without_an_answer() -> None:
    """An exchange may end before its answer begins, or before its body does."""
    draft = exchange().end(EndedBy.UPSTREAM, START)
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.answer is None
    live = exchange()
    live.answered(JSON)
    draft = live.end(EndedBy.CLIENT, START)
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.answer is not None
    assert draft.ending.answer.body is None


def test_too_large() -> None:
    """A body beyond the limit is not handed over."""
    live = exchange(limit=3)
    live.answered(JSON)
    draft = live.end(EndedBy.BODY, START, b"body")
    assert draft is not None
    assert draft.ending is not None
    assert draft.ending.answer is not None
    assert (draft.ending.answer.too_large, draft.ending.answer.body) == (True, None)
    assert draft.size == 2


def test_regular_end() -> None:
    """An answer of this proxy ends by the proxy."""
    live = exchange()
    assert live.regular_end is EndedBy.BODY
    live.rejected = True
    assert live.regular_end is EndedBy.PROXY


def test_feed_without_stream() -> None:
    """A chunk of a body that is not watched changes nothing."""
    assert exchange().feed(TERMINAL, START) is None


def test_memory() -> None:
    """The memory of a stream is free once it is released."""
    budget = Budget(10_000)
    live = streamed(budget=budget)
    live.feed(b"data: x", START)
    assert budget.held == 7
    assert live.stream is not None
    live.stream.release()
    assert budget.held == 0


def test_budget() -> None:
    """What does not fit is not taken."""
    budget = Budget(10)
    assert budget.take(10)
    assert not budget.take(1)
    assert budget.held == 10
    budget.give_back(4)
    assert budget.take(4)
    assert not budget.take(1)
    assert budget.take(-10)
    assert budget.held == 0
