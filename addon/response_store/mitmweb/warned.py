"""Warnings about how mitmproxy was started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mitmproxy import version

_SAFE_MITMWEB = (11, 1, 2)  # CVE-2025-23217


def list_listening_warnings(master: Any, options: Any) -> Iterator[str]:
    """Yield what a user should know about how mitmproxy was started."""
    if getattr(options, "server", True) and not options.rfile and _is_open_to_network(options):
        yield (
            "response_store: mitmproxy listens on all interfaces, so anybody who reaches this "
            "machine can use it as a proxy: add --listen-host 127.0.0.1"
        )
    if is_mitmweb(master) and _read_version() < _SAFE_MITMWEB:
        yield (
            "response_store: mitmweb before 11.1.2 has the hole CVE-2025-23217: "
            "use mitmproxy 11.1.2 or later (Python 3.12 or later)"
        )


def is_mitmweb(master: Any) -> bool:
    """Return whether this is mitmweb, and not mitmdump or the console."""
    return "web" in type(master).__module__


def _is_open_to_network(options: Any) -> bool:
    if options.listen_host:
        return options.listen_host in ("0.0.0.0", "::", "*")  # noqa: S104 - warned of, not bound
    return any("@" not in mode or "@:" in mode for mode in options.mode)


def _read_version() -> tuple[int, ...]:
    return tuple(int(part) for part in version.VERSION.split(".")[:3] if part.isdigit())
