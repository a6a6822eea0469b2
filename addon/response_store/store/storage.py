"""What a session writes to: the writer, the database, and whatever stands between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from response_store.errors import StoreError
from response_store.store.health import Health, Phase
from response_store.store.intake import Queue, Summary
from response_store.store.records import Change
from response_store.store.ticket import Ticket
from response_store.store.writer import Payload, Writer

P = TypeVar("P", bound=Payload)
HUNG_AFTER = 2.0  # seconds that one commit may take until a store counts as away
_HANGS = f", no answer for over {HUNG_AFTER:.0f} s"
Build: TypeAlias = Callable[[P], Change | str]
OnSettled: TypeAlias = Callable[[list[Ticket[P]]], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a storage ended. `stays` says what waits for the next start, where something does."""

    summary: Summary
    stays: str | None = None


class Storage(Protocol[P]):
    """A database and the way to it. Safe from any thread; nothing but the named waits blocks."""

    @property
    def writer(self) -> Writer[P]:
        """Where payloads are handed over."""

    @property
    def acknowledges(self) -> bool:
        """Whether the commit that clients wait for is to be expected."""

    @property
    def commits(self) -> int:
        """How many such commits there were. Another number says that there was one."""

    @property
    def waiting(self) -> Queue:
        """What the database does not have yet."""

    def describe(self) -> str:
        """Where the records go, in words that are safe to show."""

    def status_lines(self) -> list[str]:
        """What stands now, in lines that are safe to show."""

    def start(self) -> None:
        """Begin to open."""

    def wait_opened(self, seconds: float) -> StoreError | None:
        """Wait for the first attempt to open, at most `seconds`.

        Returns the error that somebody has to mend before this can work, if any.
        """

    def unavailable_for(self) -> float | None:
        """Seconds until what fails or hangs is tried again; None where records are taken."""

    def drain(self, seconds: float) -> bool:
        """Wait until the database has all that was handed over so far, at most `seconds`."""

    def close(self, seconds: float, patience: float = 0.0) -> Ending:
        """Write what waits, and end. Idempotent.

        Takes `seconds` at most; with `patience` it goes on as long as a database that is behind
        takes something within that many seconds.
        """


def start_error(seconds: float, *healths: Health) -> StoreError | None:
    """Wait until each has been opened once; the first error that somebody has to mend."""
    deadline = time.monotonic() + seconds
    for health in healths:
        health.wait_opened(max(0.0, deadline - time.monotonic()))
    return next((health.error for health in healths if health.phase is Phase.FAILED), None)


def longest_pause(*healths: Health) -> float | None:
    """Seconds until the next attempt of those that are not available; None where all are."""
    away = [health.retry_in() for health in healths if not health.available(HUNG_AFTER)]
    return max(away, default=None)


def state_of(health: Health) -> str:
    """The phase of a store, and whether it leaves us without an answer meanwhile."""
    hangs = health.ready and not health.available(HUNG_AFTER)
    return f"{health.phase.value}{_HANGS if hangs else ''}"


def health_lines(health: Health, of: str = "") -> list[str]:
    """How a store fares, in the lines of a status; `of` says which, where there are two."""
    pause = f", the next in {health.retry_in():.1f} s" if health.failures else ""
    return [
        f"{of}last error: {health.error or 'none'}",
        f"{of}attempts: {health.failures} failed in a row{pause}",
    ]
