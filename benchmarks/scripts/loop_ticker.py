"""Measure from inside how long the proxy's event loop stands still.

A callback every millisecond notes the longest gap since the last question. Whoever connects to
the Unix socket named by BENCHMARK_TICKER_SOCKET gets that gap in seconds, and starts a new one.
"""

import asyncio
import os
import time

PERIOD = 0.001


class LoopTicker:
    def __init__(self) -> None:
        self.last = self.longest = 0.0
        self.server: asyncio.Server | None = None

    async def running(self) -> None:
        self.server = await asyncio.start_unix_server(
            self.tell, os.environ["BENCHMARK_TICKER_SOCKET"]
        )
        self.last = time.perf_counter()
        self.tick()

    def tick(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        asyncio.get_running_loop().call_later(PERIOD, self.tick)

    async def tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self.longest:.6f}\n".encode())
        self.longest = 0.0
        await writer.drain()
        writer.close()


addons = [LoopTicker()]
