"""A live mitmdump in reverse mode, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control import stop
from benchmarks.processes import cpu_seconds, ingester_of, is_running, resident_bytes
from benchmarks.sides import Side

MITMDUMP = (sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()")
START_SECONDS = 30.0
END_SECONDS = 60.0  # for an ingester, after its proxy


@dataclass(frozen=True)
class Proxy:
    """A mitmdump that accepts connections."""

    side: Side
    port: int
    pid: int
    folder: Path

    @property
    def name(self) -> str:
        return self.side.name

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    @property
    def ingester(self) -> int | None:
        """Return the process that writes its database; None where the proxy does it itself."""
        return ingester_of(self.pid) if self.side.has_ingester else None

    def ingester_cpu_seconds(self) -> float:
        ingester = self.ingester
        return cpu_seconds(ingester) if ingester else 0.0

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def behind(self) -> int:
        """Return how many frames the database does not have yet."""
        return self.side.behind(self.folder)

    def settle(self) -> None:
        """Wait until the database has all that is acknowledged by now."""
        self.side.settle(self.folder)

    def rest(self) -> None:
        """Wait until it and its ingester do nothing more."""
        self.side.rest(self.folder)


@contextmanager
def live_proxy(
    side: Side,
    *,
    upstream: int,
    folder: Path,
    wrapper: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    start_seconds: float = START_SECONDS,
) -> Iterator[Proxy]:
    """Start mitmdump for one side, in a folder of its own; end it with SIGTERM, and its ingester.

    `wrapper` is a command to run it under (valgrind). Every side gets the same options but those
    of `Side.arguments`; `-q` so that none of them spends time on printing.
    """
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "mitmdump.log").open("wb") as log:
        process = subprocess.Popen(
            [*wrapper, *MITMDUMP, *common_arguments(port, upstream, folder)]
            + side.arguments(folder),
            cwd=folder,
            env=inherited() | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for_port(process, port, start_seconds)
            yield Proxy(side, port, process.pid, folder)
            ingester = ingester_of(process.pid)
        except BaseException:
            said = (folder / "mitmdump.log").read_text(errors="replace")
            print(f"mitmdump ({side.name}, status {process.poll()}) said: {said}", file=sys.stderr)
            raise
        finally:
            process.terminate()
            stop(process)
    if ingester is not None:
        wait_for_end(ingester)


def wait_for_end(ingester: int) -> None:
    """Wait until an ingester has emptied its journal and ended."""
    deadline = time.monotonic() + END_SECONDS
    while is_running(ingester):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the ingester {ingester} outlives its proxy by {END_SECONDS:.0f} s")
        time.sleep(0.05)


def inherited() -> dict[str, str]:
    """The environment without what would win over the configuration of a side."""
    return {k: v for k, v in os.environ.items() if not k.startswith("RESPONSE_STORE_")}


def common_arguments(port: int, upstream: int, folder: Path) -> list[str]:
    """The options that every side has."""
    return [
        "-q",
        *("--mode", f"reverse:http://127.0.0.1:{upstream}"),
        *("--listen-host", "127.0.0.1", "--listen-port", str(port)),
        *("--set", f"confdir={folder.parent / 'mitmproxy'}"),
    ]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for_port(process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
    """Wait until mitmdump listens; an error where it ends instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("mitmdump ended before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"mitmdump does not listen after {seconds:.0f} s")
