"""Drafts that gather while the event loop is busy, and go to the writer when it has a moment.

The writer's thread needs the interpreter lock to begin. Woken beside a busy loop it does not get
it, but makes each of the loop's system calls dearer, because each then wakes a thread. So it is
woken when the loop has nothing else to do: when nothing is ready to run in this turn. No timer is
involved; an idle loop hands over at once, a busy one after `LONGEST` at the latest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST = 0.005  # seconds


class Gathering(Generic[T]):
    """Hands what gathers to `hand_over`, one after the other. Used by the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hand_over: Callable[[T], None]) -> None:
        self._loop = loop
        self._hand_over = hand_over
        self._gathered: list[T] = []
        self._since = 0.0

    def add(self, item: T) -> None:
        """Take an item in."""
        if not self._gathered:
            self._since = self._loop.time()
            self._loop.call_soon(self._turn)
        self._gathered.append(item)

    def flush(self) -> None:
        """Hand over all that has gathered."""
        gathered, self._gathered = self._gathered, []
        for item in gathered:
            self._hand_over(item)

    def _turn(self) -> None:
        if self._loop_is_busy() and self._loop.time() - self._since < LONGEST:
            self._loop.call_soon(self._turn)
        else:
            self.flush()

    def _loop_is_busy(self) -> bool:
        """Whether callbacks wait in this turn. Loops that don't show theirs count as idle."""
        return bool(getattr(self._loop, "_ready", ()))
