"""Names and addresses that mean this machine."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

NAMES = ("localhost", "127.0.0.1")
"""What NO_PROXY needs. `::1` is left out: some clients take its colons for a port and fail."""


_with_port = re.compile(r"(\[[^\]]*\]|[^:]*):\d+").fullmatch


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, whatever it is asked through."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_pattern_of_loopback(pattern: str) -> bool:
    """Return whether NO_PROXY means this machine by it: a host, also with a port, or a network."""
    found = _with_port(pattern)
    host = found[1] if found else pattern
    if is_loopback(host.removeprefix("*")):
        return True
    try:
        return ip_network(host, strict=False).is_loopback
    except ValueError:
        return False
