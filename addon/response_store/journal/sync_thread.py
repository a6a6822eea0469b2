"""Sync main segments for `durability: power`, in a thread: one sync covers all before it.

It also makes the next segment ahead of time, with its folder's entry on the disk, so that nobody
waits for that when the current one is full.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from response_store.diagnostics import Counters
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.errors import JournalProblem, make_unwritable_problem
from response_store.journal.private_files import sync_folder
from response_store.journal.receipts import CallSoon, Receipt, Receipts
from response_store.journal.segments import SegmentFile

_PROBLEM_SECONDS = 5.0  # for which a failed sync counts as a problem, unless one succeeds
OnFailure = Callable[[SegmentFile], None]
_Groups = dict[SegmentFile, list[Receipt]]


class SyncThread:
    """The thread, and its queue. Its methods are for the loop's thread.

    `on_failure` is called in the loop's thread with a segment whose sync failed: the receipts of
    the frames that it was to cover are lost, and counted. With `call_soon`, the loop's, what is
    submitted in one turn of the loop is handed over at its end: the thread is woken once for it.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        receipts: Receipts,
        counters: Counters,
        *,
        on_failure: OnFailure,
        call_soon: CallSoon | None = None,
        sync_segment: Callable[[SegmentFile], None] = SegmentFile.sync,
        sync_entries: Callable[[Path], None] = sync_folder,
    ) -> None:
        self._directory = directory
        self._receipts = receipts
        self._counters = counters
        self._on_failure = on_failure
        self._call_soon = call_soon
        self._submitted: _Groups = {}  # in this turn of the loop
        self._sync_segment = sync_segment
        self._sync_entries = sync_entries
        self._queue: queue.SimpleQueue[tuple[SegmentFile | None, list[Receipt]]]
        self._queue = queue.SimpleQueue()
        self._next_number: int | None = None  # of the segment to be made ahead
        self._last_number = 0
        self._prepared: deque[SegmentFile] = deque()  # one at most
        self._problem: JournalProblem | None = None
        self._problem_until = 0.0
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> JournalProblem | None:
        """Why the last sync failed; None once one succeeds or 5 s have passed."""
        problem = self._problem
        return problem if problem and time.monotonic() < self._problem_until else None

    def submit(self, segment: SegmentFile, receipt: Receipt) -> None:
        """Have what was appended to a segment synced, and the receipt settled then."""
        if not self._submitted and self._call_soon is not None:
            self._call_soon(self.hand_over)
        self._submitted.setdefault(segment, []).append(receipt)
        if self._call_soon is None:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over what was submitted, now: somebody blocks until it is synced."""
        submitted, self._submitted = self._submitted, {}
        for group in submitted.items():
            self._queue.put(group)

    def finish(self, segment: SegmentFile) -> None:
        """Have a segment closed, after the syncs that were submitted."""
        self.hand_over()
        self._queue.put((segment, []))

    def prepare(self, number: int) -> None:
        """Have the next main segment made ahead, once for each number."""
        if number != self._last_number:
            self._last_number = self._next_number = number
            self._queue.put((None, []))

    def take_prepared(self) -> SegmentFile | None:
        """Return the segment that was made ahead, if there is one."""
        try:
            return self._prepared.popleft()
        except IndexError:
            return None

    def close(self, seconds: float) -> bool:
        """Sync what was submitted and end, within `seconds`; return whether it has ended."""
        self.hand_over()
        self._is_closing = True
        self._queue.put((None, []))
        self._thread.join(seconds)
        ended = not self._thread.is_alive()
        if ended and (prepared := self.take_prepared()):
            prepared.close()
        return ended

    def _run(self) -> None:
        while True:
            groups, finished = self._take()
            for segment, receipts in groups.items():
                self._sync(segment, receipts)
            for segment in finished:
                segment.close()
            if self._next_number is not None:
                self._prepare()
            if self._is_closing and self._queue.empty():
                return

    def _take(self) -> tuple[_Groups, list[SegmentFile]]:
        """Wait for work; return all there is, as receipts by segment and segments to close."""
        groups: _Groups = {}
        finished = []
        item = self._queue.get()
        while True:
            segment, receipts = item
            if segment is not None and receipts:
                groups.setdefault(segment, []).extend(receipts)
            elif segment is not None:
                finished.append(segment)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return groups, finished

    def _sync(self, segment: SegmentFile, receipts: list[Receipt]) -> None:
        try:
            if not segment.entry_is_synced:
                self._sync_entries(self._directory.path)
                segment.entry_is_synced = True
            self._sync_segment(segment)
        except OSError as error:
            # What the disk did not take is not durable, and a second sync would not say so.
            self._problem = make_unwritable_problem(self._directory.path, error)
            self._problem_until = time.monotonic() + _PROBLEM_SECONDS
            self._counters.add("dropped.unsynced", len(receipts))
            self._receipts.call(lambda: self._on_failure(segment))
            self._receipts.settle(receipts, lost=True)
        else:
            self._problem = None
            self._receipts.settle(receipts)

    def _prepare(self) -> None:
        number, self._next_number = self._next_number, None
        if number is None or self._prepared:
            return
        with contextlib.suppress(OSError):  # the loop will make it, and say what is wrong
            segment = SegmentFile(self._directory, SegmentKind.MAIN, number)
            try:
                self._sync_entries(self._directory.path)
                segment.entry_is_synced = True
            finally:
                self._prepared.append(segment)
