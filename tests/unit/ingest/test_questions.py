"""Reads: answered once, when what they need is there, or at their deadline."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import TransientStoreError
from response_store.ingest.channel import FAILED, LATE, OK, UNKNOWN, Question
from response_store.ingest.questions import Questions
from response_store.serving.answers import StoredAnswers
from tests.unit.ingest.proxy_side import make_config


class Desk:
    """Questions with a clock that the test sets."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 0.0
        self.replies: list[tuple[int, str, bytes]] = []
        self.counters = Counters()
        self.answers = StoredAnswers(make_config(tmp_path))
        self.questions = Questions(
            lambda reply, body: self.replies.append((reply.id, reply.status, body)),
            ErrorReporter(self.counters),
            lambda: self.now,
        )

    def ask(self, number: int, after: int, kind: str = "ping", body: bytes = b"x") -> None:
        self.questions.ask(Question(number, after, 2.0, kind, body))

    def answer(self, committed: int) -> None:
        self.questions.answer_ready(self.answers, committed)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Nothing was asked yet."""
    return Desk(tmp_path)


def test_a_question_waits_for_its_frame(desk: Desk) -> None:
    """It is answered once the frame that it came behind is committed, and not before."""
    desk.ask(1, after=5)
    desk.answer(4)
    assert desk.replies == []
    assert not desk.questions.has_ready(4)
    assert desk.questions.has_ready(5)
    desk.answer(5)
    desk.answer(6)
    assert desk.replies == [(1, OK, b"x")]


def test_at_its_deadline_a_question_is_late(desk: Desk) -> None:
    """It is answered as late once, even if its frame comes after that."""
    desk.ask(1, after=5)
    assert desk.questions.next_deadline() == 2.0
    desk.now = 1.9
    desk.questions.expire()
    assert desk.replies == []
    desk.now = 2.0
    desk.questions.expire()
    desk.answer(5)
    assert desk.replies == [(1, LATE, b"")]
    assert desk.questions.next_deadline() is None


def test_a_question_that_is_late_while_it_is_answered_has_one_reply(desk: Desk) -> None:
    """Where the worker hangs over a question its deadline counts, and its answer does not."""

    def slow(_: bytes) -> tuple[str, bytes]:
        desk.now = 3.0
        desk.questions.expire()
        return OK, b"too late"

    desk.answers.by_kind["ping"] = slow
    desk.ask(1, after=0)
    desk.ask(2, after=0)
    desk.answer(0)
    assert desk.replies == [(1, LATE, b""), (2, LATE, b"")]


def test_kinds_that_are_not_known(desk: Desk) -> None:
    """Another kind of question is answered too, as one that is not known."""
    desk.ask(1, after=0, kind="what")
    desk.answer(0)
    assert desk.replies == [(1, UNKNOWN, b"")]


def test_an_error_is_an_answer(desk: Desk) -> None:
    """Errors of the database say what they are; others are counted, and say their kind alone."""

    def fail(arguments: bytes) -> tuple[str, bytes]:
        raise TransientStoreError("away") if arguments == b"1" else ZeroDivisionError("secret")

    desk.answers.by_kind["ping"] = fail
    desk.ask(1, after=0, body=b"1")
    desk.ask(2, after=0, body=b"2")
    desk.answer(0)
    assert desk.replies == [(1, FAILED, b"away"), (2, FAILED, b"ZeroDivisionError")]
    assert desk.counters.get("fault.question") == 1
