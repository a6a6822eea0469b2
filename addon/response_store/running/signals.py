"""Signals that come while a command runs: it gets each once.

What is typed at a terminal (Ctrl-C, Ctrl-Backslash, Ctrl-Z) goes to the whole foreground process
group, and with it to the command, so nothing is passed on. What is sent to this process alone is.
Stopping and going on need nothing: the default does it, for both.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from response_store.running.errors import StoppedBySignal

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_TYPED = (signal.SIGINT, signal.SIGQUIT)


class Signals:
    """A context in which signals are the command's.

    Before the command has been started they raise `StoppedBySignal`; after it has ended they do
    nothing, so that the last records are written. Signals that were ignored stay ignored, as under
    `nohup`.
    """

    def __init__(self) -> None:
        self._before = {
            number: signal.getsignal(number)
            for number in (*_PASSED_ON, *_TYPED)
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._raises = True
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back for a moment: what comes meanwhile raises at its end."""
        self._raises = False
        yield
        self._raises = True
        if self._early:
            self._received(self._early.pop(0), None)

    def starting(self) -> None:
        """Raise nothing from now on: the command is about to be started, or has ended."""
        self._raises = False

    def started(self, child: subprocess.Popen[bytes]) -> None:
        """Pass signals to the running command, first those that came since `starting`."""
        self._child = child
        while self._early:
            self._pass_on(self._early.pop(0))

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: FrameType | None) -> None:
        if self._raises:
            self.starting()  # once is enough: what follows must not break off the cleaning up
            raise StoppedBySignal(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if self._child is None:
            self._early.append(number)
        elif number not in _TYPED or not _is_in_foreground():
            self._child.send_signal(number)  # does nothing once the command has ended


def _is_in_foreground() -> bool:
    """Return whether we are the foreground process group of a
    terminal, which sends us what is typed.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
