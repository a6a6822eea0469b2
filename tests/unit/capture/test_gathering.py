"""What gathers while the loop is busy is handed over when it is not."""

from __future__ import annotations

import asyncio
from typing import Any

from response_store.capture.gathering import LONGEST, Gathering


async def test_an_idle_loop_hands_over_at_once() -> None:
    """With nothing else to run, an item goes on in the next turn of the loop."""
    handed: list[int] = []
    gathering = Gathering(asyncio.get_running_loop(), handed.append)
    gathering.add(1)
    assert handed == []
    await asyncio.sleep(0.001)
    assert handed == [1]


async def test_a_busy_loop_gathers() -> None:
    """While callbacks wait, items gather, and go on together and in order."""
    loop = asyncio.get_running_loop()
    handed: list[int] = []
    gathering = Gathering(loop, handed.append)
    seen: list[int] = []

    def busy(left: int) -> None:
        gathering.add(left)
        seen.append(len(handed))
        if left:
            loop.call_soon(busy, left - 1)

    busy(3)
    await asyncio.sleep(0.001)
    assert seen == [0, 0, 0, 0]
    assert handed == [3, 2, 1, 0]


async def test_a_loop_that_stays_busy_waits_no_longer_than_its_bound() -> None:
    """A loop that never rests hands over all the same."""
    loop = asyncio.get_running_loop()
    handed: list[float] = []
    gathering = Gathering(loop, lambda _: handed.append(loop.time()))
    began = loop.time()
    left = 100_000

    def never_rests() -> None:
        nonlocal left
        left -= 1
        if left and not handed:
            loop.call_soon(never_rests)

    gathering.add(1)
    never_rests()
    await asyncio.sleep(20 * LONGEST)
    assert left > 0
    assert handed[0] >= began + LONGEST


async def test_flush_hands_over_now() -> None:
    """`flush` does not wait for a moment of rest, and hands nothing over twice."""
    handed: list[Any] = []
    gathering = Gathering(asyncio.get_running_loop(), handed.append)
    gathering.add("a")
    gathering.flush()
    assert handed == ["a"]
    await asyncio.sleep(2 * LONGEST)
    assert handed == ["a"]
