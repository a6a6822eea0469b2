"""A `response-store tail -f` process, and what it has written so far."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import response_store
from tests.harness.proxy import wait_until

PROGRAM = [sys.executable, "-c", "from response_store.cli import main; main()", "tail", "-f"]
PACKAGE = Path(response_store.__file__).parents[1]


def surroundings(**more: str) -> dict[str, str]:
    """The environment of the process."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE), **more}


class Tail:
    """Runs in a folder with the options; its output goes to files there."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / "tail.out", folder / "tail.err"]
        out, err = (file.open("wb") for file in self._files)
        with out, err:
            self.process = subprocess.Popen(
                [*PROGRAM, *options], cwd=folder, stdout=out, stderr=err,
                env=surroundings(**environment),
            )  # fmt: skip

    def lines(self) -> list[str]:
        """The whole lines on standard output."""
        return self._files[0].read_text().split("\n")[:-1]

    def said(self) -> str:
        """Standard error."""
        return self._files[1].read_text()

    def wait_for(self, count: int, timeout: float = 20.0) -> list[str]:
        """The lines, once there are so many."""
        wait_until(lambda: len(self.lines()) >= count, f"{count} lines of {self._files}", timeout)
        return self.lines()

    def wait_for_word(self, words: str, timeout: float = 20.0) -> None:
        """Wait until standard error has the words."""
        wait_until(lambda: words in self.said(), f"{words!r} said", timeout)

    def interrupt(self) -> int:
        """End it as Ctrl-C does; its status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
