"""Hold the end of an exchange until its frames are acknowledged, which is the only backpressure.

With `acknowledge: database` once their rows are committed as well. All waits are bounded, and
after one that ran out nobody waits for the same (the disk, the ingester, commits) until that is
acknowledged, or something is committed.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from response_store.capture.outbox import AckDependency
from response_store.config import Acknowledge, Config

if TYPE_CHECKING:
    from response_store.diagnostics import Counters
    from response_store.journal.receipts import Receipt

LAG_FRAMES = 2_000
LAG_BYTES = 32 * 1024 * 1024
"""How far the end of a flow file may run ahead of the database."""
_POLL_INTERVAL = 0.01  # seconds
_NO_PROGRESS = 10.0  # seconds without progress after which a reader of a file goes on


class IngestProgress(Protocol):
    """How far the journal and the ingester are."""

    @property
    def is_failing(self) -> bool:
        """Return whether the journal can't be written at the moment."""

    @property
    def database_answers(self) -> bool:
        """Return whether commits are to be expected."""

    @property
    def committed(self) -> int:
        """Return the last frame whose rows are in the database."""

    @property
    def lag(self) -> tuple[int, int]:
        """Return how many frames, and about how many bytes, are not in the database yet."""


class Acknowledgement:
    """Waits for receipts, and for commits. Used by the event loop's thread only."""

    def __init__(
        self,
        config: Config,
        progress: IngestProgress,
        counters: Counters,
        *,
        find_dependency: Callable[[Receipt], AckDependency],
        clock: Callable[[], float],
    ) -> None:
        self._seconds = config.completion_wait_ms / 1000
        self._by_database = config.acknowledge is Acknowledge.DATABASE
        self._progress = progress
        self._counters = counters
        self._clock = clock
        self._find_dependency = find_dependency
        self._slow: set[AckDependency] = set()
        self._commits_hang = False
        self._committed_before = 0  # at the last commit that was noted
        self._number = 0
        self._commits: list[tuple[int, int, asyncio.Future[None]]] = []

    def of(self, receipts: Sequence[Receipt], last: Receipt | None) -> Awaitable[None] | None:
        """Return what to await before an end goes on; None where nothing is to be awaited.

        `receipts` are those that may not be acknowledged yet, `last` that of the end itself.
        """
        pending = [receipt for receipt in receipts if not receipt.is_settled]
        by_database = self._by_database and self._progress.database_answers
        if not self._seconds or not (pending or by_database):
            return None
        if pending and not self.is_worth_waiting(pending):
            return None
        if by_database and self._commits_hang:
            self._counters.add("wait.skipped")
            by_database = False
            if not pending:
                return None
        return self._wait(pending, last if by_database else None)

    def is_worth_waiting(self, pending: Sequence[Receipt]) -> bool:
        """Return whether acknowledgements are to be expected; count where they are not."""
        if self._progress.is_failing or any(
            self._find_dependency(one) in self._slow for one in pending
        ):
            self._counters.add("wait.skipped")
            return False
        return True

    def ran_out(self, receipts: Sequence[Receipt]) -> None:
        """Note a wait that was in vain: for receipts, or, where these are settled, for commits."""
        self._counters.add("wait.ran_out")
        pending = [receipt for receipt in receipts if not receipt.is_settled]
        if not pending:
            self._commits_hang = True
        for receipt in pending:
            dependency = self._find_dependency(receipt)
            if dependency is not AckDependency.LARGE:  # which takes its time, and nobody else's
                self._slow.add(dependency)
                receipt.add_done_callback(partial(self._recovered, dependency))

    def progressed(self) -> None:
        """Note what is committed by now; wake who waited for that."""
        committed = self._progress.committed
        if committed != self._committed_before:
            self._committed_before = committed
            self._commits_hang = False
        while self._commits and self._commits[0][0] <= committed:
            _, _, future = heapq.heappop(self._commits)
            if not future.done():
                future.set_result(None)

    def release(self) -> None:
        """Wake all who wait for commits: the database fails, and what came is in the journal."""
        for _, _, future in self._commits:
            if not future.done():
                future.set_result(None)
        self._commits.clear()

    def room(self) -> Awaitable[None] | None:
        """Return what a reader of a file awaits, which may not run far ahead of the database."""
        return self._room() if self._is_far_ahead() else None

    def _recovered(self, dependency: AckDependency, _: Receipt) -> None:
        self._slow.discard(dependency)

    async def _wait(self, receipts: list[Receipt], committed: Receipt | None) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                for receipt in receipts:
                    if not receipt.is_settled:
                        await _wait_settled(receipt)
                if committed is not None:
                    await self._committed(committed)
        except TimeoutError:
            self.ran_out(receipts)

    def _committed(self, receipt: Receipt) -> asyncio.Future[None]:
        seq = receipt.seq or 0
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if seq <= self._progress.committed or not self._progress.database_answers:
            future.set_result(None)
        else:
            self._number += 1
            heapq.heappush(self._commits, (seq, self._number, future))
        return future

    async def _room(self) -> None:
        before, since = self._progress.lag, self._clock()
        while self._is_far_ahead() and self._clock() - since < _NO_PROGRESS:
            await asyncio.sleep(_POLL_INTERVAL)
            now = self._progress.lag
            if now < before:
                since = self._clock()
            before = now

    def _is_far_ahead(self) -> bool:
        frames, size = self._progress.lag
        return frames > LAG_FRAMES or size > LAG_BYTES


def _wait_settled(receipt: Receipt) -> asyncio.Future[None]:
    """Return what is done once a receipt is settled."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    receipt.add_done_callback(lambda _: None if future.done() else future.set_result(None))
    return future


STATUS = 503
ERROR = {
    "message": (
        "The response store is out of reach, and this proxy is configured to refuse requests "
        "whose answers it can't keep. Try again later."
    ),
    "type": "server_error",
    "param": None,
    "code": "response_store_unavailable",
}
"""The error object, the same over HTTP and on a WebSocket."""
BODY = json.dumps({"error": ERROR}, separators=(",", ":")).encode()
"""The body of an HTTP answer."""
