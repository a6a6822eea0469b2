"""Children of a run: started here, spoken to in lines of JSON, ended when their stdin closes."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import subprocess
import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from benchmarks.places import ROOT

GRACE = 10.0  # seconds that a child has to end by itself


class Child:
    """A Python module of this package as a process that answers lines of JSON."""

    def __init__(self, module: str, *, grace: float = GRACE) -> None:
        self._grace = grace
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = self._process.pid
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, timeout: float = 60.0, **command: Any) -> Any:
        """Send one command, wait for its one answer."""
        self.tell(**command)
        return self.listen(timeout)

    def tell(self, **command: Any) -> None:
        """Send one command."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    def listen(self, timeout: float = 60.0) -> Any:
        """The next answer; an error where none comes in `timeout` seconds."""
        assert self._process.stdout
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not waiting.select(timeout):
                    raise TimeoutError(f"no answer from process {self.pid} in {timeout:.0f} s")
                data = os.read(self._process.stdout.fileno(), 1 << 20)
                if not data:
                    raise RuntimeError(f"process {self.pid} ended with {self._process.wait()}")
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """End it: by closing its standard input, then by force."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        stop(self._process, grace=self._grace)
        self._process.stdout.close()


def stop(process: subprocess.Popen[Any], *, grace: float = GRACE) -> None:
    """Wait for a process that has been told to end; kill it where it does not."""
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """The commands that come on standard input, until it closes."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def until_stdin_closes() -> None:
    """Wait until whoever started this process lets go of it."""
    async for _ in commands():
        pass


def answer(value: Any) -> None:
    """Answer a command."""
    print(json.dumps(value), flush=True)
