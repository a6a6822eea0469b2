"""How much work something is: the processor time that it takes, on whatever machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

STEPS = 200_000
USUAL = 0.007  # seconds that `STEPS` take on the machines for which bounds are set


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where what is done takes this thread more processor time on a usual machine."""
    used = measure()
    yield
    check(used(), seconds)


def measure() -> Callable[[], float]:
    """Return what tells the seconds of processor time that this thread has taken since."""
    began = time.thread_time()
    return lambda: time.thread_time() - began


def check(used: float, seconds: float) -> None:
    """Fail where so much processor time is more than so much on a usual machine."""
    if used >= seconds:  # else it does not matter how slow the machine is
        slow = slowness()
        assert used < seconds * slow, f"{used:.3f} s, on a machine that is {slow:.1f} times slower"


def slowness() -> float:
    """Return how many times longer work takes here and now than on a usual machine; 1 at least."""
    return max(1.0, median(_time_steps() for _ in range(5)) / USUAL)


def _time_steps() -> float:
    used, total = measure(), 0
    for number in range(STEPS):
        total += number
    return used()
