"""Removing all that a rule means, batch by batch, with pauses in which others write.

Whoever has a loop of its own takes the steps itself: each does one batch or one measurement, and
yields the seconds that the database was busy for others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from response_store.errors import TransientStoreError
from response_store.pruning import measures
from response_store.pruning.database import Database
from response_store.pruning.removing import BEGINNING, Gone, Place
from response_store.store.selection import Selection

_LEAST, _MOST = 1, 200  # rows in a batch
_FIRST = 20
_BATCH_SECONDS = 0.004  # that others may wait for one
_ATTEMPTS = 6
_BUSY_PAUSE = 0.1  # seconds, the first time
_SHARE = 0.5  # of what seems too much, at a time: rows are not alike
_LEAST_AT_A_TIME = 10  # rows

Pause = Callable[[float], bool]
"""Called after each batch with the seconds that it took; False ends it all."""


@dataclass(slots=True)
class Sweep:
    """Removes from one database; counts what has gone. `on_gone` is told of each batch.

    `remove`, `shrink` and `give_back` take all steps at once, with `pause` between them.
    """

    database: Database
    pause: Pause = lambda _: True
    on_gone: Callable[[Gone], None] = lambda _: None
    exchanges: int = 0
    responses: int = 0
    stopped: bool = False
    _rows: int = _FIRST

    def remove(self, selection: Selection, tenants: Iterable[str]) -> None:
        """Remove what a selection means, of these tenants."""
        self._take(self.removing(selection, tenants))

    def shrink(self, max_bytes: int) -> None:
        """Remove the oldest exchanges, of whichever tenant, until the rest fits."""
        self._take(self.shrinking(max_bytes))

    def give_back(self) -> None:
        """Give back the room that is free now, in small steps, as far as the database can."""
        self._take(self.giving_back())

    def removing(self, selection: Selection, tenants: Iterable[str]) -> Iterator[float]:
        """Take the steps of `remove`."""
        for tenant in tenants:
            after: Place | None = BEGINNING
            while after is not None:
                after = yield from self._batch(tenant, selection, after)

    def shrinking(self, max_bytes: int) -> Iterator[float]:
        """Take the steps of `shrink`."""
        reading, factor = self.database.reading, 1
        while True:
            began, before = time.monotonic(), self.exchanges
            found = measures.beyond(reading, max_bytes, _SHARE)
            if found is None:
                return
            wanted = max(found[1], _LEAST_AT_A_TIME) * factor
            selection = measures.oldest(reading, wanted)
            tenants = measures.tenants(reading)
            yield time.monotonic() - began
            yield from self.removing(selection, tenants)
            if self.exchanges > before:
                factor = 1
            elif selection.until is None:
                return  # all that is left is open, or not ours
            else:
                factor *= 2  # the oldest are open: look behind them

    def giving_back(self) -> Iterator[float]:
        """Take the steps of `give_back`."""
        more = True
        while more:
            began = time.monotonic()
            try:
                more = self.database.remover.give_back()
            except TransientStoreError:
                return  # what is free is used again
            yield time.monotonic() - began
        self.database.remover.tidy()

    def _take(self, steps: Iterator[float]) -> None:
        while not self.stopped and (taken := next(steps, None)) is not None:
            self.stopped = not self.pause(taken)

    def _batch(
        self, tenant: str, selection: Selection, after: Place
    ) -> Generator[float, None, Place | None]:
        gone, taken = yield from self._removed(tenant, selection, after)
        self.exchanges += gone.exchanges
        self.responses += gone.responses
        self.on_gone(gone)
        self.database.remover.tidy()
        if gone.last is not None:
            self._rows = _next_size(self._rows, taken)
            yield taken
        return gone.last

    def _removed(
        self, tenant: str, selection: Selection, after: Place
    ) -> Generator[float, None, tuple[Gone, float]]:
        """Remove one batch; where the database is busy, again after a pause, several times."""
        for attempt in range(_ATTEMPTS):
            began = time.monotonic()
            try:
                gone = self.database.remover.remove(tenant, selection, after, self._rows)
            except TransientStoreError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return gone, time.monotonic() - began
            yield _BUSY_PAUSE * 2**attempt
        raise AssertionError("the last attempt returns or raises")


def _next_size(rows: int, taken: float) -> int:
    """As many rows as take the time that a batch may take; at most twice as many as before."""
    fitting = int(rows * _BATCH_SECONDS / max(taken, 1e-6))
    return min(max(fitting, _LEAST), 2 * rows, _MOST)
