"""Tests pass where whoever started them has signals ignored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import signal, subprocess, sys
from tests.harness.ignored_signals import heed_signals
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)]
assert before == [signal.SIG_IGN] * 3, before
heed_signals()
code = "import signal; print(*(signal.getsignal(n) for n in (2, 1, 3)))"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
"""


def test_what_was_ignored_is_heeded() -> None:
    """Here and in the processes that are started from here."""
    shell = 'trap "" INT HUP QUIT; exec "$@"'
    told = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", CODE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "SIG_IGN" not in told
    assert "default_int_handler" in told
