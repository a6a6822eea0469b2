"""What the model server got and what it gave, request by request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from tests.fakes.requests import Request

TAG = "x-tenant"
"""The request header by which tests find what is theirs."""


@dataclass
class Served:
    """One request and the body bytes that were written for it, encoded as they went out.

    `over` is set when the server has nothing more to send for it.
    """

    request: Request
    sent: bytearray = field(default_factory=bytearray)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> bytes:
        """The body bytes so far, without the framing of the transport."""
        return bytes(self.sent)


class Recordings:
    """All that one server served, in order; safe to read from any thread."""

    def __init__(self) -> None:
        self._all: list[Served] = []
        self._changed = threading.Condition()

    def begin(self, request: Request) -> Served:
        """Note a request."""
        served = Served(request)
        with self._changed:
            self._all.append(served)
            self._changed.notify_all()
        return served

    def of(self, tag: str) -> list[Served]:
        """What was served to the requests with that tag."""
        with self._changed:
            return self._tagged(tag)

    def only(self, tag: str) -> Served:
        """What was served to the one request with that tag."""
        (served,) = self.of(tag)
        return served

    def wait(self, tag: str, count: int = 1, timeout: float = 10.0) -> list[Served]:
        """Wait until so many requests with that tag came."""
        return self._wait_for(lambda: self._tagged(tag), count, timeout)

    def _tagged(self, tag: str) -> list[Served]:
        return [served for served in self._all if served.request.header(TAG) == tag]

    def _wait_for(
        self, look: Callable[[], list[Served]], count: int, timeout: float
    ) -> list[Served]:
        deadline = monotonic() + timeout
        with self._changed:
            while len(look()) < count:
                left = deadline - monotonic()
                assert left > 0, f"{len(look())} of {count} requests came within {timeout} s"
                self._changed.wait(left)
            return look()
