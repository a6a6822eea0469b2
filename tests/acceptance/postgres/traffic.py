"""Traffic that goes on while something else happens, and what its clients noticed of that."""

from __future__ import annotations

import re
import threading
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tests.harness.clients import asking, fetch
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.harness.proxy import Proxy

PAUSE = 0.05


class Traffic:
    """One client that asks again and again, whole and streamed by turns, within the block.

    `ids` are those of the responses, `slowest` is what the slowest took, in seconds.
    """

    def __init__(self, proxy: Proxy, tenant: str) -> None:
        self.ids: list[str] = []
        self.slowest = 0.0
        self._proxy = proxy
        self._tenant = tenant
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def passes(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many more answers have come."""
        enough = len(self.ids) + count
        wait_until(
            lambda: len(self.ids) >= enough or self._failed, f"{count} more answers", timeout
        )
        self._raise()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a client still waits for its answer"
        if error is None:
            self._raise()

    def _run(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                self._ask(stream=len(self.ids) % 2 == 1)
        except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
            self._failed = error

    def _ask(self, stream: bool) -> None:
        begun = monotonic()
        reply = fetch(self._proxy.port, asking(stream=stream), self._tenant)
        self.slowest = max(self.slowest, monotonic() - begun)
        assert (reply.status, reply.whole) == (200, True)
        found = re.search(rb'"id": ?"(resp_\w+)"', reply.body)
        assert found is not None
        self.ids.append(found[1].decode())

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed
