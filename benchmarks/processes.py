"""What the kernel says of a process: CPU time and resident memory, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


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
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on: the second may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
