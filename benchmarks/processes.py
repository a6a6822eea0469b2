"""What the kernel says of a process: CPU time, resident memory and children, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
INGESTER = b"response_store.ingester"  # in its command line


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in seconds; steps of a tick (10 ms)."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK


def cpu_seconds_of_ended(pid: int) -> float:
    """The same of its children that have ended."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (VmRSS)."""
    return _status_bytes(pid, "VmRSS:")


def peak_bytes(pid: int) -> int:
    """The most that it ever was (VmHWM)."""
    return _status_bytes(pid, "VmHWM:")


def children(pid: int) -> list[int]:
    """Return the processes that any thread of a process has started and that still run."""
    listed: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            listed += map(int, path.read_text().split())
    return listed


def ingester_of(pid: int) -> int | None:
    """Return the ingester that a proxy has started, if it runs."""
    for child in children(pid):
        with suppress(OSError):
            if INGESTER in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return None


def is_running(pid: int) -> bool:
    """Return whether a process lives; one that nobody has waited for yet does not."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on: the second may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
