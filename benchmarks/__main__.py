"""`python -m benchmarks`, from the root of the checkout."""

from __future__ import annotations

import signal

from benchmarks.command import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    main()
