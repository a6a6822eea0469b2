"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How long and how often; the defaults are those that figures are published with."""

    windows: int = 24  # a side
    seconds: float = 1.0  # a window
    exchanges: int = 20_000  # for the memory
    freeze_seconds: float = 5.0
    freezes: int = 5
    rows: int = 1_000_000  # in the larger database of the lookup
    instructions: tuple[int, int] = (50, 150)  # exchanges under valgrind
    addon: bool = True  # False: only what needs no addon, to judge the machine

    @property
    def rounds(self) -> int:
        """Rounds of windows there and back: two windows a side each."""
        return max(1, self.windows // 2)
