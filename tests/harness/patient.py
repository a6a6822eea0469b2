"""A script for mitmproxy, after ours, that has it wait longer for the database's verdict at start.

On a busy machine an ingester alone may take the 3 seconds to start.
"""

import sys


def load(loader: object) -> None:
    """Wait up to 10 seconds, where our script could be loaded."""
    if runtime := sys.modules.get("response_store.runtime"):
        runtime.OPEN_WAIT = 10.0  # type: ignore[attr-defined]
