"""A script for the proxy and its ingester: journals and logs with small parts, and patient ends.

Segments and the database's log are left so early that a minute's traffic passes through all that
becomes of them. The end of a stream waits as long as it takes: under a tracer a sync takes longer
than the 15 ms after which it would go on, as it may.
"""

import os
import sys

sys.path.append(os.environ["HARNESS_PACKAGE"])

from response_store.backends.sqlite import store
from response_store.capture import recorder
from response_store.journal import writer

writer._MIN_SEGMENT = writer._MAX_SEGMENT = 48 << 10
writer.JournalWriter.__init__.__kwdefaults__["large_from"] = 64 << 10  # type: ignore[index]
store._CHECKPOINT_BYTES = 400 << 10
recorder.SSE_WAIT = 10.0
