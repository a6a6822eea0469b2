"""A client that gets stored responses: one keep-alive connection, one request at a time."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

PATH = "/v1/responses/"
MOST_LATE = 3.0  # seconds that a pace may fall behind before the run ends with an error


class Getting:
    """A connection to one proxy. Not for several threads."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, what: str) -> float:
        """Get `/v1/responses/WHAT`; the seconds until the last byte. Raises unless it is there."""
        start = time.perf_counter()
        self._connection.request("GET", PATH + what)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"GET {what}: {answer.status} {body[:200]!r}")
        return seconds

    def close(self) -> None:
        self._connection.close()


@contextmanager
def paced(port: int, ids: Sequence[str], rate: float, taken: list[float]) -> Iterator[None]:
    """Get `rate` responses a second meanwhile; notes the seconds that each has taken."""
    ended = threading.Event()
    faults: list[BaseException] = []

    def ask() -> None:
        try:
            with closing(Getting(port)) as getting:
                begun = time.perf_counter()
                for number, identifier in enumerate(itertools.cycle(ids)):
                    late = time.perf_counter() - begun - number / rate
                    if late > MOST_LATE:
                        raise RuntimeError(f"{rate:.0f} GETs/s are not kept up: {late:.1f} s late")
                    if ended.wait(max(0.0, -late)):
                        return
                    taken.append(getting.get(identifier))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            faults.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if faults:
        raise faults[0]
