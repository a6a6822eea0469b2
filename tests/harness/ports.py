"""Ports of loopback that nothing uses.

They lie below those that systems give to outgoing connections. A server that comes back on such a
port finds it free, and a client that keeps trying while it is away never connects to itself.
"""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port that can be listened on now."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((LOOPBACK, port))
                tried.listen()
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port on {LOOPBACK}")
