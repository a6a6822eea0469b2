"""Run the ingester as a process: the one place where it is put together with both databases."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from response_store.errors import ResponseStoreError

NICENESS = 5
"""By how much the process lowers its priority: traffic goes first."""

# A stream's end may wait for the thread that cleans, which waits for the lock of the other one:
# 5 ms by default, of the 15 ms that there are.
_SWITCH_INTERVAL = 0.0005  # seconds

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str]) -> None:
    """Run the ingester on the channel whose descriptor is `argv[0]`; return when it has ended."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _report_crash
    logging.lastResort = None  # what libraries say of a server is for nobody's file
    os.nice(NICENESS)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # Heavy: not for the proxy.
    from response_store.ingest.server import run  # noqa: PLC0415
    from response_store.serving.answers import StoredAnswers  # noqa: PLC0415

    gc.collect()
    gc.freeze()
    run(int(argv[0]), StoredAnswers)


def _report_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None, /
) -> None:
    """Write where an error came from to the log, without a value: only our own texts are safe."""
    lines = traceback.format_tb(trace)
    text = f": {error}" if isinstance(error, ResponseStoreError) else ""
    sys.stderr.write("".join(lines) + f"{kind.__name__}{text}\n")
    sys.stderr.flush()
