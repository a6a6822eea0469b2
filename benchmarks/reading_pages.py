"""The first page of `response-store web`, as a browser gets it."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

PROGRAM = (sys.executable, "-c", "from response_store.cli import main; main()")
PAGES = (("sessions", ""), ("exchanges", "exchanges"))
"""What is looked at: a name, and a path below that of the server."""
RUNS = 20


@contextmanager
def web_pages(config: Path) -> Iterator[Visitor]:
    """Run a server on the database of a configuration."""
    command = [*PROGRAM, "web", "--config", str(config)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as server:
        assert server.stdout is not None
        try:
            yield Visitor(server.stdout.readline().split()[-1])
        finally:
            server.terminate()


class Visitor:
    """Somebody who has come in by the printed address, and asks on one connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._base = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._connection.request("GET", f"{parts.path}?{parts.query}")
        welcome = self._connection.getresponse()
        welcome.read()
        self._cookie = (welcome.headers["Set-Cookie"] or "").partition(";")[0]

    def measure(self, path: str) -> float:
        """Seconds until a list is there whole."""
        seconds, page = self.fetch(path)
        if b"data-id" not in page:
            raise RuntimeError(path)
        return seconds

    def fetch(self, path: str) -> tuple[float, bytes]:
        """Seconds until a page is there whole, and the page."""
        start = time.perf_counter()
        self._connection.request("GET", self._base + path, headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        page = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return seconds, page
