"""The borders of capturing, as tests see them: a journal and an ingester that record what they get.

Time stands still until a test moves it, and callbacks run when it says so.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from response_store.capture.draft import (
    AnswerHead,
    DeletionHead,
    EndHead,
    PartHead,
    RequestHead,
)
from response_store.journal.frames import MAX_HEAD_BYTES, FrameKind
from response_store.journal.receipts import Receipt, Receipts

HEADS: dict[FrameKind, type[msgspec.Struct]] = {
    FrameKind.OPEN: RequestHead,
    FrameKind.PART: PartHead,
    FrameKind.END: EndHead,
    FrameKind.DELETION: DeletionHead,
}


class Sent(NamedTuple):
    """A frame that has reached a border. `private`: it went to the ingester, in memory."""

    seq: int
    kind: FrameKind
    key: int
    packed: bytes
    body: bytes
    private: bool

    @property
    def head(self) -> Any:
        """Return the head as a struct; None where the frame has none."""
        return msgspec.msgpack.decode(self.packed, type=HEADS[self.kind]) if self.packed else None

    @property
    def request_body(self) -> bytes:
        """Return the request in the body of an OPEN or END frame."""
        return self.body if self.kind is FrameKind.OPEN else self.body[: self.head.request_size]

    @property
    def answer_body(self) -> bytes:
        """Return what the frame has of the answer, decoded."""
        if self.kind is FrameKind.PART:
            return self.body
        head = self.head
        return self.body[head.request_size : len(self.body) - head.raw_size]

    @property
    def raw(self) -> bytes:
        """Return what the frame has of the answer as it came."""
        return self.body[len(self.body) - self.head.raw_size :]


class FakeLoop:
    """An event loop whose clock a test moves. Only `call_soon_threadsafe` is for other threads."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._soon: deque[Callable[[], object]] = deque()
        self._number = 0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[..., object], *args: Any) -> Timer:
        self._number += 1
        timer = Timer(lambda: function(*args))
        heapq.heappush(self._timers, (self.now + seconds, self._number, timer))
        return timer

    def call_soon_threadsafe(self, function: Callable[[], object]) -> None:
        self._soon.append(function)

    def run_soon(self) -> None:
        """Run what other threads have asked for."""
        while self._soon:
            self._soon.popleft()()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and run what becomes due on the way, at its time."""
        end = self.now + seconds
        self.run_soon()
        while self._timers and self._timers[0][0] <= end + 1e-9:
            self.now, _, timer = heapq.heappop(self._timers)
            timer.run()
            self.run_soon()
        self.now = end

    def run_until(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        """Run what a worker thread asks for until a condition holds."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.0005)
            self.run_soon()

    @property
    def timers(self) -> int:
        """Return how many timers run."""
        return sum(not timer.cancelled for _, _, timer in self._timers)


@dataclass
class Timer:
    """A callback that waits for its time."""

    function: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        if not self.cancelled:
            self.function()


@dataclass
class RecordingJournal:
    """Stands for the journal's writer. With `settles` every frame is acknowledged at once."""

    loop: FakeLoop
    frames: list[Sent] = field(default_factory=list)
    settles: bool = True
    last_seq: int = 0
    waiting: int = 0
    outstanding: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    pending: list[Receipt] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receipts = Receipts(self.loop.call_soon_threadsafe)

    def next_seq(self) -> int:
        self.last_seq += 1
        return self.last_seq

    def append(self, kind: int, key: int, head: bytes, parts: Sequence[Any] = ()) -> Receipt:
        if len(head) > MAX_HEAD_BYTES:
            raise ValueError("the head is too large")
        self.threads.add(threading.get_ident())
        seq = self.next_seq()
        self.frames.append(Sent(seq, FrameKind(kind), key, head, b"".join(parts), private=False))
        receipt = Receipt(seq, self.settles)
        if not self.settles:
            self.pending.append(receipt)
        return receipt

    def settle(self, receipts: Iterable[Receipt] | None = None, *, lost: bool = False) -> None:
        """Acknowledge what was appended; by any thread."""
        settled = list(self.pending if receipts is None else receipts)
        self.pending = [one for one in self.pending if one not in settled]
        self.receipts.settle(settled, lost=lost)

    def wait(self, receipts: Iterable[Receipt], seconds: float) -> bool:
        self.waits.append(seconds)
        return self.receipts.wait(receipts, seconds)


@dataclass
class RecordingIngester:
    """Stands for the supervisor. With `accepts` every frame is accepted as soon as one waits."""

    frames: list[Sent] = field(default_factory=list)
    accepts: bool = True
    is_there: bool = True
    wakes: int = 0
    pumps: int = 0
    held: dict[int, Receipt] = field(default_factory=dict)

    def send(self, seq: int, kind: int, key: int, head: bytes, parts: Sequence[Any]) -> Receipt:
        self.frames.append(Sent(seq, FrameKind(kind), key, head, b"".join(parts), private=True))
        receipt = self.held[seq] = Receipt(seq)
        return receipt

    def holds(self, seq: int | None) -> bool:
        return seq in self.held

    def wake(self) -> None:
        self.wakes += 1

    def pump(self, seconds: float, until: Callable[[], bool]) -> bool:
        self.pumps += 1
        if not self.is_there:
            return False
        if self.accepts:
            self.accept()
        elif not until():
            time.sleep(seconds)
        return until()

    def accept(self) -> None:
        """Accept all that is held."""
        held, self.held = self.held, {}
        for receipt in held.values():
            receipt.done = True
            receipt.call_back()


def answer_head(**changes: Any) -> AnswerHead:
    """Return the head of a streamed answer."""
    usual: dict[str, Any] = {
        "transport": "sse",
        "status_code": 200,
        "content_type": "text/event-stream",
        "content_encoding": "",
        "upstream_request_id": "req_1",
    }
    return AnswerHead(**usual | changes)


def json_head(**changes: Any) -> AnswerHead:
    """Return the head of an answer that comes in one piece."""
    return answer_head(**{"transport": "http", "content_type": "application/json"} | changes)


def request_head(**changes: Any) -> RequestHead:
    """Return the head of a request."""
    usual: dict[str, Any] = {
        "flow_id": "flow",
        "turn": 0,
        "tenant_id": "t1",
        "api": "responses",
        "method": "POST",
        "scheme": "https",
        "host": "api.example",
        "path": "/v1/responses",
        "user_agent": "tests",
        "content_encoding": "",
        "started_at": 1741476000.25,
    }
    return RequestHead(**usual | changes)
