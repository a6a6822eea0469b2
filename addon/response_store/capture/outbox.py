"""The queue of an exchange's frames, to the journal or, where they may hold secrets, to the
ingester.

Frames of one exchange keep their order. Bodies of megabytes are decoded and searched by a worker
thread, so that the event loop is never held up by them; later frames of the same exchange wait,
those of others do not. All methods are called on the event loop's thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from response_store.journal.frames import FrameKind
from response_store.journal.receipts import Receipt

if TYPE_CHECKING:
    import asyncio

    from response_store.diagnostics import Counters, ErrorReporter
    from response_store.journal.writer import JournalWriter

LARGE = 1 << 18
"""Bytes above which a frame leaves the event loop."""
MAX_DEFERRED = 1_000
"""Frames with secrets that wait in memory until the journal takes those before them."""
LARGE_ENCODED = 1 << 16
"""Bytes above which an encoded body does: nobody knows how much it becomes."""


class OutgoingFrame(NamedTuple):
    """One frame on its way. `private`: it may hold secrets, so it may not touch the disk."""

    kind: FrameKind
    key: int
    head: bytes
    parts: Sequence[bytes | memoryview]
    private: bool


class AckDependency(Enum):
    """What an acknowledgement depends on. A slow one says nothing of the others."""

    JOURNAL = auto()
    INGESTER = auto()
    LARGE = auto()  # a worker thread makes the frame, or writes it


_PAUSE = 0.001  # seconds between looks: there is nobody to be woken by
Job = Callable[[], "OutgoingFrame | None"]
"""Makes a frame, or None where there is nothing to write. Runs in any thread, one at a time."""


@dataclass(slots=True)
class Chain:
    """The frames of one exchange that wait for a large one before them."""

    waiting: deque[tuple[Job, bool, Receipt]] = field(default_factory=deque)


class IngesterLink(Protocol):
    """The way to the ingester that frames with secrets take."""

    def send(
        self, seq: int, kind: int, key: int, head: bytes, parts: Sequence[bytes | memoryview]
    ) -> Receipt: ...

    def holds(self, seq: int | None) -> bool: ...

    def wake(self) -> None: ...

    def pump(self, seconds: float, until: Callable[[], bool]) -> bool: ...


class Outbox:
    """Sends frames, in order, and says when they are acknowledged."""

    def __init__(
        self,
        writer: JournalWriter,
        ingester: IngesterLink,
        *,
        loop: asyncio.AbstractEventLoop,
        errors: ErrorReporter,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self._deferred: deque[tuple[OutgoingFrame, Receipt]] = deque()
        self._writer = writer
        self._ingester = ingester
        self._loop = loop
        self._errors = errors
        self._jobs: SimpleQueue[tuple[Chain, Job, Receipt] | None] = SimpleQueue()
        self._prepared: SimpleQueue[tuple[Chain, OutgoingFrame | None, Receipt]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._at_work = 0
        self._sent_as: dict[Receipt, Receipt] = {}  # unsettled: what was promised, what was sent

    def send(self, frame: OutgoingFrame) -> Receipt:
        """Send a frame at once."""
        kind, key, head, parts, private = frame
        if private:
            return self._send_private(frame)
        receipt = self._writer.append(kind, key, head, parts)
        self._ingester.wake()
        if not receipt.is_settled:
            is_in_memory = receipt.seq is None or receipt.seq in self._writer.outstanding
            if is_in_memory:  # the ingester has to look again once it is in a file
                receipt.add_done_callback(lambda _: self._ingester.wake())
        return receipt

    def send_deferred(self) -> None:
        """Send what stood behind frames that the journal did not take, now that it has."""
        while self._deferred and not self._writer.waiting:
            frame, receipt = self._deferred.popleft()
            self._settle_as(receipt, self._send_at_once(frame))

    def _send_private(self, frame: OutgoingFrame) -> Receipt:
        """Send a frame to the ingester, behind those before it that wait for the journal."""
        self.send_deferred()
        if not (self._deferred or self._writer.waiting):
            return self._send_at_once(frame)
        receipt = Receipt()
        if len(self._deferred) >= MAX_DEFERRED:
            self._counters.add("dropped.queue_full")
            receipt.lost = True
        else:
            self._deferred.append((frame, receipt))
        return receipt

    def _send_at_once(self, frame: OutgoingFrame) -> Receipt:
        kind, key, head, parts, _ = frame
        return self._ingester.send(self._writer.next_seq(), kind, key, head, parts)

    def put(self, chain: Chain, job: Job, *, large: bool) -> Receipt:
        """Have a frame made and sent, behind all that waits in its chain."""
        receipt = Receipt()
        chain.waiting.append((job, large, receipt))
        if len(chain.waiting) == 1:
            self._go_on(chain)
        return receipt

    def wait(self, receipts: Sequence[Receipt], seconds: float) -> bool:
        """Block until all are acknowledged, at most `seconds`; return whether they are."""
        deadline = time.monotonic() + seconds
        while True:
            self._take_prepared()
            pending = [sent for receipt in receipts if not (sent := self._sent(receipt)).is_settled]
            left = deadline - time.monotonic()
            if not pending or left <= 0:
                return not pending
            self._wait_for_some(pending, left)

    def find_dependency(self, receipt: Receipt) -> AckDependency:
        """Return what a receipt that is not settled waits for."""
        seq = receipt.seq
        if seq is None or seq in self._writer.outstanding:
            return AckDependency.LARGE
        return AckDependency.INGESTER if self._ingester.holds(seq) else AckDependency.JOURNAL

    @property
    def at_work(self) -> int:
        """Return how many large frames are being made."""
        return self._at_work

    def close(self, seconds: float) -> None:
        """Send all that waits, within `seconds`, and end the worker thread. Idempotent."""
        deadline = time.monotonic() + seconds
        while self._at_work and (left := deadline - time.monotonic()) > 0:
            self._take_next(left)
        if self._thread is not None:
            self._thread = None
            self._jobs.put(None)

    def _wait_for_some(self, pending: Sequence[Receipt], left: float) -> None:
        """Block for the first of what is pending: the worker, the ingester or the disk."""
        in_memory = any(receipt.seq is None for receipt in pending)
        remote = [receipt for receipt in pending if self._ingester.holds(receipt.seq)]
        if in_memory and self._at_work:
            self._take_next(left)
        elif remote:
            if not self._ingester.pump(left, lambda: all(one.is_settled for one in remote)):
                time.sleep(max(0.0, min(left, _PAUSE)))
        elif in_memory:  # for room in the journal: this thread alone can write it
            time.sleep(min(left, _PAUSE))
        else:
            self._writer.wait(pending, left)

    def _sent(self, receipt: Receipt) -> Receipt:
        """Return the receipt of the frame that was sent, where another one was promised before.

        That one may be settled while the callbacks that settle the promised one cannot run.
        """
        sent = self._sent_as.get(receipt, receipt)
        if sent is not receipt and sent.is_settled:
            self._follow(receipt, sent)
        return sent

    def _go_on(self, chain: Chain) -> None:
        """Send what stands first in a chain, until one is large or none is left."""
        while chain.waiting:
            job, large, receipt = chain.waiting[0]
            if large:
                self._prepare(chain, job, receipt)
                return
            self._send_first(chain, self._errors.guard("frame", job), receipt)

    def _prepare(self, chain: Chain, job: Job, receipt: Receipt) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="response-store-large", daemon=True
            )
            self._thread.start()
        self._at_work += 1
        self._jobs.put((chain, job, receipt))

    def _work(self) -> None:
        while (queued := self._jobs.get()) is not None:
            chain, job, receipt = queued
            self._prepared.put((chain, self._errors.guard("frame", job), receipt))
            del queued, job
            try:
                self._loop.call_soon_threadsafe(self._take_prepared)
            except RuntimeError:  # the loop has ended; `close` takes what is left
                continue

    def _take_prepared(self) -> None:
        while True:
            try:
                prepared = self._prepared.get_nowait()
            except Empty:
                return
            self._take(*prepared)

    def _take_next(self, seconds: float) -> None:
        with contextlib.suppress(Empty):
            self._take(*self._prepared.get(timeout=seconds))

    def _take(self, chain: Chain, frame: OutgoingFrame | None, receipt: Receipt) -> None:
        self._at_work -= 1
        self._send_first(chain, frame, receipt)
        self._go_on(chain)

    def _send_first(self, chain: Chain, frame: OutgoingFrame | None, receipt: Receipt) -> None:
        """Send the frame that stands first in a chain, now that it is made."""
        chain.waiting.popleft()
        sent = self._errors.guard("frame", self.send, frame) if frame is not None else None
        if sent is None:  # nothing was to be written, or what went wrong is counted
            sent = Receipt(done=True)
        self._settle_as(receipt, sent)

    def _settle_as(self, receipt: Receipt, sent: Receipt) -> None:
        """Settle a receipt as soon as the one of the frame that it stands for is."""
        receipt.seq = sent.seq
        if sent.is_settled:
            self._follow(receipt, sent)
        else:
            self._sent_as[receipt] = sent
            sent.add_done_callback(lambda original: self._follow(receipt, original))

    def _follow(self, receipt: Receipt, sent: Receipt) -> None:
        """Settle a receipt as the one of the frame that it stands for."""
        self._sent_as.pop(receipt, None)
        if not receipt.is_settled:
            receipt.seq, receipt.done, receipt.lost = sent.seq, sent.done, sent.lost
            receipt.call_back()
