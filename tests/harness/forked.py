"""Starting mitmdump or mitmweb without its imports, which take longer than all else at a start.

A process that has imported mitmproxy forks whenever a test wants a proxy. What comes of that is
a process like any other, with its own id, folder, environment and output; but its command line, and
the environment that the system shows, are those of the process that forked.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

LARGEST = 1 << 17  # bytes of a request


class Forked:
    """A proxy that was forked, with what tests use of `subprocess.Popen`."""

    def __init__(self, watcher: socket.socket) -> None:
        self.pid = int(watcher.recv(32))
        self.returncode: int | None = None
        self._watcher = watcher

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended, as `Popen.wait` does; at the latest after so many seconds."""
        if self.returncode is None:
            self._watcher.settimeout(timeout)
            try:
                self.returncode = int(self._watcher.recv(32))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("the proxy", timeout or 0.0) from None
            self._watcher.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(
    command: list[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
) -> Forked:
    """Start the proxy of this command, as `Popen` would."""
    ours, watched = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with watched:
        request = json.dumps([command, str(cwd), dict(env)]).encode()
        passed = [watched.fileno(), stdout.fileno(), stderr.fileno()]
        socket.send_fds(_open_server(), [request], passed)
    return Forked(ours)


@cache
def _open_server() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
        )
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours


def serve(requests: socket.socket) -> None:
    """Fork a proxy for each request, until those who send them are gone."""
    import filelock  # noqa: F401 - the addon's own, like the next three
    import msgspec  # noqa: F401
    import yaml  # noqa: F401
    import zstandard  # noqa: F401
    from mitmproxy.tools import dump, main  # noqa: F401

    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, passed, _, _ = socket.recv_fds(requests, LARGEST, 3)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            watch(request, *passed)
            getattr(main, Path(sys.argv[0]).name)()
            return
        for descriptor in passed:
            os.close(descriptor)


def watch(request: bytes, answers: int, stdout: int, stderr: int) -> None:
    """Tell of a child, the process that goes on from here: its id, and at last how it ended."""
    if (child := os.fork()) == 0:
        os.close(answers)
        become(request, stdout, stderr)
        return
    os.close(stdout)
    os.close(stderr)
    os.write(answers, str(child).encode())
    _, status = os.waitpid(child, 0)
    os.write(answers, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: bytes, stdout: int, stderr: int) -> None:
    """Take the command, the folder, the environment and the streams of the request."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv, folder, environment = json.loads(request)
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, descriptor in enumerate((stdout, stderr), 1):
        os.dup2(descriptor, stream)
        os.close(descriptor)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel)
