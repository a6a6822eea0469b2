"""A reader that is kept open, and opened again after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from response_store.errors import StoreError
from response_store.store.reading import Reader

T = TypeVar("T")

PAUSE = 1.0  # seconds without another attempt after one that failed
_RETRY_SECONDS = (
    0.5  # seconds: what failed sooner may have been an idle connection, and is asked again
)


class Pause:
    """Keeps threads from connecting to a database that has just refused one of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: tuple[float, StoreError] | None = None

    def check(self) -> None:
        """Raise what the last attempt raised, if that was a moment ago."""
        failed = self._failed
        if failed is not None and self._clock() < failed[0]:
            raise type(failed[1])(str(failed[1]))

    def failed(self, error: StoreError) -> None:
        """Note that an attempt failed."""
        self._failed = self._clock() + PAUSE, error


class KeptReader:
    """A `Reader` that is opened when it is needed. For one thread; a `pause` is for several.

    `identity` tells what would be opened now: where that has changed, it is opened anew.
    """

    def __init__(
        self, open_reading: Callable[[], Reader], identity: Callable[[], object], pause: Pause
    ) -> None:
        self._open_reader = open_reading
        self._identity = identity
        self._pause = pause
        self._reader: Reader | None = None
        self._opened_as: object = None

    def ask(self, question: Callable[[Reader], T]) -> T:
        """Ask what raises StoreError where the database does."""
        if self._reader is not None and self._opened_as == self._identity():
            asked_at = time.monotonic()
            try:
                return question(self._reader)
            except StoreError:
                # A connection that idles while its server starts again fails once.
                if time.monotonic() - asked_at > _RETRY_SECONDS:
                    self.close()
                    raise
        self.close()
        self._open()
        assert self._reader is not None
        try:
            return question(self._reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database, if it is open. Idempotent."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StoreError):
                reader.close()

    def _open(self) -> None:
        self._pause.check()
        self._opened_as = self._identity()
        try:
            self._reader = self._open_reader()
        except StoreError as error:
            self._pause.failed(error)
            raise
