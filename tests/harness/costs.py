"""What a process costs from one moment on: the most memory that it has had, and processor time."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Costs:
    """The costs of a process, over what it had at the beginning."""

    def __init__(self, process: int) -> None:
        self._folder = Path(f"/proc/{process}")
        self.begin()

    def begin(self) -> None:
        """Begin to measure anew."""
        (self._folder / "clear_refs").write_text("5")
        self._first = self._memory("VmRSS")
        self._before = self._seconds()

    def megabytes(self) -> int:
        """Return the most memory since `begin`, over that of then."""
        return self._memory("VmHWM") - self._first

    def seconds(self) -> float:
        """Return the processor time since `begin`."""
        return self._seconds() - self._before

    def _memory(self, name: str) -> int:
        found = re.search(rf"{name}:\s*(\d+)", (self._folder / "status").read_text())
        assert found
        return int(found[1]) // 1024

    def _seconds(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
