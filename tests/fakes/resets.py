"""Leaving a connection without a goodbye."""

from __future__ import annotations

import socket
import struct


def reset(connection: socket.socket) -> None:
    """Close it so that the kernel sends a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
