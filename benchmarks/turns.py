"""One client at a time, request by request in turns across two live proxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.proxy import Proxy
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.spread import percentile

ROUNDS = 50  # of four requests (base, other, other, base) in a block


@dataclass(frozen=True)
class Turns:
    """Seconds of every request, block by block."""

    base: list[list[float]]
    other: list[list[float]]

    def ratios(self, share: float) -> list[float]:
        """Other over base, at that percentile, of each block."""
        return [
            percentile(other, share) / percentile(base, share)
            for base, other in zip(self.base, self.other, strict=True)
        ]

    def added_ms(self, share: float) -> list[float]:
        """Other minus base, at that percentile, of each block; in milliseconds."""
        return [
            (percentile(other, share) - percentile(base, share)) * 1e3
            for base, other in zip(self.base, self.other, strict=True)
        ]

    def base_ms(self, share: float) -> float:
        return _overall_ms(self.base, share)

    def other_ms(self, share: float) -> float:
        return _overall_ms(self.other, share)

    def raw(self) -> dict[str, Any]:
        """Percentiles of each block, for the JSON file."""
        named = {"base": self.base, "other": self.other}
        return {
            f"{name}_p{share * 100:.0f}_ms": [percentile(block, share) * 1e3 for block in blocks]
            for name, blocks in named.items()
            for share in (0.5, 0.95)
        }


def _overall_ms(blocks: Sequence[Sequence[float]], share: float) -> float:
    return percentile([value for block in blocks for value in block], share) * 1e3


def take_turns(
    rig: Rig, pair: tuple[Proxy, Proxy], which: str, settings: Settings, rounds: int = ROUNDS
) -> Turns:
    """Blocks of turns, as many as windows; `which` is `first` (event) or `total`.

    `rounds` is for windows of a second.
    """
    base, other = pair
    turns = Turns([], [])
    rounds = max(2, int(rounds * settings.seconds))
    for number in range(settings.windows):
        there = number % 2 == 0
        names = [base.name, other.name] if there else [other.name, base.name]
        figures = rig.client(120.0, do="turns", names=names, rounds=rounds)
        one, two = figures if there else reversed(figures)
        turns.base.append(one[which])
        turns.other.append(two[which])
    return turns
