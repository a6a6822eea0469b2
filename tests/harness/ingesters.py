"""The ingester of a proxy: to be frozen, and to be killed along with it."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.proxy import Proxy


@contextmanager
def frozen_ingester(proxy: Proxy) -> Iterator[int]:
    """Have the ingester do nothing within the block, in which it may be killed; its id."""
    pid: int = wait_until(proxy.ingester, "there is an ingester")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def kill_both(proxy: Proxy) -> None:
    """End the proxy and its ingester with SIGKILL, so that neither notices the other's end."""
    with frozen_ingester(proxy) as pid:
        proxy.kill9()
        os.kill(pid, signal.SIGKILL)
