"""Signals that whoever started the tests has ignored: `nohup`, a shell's background job, some CI.

What is ignored stays ignored in every process that comes of it, also where tests send it.
"""

from __future__ import annotations

import signal

_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}


def heed_signals() -> None:
    """Have no signal ignored that tests send. Only the main thread may do that."""
    for number, handler in _DEFAULTS.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
