"""A script for mitmproxy that tells for how long something ran on its event loop without a pause.

What counts is the processor time of the loop's own thread, so that a loaded machine changes
nothing.
"""

from __future__ import annotations

import asyncio
import time

from mitmproxy import command


class LoopTime:
    """The longest that one callback of the loop took since the last question."""

    def __init__(self) -> None:
        self._longest = 0.0
        run = asyncio.events.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            start = time.thread_time()
            run(handle)  # type: ignore[arg-type]
            self._longest = max(self._longest, time.thread_time() - start)

        asyncio.events.Handle._run = measured  # type: ignore[assignment,method-assign]

    @command.command("harness.longest")
    def longest(self) -> str:
        """Return the milliseconds, and begin anew."""
        longest, self._longest = self._longest, 0.0
        return f"{longest * 1000:.1f}"


addons = [LoopTime()]
