"""Where `response-store run` is run: a home, a working and a temporary folder of its own.

What a run leaves behind is found by that temporary folder: it is in the environment of every
process that comes of the run, and every file that the run makes for itself is in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.database import Database
from tests.harness.proxy import NOT_INHERITED, PACKAGE, Finished, wait_until

PROGRAM = [
    sys.executable,
    "-c",
    "from response_store.cli import main; main(prog_name='response-store')",
]
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
ON_TERMINAL = [sys.executable, "-c", TAKE_TERMINAL]
SECONDS = 30


@dataclass(frozen=True)
class Stage:
    """A place to run in."""

    folder: Path
    started: list[Any] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, authority: Path) -> Stage:
        """A new place, whose home has mitmproxy's certificate authority."""
        stage = cls(folder)
        shutil.copytree(authority, stage.home / ".mitmproxy")
        stage.temporary.mkdir()
        stage.work.mkdir()
        return stage

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "temporary"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def database(self) -> Database:
        return Database(self.data / "response-store" / "responses.db")

    def start(self, *arguments: str, through: tuple[str, ...] = (), **how: Any) -> Any:
        """Start `response-store run` with pipes; `environment` adds variables to it."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        more = how.pop("environment", {})
        process = subprocess.Popen(
            [*through, *PROGRAM, "run", *arguments],
            cwd=self.work,
            env=self._environment() | more,
            start_new_session=True,
            **{**streams, **how},
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, said: str = "", **how: Any) -> Finished:
        """Run it to its end; `said` is its standard input."""
        process = self.start(*arguments, **how)
        out, err = process.communicate(said.encode(), timeout=SECONDS)
        return Finished(process.returncode, out.decode(), err.decode())

    def processes(self) -> dict[int, str]:
        """What runs of all that was started here: process ids with their command lines."""
        found = {}
        mark = f"TMPDIR={self.temporary}".encode()  # or a folder in it
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    line = (process / "cmdline").read_bytes().decode().replace("\0", " ")
                    if line:  # one that has ended has none
                        found[int(process.name)] = line
            except OSError:
                continue
        return found

    def proxy_id(self) -> int | None:
        """The process id of the one proxy, if it runs."""
        found = [key for key, line in self.processes().items() if "mitmproxy.tools" in line]
        assert len(found) < 2
        return found[0] if found else None

    def assert_nothing_left(self) -> None:
        """No process, file or journal of the run is there any more."""
        wait_until(lambda: not self.processes(), f"no process of {self.temporary} runs")
        assert list(self.temporary.iterdir()) == []
        assert list(self.state.rglob("journal.json")) == []

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, 9)
        for started in self.started:
            with started:  # closes its pipes
                started.kill()

    def _environment(self) -> dict[str, str]:
        dropped = (
            *NOT_INHERITED,
            "NO_PROXY",
            "CURL_CA",
            "REQUESTS_CA",
            "NODE_EXTRA",
            "NO_COLOR",
            "COLUMNS",
        )
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(dropped)
        }
        folders = {
            "HOME": self.home,
            "TMPDIR": self.temporary,
            "XDG_STATE_HOME": self.state,
            "XDG_DATA_HOME": self.data,
        }
        ours = {name: str(folder) for name, folder in folders.items()}
        more = {"PYTHONPATH": str(PACKAGE), "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color"}
        return kept | ours | more
