"""Count what happens (metrics); report our own errors once a kind, never in the way of traffic."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import ParamSpec, TypeVar


class Counters:
    """Named counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counter: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Count `number` more of `name`."""
        with self._lock:
            self._counter[name] += number

    def get(self, name: str) -> int:
        """Return how many of `name` were counted."""
        with self._lock:
            return self._counter[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counters, by name."""
        with self._lock:
            return dict(sorted(self._counter.items()))


logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class ErrorReporter:
    """Counts and logs errors of our own code. What is logged names the place, never a value."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._seen: set[str] = set()

    def report(self, label: str, error: BaseException) -> None:
        """Count an error, and log it unless one of its kind was logged before; never raise."""
        with contextlib.suppress(Exception):
            self._report(label, error)

    def _report(self, label: str, error: BaseException) -> None:
        place = f"{type(error).__name__} at {_format_place(error)}"
        self._counters.add(f"fault.{label}")
        if place in self._seen:
            return
        self._seen.add(place)
        logger.warning(
            "response_store: an error of its own in %s (%s); traffic goes on, "
            "what this exchange held may be missing. Please report it.",
            label,
            place,
        )

    def guard(
        self, label: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R | None:
        """Return what `function` returns; where it raises, report that and return None."""
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - that is what a guard is for
            self.report(label, error)
            return None


def _format_place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
