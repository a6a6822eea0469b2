"""A PostgreSQL server of a run, and a line before it that can be made longer.

    python -m benchmarks.postgres_keeper

Commands, one a line of JSON on standard input, each answered by one line:

    {"do": "open", "folder": F, "round_trip_ms": M}   where it listens; the line takes so long
    {"do": "database"}                    the name of a new, empty database
    {"do": "stop"}, {"do": "start"}       as its operators do
    {"do": "freeze"}, {"do": "thaw"}      it stays connected and answers nobody
    {"do": "cpu"}                         CPU seconds of all its processes so far

It is a process of its own so that the server is ended, and its files removed, whatever becomes of
the run: when standard input closes. A commit waits for the disk, as PostgreSQL's defaults have it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.control import answer, commands
from benchmarks.processes import cpu_seconds, cpu_seconds_of_ended
from tests.harness.line import Line
from tests.harness.postgres import OWNER, Postgres, Template, children_of
from tests.harness.postgres_certificates import make_postgres_certificates
from tests.harness.postgres_programs import NoServerError

# PostgreSQL's own defaults, where the tests have others.
SETTINGS = {"autovacuum": "on", "shared_buffers": "128MB", "wal_level": "replica"}


@dataclass(frozen=True)
class Kept:
    """What is kept: a server, and the line that makes it far away."""

    server: Postgres
    line: Line
    authority: Path

    def where(self) -> dict[str, Any]:
        """What clients have to know."""
        version = self.server.execute("SHOW server_version")[0]["server_version"]
        return {
            "port": self.server.port,
            "far_port": self.line.port,
            "user": OWNER,
            "authority": str(self.authority),
            "version": version,
        }

    def cpu_seconds(self) -> float:
        assert self.server.process is not None
        first = self.server.process.pid
        living = sum(cpu_seconds(pid) for pid in (first, *children_of(first)))
        return living + cpu_seconds_of_ended(first)


async def obey() -> None:
    """Do what standard input says."""
    with ExitStack() as stack:
        kept: Kept | None = None
        async for command in commands():
            match command:
                case {"do": "open", "folder": folder, "round_trip_ms": milliseconds}:
                    kept = stack.enter_context(opened(Path(folder), milliseconds))
                    answer(kept.where())
                case {"do": "database"} if kept is not None:
                    answer(kept.server.create_database().name)
                case {"do": "stop" | "start" | "freeze" | "thaw" as what} if kept is not None:
                    getattr(kept.server, what)()
                    answer(None)
                case {"do": "cpu"} if kept is not None:
                    answer(kept.cpu_seconds())
                case _:
                    raise ValueError(f"unknown command: {command}")


@contextmanager
def opened(parent: Path, round_trip_ms: float) -> Iterator[Kept]:
    """A server that speaks TLS and nothing else, in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="response-store-postgres-", dir=parent))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        make_reachable(folder)
        certificates = make_postgres_certificates(folder / "certificates")
        template = Template(folder)
        server = Postgres(
            template,
            certificate=certificates.address,
            only_tls=True,
            fsync=True,
            settings=SETTINGS,
        )
        stack.enter_context(server)
        line = stack.enter_context(Line(server.port))
        line.delay(round_trip_ms / 2)
        yield Kept(server, line, certificates.authority)


def make_reachable(folder: Path) -> None:
    """Let the server's user in, who is another one where root runs this."""
    folder.chmod(0o711)
    closed = [str(each) for each in folder.parents if not each.stat().st_mode & 0o001]
    if closed and os.geteuid() == 0:
        raise NoServerError(
            f"PostgreSQL runs as another user than root, who can't enter {', '.join(closed)}. "
            "Name a folder that every user can enter with --folder."
        )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(obey())
    except NoServerError as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        sys.exit(130)
