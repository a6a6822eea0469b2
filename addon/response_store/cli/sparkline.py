"""A line of blocks, each as high as a number."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = " "


def draw_sparkline(counts: Sequence[int], width: int) -> str:
    """Return the counts in at most `width` characters: where there
    are more, neighbours are added up.

    A zero is a blank; every other number is visible.
    """
    together = max(ceil(len(counts) / max(width, 1)), 1)
    sums = [sum(counts[at : at + together]) for at in range(0, len(counts), together)]
    maximum = max(sums, default=0)
    return "".join(_choose_block(count, maximum) for count in sums)


def _choose_block(count: int, maximum: int) -> str:
    return BLOCKS[ceil(len(BLOCKS) * count / maximum) - 1] if count else NOTHING
