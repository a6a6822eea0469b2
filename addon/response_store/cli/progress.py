"""Show the progress of something long: count, rate and time left, on standard error.

What is done within two seconds shows nothing. After that a terminal gets a bar, and anything else
a plain line now and then, so that a log stays short.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Self, TypeAlias

import click

from response_store.cli import output
from response_store.format.text import format_duration, put_on_one_line

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

SHOWN_AFTER = 2.0  # seconds
LINE_EVERY = 10.0
INTERRUPTED = 130

Clock: TypeAlias = Callable[[], float]


def show_progress(
    total: int | None, what: str, *, clock: Clock = time.monotonic
) -> AbstractContextManager[ProgressDisplay]:
    """Tell how far the block has come, which calls `advance`.

    `total` None: how much there is to do is not known.
    """
    shown = _ProgressOnTerminal() if sys.stderr.isatty() else _ProgressInLines()
    return ProgressDisplay(total, put_on_one_line(what), shown, clock)


class ProgressDisplay:
    """A count that goes up to `total`. A context manager."""

    def __init__(self, total: int | None, what: str, shown: _Shown, clock: Clock) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._shown = shown
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """Return how many seconds it has taken so far."""
        return self._clock() - self._started

    def advance(self, n: int = 1) -> None:
        """Count `n` more as done."""
        self.done += n
        if (seconds := self.seconds) >= SHOWN_AFTER:
            self._shown.update(self, seconds)

    def figures(self) -> str:
        """Return `12,000 of 100,000, 1,234/s, 1 min 11 s left`, as far as that is known."""
        rate = self.done / max(self.seconds, 0.001)
        parts = [f"{self.done:,}", f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"]
        if self.total is not None:
            parts[0] += f" of {max(self.total, self.done):,}"
            if self.done:
                left = max(self.total - self.done, 0) / rate
                parts.append(f"{format_duration(1000 * left)} left")
        return ", ".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.close()


class _ProgressInLines:
    """A line, and another when some time has gone by."""

    def __init__(self) -> None:
        self._next = LINE_EVERY

    def update(self, progress: ProgressDisplay, seconds: float) -> None:
        if seconds >= self._next:
            self._next = seconds + LINE_EVERY
            click.echo(f"{progress.what}: {progress.figures()}", err=True)

    def close(self) -> None:
        """Do nothing: the last line stays."""


class _ProgressOnTerminal:
    """A bar that goes when it is closed."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def update(self, progress: ProgressDisplay, _: float) -> None:
        bar = self._bar or self._begin_bar(progress)
        assert self._task is not None
        bar.update(self._task, completed=progress.done, figures=progress.figures())

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _begin_bar(self, progress: ProgressDisplay) -> Bar:
        from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", markup=False),
            console=output.open_console(stderr=True),
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task(progress.what, total=progress.total, figures="")
        self._bar.start()
        return self._bar


_Shown: TypeAlias = _ProgressInLines | _ProgressOnTerminal


@contextmanager
def resumable_on_interrupt(how_to_go_on: str) -> Iterator[None]:
    """Say how to go on where Ctrl-C ends the block, and exit with the status that shells expect."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted. {how_to_go_on}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
