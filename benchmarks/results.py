"""What a benchmark found, beside what the project asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from benchmarks.spread import Spread


class Verdict(StrEnum):
    """How a figure stands against its target."""

    AIM = "aim reached"
    LEAST = "at least"
    SHORT = "short"
    NONE = ""


@dataclass(frozen=True)
class Target:
    """The figure that is asked for, and the one that is aimed at."""

    least: float
    aim: float
    higher_is_better: bool = True

    def verdict(self, value: float) -> Verdict:
        if self._reaches(value, self.aim):
            return Verdict.AIM
        return Verdict.LEAST if self._reaches(value, self.least) else Verdict.SHORT

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.higher_is_better else value <= bound


@dataclass(frozen=True)
class Result:
    """One line of the table: a median, its quartiles, and the raw values for the JSON file."""

    what: str
    unit: str
    spread: Spread
    target: Target | None = None
    note: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return self.target.verdict(self.spread.median) if self.target else Verdict.NONE


Results = Iterator[Result]
