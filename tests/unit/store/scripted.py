"""A store that does what a test tells it to, and the writer in front of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from response_store.counts import Counts
from response_store.errors import PassingStoreError, RowRefusedError
from response_store.faults import Faults
from response_store.store.backoff import Backoff
from response_store.store.records import Change, Deletion
from response_store.store.ticket import Ticket
from response_store.store.writer import Writer
from tests.harness.records import record

LOCKED = PassingStoreError("locked")
PATIENT = 10.0  # seconds: what a test waits for comes much sooner
NEVER = 1000.0  # seconds: a pause that no test sees the end of


@dataclass(frozen=True)
class Payload:
    """What a test submits: a name, which becomes the exchange's id."""

    name: str
    size: int = 1


class ScriptedStore:
    """Keeps names in a list, those of deletions with a minus sign.

    `script` and `openings` hold what the next calls raise, or None.
    """

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.attempts = 0
        self.script: deque[BaseException | None] = deque()
        self.openings: deque[BaseException | None] = deque()
        self.down: BaseException | None = None  # raised as long as it is set
        self.refused: set[str] = set()
        self.deaf = False  # whether an interruption goes unheard
        self.closed = 0
        self.opened = False
        self.after = 0
        self.at_work = threading.Event()  # a write has begun
        self.may_go_on = threading.Event()  # cleared: a write hangs
        self.may_go_on.set()
        self._interrupted = False

    @property
    def names(self) -> list[str]:
        """All that was committed, in order."""
        return [name for batch in self.batches for name in batch]

    def open(self) -> None:
        if self.opened:
            return
        if self.openings and (error := self.openings.popleft()) is not None:
            raise error
        self.opened = True

    def write(self, changes: Sequence[Change]) -> None:
        self.attempts += 1
        self.at_work.set()
        assert self.may_go_on.wait(PATIENT)
        if self._interrupted:
            raise PassingStoreError("interrupted")
        if self.down is not None:
            raise self.down
        if self.script and (error := self.script.popleft()) is not None:
            raise error
        names = [name_of(one) for one in changes]
        if self.refused.intersection(names):
            raise RowRefusedError("a row breaks a rule")
        self.batches.append(names)

    def after_acknowledge(self) -> None:
        self.after += 1

    def interrupt(self) -> None:
        if not self.deaf:
            self._interrupted = True
            self.may_go_on.set()

    def close(self) -> None:
        self.closed += 1

    def describe(self) -> str:
        return "a script"

    def hang(self) -> None:
        """Let the next write hang."""
        self.at_work.clear()
        self.may_go_on.clear()


def name_of(change: Change) -> str:
    """What a scripted store calls a change."""
    return f"-{change.id}" if isinstance(change, Deletion) else change.exchange.exchange_id


class Bench:
    """A writer before a scripted store, with all that can be seen of it."""

    def __init__(self, *, pause: float = 0.0, build: Callable[[Payload], Any] | None = None,
                 on_settled: Callable[[list[Ticket[Payload]]], None] | None = None, **how: Any
                 ) -> None:  # fmt: skip
        self.store = ScriptedStore()
        self.counts = Counts()
        self.settled: list[list[Ticket[Payload]]] = []
        self.writer: Writer[Payload] = Writer(
            self.store,
            build or (lambda payload: record(payload.name)),
            counts=self.counts,
            faults=Faults(self.counts),
            on_settled=on_settled or self.settled.append,
            backoff=Backoff(first=pause, cap=pause, jitter=0.0),
            **how,
        )

    def start(self) -> Bench:
        """Start, and wait until the first attempt to open has ended."""
        self.writer.start()
        assert self.writer.health.wait_opened(PATIENT)
        return self

    def submit(self, *names: str, sync: bool = False) -> list[Ticket[Payload]]:
        return [self.writer.submit(Payload(name), sync=sync) for name in names]

    def hang(self, name: str = "first") -> list[Ticket[Payload]]:
        """Let the store hang in a write, so that what is submitted next gathers."""
        self.store.hang()
        tickets = self.submit(name)
        assert self.store.at_work.wait(PATIENT)
        return tickets

    def go_on(self) -> None:
        """End the hanging, and wait until all is settled."""
        self.store.may_go_on.set()
        assert self.writer.drain(PATIENT)

    def close(self, seconds: float = PATIENT) -> Any:
        return self.writer.close(seconds)


def thread_of(writer: Writer[Any]) -> threading.Thread:
    assert writer._thread is not None
    return writer._thread
