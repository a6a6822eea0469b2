"""Starting the commands as processes, into pipes or on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import response_store

PROGRAM = [sys.executable, "-c", "from response_store.cli import main; main()"]
DEADLINE = 20


def environment(**more: str) -> dict[str, str]:
    package = str(Path(response_store.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": package, "TERM": "xterm-256color", **more}


def piped(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        check=False,
        env=environment(**more),
        timeout=DEADLINE,
    )


def on_terminal(*arguments: str, columns: int = 80) -> tuple[int, str]:
    """The exit status and all that a command writes to a terminal of that many columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=slave, stdout=slave, stderr=slave,
        env=environment(PAGER="cat"),  # another one would wait for a key
    )  # fmt: skip
    os.close(slave)
    written, deadline = b"", time.monotonic() + DEADLINE
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.05)[0]:
                data = os.read(master, 65536)
                if not data:
                    break
                written += data
    except OSError:  # the terminal has no other end any more
        pass
    finally:
        os.close(master)
    return process.wait(DEADLINE), written.decode()
