"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How long and how often; the defaults are those that figures are published with."""

    windows: int = 24  # a side
    seconds: float = 1.0  # a window
    exchanges: int = 20_000  # for the memory
    turns: int = 10_000  # on one socket, for the memory; a fifth of them on many at once
    sockets: int = 200
    freeze_seconds: float = 5.0
    freezes: int = 5
    large_mb: int = 40  # of the large bodies beside streams
    rows: int = 1_000_000  # in the larger database of lookup and serving
    instructions: tuple[int, int] = (50, 150)  # exchanges under valgrind
    far_ms: float = 50.0  # to a far PostgreSQL server and back
    outage_seconds: float = 60.0
    outage_rate: float = 200.0  # responses a second meanwhile
    against: Path | None = None  # the checkout of an older addon
    addon: bool = True  # False: only what needs no addon, to judge the machine

    @property
    def rounds(self) -> int:
        """Rounds of windows there and back: two windows a side each."""
        return max(1, self.windows // 2)
