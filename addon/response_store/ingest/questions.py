"""Reads that the proxy asks for: each is answered once, by the worker or by its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from response_store.diagnostics import ErrorReporter
from response_store.errors import StoreError
from response_store.ingest.channel import FAILED, LATE, UNKNOWN, Question, ReplyMessage

AnswerFunction: TypeAlias = Callable[[bytes], tuple[str, bytes]]
"""Answers the arguments of a question: a status and a body."""


class Answers(Protocol):
    """What answers each kind of question. For one thread; opens nothing before it is asked."""

    @property
    def by_kind(self) -> Mapping[str, AnswerFunction]:
        """Return the function that answers each kind of question."""

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed. Idempotent."""


@dataclass(frozen=True, slots=True)
class _Pending:
    question: Question
    deadline: float


class Questions:
    """What was asked and is not answered. `reply` sends an answer, from any thread."""

    def __init__(
        self,
        reply: Callable[[ReplyMessage, bytes], None],
        errors: ErrorReporter,
        clock: Callable[[], float],
    ) -> None:
        self._reply = reply
        self._errors = errors
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def ask(self, question: Question) -> None:
        """Take a question. Its deadline counts from now."""
        with self._lock:
            deadline = self._clock() + question.seconds
            self._pending[question.id] = _Pending(question, deadline)

    def next_deadline(self) -> float | None:
        """Return when the next deadline passes, by the clock; None where nothing waits."""
        with self._lock:
            return min((one.deadline for one in self._pending.values()), default=None)

    def expire(self) -> None:
        """Reply to what is late, also to what the worker is at."""
        if not self._pending:
            return
        now = self._clock()
        with self._lock:
            late = [number for number, one in self._pending.items() if one.deadline <= now]
        for number in late:
            self._send(number, LATE, b"")

    def has_ready(self, committed: int) -> bool:
        """Return whether a question can be answered once the frame `committed` is."""
        return bool(self._pending and self._ready(committed))

    def answer_ready(self, answers: Answers, committed: int) -> None:
        """Answer what can be answered. In the worker's thread."""
        for question in self._ready(committed) if self._pending else ():
            if question.id in self._pending:  # its deadline may have passed meanwhile
                self._send(question.id, *self._read(answers, question))

    def _ready(self, committed: int) -> list[Question]:
        with self._lock:
            waiting = [one.question for one in self._pending.values()]
        return [question for question in waiting if question.after <= committed]

    def _read(self, answers: Answers, question: Question) -> tuple[str, bytes]:
        answer = answers.by_kind.get(question.kind)
        if answer is None:
            return UNKNOWN, b""
        try:
            return answer(question.arguments)
        except StoreError as error:
            return FAILED, str(error).encode()
        except Exception as error:  # noqa: BLE001 - the proxy must not wait in vain
            self._errors.report("question", error)
            return FAILED, type(error).__name__.encode()

    def _send(self, number: int, status: str, body: bytes) -> None:
        with self._lock:
            pending = self._pending.pop(number, None)
        if pending is not None:
            self._reply(ReplyMessage(number, status), body)
