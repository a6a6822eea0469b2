"""Start the proxy's process beside the command, tell it in private what it must know, and end it.

Both go over one socket pair, a line of JSON each way; nothing secret stands on a command line or
in an environment. Afterwards the socket only stays open: as it closes, its other end is gone.

It has a session of its own, so that Ctrl-C and Ctrl-Z at the terminal are for the command alone.
What it says goes to a file in the private folder, because the terminal is the command's.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import msgspec

from response_store.resources import find_script
from response_store.run.command import PROXY_FAILED, RunError

PREFIX = "response-store-run-"


def make_private_folder() -> TemporaryDirectory[str]:
    """Return a context with a new folder for temporary files. Anybody may remove it early."""
    return TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)


def open_private_file(path: Path) -> BinaryIO:
    """Return a new file, open for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def write_private_file(path: Path, text: str) -> Path:
    """Write a new file; return its path."""
    with open_private_file(path) as file:
        file.write(text.encode())
    return path


FILE_NUMBER = "RESPONSE_STORE_RUN_SOCKET"
"""The variable in which the proxy finds the number of its end."""
USER = "run"
"""The user of the command's password, in the URL of its proxy."""
_MAX_BYTES = 1 << 20


class ProxySettings(msgspec.Struct, frozen=True):
    """Settings that the proxy gets before it starts.

    `folder` is gone when both ends are; `trusted` is a file of authorities for upstream servers;
    `credentials` are `user:password` for the proxy that it goes on through; `password` is what the
    command has to show.
    """

    folder: str
    trusted: str
    credentials: str | None = None
    password: str = ""
    open_browser: bool = False


class ProxyReady(msgspec.Struct, frozen=True):
    """What the proxy reports: addresses as `host:port`, its authority in PEM, its page, rows."""

    proxy: str
    reverse: str | None
    authority: str
    page: str | None
    recorder_id: str


def derive_segment(password: str) -> str:
    """Return the segment that the command's base URL begins its path with.

    It is not the password: Codex is given the URL as an argument, which other users can read.
    """
    return hashlib.sha256(f"base-url {password}".encode()).hexdigest()[:32]


def send_message(end: socket.socket, message: ProxySettings | ProxyReady) -> None:
    """Send one message."""
    end.sendall(msgspec.json.encode(message) + b"\n")


def receive_message(end: socket.socket) -> bytes:
    """Return the next message, as JSON; empty where the other end is gone."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_BYTES:
        data = end.recv(65536)
        if not data:
            return b""
        line += data
    return line


START_SECONDS = 60.0
END_SECONDS = 20.0  # more than the proxy takes for its last commits
_LOGGED_AT = re.compile(r"^\[\d\d:\d\d:\d\d\.\d{3}\](\[[^\]\s]*\])? ?", re.MULTILINE)
_COMPANION = Path(__file__).parent / "script" / "beside_capture.py"


class ProxyProcess:
    """One mitmdump or mitmweb with the addon. `close` ends it, and may be called at any time.

    `environ` is what it has in its environment beside ours.
    """

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        settings: ProxySettings,
        environ: Mapping[str, str],
    ) -> None:
        self._command = [
            # Not by the program's file: it need not be beside the interpreter, nor on the PATH.
            *(sys.executable, "-P", "-c", f"from mitmproxy.tools import main; main.{program}()"),
            *("-s", str(_COMPANION), "-s", str(find_script())),
            *arguments,
        ]
        self._settings = settings
        self._environ = environ
        self._log = Path(settings.folder, "mitmproxy.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        self._closing = False
        self.was_killed = False

    def start(self) -> None:
        """Start the process."""
        self._end, theirs = socket.socketpair()
        with closing(theirs), open_private_file(self._log) as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                self._command,
                env={**os.environ, **self._environ, FILE_NUMBER: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> ProxyReady:
        """Wait until the process serves. Raises RunError with its own words."""
        assert self._end is not None
        self._end.settimeout(START_SECONDS)
        line = b""
        with suppress(OSError):
            send_message(self._end, self._settings)
            line = receive_message(self._end)
        if not line:
            self.close()
            raise RunError(f"the proxy did not start.\n{self.log()}", PROXY_FAILED)
        return msgspec.json.decode(line, type=ProxyReady)

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost`, in another thread, if the process ends before it is told to."""
        threading.Thread(
            target=self._watch, args=(lost,), name="response-store-proxy", daemon=True
        ).start()

    @property
    def has_ended(self) -> bool:
        """Return whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        """Return all that the process has printed so far, without
        time and client before each entry.
        """
        try:
            log = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return _LOGGED_AT.sub("", log).strip()

    def close(self) -> None:
        """End the process, which writes what it has; after `END_SECONDS` without mercy."""
        self._closing = True
        process, self._process = self._process, None
        if process is not None:
            self.was_killed = not _end_process(process)
        if self._end is not None:
            self._end.close()

    def _watch(self, lost: Callable[[], None]) -> None:
        process = self._process
        if process is not None:
            process.wait()
            if not self._closing:
                lost()


def _end_process(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


PORT_OF_ITS_OWN = "web_port=0"
