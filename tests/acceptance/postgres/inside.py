"""A script for mitmproxy that measures its event loop.

The command `harness.stall` tells the longest stand-still of the loop since it was asked last.
"""

import asyncio
import time

from mitmproxy import command

PERIOD = 0.002


class Ticker:
    """Ticks on the event loop, and knows the longest pause between two ticks."""

    def __init__(self) -> None:
        self.longest = self.last = 0.0

    def running(self) -> None:
        """Start to tick."""
        self.last = time.monotonic()
        self.tick()

    def tick(self) -> None:
        """Note the pause, and come again."""
        self.note()
        asyncio.get_running_loop().call_later(PERIOD, self.tick)

    def note(self) -> None:
        """Note how long ago the last look was."""
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now

    @command.command("harness.stall")
    def stall(self) -> str:
        """Tell the longest pause in seconds, and begin anew."""
        self.note()
        longest, self.longest = self.longest, 0.0
        return f"{longest:.3f}"


addons = [Ticker()]
