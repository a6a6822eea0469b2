"""Removing all that a rule means, batch by batch, with pauses in which others write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from response_store.errors import PassingStoreError
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
    """Removes from one database; counts what has gone. `on_gone` is told of each batch."""

    database: Database
    pause: Pause
    on_gone: Callable[[Gone], None] = lambda _: None
    exchanges: int = 0
    responses: int = 0
    stopped: bool = False
    _rows: int = _FIRST

    def remove(self, selection: Selection, tenants: Iterable[str]) -> None:
        """Remove what a selection means, of these tenants."""
        for tenant in tenants:
            after: Place | None = BEGINNING
            while after is not None and not self.stopped:
                after = self._batch(tenant, selection, after)

    def shrink(self, max_bytes: int) -> None:
        """Remove the oldest exchanges, of whichever tenant, until the rest fits."""
        factor = 1
        while not self.stopped:
            reading, before = self.database.reading, self.exchanges
            found = measures.beyond(reading, max_bytes, _SHARE)
            if found is None:
                return
            wanted = max(found[1], _LEAST_AT_A_TIME) * factor
            selection = measures.oldest(reading, wanted)
            self.remove(selection, measures.tenants(reading))
            if self.exchanges > before:
                factor = 1
            elif selection.until is None:
                return  # all that is left is open, or not ours
            else:
                factor *= 2  # the oldest are open: look behind them

    def give_back(self) -> None:
        """Give back the room that is free now, in small steps, as far as the database can."""
        more = not self.stopped
        while more:
            began = time.monotonic()
            try:
                more = self.database.remover.give_back()
            except PassingStoreError:
                return  # what is free is used again
            more = self.pause(time.monotonic() - began) and more
        self.database.remover.tidy()

    def _batch(self, tenant: str, selection: Selection, after: Place) -> Place | None:
        began = time.monotonic()
        gone = self._removed(tenant, selection, after)
        taken = time.monotonic() - began
        self.exchanges += gone.exchanges
        self.responses += gone.responses
        self.on_gone(gone)
        self.database.remover.tidy()
        if gone.last is not None:
            self._rows = _next_size(self._rows, taken)
            self.stopped = not self.pause(taken) or self.stopped
        return gone.last

    def _removed(self, tenant: str, selection: Selection, after: Place) -> Gone:
        """One batch; where the database is busy, again after a pause, several times."""
        for attempt in range(_ATTEMPTS):
            try:
                return self.database.remover.remove(tenant, selection, after, self._rows)
            except PassingStoreError:
                if attempt == _ATTEMPTS - 1 or not self.pause(_BUSY_PAUSE * 2**attempt):
                    raise
        raise AssertionError("the last attempt returns or raises")


def _next_size(rows: int, taken: float) -> int:
    """As many rows as take the time that a batch may take; at most twice as many as before."""
    fitting = int(rows * _BATCH_SECONDS / max(taken, 1e-6))
    return min(max(fitting, _LEAST), 2 * rows, _MOST)
