"""A script for mitmproxy: a disk that takes its time, and streams that wait for it.

While the file `slow` is in the proxy's folder, a commit takes a tenth of a second, so that an end
that does not wait for it is lost in a kill. The end of a stream waits as long as its commit takes:
on a loaded machine one would go on too early now and then, as it may.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(os.environ["HARNESS_PACKAGE"])

from response_store.capture import recorder
from response_store.store.journal.inlet import Journal
from response_store.store.sqlite.store import SqliteStore

SWITCH = Path("slow")


def slowed(write: Callable[..., Any]) -> Callable[..., Any]:
    """Have a store wait before it writes."""

    def slow_write(*arguments: Any) -> Any:
        if SWITCH.exists():
            time.sleep(0.1)
        return write(*arguments)

    return slow_write


for store in (SqliteStore, Journal):
    store.write = slowed(store.write)  # type: ignore[method-assign]
recorder.SSE_WAIT = 20.0
