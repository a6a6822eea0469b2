"""Messages between `run` and its proxy: settings before the start, addresses once it serves.

Both go over one socket pair, a line of JSON each way; nothing secret stands on a command line or
in an environment. Afterwards the socket only stays open: as it closes, its other end is gone.
"""

from __future__ import annotations

import hashlib
import socket

import msgspec

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
