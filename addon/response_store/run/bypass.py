"""Watch which API servers a command connects to past its proxy, which is not captured.

Nothing is changed or held up: now and then the connections of the command and of what it has
started are looked at, in `/proc`. Where there is none, as on macOS, nothing is found.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from response_store.run.proxy_urls import OPENAI, VARIABLE

POLL_INTERVAL = 0.2  # seconds at least between two looks
_REST_FACTOR = 20  # times as long as a look took
_RESOLVE_INTERVAL = 60.0  # seconds: names of large services have other addresses then
_KNOWN = ("https://chatgpt.com", "https://openrouter.ai")
_PORTS = {"http": 80, "https": 443}
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as one of IPv6

Address = tuple[str, int]


class _ProcessConnection(NamedTuple):
    inode: str
    remote: Address


def find_servers(environ: Mapping[str, str], *urls: str) -> list[Address]:
    """Return host and port of the API servers that are known, and of those that these URLs name."""
    servers = dict.fromkeys(map(_parse_server, (*urls, environ.get(VARIABLE, ""), OPENAI, *_KNOWN)))
    return [server for server in servers if server is not None]


class BypassWatch:
    """Looks at the connections of a process and its descendants, in a thread, until it is ended.

    Names are looked up only once there is a connection to one of the servers' ports.
    """

    def __init__(
        self,
        pid: int,
        servers: Sequence[Address],
        *,
        resolve: Callable[[Address], Iterable[str]] | None = None,
    ) -> None:
        self._pid = pid
        self._servers = servers
        self._resolve = resolve or _resolve
        self._addresses: dict[Address, Address] = {}  # to the server that has it
        self._resolve_at = 0.0
        self._bypassed: dict[Address, None] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="response-store-bypass", daemon=True)
        self._thread.start()

    def end(self) -> list[str]:
        """End the watch; return the hosts that were connected to."""
        self._ended.set()
        self._thread.join(1.0)  # a name that is being looked up is not waited for
        return [host for host, _ in self._bypassed]

    def _run(self) -> None:
        pause = 0.0
        while len(self._bypassed) < len(self._servers) and not self._ended.wait(pause):
            began = time.monotonic()
            with suppress(OSError, ValueError):  # processes end while they are looked at
                self.look()
            pause = max(POLL_INTERVAL, _REST_FACTOR * (time.monotonic() - began))

    def look(self) -> None:
        """Look once."""
        ports = {port for _, port in self._servers}
        possible = [one for one in _list_connections(self._pid) if one.remote[1] in ports]
        if not possible:
            return
        if time.monotonic() >= self._resolve_at:
            self._resolve_at = time.monotonic() + _RESOLVE_INTERVAL
            self._addresses.update(
                ((address, server[1]), server)
                for server in self._servers
                for address in self._resolve(server)
            )
        to_servers = [one for one in possible if one.remote in self._addresses]
        if not to_servers:
            return
        inodes = set().union(*map(_list_inodes, _list_descendants(self._pid)))
        for one in to_servers:
            if one.inode in inodes:
                self._bypassed[self._addresses[one.remote]] = None


def _parse_server(url: str) -> Address | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None


def _resolve(server: Address) -> Iterator[str]:
    with suppress(OSError, UnicodeError):
        for *_, address in socket.getaddrinfo(*server, type=socket.SOCK_STREAM):
            yield str(address[0])


def _list_connections(pid: int) -> Iterator[_ProcessConnection]:
    """Yield the TCP connections of a process's network, whoever has them."""
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                address, _, port = fields[2].partition(":")
                if int(port, 16):  # else it listens
                    yield _ProcessConnection(fields[9], (_parse_address(address), int(port, 16)))


def _parse_address(digits: str) -> str:
    """Return an address that stands there as words in the machine's own order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    packed = packed.removeprefix(_MAPPED)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed)


def _list_descendants(pid: int) -> list[int]:
    """Return a process and all that it has started, as far as they are still its own."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                behind_name = (folder / "stat").read_text().rpartition(")")[2]
                parents[int(folder.name)] = int(behind_name.split()[1])
    descendants = [pid]
    for one in descendants:  # grows as it goes
        descendants += [child for child, parent in parents.items() if parent == one]
    return descendants


def _list_inodes(pid: int) -> set[str]:
    """Return the sockets that a process has open; none where it has gone, or is another user's."""
    inodes = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                link = str(entry.readlink())
                if link.startswith("socket:["):
                    inodes.add(link[len("socket:[") : -1])
    return inodes
