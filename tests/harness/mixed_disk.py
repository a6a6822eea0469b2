"""A script for the proxy and its ingester: disks that take their time, and ends that wait for it.

While the file `slow` is in the proxy's folder, each append to a journal and each commit takes a
tenth of a second, so that what a client has seen without waiting for it is lost in a kill. The end
of a stream waits as long as it takes: on a loaded machine one would go on too early now and then,
as it may.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(os.environ["HARNESS_PACKAGE"])

from response_store.backends.postgres.store import PostgresStore
from response_store.backends.sqlite.store import SqliteStore
from response_store.capture import recorder
from response_store.journal.segments import SegmentFile

SWITCH = Path(os.environ["HARNESS_READY_FILE"]).with_name("slow")


def slowed(write: Callable[..., Any]) -> Callable[..., Any]:
    """Have something wait before it writes."""

    def slow_write(*arguments: Any, **more: Any) -> Any:
        if SWITCH.exists():
            time.sleep(0.1)
        return write(*arguments, **more)

    return slow_write


for store in (SqliteStore, PostgresStore):
    store.write = slowed(store.write)  # type: ignore[method-assign]
SegmentFile.append = slowed(SegmentFile.append)  # type: ignore[method-assign]
recorder.SSE_WAIT = 2.0
